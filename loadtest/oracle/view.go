package oracle

import (
	"fmt"
	"slices"
	"strings"
)

// View is how a stream shows events.
type View struct {
	Name   string
	Kind   string // GRANULAR, CUMULATIVE; "" for a source stream
	Levels []int

	Seed  string              // of the masks
	Masks map[string][]string // by contract ref: slash paths
}

// Keeps tells whether the stream shows an event whose person agreed to these levels.
func (v View) Keeps(agreed []int) bool {
	switch v.Kind {
	case "GRANULAR":
		for _, l := range v.Levels {
			if !slices.Contains(agreed, l) {
				return false
			}
		}
		return true
	case "CUMULATIVE":
		return len(agreed) > 0 && slices.Max(agreed) >= v.Levels[0]
	}
	return true
}

// Opens tells whether the stream shows a personal field of that level in clear.
func (v View) Opens(level int) bool {
	switch v.Kind {
	case "GRANULAR":
		return slices.Contains(v.Levels, level)
	case "CUMULATIVE":
		return level <= v.Levels[0]
	}
	return false
}

// Show is what the stream must show of an event beside its strmMeta: clear is what was sent, sealed what the source stream shows.
func (v View) Show(c *Contract, clear, sealed map[string]any) map[string]any {
	shown := Clone(clear).(map[string]any)
	closed := map[string]bool{}
	for path, level := range c.Personal {
		if v.Opens(level) {
			continue
		}
		closed[path] = true
		in := texts(sealed, strings.Split(path, "/"))
		shown = Leaves(shown, strings.Split(path, "/"), func(string) string {
			if len(in) == 0 {
				return "(the source stream shows nothing here)"
			}
			first := in[0]
			in = in[1:]
			return first
		}).(map[string]any)
	}
	for _, path := range v.Masks[c.Ref] {
		if !closed[path] {
			shown = Leaves(shown, strings.Split(path, "/"), func(s string) string { return Mask(v.Seed, s) }).(map[string]any)
		}
	}
	return shown
}

// Mask is the hash that a masked value shows: the two halves of MurmurHash3 x64 128 over seed and value, in hex without leading zeros.
func Mask(seed, value string) string {
	h1, h2 := murmur128([]byte(seed + value))
	return fmt.Sprintf("%x%x", h1, h2)
}

// murmur128 is MurmurHash3_x64_128 with seed 0, written as its author describes it: bodies of 16 bytes, a tail, a finish.
func murmur128(data []byte) (h1, h2 uint64) {
	const c1, c2 uint64 = 0x87c37b91114253d5, 0x4cf5ad432745937f
	rotl := func(x uint64, r int) uint64 { return x<<r | x>>(64-r) }
	word := func(b []byte) (w uint64) {
		for i := len(b) - 1; i >= 0; i-- {
			w = w<<8 | uint64(b[i])
		}
		return w
	}
	mix1 := func(k uint64) uint64 { return rotl(k*c1, 31) * c2 }
	mix2 := func(k uint64) uint64 { return rotl(k*c2, 33) * c1 }
	n := len(data)
	for ; len(data) >= 16; data = data[16:] {
		h1 = (rotl(h1^mix1(word(data[:8])), 27)+h2)*5 + 0x52dce729
		h2 = (rotl(h2^mix2(word(data[8:16])), 31)+h1)*5 + 0x38495ab5
	}
	if len(data) > 8 {
		h2 ^= mix2(word(data[8:]))
	}
	if len(data) > 0 {
		h1 ^= mix1(word(data[:min(8, len(data))]))
	}
	final := func(k uint64) uint64 {
		k ^= k >> 33
		k *= 0xff51afd7ed558ccd
		k ^= k >> 33
		k *= 0xc4ceb9fe1a85ec53
		return k ^ k>>33
	}
	h1, h2 = h1^uint64(n), h2^uint64(n)
	h1 += h2
	h2 += h1
	h1, h2 = final(h1), final(h2)
	h1 += h2
	return h1, h2 + h1
}
