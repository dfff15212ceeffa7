package relay

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/relay/engine"
)

// Position is where reading begins, as a consumer says it. The zero position is LATEST.
type Position struct {
	kind   positionKind
	offset engine.Offset
	time   time.Time
	back   int
}

type positionKind uint8

const (
	latest positionKind = iota
	earliest
	afterOffset
	sinceTime
	lastN
)

// Latest begins with the first event stored after the position was fixed, Earliest with the oldest retained one.
func Latest() Position   { return Position{} }
func Earliest() Position { return Position{kind: earliest} }

// After begins behind an offset: the event of that offset is not shown again.
func After(o engine.Offset) Position { return Position{kind: afterOffset, offset: o} }

// maxBack bounds what -N may ask for.
const maxBack = 1_000_000

// ErrPosition: a position that cannot be read; the text around it says what is allowed (400).
var ErrPosition = errors.New("not a position")

// ParsePosition reads LATEST, EARLIEST, an offset (exclusive), an RFC 3339 time, or -N for the last N events. The
// empty text is LATEST. The error wraps ErrPosition.
func ParsePosition(s string) (Position, error) {
	switch {
	case s == "" || strings.EqualFold(s, "LATEST"):
		return Latest(), nil
	case strings.EqualFold(s, "EARLIEST"):
		return Earliest(), nil
	case s[0] == '-':
		n, err := strconv.Atoi(s[1:])
		if err != nil || n < 0 || n > maxBack || s[1] < '0' || s[1] > '9' {
			return Position{}, fmt.Errorf("%w: -N takes a number of events from 0 to %d", ErrPosition, maxBack)
		}
		return Position{kind: lastN, back: n}, nil
	case strings.ContainsAny(s, "-:T"):
		// The + of a zone that was not escaped in a URL has arrived as a space.
		t, err := time.Parse(time.RFC3339Nano, strings.Replace(s, " ", "+", 1))
		if err != nil {
			return Position{}, fmt.Errorf("%w: a time is written like 2006-01-02T15:04:05Z", ErrPosition)
		}
		return Position{kind: sinceTime, time: t}, nil
	}
	o, err := engine.ParseOffset(s)
	if err != nil {
		return Position{}, fmt.Errorf("%w: it takes LATEST, EARLIEST, an offset, a time or -N (%w)", ErrPosition, err)
	}
	return After(o), nil
}
