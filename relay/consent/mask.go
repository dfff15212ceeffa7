package consent

import (
	"encoding/binary"
	"math/bits"
	"strconv"
)

// Mask appends the mask of a value under a seed to dst: MurmurHash3_x64_128 with hash seed 0 over
// seed ‖ value, each 64-bit half in lower-case hex without leading zeros. Equal values have equal
// masks whatever key or day they were sealed under. It is no encryption: who knows the seed can try
// values. dst may have any content after its length; it needs room for seed and value.
func Mask(dst []byte, seed string, value []byte) []byte {
	n := len(dst)
	dst = append(dst, seed...)
	dst = append(dst, value...)
	h1, h2 := murmur3(dst[n:])
	dst = strconv.AppendUint(dst[:n], h1, 16)
	return strconv.AppendUint(dst, h2, 16)
}

// murmur3 is MurmurHash3_x64_128 by Austin Appleby, seed 0.
func murmur3(b []byte) (h1, h2 uint64) {
	const c1, c2 = 0x87c37b91114253d5, 0x4cf5ad432745937f
	n := uint64(len(b))
	for ; len(b) >= 16; b = b[16:] {
		h1 ^= bits.RotateLeft64(binary.LittleEndian.Uint64(b)*c1, 31) * c2
		h1 = (bits.RotateLeft64(h1, 27)+h2)*5 + 0x52dce729
		h2 ^= bits.RotateLeft64(binary.LittleEndian.Uint64(b[8:])*c2, 33) * c1
		h2 = (bits.RotateLeft64(h2, 31)+h1)*5 + 0x38495ab5
	}
	var tail [16]byte
	copy(tail[:], b)
	h2 ^= bits.RotateLeft64(binary.LittleEndian.Uint64(tail[8:])*c2, 33) * c1
	h1 ^= bits.RotateLeft64(binary.LittleEndian.Uint64(tail[:])*c1, 31) * c2

	h1 ^= n
	h2 ^= n
	h1 += h2
	h2 += h1
	h1, h2 = fmix(h1), fmix(h2)
	h1 += h2
	h2 += h1
	return h1, h2
}

func fmix(k uint64) uint64 {
	k = (k ^ k>>33) * 0xff51afd7ed558ccd
	k = (k ^ k>>33) * 0xc4ceb9fe1a85ec53
	return k ^ k>>33
}
