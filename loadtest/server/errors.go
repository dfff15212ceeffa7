package server

import "errors"

// Errors of Start.
var (
	// ErrNotReady: the server ended, or /ready was not 200 in time; the text says which. Its log says why.
	ErrNotReady = errors.New("the server did not become ready")
	// ErrNoPort: a hundred ports were taken. Something on this machine opens ports and keeps them.
	ErrNoPort = errors.New("no free port was found")
)
