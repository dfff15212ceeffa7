package relay

import "errors"

var (
	// ErrLineTooLarge: a line of a bulk body is above the allowed size; nothing was stored. Send it smaller (413).
	ErrLineTooLarge = errors.New("the line is too large")
	// ErrOffsetGone: the offset was given out for a former stream of this name. Begin with EARLIEST (410).
	ErrOffsetGone = errors.New("the offset belongs to a former stream of this name")
	// ErrOffsetAhead: the offset is beyond the stream's last event; it is not one of this stream's (400).
	ErrOffsetAhead = errors.New("the offset is ahead of the stream")
	// ErrKeyReused: the key was used for another body on this stream within the last ten minutes. Nothing was stored;
	// use a new key for a new body (422).
	ErrKeyReused = errors.New("the key stands for another body")
	// ErrClosed: the relay is stopping; come back to another node or later (503).
	ErrClosed = errors.New("the relay is stopping")
)
