package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"sluice/relay/engine"
)

func TestAllocations(t *testing.T) {
	e := open(t, t.TempDir(), func(c *engine.Config) { c.Durability = "os" })
	s := newStream(t, e)
	b := &engine.Batch{}
	r := record("id", 400)
	for range 1000 {
		b.Add(r)
	}
	if _, err := e.Append(t.Context(), s, b); err != nil {
		t.Fatal(err)
	}
	block, err := e.Read(s, 0).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := block.Err(); err != nil {
		t.Fatal(err)
	}
	events := 0
	count := func(_ engine.Offset, r *engine.Record) bool { events += len(r.Fields); return true }
	for _, c := range []struct {
		name string
		most float64
		fn   func()
	}{
		{"Batch.Add", 0, func() { b.Reset(); b.Add(r) }},
		{"Block.Each of a whole block", 1, func() { block.Each(count) }},
		{"ParseOffset", 0, func() { engine.ParseOffset("123456789") }},
	} {
		if got := testing.AllocsPerRun(100, c.fn); got > c.most && !raceEnabled {
			t.Errorf("%s allocates %v times, at most %v", c.name, got, c.most)
		}
	}
}

// TestAppendAllocations counts what an Append costs when many share a commit, with all that the log does for it.
func TestAppendAllocations(t *testing.T) {
	e := open(t, t.TempDir())
	s := newStream(t, e)
	const producers, each = 64, 60
	var wg sync.WaitGroup
	var before, after runtime.MemStats
	start := make(chan struct{})
	for p := range producers {
		wg.Go(func() {
			b, r := &engine.Batch{}, record(fmt.Sprint(p), 400)
			<-start
			for range each {
				b.Reset()
				b.Add(r)
				if _, err := e.Append(context.Background(), s, b); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	runtime.ReadMemStats(&before)
	close(start)
	wg.Wait()
	runtime.ReadMemStats(&after)
	per := float64(after.Mallocs-before.Mallocs) / (producers * each)
	t.Logf("%.1f allocations, %d bytes for an event", per, (after.TotalAlloc-before.TotalAlloc)/(producers*each))
	if per > 6 && !raceEnabled {
		t.Errorf("%.1f allocations for an event", per)
	}
}
