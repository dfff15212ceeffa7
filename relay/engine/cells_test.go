package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/relay/engine"
)

func TestCells(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	c, ctx := e.Cells(), t.Context()
	if _, err := c.Get(ctx, "a.b"); !errors.Is(err, engine.ErrNotFound) {
		t.Fatalf("Get of nothing: %v", err)
	}
	r1, err := c.Put(ctx, "a.b", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, rev := range []uint64{0, r1 + 1, 1 << 40} {
		if _, err := c.Put(ctx, "a.b", []byte("x"), rev); !errors.Is(err, engine.ErrConflict) {
			t.Fatalf("Put expecting %d: %v", rev, err)
		}
	}
	r2, err := c.Put(ctx, "a.b", []byte("2"), r1)
	if err != nil || r2 <= r1 {
		t.Fatalf("%d after %d, %v", r2, r1, err)
	}
	if err := c.Erase(ctx, "a.b", r1); !errors.Is(err, engine.ErrConflict) {
		t.Fatalf("Erase of an old revision: %v", err)
	}
	if cell, err := c.Get(ctx, "a.b"); err != nil || string(cell.Value) != "2" || cell.Revision != r2 || cell.Key != "a.b" {
		t.Fatalf("%+v, %v", cell, err)
	}
	if err := c.Erase(ctx, "a.b", r2); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, "a.b"); !errors.Is(err, engine.ErrNotFound) {
		t.Fatalf("Get of an erased one: %v", err)
	}
	if _, err := c.Put(ctx, "a.b", []byte("x"), r2); !errors.Is(err, engine.ErrConflict) {
		t.Fatalf("Put over an erased one: %v", err)
	}
	if _, err := c.Put(ctx, "a.b", nil, 0); err != nil {
		t.Fatalf("making it again: %v", err)
	}
	if cell, err := c.Get(ctx, "a.b"); err != nil || cell.Value == nil || len(cell.Value) != 0 {
		t.Fatalf("an empty value: %+v, %v", cell, err)
	}
	big := bytes.Repeat([]byte("b"), 700<<10)
	if _, err := c.Put(ctx, "big", big, 0); err != nil {
		t.Fatal(err)
	}
	e.Close()
	e = open(t, dir)
	if cell, err := e.Cells().Get(ctx, "big"); err != nil || !bytes.Equal(cell.Value, big) {
		t.Fatalf("after the restart: %d bytes, %v", len(cell.Value), err)
	}
}

func TestCellKeys(t *testing.T) {
	c := open(t, t.TempDir()).Cells()
	for _, key := range []string{"", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "ä", "a\r\nb", strings.Repeat("k", 256)} {
		if _, err := c.Put(t.Context(), key, []byte("x"), 0); !errors.Is(err, engine.ErrKey) {
			t.Errorf("Put %q: %v", key, err)
		}
		if _, err := c.Get(t.Context(), key); !errors.Is(err, engine.ErrKey) {
			t.Errorf("Get %q: %v", key, err)
		}
		if _, err := c.List(t.Context(), key); key != "" && !errors.Is(err, engine.ErrKey) {
			t.Errorf("List %q: %v", key, err)
		}
	}
}

// TestCellRace: of many who change a cell, each change is based on the one before.
func TestCellRace(t *testing.T) {
	c := open(t, t.TempDir(), func(c *engine.Config) { c.Durability = "os" }).Cells()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for done := 0; done < 25; {
				n, rev := 0, uint64(0)
				cell, err := c.Get(t.Context(), "count")
				if err == nil {
					fmt.Sscan(string(cell.Value), &n)
					rev = cell.Revision
				} else if !errors.Is(err, engine.ErrNotFound) {
					t.Error(err)
					return
				}
				switch _, err := c.Put(t.Context(), "count", fmt.Append(nil, n+1), rev); {
				case err == nil:
					done++
				case !errors.Is(err, engine.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if cell, err := c.Get(t.Context(), "count"); err != nil || string(cell.Value) != "200" {
		t.Fatalf("%s, %v", cell.Value, err)
	}
}

func TestCellBatch(t *testing.T) {
	c, ctx := open(t, t.TempDir()).Cells(), t.Context()
	var w []engine.Write
	for i := range 300 {
		w = append(w, engine.Write{Key: fmt.Sprint("k.", i), Value: fmt.Append(nil, i)})
	}
	if err := c.Batch(ctx, w); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 299} {
		if cell, err := c.Get(ctx, w[i].Key); err != nil || cell.Revision != w[i].Revision {
			t.Fatalf("%d: %+v, %v, the batch says %d", i, cell, err, w[i].Revision)
		}
	}
	for i := range w {
		w[i].Value = []byte("second")
	}
	if err := c.Batch(ctx, w); err != nil {
		t.Fatalf("with the revisions of the first round: %v", err)
	}
	stale := slices.Clone(w)
	stale[150].Revision--
	for i := range stale {
		stale[i].Value = []byte("third")
	}
	if err := c.Batch(ctx, stale); !errors.Is(err, engine.ErrConflict) {
		t.Fatalf("one stale of 300: %v", err)
	}
	list, err := c.List(ctx, "k")
	if err != nil || len(list) != 300 {
		t.Fatalf("%d cells, %v", len(list), err)
	}
	for _, cell := range list {
		if string(cell.Value) != "second" {
			t.Fatalf("%s is %s", cell.Key, cell.Value)
		}
	}
	// Erase, make again and leave alone in one batch.
	mixed := []engine.Write{{Key: "k.0", Revision: w[0].Revision}, {Key: "new", Value: []byte("n")}}
	if err := c.Batch(ctx, mixed); err != nil {
		t.Fatal(err)
	}
	if err := c.Batch(ctx, []engine.Write{{Key: "k.0", Value: []byte("again")}, {Key: "new", Revision: mixed[1].Revision}}); err != nil {
		t.Fatalf("over a mark: %v", err)
	}
	if _, err := c.Get(ctx, "new"); !errors.Is(err, engine.ErrNotFound) {
		t.Fatal(err)
	}
	if err := c.Batch(ctx, []engine.Write{{Key: "x", Value: []byte("1")}, {Key: "x", Value: []byte("2")}}); !errors.Is(err, engine.ErrConflict) {
		t.Fatalf("a key twice: %v", err)
	}
	if err := c.Batch(ctx, make([]engine.Write, 1001)); !errors.Is(err, engine.ErrTooLarge) {
		t.Fatalf("1,001 writes: %v", err)
	}
	if err := c.Batch(ctx, nil); err != nil {
		t.Fatal(err)
	}
}

func TestCellList(t *testing.T) {
	c, ctx := open(t, t.TempDir(), func(c *engine.Config) { c.Durability = "os" }).Cells(), t.Context()
	for i := range 3 {
		var w []engine.Write
		for n := range 400 {
			w = append(w, engine.Write{Key: fmt.Sprintf("p.%d.%d", i, n), Value: bytes.Repeat([]byte("v"), 1000)})
		}
		if err := c.Batch(ctx, w); err != nil {
			t.Fatal(err)
		}
	}
	rev, _ := c.Put(ctx, "p", []byte("itself"), 0)
	c.Put(ctx, "px", []byte("a neighbour"), 0)
	gone, _ := c.Put(ctx, "p.gone", []byte("x"), 0)
	if err := c.Erase(ctx, "p.gone", gone); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]int{"": 1202, "p": 1201, "p.1": 400, "p.1.7": 1, "p.gone": 0, "q": 0} {
		list, err := c.List(ctx, prefix)
		if err != nil || len(list) != want {
			t.Errorf("%q: %d cells, want %d, %v", prefix, len(list), want, err)
		}
	}
	if list, err := c.List(ctx, "px"); err != nil || len(list) != 1 || string(list[0].Value) != "a neighbour" || list[0].Revision <= rev {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestCellWatch(t *testing.T) {
	e := open(t, t.TempDir())
	c := e.Cells()
	r1, _ := c.Put(t.Context(), "w.a", []byte("1"), 0)
	c.Put(t.Context(), "w.b", []byte("1"), 0)
	c.Put(t.Context(), "other", []byte("1"), 0)
	gone, _ := c.Put(t.Context(), "w.gone", []byte("1"), 0)
	if err := c.Erase(t.Context(), "w.gone", gone); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"empty", "w"} {
		t.Run(prefix, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			told := make(chan string, 64)
			ended := make(chan error, 1)
			go func() {
				ended <- c.Watch(ctx, prefix, func(cell engine.Cell) {
					told <- fmt.Sprint(cell.Key, " ", string(cell.Value), " ", cell.Gone)
				}, func() { told <- "ready" })
			}()
			next := func() string {
				select {
				case s := <-told:
					return s
				case <-time.After(5 * time.Second):
					t.Fatal("nothing was told")
					return ""
				}
			}
			if prefix == "w" {
				if a, b := next(), next(); a != "w.a 1 false" || b != "w.b 1 false" {
					t.Fatalf("present cells %q, %q", a, b)
				}
			}
			if s := next(); s != "ready" {
				t.Fatalf("%q instead of ready", s)
			}
			if at := c.Heard(); time.Since(at) > 5*time.Second || e.Ready() != nil {
				t.Fatalf("heard at %v, %v", at, e.Ready())
			}
			if prefix == "w" {
				r2, err := c.Put(t.Context(), "w.a", []byte("2"), r1)
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Batch(t.Context(), []engine.Write{{Key: "w.a", Revision: r2}, {Key: "w.c", Value: []byte("3")}}); err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{"w.a 2 false", "w.a  true", "w.c 3 false"} {
					if got := next(); got != want {
						t.Fatalf("%q, want %q", got, want)
					}
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if len(told) > 0 {
				t.Fatalf("also told: %q", next())
			}
		})
	}
	if at := c.Heard(); !at.IsZero() {
		t.Fatalf("heard at %v without a watch", at)
	}
}

func TestCellsTakeWhatKeysNeedHoweverSmallEventsAre(t *testing.T) {
	e := open(t, t.TempDir(), func(c *engine.Config) { c.MaxEvent = 1 << 10 })
	if _, err := e.Cells().Put(t.Context(), "tree.part", make([]byte, 300<<10), 0); err != nil {
		t.Fatal(err)
	}
	if c, err := e.Cells().Get(t.Context(), "tree.part"); err != nil || len(c.Value) != 300<<10 {
		t.Fatalf("%d bytes came back: %v", len(c.Value), err)
	}
}
