package main

import "errors"

var (
	// errRefused: a measurement under way saw an answer that is no acknowledgement; its figure would say nothing.
	errRefused = errors.New("an event was not accepted")
	// errAll ends the reading of a stream whose events are all there.
	errAll = errors.New("all arrived")
)
