//go:build race

package engine_test

// raceEnabled: the race detector allocates, so that counts of allocations mean nothing.
const raceEnabled = true
