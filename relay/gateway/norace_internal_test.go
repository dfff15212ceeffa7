//go:build !race

package gateway

// raceOff tells tests that allocations can be counted.
const raceOff = true
