package engine_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"sluice/relay/engine"
)

// copyOf takes a copy of a log into memory.
func copyOf(t *testing.T, e *engine.Engine) engine.Copied {
	t.Helper()
	c := engine.Copied{Node: e.NodeName()}
	blocks := map[int][]engine.Raw{}
	for shard := range e.Shards() {
		extent, err := e.Extent(t.Context(), shard)
		if err != nil {
			t.Fatal(err)
		}
		c.Shards = append(c.Shards, extent)
		err = e.Copy(t.Context(), shard, extent, func(r engine.Raw) error {
			r.Data = slices.Clone(r.Data)
			blocks[shard] = append(blocks[shard], r)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Blocks = func(shard int) iter.Seq2[engine.Raw, error] {
		return func(yield func(engine.Raw, error) bool) {
			for _, r := range blocks[shard] {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
	return c
}

func fillConfig(dir string) engine.Config { return engine.Config{Dir: dir, MinFree: 1 << 20} }

// A log that was filled with a copy has every event at its old offset, with the gaps that deletions left, and goes on behind them.
func TestFill(t *testing.T) {
	e := open(t, t.TempDir())
	kept, gone := newStream(t, e), newStream(t, e)
	for i := range 40 {
		put(t, e, kept, fmt.Sprintf("kept-%d", i))
		put(t, e, gone, fmt.Sprintf("gone-%d", i))
	}
	if err := e.Drop(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	want := readAll(t, e, kept, 0)
	c := copyOf(t, e)
	dir := filepath.Join(t.TempDir(), "new")
	if err := engine.Fill(t.Context(), fillConfig(dir), c); err != nil {
		t.Fatal(err)
	}
	if err := engine.Fill(t.Context(), fillConfig(dir), c); !errors.Is(err, engine.ErrNotEmpty) {
		t.Errorf("filling again: %v", err)
	}
	again := open(t, dir)
	if again.NodeName() != e.NodeName() || again.Shards() != e.Shards() {
		t.Errorf("node %s with %d shards, want %s with %d", again.NodeName(), again.Shards(), e.NodeName(), e.Shards())
	}
	if got := readAll(t, again, kept, 0); !slices.EqualFunc(got, want, func(a, b event) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
		t.Errorf("after filling: %v, want %v", got, want)
	}
	if got := readAll(t, again, gone, 0); len(got) != 0 {
		t.Errorf("%d events of a dropped stream are back", len(got))
	}
	for shard, extent := range c.Shards {
		if got, err := again.Extent(t.Context(), shard); err != nil || got.Last != extent.Last {
			t.Errorf("shard %d reaches to %v, %v; want %v", shard, got, err, extent)
		}
	}
	put(t, again, kept, "new")
	put(t, e, kept, "new")
	if a, b := readAll(t, again, kept, 0), readAll(t, e, kept, 0); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("the filled log goes on with %v, the old one with %v", a[len(a)-1], b[len(b)-1])
	}
}

// What a copy breaks off with is what Fill says, and no log is there that could be taken for a whole one by Fill.
func TestFillBreaksOff(t *testing.T) {
	broken := errors.New("the file is damaged")
	dir := filepath.Join(t.TempDir(), "new")
	err := engine.Fill(t.Context(), fillConfig(dir), engine.Copied{
		Shards: []engine.Extent{{First: 1, Last: 10}},
		Blocks: func(int) iter.Seq2[engine.Raw, error] {
			return func(yield func(engine.Raw, error) bool) { yield(engine.Raw{}, broken) }
		},
	})
	if !errors.Is(err, broken) {
		t.Errorf("Fill is %v", err)
	}
}

// Applied in order, journals give the cells as they are, whatever is written while they are taken.
func TestJournal(t *testing.T) {
	e := open(t, t.TempDir())
	cells := e.Cells()
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	started := make(chan struct{})
	go func() {
		defer close(written)
		revs := map[string]uint64{}
		for i := 0; ctx.Err() == nil; i++ {
			key := fmt.Sprintf("a.%d", i%300)
			if i%7 == 6 && revs[key] > 0 {
				if err := cells.Erase(t.Context(), key, revs[key]); err != nil {
					t.Error(err)
				}
				revs[key] = 0
				continue
			}
			rev, err := cells.Put(t.Context(), key, fmt.Append(nil, i), revs[key])
			if err != nil {
				t.Error(err)
				return
			}
			if revs[key] = rev; i == 400 {
				close(started)
			}
		}
	}()
	<-started
	got := map[string]string{}
	apply := func(c engine.Cell) error {
		if got[c.Key] = string(c.Value); c.Gone {
			delete(got, c.Key)
		}
		return nil
	}
	at, err := cells.Journal(t.Context(), "", 0, apply)
	if err != nil || len(got) == 0 {
		t.Fatalf("%d cells, %v", len(got), err)
	}
	stop()
	<-written
	if at, err = cells.Journal(t.Context(), "a", at, apply); err != nil {
		t.Fatal(err)
	}
	list, err := cells.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, c := range list {
		want[c.Key] = string(c.Value)
	}
	if !maps.Equal(got, want) {
		t.Errorf("journals give %d cells, the list has %d", len(got), len(want))
	}
	if next, err := cells.Journal(t.Context(), "a", at, func(c engine.Cell) error {
		t.Errorf("told of %s twice", c.Key)
		return nil
	}); err != nil || next != at {
		t.Errorf("an empty journal comes to %d, %v; want %d", next, err, at)
	}
	broken := errors.New("no room")
	if _, err := cells.Journal(t.Context(), "", 0, func(engine.Cell) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a journal that cannot be taken: %v", err)
	}
}
