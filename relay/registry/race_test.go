//go:build race

package registry_test

// raceEnabled: the race detector allocates on its own, so exact counts mean nothing.
const raceEnabled = true
