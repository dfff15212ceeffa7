//go:build race

package relay

// allowed is how many allocations a measured run may have: the race detector empties pools and adds its own.
func allowed(float64) float64 { return 1000 }
