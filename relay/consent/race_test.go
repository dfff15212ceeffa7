//go:build race

package consent_test

// The race detector allocates for its own sake and slows everything down.
const racing = true
