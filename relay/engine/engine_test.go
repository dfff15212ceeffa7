package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"sluice/relay/engine"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

// open starts an engine over dir and closes it with the test. Changes to the settings come as functions.
func open(t testing.TB, dir string, with ...func(*engine.Config)) *engine.Engine {
	t.Helper()
	e, err := tryOpen(t, dir, with...)
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

func tryOpen(t testing.TB, dir string, with ...func(*engine.Config)) (*engine.Engine, error) {
	cfg := engine.Config{Dir: dir, MinFree: 1 << 20, Log: slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	for _, change := range with {
		change(&cfg)
	}
	return engine.Open(t.Context(), cfg)
}

// testLog is where an engine's warnings go: into the test's output.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	defer func() { recover() }() // a line after the test's end
	l.t.Logf("%s", p)
	return len(p), nil
}

func newStream(t testing.TB, e *engine.Engine) engine.Stream {
	t.Helper()
	s, err := e.NewStream(context.Background(), engine.StreamID(uuid.New()), uuid.NewString())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func record(id string, size int) *engine.Record {
	payload := fmt.Appendf(nil, `{"id":%q,"pad":"`, id)
	for len(payload) < size-2 {
		payload = append(payload, byte('a'+len(payload)%26))
	}
	payload = append(payload, `"}`...)
	return &engine.Record{
		ID: []byte(id), Type: []byte("CUSTOM"), Contract: []byte("acme/test/1.0.0"), Kind: engine.KindJSON,
		RequestID: uuid.New(), Occurred: time.Now().UnixMilli(), Processed: time.Now().UnixMilli(), Payload: payload,
		Fields: []engine.Field{{Span: engine.Span{Off: 1, Len: 4}, Level: 3, Path: 1}},
	}
}

func batch(records ...*engine.Record) *engine.Batch {
	b := &engine.Batch{}
	for _, r := range records {
		b.Add(r)
	}
	return b
}

func put(t testing.TB, e *engine.Engine, s engine.Stream, ids ...string) engine.Receipt {
	t.Helper()
	b := &engine.Batch{}
	for _, id := range ids {
		b.Add(record(id, 200))
	}
	r, err := e.Append(context.Background(), s, b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// event is what the tests compare of a stored record.
type event struct {
	offset engine.Offset
	id     string
}

// readAll reads from after to the present end.
func readAll(t testing.TB, e *engine.Engine, s engine.Stream, after engine.Offset) []event {
	t.Helper()
	var list []event
	c := e.Read(s, after)
	defer c.Close()
	for {
		b, err := c.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.Stream != s.ID {
			t.Fatalf("block of another stream")
		}
		if err := b.Each(func(o engine.Offset, r *engine.Record) bool {
			if o > after {
				list = append(list, event{o, string(r.ID)})
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAppendIsReadBackInOrder(t *testing.T) {
	e := open(t, t.TempDir())
	s := newStream(t, e)
	var want []string
	var receipts []engine.Receipt
	for i := range 20 {
		ids := []string{fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i)}
		want = append(want, ids...)
		receipts = append(receipts, put(t, e, s, ids...))
	}
	got := readAll(t, e, s, 0)
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i, ev := range got {
		if ev.id != want[i] {
			t.Fatalf("event %d is %s, want %s", i, ev.id, want[i])
		}
		r := receipts[i/2]
		if o := []engine.Offset{r.First, r.Last}[i%2]; o != ev.offset {
			t.Fatalf("event %d at %v, its receipt says %v", i, ev.offset, o)
		}
	}
	if rest := readAll(t, e, s, receipts[4].First); len(rest) != len(want)-9 || rest[0].id != "b4" {
		t.Fatalf("resuming inside of a block: %d events, first %s", len(rest), rest[0].id)
	}
	if b, err := e.Read(s, receipts[4].Last).Next(t.Context()); err != nil || b.First() != receipts[5].First {
		t.Fatalf("resuming behind a block's last event: %v, %v", b, err)
	}
}

func TestGroupCommit(t *testing.T) {
	e := open(t, t.TempDir())
	streams := []engine.Stream{newStream(t, e), newStream(t, e), newStream(t, e)}
	const producers, each = 24, 60
	type place struct {
		stream int
		offset engine.Offset
	}
	places := make([][]place, producers)
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			b := &engine.Batch{}
			r := record("", 300)
			for i := range each {
				b.Reset()
				r.ID = fmt.Appendf(r.ID[:0], "%d/%d", p, i)
				b.Add(r)
				s := (p + i/10) % len(streams)
				rec, err := e.Append(context.Background(), streams[s], b)
				if err != nil {
					t.Error(err)
					return
				}
				places[p] = append(places[p], place{s, rec.First})
			}
		})
	}
	wg.Wait()
	total := 0
	for i, s := range streams {
		at := map[string]engine.Offset{}
		last := engine.Offset(0)
		for _, ev := range readAll(t, e, s, 0) {
			if ev.offset <= last {
				t.Fatalf("offset %v after %v", ev.offset, last)
			}
			last = ev.offset
			if _, twice := at[ev.id]; twice {
				t.Fatalf("%s is stored twice", ev.id)
			}
			at[ev.id] = ev.offset
			total++
		}
		for p := range places {
			before := engine.Offset(0)
			for n, place := range places[p] {
				if place.stream != i {
					continue
				}
				if at[fmt.Sprintf("%d/%d", p, n)] != place.offset {
					t.Fatalf("%d/%d is not where its receipt says", p, n)
				}
				if place.offset <= before {
					t.Fatalf("producer %d's events are out of order", p)
				}
				before = place.offset
			}
		}
	}
	if total != producers*each {
		t.Fatalf("%d events stored, want %d", total, producers*each)
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	s := newStream(t, e)
	first := put(t, e, s, "1", "2")
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
	if _, err := e.Append(context.Background(), s, batch(record("x", 100))); !errors.Is(err, engine.ErrClosed) {
		t.Fatalf("Append after Close: %v", err)
	}
	e = open(t, dir)
	second := put(t, e, s, "3")
	if second.First <= first.Last {
		t.Fatalf("offset %v after %v", second.First, first.Last)
	}
	got := readAll(t, e, s, 0)
	if len(got) != 3 || got[2].id != "3" || got[0].offset != first.First {
		t.Fatalf("after the restart: %v", got)
	}
}
