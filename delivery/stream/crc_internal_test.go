package stream

import (
	"hash/crc32"
	"testing"
)

func FuzzCombineCRC(f *testing.F) {
	f.Add([]byte(""), []byte(""))
	f.Add([]byte("a"), []byte(""))
	f.Add([]byte("line one\n"), []byte("line two is longer\n"))
	f.Add(make([]byte, 70_000), make([]byte, 1<<16+1))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		got := combineCRC(crc32.ChecksumIEEE(a), crc32.ChecksumIEEE(b), len(b))
		if want := crc32.ChecksumIEEE(append(append([]byte(nil), a...), b...)); got != want {
			t.Fatalf("combined %08x, computed over both %08x", got, want)
		}
	})
}
