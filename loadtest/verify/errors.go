package verify

import (
	"errors"
	"fmt"
)

var (
	// ErrFaults: an audit found something; the text says what.
	ErrFaults = errors.New("the relay did not keep its promise")
	// ErrNoMarker: an event cannot be recognised when it arrives. A fault of the test, not of the relay.
	ErrNoMarker = errors.New("the event has no marker")
	// ErrMarkerUsed: two events could not be told apart. A fault of the test, not of the relay.
	ErrMarkerUsed = errors.New("the marker was used before")
	// ErrCut: a response ended within a line. Go on behind the last event that came whole.
	ErrCut = errors.New("the stream was cut")
)

// StatusError is an answer other than 200.
type StatusError struct {
	Status int
	Text   string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Text) }
