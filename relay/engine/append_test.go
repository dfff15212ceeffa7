package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/relay/engine"
)

func TestBatchOverManyBlocks(t *testing.T) {
	e := open(t, t.TempDir(), func(c *engine.Config) { c.Durability = "os" })
	s := newStream(t, e)
	b := &engine.Batch{Note: []byte("key=answer")}
	const n = 9000
	for i := range n {
		b.Add(record(fmt.Sprint(i), 400))
	}
	r, err := e.Append(t.Context(), s, b)
	if err != nil {
		t.Fatal(err)
	}
	b.Reset() // its memory is the caller's again
	for range n {
		b.Add(record("overwritten", 400))
	}
	got := readAll(t, e, s, 0)
	if len(got) != n || got[0].offset != r.First || got[n-1].offset != r.Last {
		t.Fatalf("%d events from %v to %v, receipt %+v", len(got), got[0].offset, got[len(got)-1].offset, r)
	}
	for i, ev := range got {
		if ev.id != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, ev.id)
		}
	}
	c, notes, blocks := e.Read(s, 0), 0, 0
	for {
		block, err := c.Next(t.Context())
		if err != nil {
			break
		}
		blocks++
		block.Notes(func(note []byte) bool {
			if notes++; string(note) != "key=answer" || block.Last() != r.Last {
				t.Fatalf("note %q at %v", note, block.Last())
			}
			return true
		})
	}
	if notes != 1 || blocks < 10 {
		t.Fatalf("%d notes in %d blocks", notes, blocks)
	}
}

func TestHugeEventHasItsOwnBlock(t *testing.T) {
	e := open(t, t.TempDir())
	s := newStream(t, e)
	huge := record("huge", 1<<20)
	r, err := e.Append(t.Context(), s, batch(record("a", 100), huge, record("b", 100)))
	if err != nil {
		t.Fatal(err)
	}
	var counts []int
	for c := e.Read(s, 0); ; {
		b, err := c.Next(t.Context())
		if err != nil {
			break
		}
		counts = append(counts, b.Count())
		b.Each(func(_ engine.Offset, r *engine.Record) bool {
			if string(r.ID) == "huge" && !bytes.Equal(r.Payload, huge.Payload) {
				t.Error("the payload changed")
			}
			return true
		})
	}
	if fmt.Sprint(counts) != "[1 1 1]" || r.Last.Seq() != r.First.Seq()+2 {
		t.Fatalf("blocks of %v events, receipt %+v", counts, r)
	}
	if _, err := e.Append(t.Context(), s, batch(record("a", 100), record("too", 2<<20))); !errors.Is(err, engine.ErrTooLarge) {
		t.Fatalf("an event over the limit: %v", err)
	}
	if got := readAll(t, e, s, r.Last); len(got) != 0 {
		t.Fatalf("%d events of the refused batch are stored", len(got))
	}
}

func TestAtomicBatchIsOneBlock(t *testing.T) {
	e := open(t, t.TempDir())
	s := newStream(t, e)
	errs := make(chan error, 20)
	for p := range cap(errs) {
		go func() {
			b := &engine.Batch{Atomic: true}
			for i := range 200 {
				b.Add(record(fmt.Sprintf("%d/%d", p, i), 300))
			}
			r, err := e.Append(context.Background(), s, b)
			if err == nil && (r.First.Seq() != r.Last.Seq() || r.Last != r.First+199) {
				err = fmt.Errorf("receipt %+v", r)
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range map[string]*engine.Batch{"events": {Atomic: true}, "bytes": {Atomic: true}} {
		count, size := engine.MaxBlockEvents+1, 100
		if name == "bytes" {
			count, size = 300, 1000
		}
		r := record("x", size)
		for range count {
			b.Add(r)
		}
		if _, err := e.Append(t.Context(), s, b); !errors.Is(err, engine.ErrTooLarge) {
			t.Errorf("too many %s: %v", name, err)
		}
	}
	if got := readAll(t, e, s, 0); len(got) != 20*200 {
		t.Fatalf("%d events", len(got))
	}
}

func TestFullQueueIsBusy(t *testing.T) {
	e := open(t, t.TempDir(), func(c *engine.Config) { c.QueueBytes = 50 << 10 })
	s := newStream(t, e)
	b := &engine.Batch{}
	for range 60 {
		b.Add(record("x", 1000))
	}
	if _, err := e.Append(t.Context(), s, b); !errors.Is(err, engine.ErrBusy) {
		t.Fatalf("a batch larger than the queue: %v", err)
	}
	put(t, e, s, "fits")
	for range 100 { // the queue gives its bytes back
		if _, err := e.Append(t.Context(), s, batch(record("y", 30<<10))); err != nil {
			t.Fatal(err)
		}
	}
	if got := readAll(t, e, s, 0); len(got) != 101 {
		t.Fatalf("%d events", len(got))
	}
}

func TestDiskFloor(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	s := newStream(t, e)
	put(t, e, s, "1")
	rev, err := e.Cells().Put(t.Context(), "a.b", []byte("v"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Ready(); err != nil {
		t.Fatal(err)
	}
	e.Close()
	// With half of what has to be free, events are refused, and what makes room is not.
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		t.Fatal(err)
	}
	e = open(t, dir, func(c *engine.Config) { c.MinFree = 2 * int64(disk.Bavail) * int64(disk.Bsize) })
	if _, err := e.Append(t.Context(), s, batch(record("2", 100))); !errors.Is(err, engine.ErrDiskFull) {
		t.Fatalf("Append: %v", err)
	}
	if err := e.Ready(); !errors.Is(err, engine.ErrDiskFull) || !strings.Contains(err.Error(), " MB are free, ") {
		t.Fatalf("Ready: %v", err)
	}
	if rev, err = e.Cells().Put(t.Context(), "a.b", []byte("v2"), rev); err != nil {
		t.Fatalf("Put: %v", err)
	}
	e.Close()
	e = open(t, dir, func(c *engine.Config) { c.MinFree = 1 << 60 })
	if _, err := e.Append(t.Context(), s, batch(record("2", 100))); !errors.Is(err, engine.ErrDiskFull) {
		t.Fatalf("Append: %v", err)
	}
	if _, err := e.Cells().Put(t.Context(), "a.b", []byte("w"), rev); !errors.Is(err, engine.ErrDiskFull) {
		t.Fatalf("Put: %v", err)
	}
	if err := e.Ready(); !errors.Is(err, engine.ErrDiskFull) {
		t.Fatalf("Ready: %v", err)
	}
	if got := readAll(t, e, s, 0); len(got) != 1 {
		t.Fatalf("%d events can be read", len(got))
	}
	if err := e.Trim(t.Context(), s, engine.Keep{Age: time.Nanosecond}); err != nil {
		t.Fatalf("making room: %v", err)
	}
}

func TestFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	if _, err := tryOpen(t, dir); !errors.Is(err, engine.ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
}

func TestShardsStayAsMade(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir, func(c *engine.Config) { c.Shards = 2 })
	var streams []engine.Stream
	for range 8 {
		s := newStream(t, e)
		put(t, e, s, "1")
		streams = append(streams, s)
	}
	e.Close()
	e = open(t, dir, func(c *engine.Config) { c.Shards = 5 })
	if e.Shards() != 2 {
		t.Fatalf("%d shards", e.Shards())
	}
	for _, s := range streams {
		if got := readAll(t, e, s, 0); len(got) != 1 {
			t.Fatalf("%d events", len(got))
		}
	}
}

func TestSettingsFaultsAreToldTogether(t *testing.T) {
	_, err := engine.Open(t.Context(), engine.Config{Shards: 99, Durability: "perhaps", MinFree: -1})
	for _, field := range []string{"Dir", "Shards", "Durability", "MinFree"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(field)) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
}

func TestStreamOfAnotherLog(t *testing.T) {
	e := open(t, t.TempDir(), func(c *engine.Config) { c.Shards = 2 })
	for _, shard := range []int{-1, 2, 4096} {
		s := engine.Stream{Shard: shard}
		_, appendErr := e.Append(t.Context(), s, batch(record("x", 100)))
		_, _, followErr := e.Follow(t.Context(), s, func(*engine.Block) {})
		_, readErr := e.Read(s, 0).Next(t.Context())
		_, _, boundsErr := e.Bounds(t.Context(), s)
		for _, err := range []error{appendErr, followErr, readErr, boundsErr, e.Trim(t.Context(), s, engine.Keep{Age: time.Hour, Bytes: 1}), e.Drop(t.Context(), s)} {
			if !errors.Is(err, engine.ErrStream) {
				t.Errorf("shard %d: %v", shard, err)
			}
		}
	}
}
