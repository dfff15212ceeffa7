// Package consent hides who may see a personal field, and how a person is forgotten.
//
// Two questions of every event are answered here. May this stream show the event, and which of its
// fields in clear? Rule answers, from two sets of consent levels. Under which key is a field sealed?
// Vault answers, with a Key for each person and day, and can take every key of a person back.
//
// # Fields
//
// A Key seals as Google Tink's deterministic AEAD does: AES-SIV (RFC 5297) under a key of 64 bytes,
// TINK prefix, no associated data, base64. So equal values under one key have equal texts, a value
// cannot be changed unnoticed, and Tink opens it with Key.Keyset. The implementation is the package's
// own, because Tink's costs seven times as much and allocates; it is held against the RFC's vectors
// and, by fuzzing, against Tink. Mask is for values that are shown but not in clear.
//
// # Keys of people
//
// No key is stored for a person. Each stream has, for each era (30 days), a seed: from it come the key
// that links are made with, the key that leaves are found with, and the root of a tree of 2^64 leaves
// (Goldreich, Goldwasser and Micali; child = SHA-256(node ‖ bit ‖ label), 56 levels under 256 shards).
//
//	window   the 24 hours around now, begun at the subject's own time of the day
//	leaf     HMAC(index key, generation, subject): the person, for the era
//	keyLink  HMAC(link key, window, generation, subject, key field): shown with the event
//	key      HKDF(leaf's node, keyLink)
//
// The era of a window is the one it begins in, so a window has one key, also across an era's end. An
// event is stored with its keyLink and its Locator (era, leaf, generation), from which KeyAt finds the
// key again. The keyLink tells nothing without the link key: two sessions or two days of a person look
// like two people. The locator links a person's sessions and days, so it must not leave the log.
//
// Storage is a seed for each stream and era, and 1.7 KB for each forgotten person in each era.
//
// # Forgetting
//
// To forget is to puncture: every node above the person's leaf goes, and the siblings along its path
// stay, from which all other leaves can be derived and this one cannot. A later event of the person
// finds its leaf gone and takes the leaf of the next generation. So the tree itself knows who was
// forgotten, by a number that only a name and the index key give; there is no list of names.
//
// What is overwritten in a log is not gone: former revisions lie in block files, replicas and backups.
// Therefore every key cell is sealed under a key that lies in the cell above it, up to the erase key,
// which never enters the log: the comment above cellVersion shows the
// chain, and the one on commit what a crash may leave. Whoever changes a cell for erasure writes the whole path
// anew under new keys and destroys the former erase key.
//
// The laws:
//
//   - After Forget returned nil, no Key opens the person's former fields: none that is asked for and
//     none that was handed out before, in this process, on another node, or after a restart.
//   - Every other person's keys are what they were, whatever happened, a crash at any point included.
//   - With every revision of every cell that ever was, and the present erase key and master key, the
//     former keys of a forgotten person cannot be derived. With no erase key nothing at all can.
//   - A call that fails may be repeated.
//
// How far it reaches: as far as a small file can be destroyed on its medium. The file is overwritten
// and unlinked; a copy-on-write file system, a solid state disk or a snapshot of the volume may keep
// its bytes for a while. A backup that holds the erase key's file together with the store keeps what
// that store could open. With Config.Shared the erase key lies in the log, wrapped by the master key:
// forgetting is complete for readers at once, and physical when the log has been compacted, but never
// in a copy of the log made before. A keyset that was exported opens what it opened. The process's own
// memory may hold a former key until the garbage collector has used it again.
//
// With Config.Shared there are other nodes, and they have caches. Forget is then done in two phases: a word in
// the log tells which leaves are going, and only when every node has closed them, or has been silent for so
// long that it opens and seals nothing any more, are they cut. The comments on peers and word show how, and why
// nobody needs a clock that is right. A node that does not hear of the others for 5 s answers ErrCutOff until
// it does; Forget waits for it that long, else a few round trips to the log.
//
// The master key wraps the erase key and, by SealSecret, what others must keep to use it later. It is
// a Tink keyset in a file.
//
// # Cost
//
// A key in the cache costs some 100 ns to find by name, 10 ns by locator, and no allocation; one that
// is not, 10 µs. The cache is bounded in bytes and holds keyed hashes, no names. Forgetting costs a
// few milliseconds for one person and about 0.1 ms a person in a call for thousands.
package consent
