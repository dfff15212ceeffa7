package wire

import (
	"errors"
	"fmt"
)

// Errors of a connection. After any of them it is of no further use.
var (
	// ErrAnswer: the answer is not HTTP/1.1, or its end cannot be told.
	ErrAnswer = errors.New("the answer is not one this client reads")
	// ErrTooLarge: an answer, or a line of a stream, is above 4 MiB.
	ErrTooLarge = errors.New("the answer is too large")
)

// RefusedError is an answer other than 200 to a request for a stream.
type RefusedError struct{ Status int }

func (e *RefusedError) Error() string { return fmt.Sprintf("the stream was refused with %d", e.Status) }
