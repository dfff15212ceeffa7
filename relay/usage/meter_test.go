package usage_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"sluice/relay/engine"
	"sluice/relay/usage"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// node is a log with a meter, as a process has them.
type node struct {
	t      *testing.T
	engine *engine.Engine
	meter  *usage.Meter
}

func start(t *testing.T, dir string) *node {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{Dir: dir, Durability: "os", MinFree: 1 << 20, Log: quiet})
	must(t, err)
	m, err := usage.Open(t.Context(), usage.Config{Engine: e, Log: quiet})
	must(t, err)
	return &node{t, e, m}
}

// end ends a node; with written, after it wrote its counts down.
func (n *node) end(written bool) {
	n.t.Helper()
	if written {
		ctx, cancel := context.WithCancel(n.t.Context())
		cancel()
		must(n.t, n.meter.Run(ctx))
	}
	must(n.t, n.engine.Close())
}

func (n *node) stream(name string) engine.Stream {
	n.t.Helper()
	st, err := n.engine.NewStream(n.t.Context(), engine.StreamID{name[0], byte(len(name))}, name)
	must(n.t, err)
	return st
}

func (n *node) store(st engine.Stream, events int) {
	n.t.Helper()
	var b engine.Batch
	for range events {
		b.Add(&engine.Record{Kind: engine.KindJSON, Payload: []byte(`{}`)})
	}
	_, err := n.engine.Append(n.t.Context(), st, &b)
	must(n.t, err)
}

func (n *node) want(st engine.Stream, events int64) {
	n.t.Helper()
	if got := n.meter.Of(st.ID).Month(time.Now()); got != events {
		n.t.Errorf("the month has %d events, want %d", got, events)
	}
	to := time.Now().Add(time.Minute)
	all, err := n.meter.Windows(n.t.Context(), st.ID, to.Add(-2*time.Hour), to, 7*time.Minute)
	must(n.t, err)
	var sum int64
	for _, w := range all {
		sum += int64(w.Events)
	}
	if sum != events {
		n.t.Errorf("the windows have %d events, want %d", sum, events)
	}
}

// What was stored is counted once, however the process ended that stored it.
func TestCountsSurvive(t *testing.T) {
	for name, written := range map[string]bool{"WrittenDown": true, "Killed": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := start(t, dir)
			a, b := n.stream("a"), n.stream("bb")
			n.store(a, 5000) // several blocks
			n.store(b, 1)
			n.want(a, 5000)
			n.end(written)
			for i := range 3 {
				n = start(t, dir)
				n.want(a, int64(5000+i))
				n.want(b, 1)
				n.store(a, 1)
				n.want(a, int64(5001+i))
				n.end(written && i != 1)
			}
		})
	}
}

// A block that was acknowledged has been counted already.
func TestCountedBeforeAcknowledged(t *testing.T) {
	n := start(t, t.TempDir())
	defer n.end(false)
	st := n.stream("a")
	c := n.meter.Of(st.ID)
	for i := range int64(50) {
		n.store(st, 1)
		if got := c.Month(time.Now()); got != i+1 {
			t.Fatalf("after %d events the month has %d", i+1, got)
		}
	}
}

func TestDrop(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir)
	a, b := n.stream("a"), n.stream("bb")
	n.store(a, 3)
	n.store(b, 4)
	n.end(true)
	n = start(t, dir)
	must(t, usage.Drop(t.Context(), n.engine.Cells(), a.ID))
	must(t, usage.Drop(t.Context(), n.engine.Cells(), a.ID))
	n.end(false)
	n = start(t, dir)
	defer n.end(false)
	n.want(a, 0)
	n.want(b, 4)
}
