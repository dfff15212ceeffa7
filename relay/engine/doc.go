// Package engine is the log and the control plane's memory, and the only package that knows NATS: by default a
// JetStream server embedded in the process, with Config.URL an external cluster. It hides how events become durable,
// how they are found again, and how small values are changed by many nodes without losing a change.
//
// # The life of an event
//
// A caller encodes records into a Batch and calls Append. The batch is copied into the block that its stream is
// filling at the moment. Each shard has one writer, with one commit in flight: when a commit is done, the writer takes
// what was queued meanwhile, so that blocks grow with the load and a lone event leaves at once. A commit is one message,
// or where many streams have blocks one atomic batch (NATS ADR-50). When JetStream answers, all who wait for a block
// are woken by the closing of its channel; their events are on the disk.
//
// Follow hands out new blocks: one consumer for each shard and node reads the shard's end and spreads the blocks to
// those who follow their streams. Read gets older ones, by stateless questions, so that a thousand slow readers cost
// the server nothing. A reader that wants both follows first, reads up to where Follow began, and passes over blocks
// it has seen.
//
// # What a crash can leave
//
// The process dies before the log took a commit: nothing of it is stored, nobody was answered. It dies after that and
// before the answer: the blocks are stored once, nobody was answered; a producer that sends again stores its events
// again, which is what ErrUnconfirmed and a broken connection mean. It dies within an atomic batch: the server
// finishes the batch at the next start if it had been told to commit, else it forgets it.
//
// An answer that is lost while the process lives is the writer's to resolve. Each block has a random id and is
// published with the expected last sequence of its subject; see the comment at resolve for why this neither doubles
// nor loses it.
//
// # A full disk
//
// The embedded log stops taking events while there is still Config.MinFree (ErrDiskFull), and cells at a quarter of that,
// so that an operator can delete streams to make room, and holds a ballast of at most 64 MiB that makes way for
// deletions. A disk that others fill all the same leaves the server unable to write until its files are opened anew, also
// when there is room again. So when all that is handed to it has failed for seconds and the disk is not low, the server
// is restarted within the process, which to its connections is one that was lost: what a crash can leave is what this
// leaves, and is resolved alike. Ready says so meanwhile.
//
// # Names
//
// Streams SLUICE-LOG-<shard> hold blocks under sluice.log.<shard>.<stream, 32 hex digits>.<node, 16 hex digits>; the
// stream SLUICE-CELLS holds cells under sluice.cell.<key>, the last message of each alone. A node keeps its name in
// the file node of its folder; the file lock there is held while the log is open; the file ballast there may be deleted.
//
// # A block, version 1
//
// All numbers are little-endian.
//
//	 0  3  the letters SLB
//	 3  1  version: 1
//	 4  4  CRC-32C of all that follows
//	 8 16  block id, random
//	24 16  stream id
//	40  8  name of the writing node
//	48  8  when it was sealed, Unix milliseconds
//	56  8  events under this subject up to and with this block
//	64  8  bytes of blocks under this subject up to and with this block
//	72  4  events in this block, 1 to 4096
//	76  4  bytes of the records before compression: at most 262144, or any number up to 32 MiB for one record
//	80  4  bytes of the notes
//	84     notes, each a 4-byte length and so many bytes
//	       records, as one S2 block (github.com/klauspost/compress/s2)
//
// The two totals begin at 0 with a subject and may begin again after a restart when retention has emptied it; only
// differences between retained blocks count.
//
// # A record, version 1
//
//	  0  4  bytes of the whole record
//	  4  1  kind of payload
//	  5  1  0
//	  6  2  bytes of the event id
//	  8  2  bytes of the type
//	 10  2  bytes of the contract ref
//	 12  2  number of encrypted fields
//	 14  2  locator: turn
//	 16 16  request id
//	 32  8  occurred, Unix milliseconds
//	 40  8  processed, Unix milliseconds
//	 48  8  consent, bit n for level n
//	 56 16  key link
//	 72  4  locator: era
//	 76  4  locator: generation
//	 80  8  locator: leaf
//	 88  8  device: offset and length in the payload, 4 bytes each
//	 96  8  user, likewise
//	104  8  body, likewise
//	112  4  bytes of the payload
//	116     fields, 10 bytes each: offset 4, length 4, level 1, path 1
//	        event id, type, contract ref, payload
package engine
