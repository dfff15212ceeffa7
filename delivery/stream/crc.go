package stream

import "hash/crc32"

// combineCRC gives the CRC-32 of two byte sequences joined, from the CRC-32 of each and the length of the second.
// Adding n zero bytes to a message multiplies its CRC by a matrix over GF(2), and the matrix for n bytes is a
// product of those for powers of two (the method of Mark Adler's crc32_combine). So a connection can end its gzip
// member with a checksum that was never computed over what it sent.
func combineCRC(first, second uint32, length int) uint32 {
	for i := 0; length > 0; i, length = i+1, length>>1 {
		if length&1 == 1 {
			first = times(&zeroBytes[i], first)
		}
	}
	return first ^ second
}

type matrix [32]uint32

// zeroBytes[i] is what 2^i zero bytes do to a CRC; 2^32 bytes are more than one chunk can have.
var zeroBytes = zeroByteMatrices()

func zeroByteMatrices() (m [33]matrix) {
	var bit matrix // one zero bit
	bit[0] = crc32.IEEE
	for i := 1; i < 32; i++ {
		bit[i] = 1 << (i - 1)
	}
	two := squared(&bit)
	four := squared(&two)
	m[0] = squared(&four)
	for i := 1; i < len(m); i++ {
		m[i] = squared(&m[i-1])
	}
	return m
}

func times(m *matrix, v uint32) (sum uint32) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			sum ^= m[i]
		}
	}
	return sum
}

func squared(m *matrix) (s matrix) {
	for i := range s {
		s[i] = times(m, m[i])
	}
	return s
}
