//go:build !race

package payload_test

const raceOff = true
