package engine

import (
	"errors"
	"fmt"
)

// What the engine answers. Callers compare with errors.Is; a wrapping says what was tried.
var (
	// ErrOffset: the text is not an offset. Tell the client; asking again changes nothing.
	ErrOffset = errors.New("not an offset")
	// ErrBusy: the write queue is full, or the log did not take anything for Config.Timeout. Nothing of the
	// batch is stored; try again a little later.
	ErrBusy = errors.New("the write queue is full")
	// ErrDiskFull: less than Config.MinFree is free where the log lies, or a quarter of it for a cell. Nothing is stored.
	// Retention or an operator makes room; then writes are taken again by themselves.
	ErrDiskFull = errors.New("the disk is nearly full")
	// ErrNoLog: what was asked of the log was not answered, and nothing was changed: its servers cannot be reached, or have no
	// leader. Ask again a little later.
	ErrNoLog = errors.New("the log does not answer")
	// ErrUnconfirmed: the batch was handed to the log and no answer came in time. It may be stored, in whole or
	// (unless Batch.Atomic) in part. Writing it again may double it.
	ErrUnconfirmed = errors.New("storing was not confirmed in time")
	// ErrClosed: the engine is closing or closed. Nothing is stored.
	ErrClosed = errors.New("the engine is closed")
	// ErrTooLarge: a record is larger than Config.MaxEvent allows, or an atomic batch does not fit one block.
	// Nothing is stored; the same batch never will be.
	ErrTooLarge = errors.New("the event is too large for the engine")
	// ErrRecord: a record contradicts itself, for example by a span that lies outside of its payload. It is a
	// fault of the caller. Nothing is stored.
	ErrRecord = errors.New("the record contradicts itself")
	// ErrStream: the stream lies in a shard that this log does not have: it belongs to another log.
	ErrStream = errors.New("the stream lies nowhere in this log")
	// ErrCorrupt: stored bytes are not a block of this format, or were changed. A *CorruptError says where.
	ErrCorrupt = errors.New("the block is corrupt")
	// ErrNotFound: no cell has this key, or it was erased.
	ErrNotFound = errors.New("no such cell")
	// ErrConflict: the cell has another revision than the expected one. Read it anew and decide again.
	ErrConflict = errors.New("the cell was changed by somebody else")
	// ErrKey: the key of a cell is not made of dot-separated tokens of [A-Za-z0-9_=-].
	ErrKey = errors.New("not a cell key")
	// ErrLocked: another process holds Config.Dir open.
	ErrLocked = errors.New("the data folder is in use by another process")
	// ErrNotEmpty: a log is to be filled where there is one already. Name an empty place.
	ErrNotEmpty = errors.New("there is a log already")
	// ErrSilent: the control plane's cells were not heard of for too long, so what this node knows may be old.
	ErrSilent = errors.New("the cells have been silent for too long")
)

// CorruptError says which block could not be opened. It matches ErrCorrupt.
type CorruptError struct {
	Shard  int
	Seq    uint64 // the block's shard sequence; a reader that wants to go on resumes at AfterBlock(Seq)
	Reason string // never holds stored bytes
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%v: shard %d, sequence %d: %s", ErrCorrupt, e.Shard, e.Seq, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }
