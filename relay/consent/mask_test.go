package consent_test

import (
	"strings"
	"testing"

	"sluice/relay/consent"
)

func TestMaskVectorsOfTheWireContract(t *testing.T) {
	for value, want := range map[string]string{
		"unique-5":        "1083e8169d7138e990cc30095578452",
		"session-273":     "7cc66d130664caa9efacda1026c1c44",
		"sensitive-0":     "e49bd309eed4a5094437a71ac2bc1cad",
		"not-sensitive-6": "538ad30b2aa2781e855c4eb059cf68a3",
	} {
		if got := string(consent.Mask([]byte(">"), "hi-there", []byte(value))); got != ">"+want {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
}

// Every length of the last block is hashed, wherever the seed ends.
func TestMaskOfEveryTail(t *testing.T) {
	seen := map[string]int{}
	for n := range 70 {
		got := string(consent.Mask(nil, "", []byte(strings.Repeat("a", n))))
		if m, ok := seen[got]; ok {
			t.Errorf("%d and %d bytes have the same mask", n, m)
		}
		seen[got] = n
		// Where the seed ends and the value begins does not matter.
		for cut := range n {
			if other := string(consent.Mask(nil, strings.Repeat("a", cut), []byte(strings.Repeat("a", n-cut)))); other != got {
				t.Fatalf("seed of %d of %d bytes: %s, want %s", cut, n, other, got)
			}
		}
	}
	if got := string(consent.Mask(nil, "", nil)); got != "00" {
		t.Errorf("mask of nothing: %s", got)
	}
	// The reference implementation's answer for this sentence.
	if got := string(consent.Mask(nil, "", []byte("The quick brown fox jumps over the lazy dog"))); got != "e34bbc7bbc071b6c7a433ca9c49a9347" {
		t.Errorf("mask of the pangram: %s", got)
	}
}
