package consent

import "errors"

// What callers tell apart. Everything else that comes back is an error of the store or the file
// system, wrapped with what was tried.
var (
	// ErrForgotten: the key was erased, by Forget, by Expire or with its stream. It stays so; show
	// the ciphertext.
	ErrForgotten = errors.New("the person's key was erased")

	// ErrValue: the text is not what this key sealed. Show it as it is.
	ErrValue = errors.New("the value was not sealed under this key")

	// ErrCutOff: this node has not heard of the other nodes of its cluster for a while. One of them may be
	// forgetting a person, so until it hears again it opens and seals nothing. Wait, or go to another node.
	ErrCutOff = errors.New("this node does not hear of the other nodes")

	// ErrNoPerson: neither a subject nor a key field was given. One key for everybody who is not
	// named would make them one person, so the event must be refused.
	ErrNoPerson = errors.New("the event names neither a data subject nor a key field")

	// ErrNoKey: the event has no key, for its locator is the zero locator.
	ErrNoKey = errors.New("the event has no key")

	// ErrTime: the clock shows a time for which there can be no key. Set the clock.
	ErrTime = errors.New("the clock is outside 1970 to 9999")

	// ErrPermissions: a key file can be read by others than its owner. Run chmod 600 on it, and
	// consider what it protects as read.
	ErrPermissions = errors.New("a key file may be readable by its owner only (chmod 600)")

	// ErrMaster: the stored keys were sealed under another master key. Put back the master key file
	// this data was written with.
	ErrMaster = errors.New("the stored keys were sealed under another master key")

	// ErrNoMaster: the file of the master key that the stored keys were sealed under is missing. Put
	// it back, or name where it is.
	ErrNoMaster = errors.New("the master key of the stored keys is not here")

	// ErrMasterURI: this build reaches no key service of that scheme. Name a file.
	ErrMasterURI = errors.New("the master key must be a file")

	// ErrEraseKey: the erase key that the stored keys are sealed under is not here. Either the file
	// is missing, then put it back, or the store is older than the last Forget and nothing can open
	// it any more.
	ErrEraseKey = errors.New("the erase key of the stored keys is not here")

	// ErrDamaged: a stored cell does not open under its key or does not decode.
	ErrDamaged = errors.New("a stored key cell is damaged")

	// ErrFull: so many people of one era of a stream were forgotten (about a million) that the era's
	// list of tree parts is full. Shorten keys.era for the time to come, or drop the stream.
	ErrFull = errors.New("an era of the stream holds no more forgotten people")

	// ErrEra: keys.era is not a whole number of days.
	ErrEra = errors.New("keys.era must be a whole number of days, 1 or more")
)

// errStale is how a lookup learns that the keys it read were replaced meanwhile: it reads them again.
var errStale = errors.New("the stream's keys were replaced while they were read")
