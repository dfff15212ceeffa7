package sample

// Marker numbers the events of one producer: the first has N 1. The zero Marker is none; an event
// without one has a plausible value in its place.
type Marker struct {
	Producer uint32 // below 1000
	N        uint64 // below 10^10
}

// MarkerLen is the length of a marker's text, always the same, so that a sender may overwrite the
// marker of a prepared event in place.
const MarkerLen = len("p007-0000000042")

// Append writes the marker as p<producer, 3 digits>-<number, 10 digits>.
func (m Marker) Append(dst []byte) []byte {
	dst = append(dst, 'p')
	dst = appendPadded(dst, uint64(m.Producer), 3)
	dst = append(dst, '-')
	return appendPadded(dst, m.N, 10)
}

// appendPadded writes the last digits of n with leading zeros.
func appendPadded(dst []byte, n uint64, digits int) []byte {
	start := len(dst)
	for range digits {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; i >= start; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}
