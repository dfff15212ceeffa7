package engine

import (
	"fmt"
	"strconv"

	"github.com/google/uuid"
)

// StreamID names a stream in the log for ever: the uuid it got when it was made.
// A stream that is deleted and made anew under its old name has another one.
type StreamID uuid.UUID

// String is the uuid in its usual lower-case text.
func (id StreamID) String() string { return uuid.UUID(id).String() }

// Stream says where a stream lies in the log. The zero value lies nowhere.
type Stream struct {
	ID    StreamID
	Shard int
	// Since is the shard's last sequence when the stream was made. An offset at or below it was
	// given out for a former stream of the same name.
	Since uint64
}

// Offset is an event's place in its stream: the shard's sequence of the block it lies in, shifted by
// 12, and its index in the block. Offsets of a stream grow strictly, with gaps, and stay below 2^53,
// so that a JavaScript number holds them. The zero offset is before every event.
type Offset uint64

const (
	offsetIndexBits = 12
	// MaxBlockEvents is how many events one block can hold, for an offset has 12 bits for the index.
	MaxBlockEvents = 1 << offsetIndexBits
	maxOffset      = 1<<53 - 1
)

// MakeOffset joins the shard sequence of a block and an index in it.
func MakeOffset(seq uint64, index int) Offset {
	return Offset(seq<<offsetIndexBits | uint64(index))
}

// AfterBlock is the offset that resumes behind the whole block of that sequence.
func AfterBlock(seq uint64) Offset { return MakeOffset(seq, MaxBlockEvents-1) }

// Seq is the shard sequence of the event's block.
func (o Offset) Seq() uint64 { return uint64(o) >> offsetIndexBits }

// Index is the event's place in its block.
func (o Offset) Index() int { return int(o & (MaxBlockEvents - 1)) }

// String is the decimal form users see.
func (o Offset) String() string { return strconv.FormatUint(uint64(o), 10) }

// ParseOffset reads the decimal form: digits only, at most 2^53-1. The error names what was wrong.
func ParseOffset(s string) (Offset, error) {
	if s == "" {
		return 0, fmt.Errorf("%w: it is empty", ErrOffset)
	}
	var n uint64
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%w: it holds a character that is not a decimal digit", ErrOffset)
		}
		if n = n*10 + uint64(c-'0'); n > maxOffset {
			return 0, fmt.Errorf("%w: it is above 2^53-1", ErrOffset)
		}
	}
	return Offset(n), nil
}
