//go:build !race

package consent_test

// See the file for the race detector.
const racing = false
