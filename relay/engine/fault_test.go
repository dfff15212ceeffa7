package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// openHere is an engine for the tests that reach inside.
func openHere(t testing.TB, with ...func(*Config)) *Engine {
	t.Helper()
	cfg := Config{Dir: t.TempDir(), MinFree: 1, Shards: 1, Durability: "os", Log: slog.New(slog.DiscardHandler)}
	for _, change := range with {
		change(&cfg)
	}
	e, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// blocksOf are queued blocks of n streams, each with its number as event id, that no writer has taken.
func blocksOf(t testing.TB, w *writer, ids []StreamID, text string) []*pending {
	t.Helper()
	var blocks []*pending
	for _, id := range ids {
		raw, err := appendRecord(nil, &Record{ID: []byte(text), Kind: KindJSON, Payload: []byte(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		src := w.sources[id]
		if src == nil {
			src = &source{id: id}
			w.sources[id] = src
		}
		blocks = append(blocks, &pending{of: src, since: time.Now(), records: raw, count: 1, done: make(chan struct{})})
	}
	return blocks
}

// idsIn are the event ids of a stream, in order.
func idsIn(t testing.TB, e *Engine, id StreamID) (ids []string) {
	t.Helper()
	for c := e.Read(Stream{ID: id}, 0); ; {
		b, err := c.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return ids
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Each(func(_ Offset, r *Record) bool { ids = append(ids, string(r.ID)); return true }); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLostAnswer: a commit that was stored and whose answer was lost is found, not stored again, whatever else happened
// to its subjects meanwhile.
func TestLostAnswer(t *testing.T) {
	for _, streams := range []int{1, 20} {
		for _, before := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d streams, written before %v", streams, before), func(t *testing.T) {
				e := openHere(t)
				w := e.writers[0]
				var ids []StreamID
				for i := range streams {
					ids = append(ids, StreamID{1, byte(i)})
				}
				want := "[x]"
				if before {
					w.commit(blocksOf(t, w, ids, "before"))
					want = "[before x]"
				}
				lost := blocksOf(t, w, ids, "x")
				if err := w.learn(lost); err != nil {
					t.Fatal(err)
				}
				w.seal(lost)
				last, err := w.publish(lost)
				if err != nil {
					t.Fatal(err)
				}
				w.commit(lost) // as if the answer to publish had never come
				for i, p := range lost {
					<-p.done
					if p.err != nil || p.seq != last-uint64(streams-1-i) {
						t.Fatalf("block %d: sequence %d, %v", i, p.seq, p.err)
					}
				}
				for _, id := range ids {
					if got := fmt.Sprint(idsIn(t, e, id)); got != want {
						t.Fatalf("stored %v, want %v", got, want)
					}
				}
				w.commit(blocksOf(t, w, ids, "after"))
				if got := idsIn(t, e, ids[0]); got[len(got)-1] != "after" {
					t.Fatalf("the writer does not go on: %v", got)
				}
			})
		}
	}
}

// TestStoredBetweenTwoLooks: a commit that the log stores while it is being looked for is found, not taken for somebody else's
// and stored again under another name.
func TestStoredBetweenTwoLooks(t *testing.T) {
	e := openHere(t)
	w := e.writers[0]
	ids := []StreamID{{1}, {2}}
	w.commit(blocksOf(t, w, ids, "before"))
	late := blocksOf(t, w, ids, "late")
	if err := w.learn(late); err != nil {
		t.Fatal(err)
	}
	w.seal(late)
	ends, err := w.ends(late)
	if err != nil {
		t.Fatal(err)
	}
	last, err := w.publish(late)
	if err != nil {
		t.Fatal(err)
	}
	if first, err := w.judge(late, ends); err != nil || first != last-1 {
		t.Errorf("found at %d, %v; stored at %d", first, err, last-1)
	}
	if w.node != e.node {
		t.Error("the writer took another name")
	}
}

// TestGivenUpAndStored: blocks that nobody waited for any more, and that the log stored after all, are this writer's own: it goes
// on behind them under its name, and the totals count them.
func TestGivenUpAndStored(t *testing.T) {
	e := openHere(t)
	w := e.writers[0]
	told := map[StreamID]int{}
	e.OnStored(func(s Stored) { told[s.Stream] += s.Events })
	ids := []StreamID{{1}, {2}}
	w.commit(blocksOf(t, w, ids, "before"))
	late := append(blocksOf(t, w, ids, "late 1"), blocksOf(t, w, ids, "late 2")...)
	lost := blocksOf(t, w, ids, "lost")
	var onTheirWay []*pending // a commit gives the memory of its blocks back
	for _, blocks := range [][]*pending{late, lost} {
		w.seal(blocks)
		for _, p := range blocks {
			p.sent, p.over = true, true
			if &blocks[0] == &late[0] {
				onTheirWay = append(onTheirWay, &pending{of: p.of, id: p.id, stored: bytes.Clone(p.stored)})
			}
		}
		w.commit(blocks)
	}
	if _, err := w.publish(onTheirWay); err != nil {
		t.Fatal(err)
	}
	w.commit(blocksOf(t, w, ids, "after"))
	for _, id := range ids {
		if got := fmt.Sprint(idsIn(t, e, id)); got != "[before late 1 late 2 after]" {
			t.Errorf("stored %v", got)
		}
		if told[id] != 4 {
			t.Errorf("told of %d events of 4", told[id])
		}
		if o, err := e.SeekBack(t.Context(), Stream{ID: id}, 3); err != nil || o.Seq() > 2 {
			t.Errorf("the last 3 of 4: %v, %v", o, err)
		}
	}
	if w.node != e.node {
		t.Error("the writer took another name")
	}
}

// TestSeveralBlocksOfOneStreamInABatch: only the first may be fenced, and each learns its own sequence.
func TestSeveralBlocksOfOneStreamInABatch(t *testing.T) {
	e := openHere(t)
	w := e.writers[0]
	a, b := StreamID{1}, StreamID{2}
	w.commit(blocksOf(t, w, []StreamID{a}, "0"))
	var blocks []*pending
	for i := range 3 {
		blocks = append(blocks, blocksOf(t, w, []StreamID{a, b}, fmt.Sprint(i+1))...)
	}
	w.commit(blocks)
	for i, p := range blocks {
		if p.err != nil || p.seq != blocks[0].seq+uint64(i) {
			t.Fatalf("block %d: sequence %d, %v", i, p.seq, p.err)
		}
	}
	if got := fmt.Sprint(idsIn(t, e, a), idsIn(t, e, b)); got != "[0 1 2 3] [1 2 3]" {
		t.Fatalf("stored %v", got)
	}
	if o, err := e.SeekBack(t.Context(), Stream{ID: a}, 2); err != nil || o.Seq() != blocks[0].seq {
		t.Fatalf("the totals do not add up: %v, %v", o, err)
	}
}

// TestLostAnswerForCells: a write that was stored and whose answer was lost finds itself.
func TestLostAnswerForCells(t *testing.T) {
	e := openHere(t)
	c := e.cells
	for _, n := range []int{1, 3} {
		var w []Write
		for i := range n {
			w = append(w, Write{Key: fmt.Sprintf("k.%d.%d", n, i), Value: []byte("v")})
		}
		expect := make([]uint64, n)
		last, err := c.publish(t.Context(), fmt.Sprint("batch", n), "me", w, expect)
		if err != nil {
			t.Fatal(err)
		}
		if first, err := c.resolve(t.Context(), "me", w, expect); err != nil || first != last-uint64(n-1) {
			t.Fatalf("own writes: %d, %v", first, err)
		}
		if first, err := c.resolve(t.Context(), "somebody else", w, expect); first != 0 || !errors.Is(err, ErrConflict) {
			t.Fatalf("somebody else's writes: %d, %v", first, err)
		}
	}
}

func TestDurability(t *testing.T) {
	for durability, want := range map[string]bool{"": true, "disk": true, "os": false} {
		e := openHere(t, func(c *Config) { c.Durability = durability })
		if got := e.srv.Load().JetStreamConfig().SyncAlways; got != want {
			t.Errorf("%q: fsync before the answer is %v", durability, got)
		}
	}
}

// TestNeverArrived: a commit that was sent and never stored is stored by the next attempt, once.
func TestNeverArrived(t *testing.T) {
	e := openHere(t)
	w := e.writers[0]
	ids := []StreamID{{1}, {2}}
	blocks := blocksOf(t, w, ids, "x")
	if err := w.learn(blocks); err != nil {
		t.Fatal(err)
	}
	w.seal(blocks)
	if first, err := w.resolve(blocks); first != 0 || err != nil {
		t.Fatalf("found at %d, %v", first, err)
	}
	w.commit(blocks)
	for _, id := range ids {
		if got := fmt.Sprint(idsIn(t, e, id)); got != "[x]" {
			t.Fatalf("stored %v", got)
		}
	}
}

// TestEmptiedSubject: retention empties subjects behind the writer's back; it goes on, alone and in a batch with
// others that were not emptied.
func TestEmptiedSubject(t *testing.T) {
	e := openHere(t)
	w := e.writers[0]
	ids := []StreamID{{1}, {2}, {3}}
	w.commit(blocksOf(t, w, ids, "1"))
	if err := e.Trim(t.Context(), Stream{ID: ids[1]}, Keep{Age: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	w.commit(blocksOf(t, w, ids, "2"))
	if err := e.Drop(t.Context(), Stream{ID: ids[0]}); err != nil {
		t.Fatal(err)
	}
	w.commit(blocksOf(t, w, ids[:1], "3"))
	for i, want := range []string{"[3]", "[2]", "[1 2]"} {
		if got := fmt.Sprint(idsIn(t, e, ids[i])); got != want {
			t.Errorf("stream %d: %v, want %v", i, got, want)
		}
	}
	if w.node != e.node {
		t.Error("the writer took another name")
	}
}

// TestAnotherWriterUnderThisName: the writer notices, takes a new name, stores its block once, and readers see both.
func TestAnotherWriterUnderThisName(t *testing.T) {
	e := openHere(t)
	w := e.writers[0]
	ids := []StreamID{{1}, {2}}
	w.commit(blocksOf(t, w, ids, "mine"))
	twin, err := newWriter(e, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer twin.sub.Unsubscribe()
	twin.commit(blocksOf(t, twin, ids[:1], "theirs"))
	w.commit(blocksOf(t, w, ids, "mine again"))
	if w.node == e.node {
		t.Fatal("the writer kept its name")
	}
	if got := fmt.Sprint(idsIn(t, e, ids[0])); got != "[mine theirs mine again]" {
		t.Fatalf("stored %v", got)
	}
	if got := fmt.Sprint(idsIn(t, e, ids[1])); got != "[mine mine again]" {
		t.Fatalf("stored %v", got)
	}
	twin.commit(blocksOf(t, twin, ids[:1], "theirs again"))
	if o, err := e.SeekBack(t.Context(), Stream{ID: ids[0]}, 3); err != nil || o.Seq() != 1 {
		t.Fatalf("the last 3 of 4 under two names: %v, %v", o, err)
	}
}

// TestSilentLog: while the log answers nothing, those who wait are told in time: ErrUnconfirmed for what was handed to
// it, ErrBusy for what still lay in the queue; and it is not ready.
func TestSilentLog(t *testing.T) {
	e := openHere(t, func(c *Config) { c.Timeout = 300 * time.Millisecond })
	s, err := e.NewStream(t.Context(), StreamID{5}, "p/s")
	if err != nil {
		t.Fatal(err)
	}
	add := func(id string) error {
		b := &Batch{}
		b.Add(&Record{ID: []byte(id), Kind: KindJSON, Payload: []byte(`{}`)})
		_, err := e.Append(context.Background(), s, b)
		return err
	}
	if err := add("1"); err != nil {
		t.Fatal(err)
	}
	w := e.writers[0]
	if err := w.sub.Unsubscribe(); err != nil { // the answers no longer arrive
		t.Fatal(err)
	}
	inFlight := make(chan error, 1)
	go func() { inFlight <- add("2") }()
	for len(idsIn(t, e, s.ID)) < 2 {
		time.Sleep(time.Millisecond)
	}
	if err := add("3"); !errors.Is(err, ErrBusy) {
		t.Fatalf("queued behind it: %v", err)
	}
	if err := <-inFlight; !errors.Is(err, ErrUnconfirmed) {
		t.Fatalf("in flight: %v", err)
	}
	if err := e.Ready(); err == nil {
		t.Fatal("ready without a log")
	}
	if e.queued.Load() != 0 {
		t.Fatalf("%d bytes still count in the queue", e.queued.Load())
	}
}

// TestCorruptBlockInTheLog: it is an error that names it, and does not hide what lies behind it.
func TestCorruptBlockInTheLog(t *testing.T) {
	e := openHere(t)
	w := e.writers[0]
	id := StreamID{1}
	got := make(chan error, 8)
	_, stop, err := e.Follow(t.Context(), Stream{ID: id}, func(b *Block) { got <- b.Err() })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	w.commit(blocksOf(t, w, []StreamID{id}, "1"))
	bad := append(bytes.Clone([]byte(blockMagic)), make([]byte, 200)...)
	if _, err := e.js.Publish(t.Context(), nodeSubject(0, id, "feedfeedfeedfeed"), bad); err != nil {
		t.Fatal(err)
	}
	w.commit(blocksOf(t, w, []StreamID{id}, "2"))
	c := e.Read(Stream{ID: id}, 0)
	for i, corrupt := range []bool{false, true, false} {
		if err := <-got; errors.Is(err, ErrCorrupt) != corrupt {
			t.Errorf("followed block %d: %v", i, err)
		}
		_, err := c.Next(t.Context())
		var ce *CorruptError
		if errors.As(err, &ce) != corrupt || corrupt && ce.Seq != 2 || !corrupt && err != nil {
			t.Errorf("read block %d: %v", i, err)
		}
	}
}

// TestSweeping is the way of large shards: other streams' blocks and the kept ones stay.
func TestSweeping(t *testing.T) {
	e := openHere(t)
	e.smallShard = 0
	w := e.writers[0]
	ids := []StreamID{{1}, {2}}
	var cut uint64
	for i := range 150 {
		blocks := blocksOf(t, w, ids, fmt.Sprint(i))
		w.commit(blocks)
		if i == 100 {
			cut = blocks[0].seq
		}
	}
	if err := e.purge(t.Context(), Stream{ID: ids[0]}, cut); err != nil {
		t.Fatal(err)
	}
	if got := idsIn(t, e, ids[0]); len(got) != 50 || got[0] != "100" {
		t.Fatalf("%d kept, the first is %v", len(got), got[:1])
	}
	if got := idsIn(t, e, ids[1]); len(got) != 150 {
		t.Fatalf("%d of the other stream", len(got))
	}
	// Once the other stream does not want its old blocks either, the shard's head goes as a whole.
	if err := e.purge(t.Context(), Stream{ID: ids[1]}, cut); err != nil {
		t.Fatal(err)
	}
	if state, err := e.shardState(t.Context(), 0); err != nil || state.FirstSeq != cut || state.Msgs != 100 {
		t.Fatalf("the shard begins at %d, want %d, %v", state.FirstSeq, cut, err)
	}
	if err := e.Drop(t.Context(), Stream{ID: ids[0]}); err != nil {
		t.Fatal(err)
	}
	if a, b := idsIn(t, e, ids[0]), idsIn(t, e, ids[1]); len(a) != 0 || len(b) != 50 {
		t.Fatalf("%d left of the dropped stream, %d of the other", len(a), len(b))
	}
}

// TestRun: it ends without an error by its context and by Close, and with one when the embedded log dies.
func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(e *Engine, cancel func())
		dies bool
	}{
		"context": {end: func(_ *Engine, cancel func()) { cancel() }},
		"close":   {end: func(e *Engine, _ func()) { e.Close() }},
		"death":   {end: func(e *Engine, _ func()) { e.srv.Load().Shutdown() }, dies: true},
	} {
		t.Run(name, func(t *testing.T) {
			e := openHere(t, func(c *Config) { c.Timeout = time.Second })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- e.Run(ctx) }()
			c.end(e, cancel)
			select {
			case err := <-ended:
				if (err != nil) != c.dies {
					t.Fatal(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Run goes on")
			}
			if c.dies && e.Ready() == nil {
				t.Fatal("ready without a log")
			}
		})
	}
}

// TestCloseUnderLoad: Close while many append, read, follow and watch ends them all, and what was acknowledged is there.
func TestCloseUnderLoad(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]bool{}
	var mu sync.Mutex
	for round := range 4 {
		e, err := Open(t.Context(), Config{Dir: dir, MinFree: 1, Shards: 1, Durability: "os", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s := Stream{ID: StreamID{1}}
		var wg sync.WaitGroup
		for p := range 8 {
			wg.Go(func() {
				b := &Batch{}
				for i := 0; ; i++ {
					id := fmt.Sprintf("%d/%d/%d", round, p, i)
					b.Reset()
					b.Add(&Record{ID: []byte(id), Kind: KindJSON, Payload: []byte(`{}`)})
					if _, err := e.Append(context.Background(), s, b); err != nil {
						if !errors.Is(err, ErrClosed) {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					acked[id] = true
					mu.Unlock()
				}
			})
		}
		wg.Go(func() {
			for c := e.Read(s, 0); ; {
				if _, err := c.Next(context.Background()); err != nil && !errors.Is(err, io.EOF) {
					return
				}
			}
		})
		wg.Go(func() {
			if err := e.cells.Watch(context.Background(), "", func(Cell) {}, nil); err != nil && !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		})
		if _, _, err := e.Follow(t.Context(), s, func(*Block) {}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10*round) * time.Millisecond)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
	e, err := Open(t.Context(), Config{Dir: dir, MinFree: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, id := range idsIn(t, e, StreamID{1}) {
		if !acked[id] {
			t.Fatalf("%s was refused with ErrClosed, yet it is stored, or stored twice", id)
		}
		delete(acked, id)
	}
	if len(acked) > 0 {
		t.Fatalf("%d acknowledged events are missing", len(acked))
	}
}
