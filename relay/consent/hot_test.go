package consent_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"testing"

	"sluice/relay/consent"
)

func allocates(t *testing.T, what string, want float64, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(200, f); got > want && !racing {
		t.Errorf("%s: %v allocations, want %v", what, got, want)
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	s := newStream()
	e := h.seal(s, "jane", "session")
	now := h.now()
	subject, field := []byte("jane"), []byte("session")
	k, err := h.vault.KeyAt(ctx, s, e.link, e.at)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	for _, n := range []int{0, 5, 15, 16, 17, 40, 300, 1000} {
		plain := bytes.Repeat([]byte("x"), n)
		text := k.Seal(nil, plain)
		allocates(t, fmt.Sprint("Seal ", n), 0, func() { k.Seal(buf, plain) })
		allocates(t, fmt.Sprint("Open ", n), 0, func() { k.Open(buf, text) })
	}
	allocates(t, "KeyFor in the cache", 0, func() { h.vault.KeyFor(ctx, s, subject, field, now) })
	allocates(t, "KeyFor in the cache without a subject", 0, func() { h.vault.KeyFor(ctx, s, nil, subject, now) })
	long := bytes.Repeat([]byte("x"), 300)
	allocates(t, "KeyFor in the cache of a long name", 0, func() { h.vault.KeyFor(ctx, s, long, field, now) })
	allocates(t, "KeyAt in the cache", 0, func() { h.vault.KeyAt(ctx, s, e.link, e.at) })
	allocates(t, "Mask", 0, func() { consent.Mask(buf, "seed", subject) })
	// Two ciphers, the key, its entries in two tables.
	i := 0
	allocates(t, "KeyFor not in the cache", 6, func() {
		i++
		h.vault.KeyFor(ctx, s, fmt.Appendf(buf, "person-%d", i), field, now)
	})
}

// What is kept of people in the cache is bounded, and none of it is their names.
func TestCacheIsBounded(t *testing.T) {
	h := newHouse(t)
	cfg := h.config()
	cfg.CacheBytes = 64 << 10
	v, err := consent.Open(context.Background(), h.log.Cells(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.vault = v
	s := newStream()
	var events []event
	for i := range 500 {
		events = append(events, h.seal(s, fmt.Sprint("person-", i), "session"))
	}
	if n := h.vault.CachedKeys(); n == 0 || n > 40 {
		t.Errorf("%d keys in a cache of 64 KiB", n)
	}
	h.opens(events...)
	again := h.seal(s, "person-0", "session")
	if again.link != events[0].link {
		t.Error("a key that was pushed out came back another")
	}
}

// Tree parts beyond the bound are read again when they are needed.
func TestTreeMemoryIsBounded(t *testing.T) {
	h := newHouse(t)
	cfg := h.config()
	cfg.TreeBytes = 100 << 10
	v, err := consent.Open(context.Background(), h.log.Cells(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.vault = v
	s := newStream()
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprint("person-", i))
	}
	h.seal(s, "other", "session")
	h.forget(s, names...)
	var events []event
	for i := range 300 {
		events = append(events, h.seal(s, fmt.Sprint("other-", i), "session"))
	}
	h.vault.DropCaches()
	h.opens(events...)
	if n := h.vault.CoverBytes(); n > 100<<10 {
		t.Errorf("the tree parts take %d bytes, the bound is 100 KiB", n)
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, n := range []int{16, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k, plain := randomKey(b), bytes.Repeat([]byte("x"), n)
			buf := make([]byte, 0, 2*n+64)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				k.Seal(buf, plain)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{16, 100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			k := randomKey(b)
			text := k.Seal(nil, bytes.Repeat([]byte("x"), n))
			buf := make([]byte, 0, 2*n+64)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				k.Open(buf, text)
			}
		})
	}
}

// BenchmarkTinkSeal is what Tink's own primitive and base64 cost for the same.
func BenchmarkTinkSeal(b *testing.B) {
	d := tinkOf(b, randomKey(b))
	plain := bytes.Repeat([]byte("x"), 16)
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		raw, _ := d.EncryptDeterministically(plain, nil)
		base64.StdEncoding.AppendEncode(buf, raw)
	}
}

func BenchmarkKey(b *testing.B) {
	h := newHouse(b)
	ctx := context.Background()
	s := newStream()
	e := h.seal(s, "2f8a1c7e-jane", "session-0123456789")
	subject, field, now := []byte("2f8a1c7e-jane"), []byte("session-0123456789"), h.now()
	b.Run("KeyFor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.vault.KeyFor(ctx, s, subject, field, now)
		}
	})
	b.Run("KeyAt", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.vault.KeyAt(ctx, s, e.link, e.at)
		}
	})
	b.Run("KeyForCold", func(b *testing.B) {
		b.ReportAllocs()
		name := make([]byte, 0, 20)
		for i := 0; b.Loop(); i++ {
			h.vault.KeyFor(ctx, s, strconv.AppendInt(name, int64(i)+1e12, 10), field, now)
		}
	})
	b.Run("KeyAtCold", func(b *testing.B) {
		b.ReportAllocs()
		link := e.link
		for i := 0; b.Loop(); i++ {
			link[0], link[1], link[2] = byte(i), byte(i>>8), byte(i>>16)
			h.vault.KeyAt(ctx, s, link, e.at)
		}
	})
}

func BenchmarkMask(b *testing.B) {
	buf, v := make([]byte, 0, 128), []byte("session-273")
	b.ReportAllocs()
	for b.Loop() {
		consent.Mask(buf, "hi-there", v)
	}
}

// BenchmarkForget is one person in a stream where nobody was forgotten, then among others.
func BenchmarkForget(b *testing.B) {
	h := newHouse(b)
	s := newStream()
	h.seal(s, "jane", "session")
	for i := 0; b.Loop(); i++ {
		h.forget(s, fmt.Sprint("person-", i))
	}
}
