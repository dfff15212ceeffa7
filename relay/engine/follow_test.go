package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"sluice/relay/engine"
)

// TestFollowTakesOverFromRead: while events are written, a reader follows, catches up by Read and goes on with what it
// was handed: no event is missing and none comes twice.
func TestFollowTakesOverFromRead(t *testing.T) {
	e := open(t, t.TempDir(), func(c *engine.Config) { c.Shards, c.Durability = 1, "os" })
	s, other := newStream(t, e), newStream(t, e)
	const events = 3000
	done := make(chan struct{})
	go func() {
		defer close(done)
		var wg sync.WaitGroup
		for p := range 3 {
			wg.Go(func() {
				for i := range events / 3 {
					put(t, e, s, fmt.Sprintf("%d/%d", p, i))
					if i%5 == 0 {
						put(t, e, other, "x")
					}
				}
			})
		}
		wg.Wait()
	}()
	for n := range 4 {
		time.Sleep(time.Duration(n) * 10 * time.Millisecond) // readers that come at different times
		blocks := make(chan *engine.Block, events)
		from, stop, err := e.Follow(t.Context(), s, func(b *engine.Block) { blocks <- b })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		var got []event
		take := func(b *engine.Block) {
			if b.Stream != s.ID {
				t.Fatal("block of another stream")
			}
			if err := b.Each(func(o engine.Offset, r *engine.Record) bool {
				got = append(got, event{o, string(r.ID)})
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
		seq := uint64(0)
		for c := e.Read(s, 0); ; {
			b, err := c.Next(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if take(b); b.Seq <= seq {
				t.Fatalf("Read: block %d after %d", b.Seq, seq)
			}
			seq = b.Seq
		}
		if seq < from {
			// Follow promised that everything of the stream up to from can be read; from may be another stream's.
			seq = from
		}
		for handed := from; len(got) < events; {
			select {
			case b := <-blocks:
				if b.Seq <= handed {
					t.Fatalf("Follow: block %d after %d", b.Seq, handed)
				}
				if handed = b.Seq; b.Seq > seq {
					take(b)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("reader %d: %d of %d events", n, len(got), events)
			}
		}
		seen := map[string]bool{}
		last := engine.Offset(0)
		for _, ev := range got {
			if seen[ev.id] || ev.offset <= last {
				t.Fatalf("reader %d: %s at %v again or out of order", n, ev.id, ev.offset)
			}
			seen[ev.id], last = true, ev.offset
		}
	}
	<-done
}

func TestFollowStops(t *testing.T) {
	e := open(t, t.TempDir())
	s := newStream(t, e)
	a, b := make(chan engine.Offset, 8), make(chan engine.Offset, 8)
	_, stopA, err := e.Follow(t.Context(), s, func(b *engine.Block) { a <- b.First() })
	if err != nil {
		t.Fatal(err)
	}
	_, stopB, err := e.Follow(t.Context(), s, func(block *engine.Block) { b <- block.First() })
	if err != nil {
		t.Fatal(err)
	}
	defer stopB()
	first := put(t, e, s, "1").First
	if x, y := <-a, <-b; x != first || y != first {
		t.Fatalf("followers got %v and %v, want %v", x, y, first)
	}
	stopA()
	stopA()
	second := put(t, e, s, "2").First
	if y := <-b; y != second {
		t.Fatalf("follower got %v, want %v", y, second)
	}
	select { // b came after a on the same goroutine, so a's turn is over
	case o := <-a:
		t.Fatalf("a stopped follower got %v", o)
	default:
	}
}

// TestFollowSaysFromWhere: who follows a tail that is under way is told of a place from which it misses nothing.
func TestFollowSaysFromWhere(t *testing.T) {
	e := open(t, t.TempDir())
	s := newStream(t, e)
	before := put(t, e, s, "before").Last.Seq()
	early, late := make(chan uint64, 8), make(chan uint64, 8)
	from, stop, err := e.Follow(t.Context(), s, func(b *engine.Block) { early <- b.Seq })
	if err != nil || from < before {
		t.Fatalf("from %d, the stream is at %d, %v", from, before, err)
	}
	defer stop()
	at := put(t, e, s, "1").Last.Seq()
	if got := <-early; got != at {
		t.Fatalf("block %d, want %d", got, at)
	}
	from, stop, err = e.Follow(t.Context(), s, func(b *engine.Block) { late <- b.Seq })
	if err != nil || from < at {
		t.Fatalf("from %d, but block %d has been handed out, %v", from, at, err)
	}
	defer stop()
	if at = put(t, e, s, "2").Last.Seq(); <-late != at {
		t.Fatal("the second follower got another block")
	}
}

// TestFollowerStopsAnother: a follower that is stopped by the one before it does not get the block in hand.
func TestFollowerStopsAnother(t *testing.T) {
	e := open(t, t.TempDir())
	s := newStream(t, e)
	var stopSecond func()
	first, second := make(chan uint64, 8), make(chan uint64, 8)
	_, stopFirst, err := e.Follow(t.Context(), s, func(b *engine.Block) { stopSecond(); first <- b.Seq })
	if err != nil {
		t.Fatal(err)
	}
	defer stopFirst()
	if _, stopSecond, err = e.Follow(t.Context(), s, func(b *engine.Block) { second <- b.Seq }); err != nil {
		t.Fatal(err)
	}
	put(t, e, s, "1")
	put(t, e, s, "2")
	<-first
	<-first // so that the second's turn at the first block is over
	if len(second) > 0 {
		t.Fatal("the stopped follower got a block")
	}
}

// TestReadManyStreams: a stream that is a small part of its shard, one that is most of it, and a cursor that waits at
// the end and goes on.
func TestReadManyStreams(t *testing.T) {
	e := open(t, t.TempDir(), func(c *engine.Config) { c.Shards, c.Durability = 1, "os" })
	rare, common := newStream(t, e), newStream(t, e)
	var wantRare, wantCommon []string
	for i := range 400 {
		if i%40 == 7 {
			id := fmt.Sprint("r", i)
			put(t, e, rare, id)
			wantRare = append(wantRare, id)
		}
		id := fmt.Sprint("c", i)
		put(t, e, common, id)
		wantCommon = append(wantCommon, id)
	}
	for _, c := range []struct {
		s    engine.Stream
		want []string
	}{{rare, wantRare}, {common, wantCommon}} {
		got := readAll(t, e, c.s, 0)
		if len(got) != len(c.want) {
			t.Fatalf("%d events, want %d", len(got), len(c.want))
		}
		for i := range got {
			if got[i].id != c.want[i] {
				t.Fatalf("event %d is %s, want %s", i, got[i].id, c.want[i])
			}
		}
		if rest := readAll(t, e, c.s, got[len(got)-3].offset); len(rest) != 2 {
			t.Fatalf("%d events behind the last but two", len(rest))
		}
	}
	cursor := e.Read(common, 0)
	for {
		if _, err := cursor.Next(t.Context()); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	r := put(t, e, common, "late")
	if b, err := cursor.Next(t.Context()); err != nil || b.First() != r.First {
		t.Fatalf("after the end: %v, %v", b, err)
	}
	if _, err := cursor.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Fatalf("at the new end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cursor.Next(ctx); err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("with an ended context: %v", err)
	}
}
