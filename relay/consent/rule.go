package consent

import (
	"fmt"
	"math/bits"
)

// Levels is a set of consent levels, bit n for level n.
type Levels = uint64

// MaxLevel is the highest consent level there can be, for a set is one 64-bit word.
const MaxLevel = 63

// Type says how a derived stream reads its levels.
type Type uint8

// The zero type opens nothing and drops nothing: it is the source stream's.
const (
	Source     Type = 0
	Granular   Type = 1
	Cumulative Type = 2
)

// String is the name users write, empty for a source stream.
func (t Type) String() string {
	switch t {
	case Granular:
		return "GRANULAR"
	case Cumulative:
		return "CUMULATIVE"
	default:
		return ""
	}
}

// ParseType reads GRANULAR or CUMULATIVE.
func ParseType(s string) (Type, error) {
	switch s {
	case "GRANULAR":
		return Granular, nil
	case "CUMULATIVE":
		return Cumulative, nil
	}
	return Source, fmt.Errorf("consent level type must be GRANULAR or CUMULATIVE")
}

// Rule decides which events a stream shows and which of their fields it opens. The zero rule is a
// source stream's: every event, every personal field encrypted. Comparable.
type Rule struct {
	Type   Type
	Levels Levels
}

// Keeps tells whether an event whose person consented to these levels is shown. A cumulative stream
// of level N keeps an event whose highest level is N or above.
func (r Rule) Keeps(event Levels) bool {
	switch r.Type {
	case Granular:
		return r.Levels&event == r.Levels
	case Cumulative:
		return bits.Len64(event) >= bits.Len64(r.Levels) && event != 0
	default:
		return true
	}
}

// Opens tells whether a field of that level is shown in clear in the events that are kept.
func (r Rule) Opens(level uint8) bool {
	switch r.Type {
	case Granular:
		return r.Levels>>level&1 == 1
	case Cumulative:
		return int(level) < bits.Len64(r.Levels)
	default:
		return false
	}
}
