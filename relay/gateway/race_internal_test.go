//go:build race

package gateway

const raceOff = false // the race detector allocates on its own
