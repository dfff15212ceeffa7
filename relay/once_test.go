package relay_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// numbered is a body of free JSON, one line for each number; padding makes them large.
func numbered(from, to, padding int) []byte {
	var b []byte
	pad := strings.Repeat("p", padding)
	for i := from; i < to; i++ {
		b = append(b, fmt.Sprintf(`{"n":%d,"pad":"%s"}`+"\n", i, pad)...)
	}
	return b
}

// stored are the numbers in a stream, in their order.
func (n *node) stored(st *registry.Stream) (ns []int) {
	n.t.Helper()
	rd := n.open(relay.Spec{Stream: st, From: relay.Earliest()})
	for {
		c, err := rd.Next(n.t.Context(), 20*time.Millisecond, 0)
		if err != nil {
			n.t.Fatal(err)
		}
		if c == nil {
			return ns
		}
		for line := range strings.Lines(string(c.Bytes())) {
			text, _, _ := strings.Cut(strings.TrimPrefix(line, `{"n":`), ",")
			i, err := strconv.Atoi(strings.TrimSuffix(text, "}\n"))
			if err != nil {
				n.t.Fatalf("%.100q: %v", line, err)
			}
			ns = append(ns, i)
		}
		c.Release()
	}
}

func (n *node) wantStored(st *registry.Stream, from, to int) {
	n.t.Helper()
	got := n.stored(st)
	for i := from; i < to; i++ {
		if len(got) <= i-from || got[i-from] != i {
			n.t.Fatalf("event %d is not where it must be among %d, which are to be %d to %d", i, len(got), from, to)
		}
	}
	if len(got) != to-from {
		n.t.Fatalf("%d events, not %d", len(got), to-from)
	}
}

// once insists on the outcome of a keyed body.
func (n *node) once(st *registry.Stream, body []byte, key string, accepted int, again bool) relay.BulkResult {
	n.t.Helper()
	res, was, err := n.AcceptOnce(n.t.Context(), st, relay.Bulk{Body: body}, key)
	if err != nil || res.Accepted != accepted || was != again {
		n.t.Fatalf("key %s: %d accepted, again %v, %v; not %d, %v", key, res.Accepted, was, err, accepted, again)
	}
	return res
}

func TestAcceptOnce(t *testing.T) {
	dir := t.TempDir()
	var ahead atomic.Int64
	cfg := relay.Config{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
	n := start(t, dir, cfg)
	st := n.stream(registry.StreamSpec{Name: "free", Payload: "json"})
	other := n.stream(registry.StreamSpec{Name: "other", Payload: "json"})

	mixed := append(numbered(0, 2, 0), "no json\n{}x\n"...)
	first := n.once(st, mixed, "a", 2, false)
	if first.Rejected != 2 || len(first.Errors) != 2 {
		t.Fatalf("%+v", first)
	}
	if res := n.once(st, mixed, "a", 2, true); !reflect.DeepEqual(res, first) {
		t.Errorf("%+v, and at first %+v", res, first)
	}
	// The same body under another key, and the same key on another stream, are new.
	n.once(st, numbered(2, 4, 0), "b", 2, false)
	n.once(other, numbered(0, 2, 0), "a", 2, false)
	// Another body, contract or mode under the same key is refused.
	for name, b := range map[string]relay.Bulk{
		"body": {Body: numbered(9, 10, 0)}, "ref": {Body: mixed, Ref: []byte("a/b/1.0.0")}, "mode": {Body: mixed, Atomic: true},
	} {
		if _, _, err := n.AcceptOnce(t.Context(), st, b, "a"); !errors.Is(err, relay.ErrKeyReused) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	// Nothing stored: remembered, and refused under another body, all the same.
	none := n.once(st, []byte("what\n"), "nothing", 0, false)
	if res := n.once(st, []byte("what\n"), "nothing", 0, true); !reflect.DeepEqual(res, none) || res.Rejected != 1 {
		t.Errorf("%+v", res)
	}
	if _, _, err := n.AcceptOnce(t.Context(), st, relay.Bulk{Body: numbered(9, 10, 0)}, "nothing"); !errors.Is(err, relay.ErrKeyReused) {
		t.Errorf("another body: %v", err)
	}
	// What was refused whole may be mended under the same key.
	if _, _, err := n.AcceptOnce(t.Context(), st, relay.Bulk{Body: []byte("[{}")}, "mended"); err == nil {
		t.Error("half an array was taken")
	}
	n.once(st, numbered(4, 5, 0), "mended", 1, false)
	n.wantStored(st, 0, 5)

	// After a restart the log still knows, with much between.
	for i := range 50 {
		n.once(st, numbered(5+i, 6+i, 0), "k"+strconv.Itoa(i), 1, false)
	}
	n.stop()
	n = start(t, dir, cfg)
	st = n.registry.Snapshot().Stream(n.project(), "free")
	if res := n.once(st, mixed, "a", 2, true); !reflect.DeepEqual(res, first) {
		t.Errorf("after the restart %+v", res)
	}
	if _, _, err := n.AcceptOnce(t.Context(), st, relay.Bulk{Body: numbered(9, 10, 0)}, "b"); !errors.Is(err, relay.ErrKeyReused) {
		t.Errorf("after the restart another body: %v", err)
	}
	n.once(st, numbered(54, 55, 0), "k49", 1, true)
	n.wantStored(st, 0, 55)

	// Ten minutes are over: the key is free again, on a node that ran and on one that starts.
	ahead.Store(int64(11 * time.Minute))
	n.once(st, numbered(55, 56, 0), "a", 1, false)
	n.stop()
	n = start(t, dir, cfg)
	st = n.registry.Snapshot().Stream(n.project(), "free")
	n.once(st, numbered(56, 57, 0), "b", 1, false)
	n.wantStored(st, 0, 57)
}

// Errors of a thousand lines fit, and such that do not are cut before the first answer, so that all answers agree.
func TestAcceptOnceManyErrors(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	st := n.stream(registry.StreamSpec{Name: "web"})
	body := example("unique-1", "session-1", "secret", "open", 0)
	body = append(body, '\n')
	for i := range 3000 {
		body = append(body, fmt.Sprintf(`{"strmMeta":{"eventContractRef":"nobody/%d/1.0.0"}}`+"\n", i*7919)...)
	}
	first := n.once(st, body, "a", 1, false)
	if first.Rejected != 3000 || len(first.Errors) == 0 {
		t.Fatalf("%d rejected, %d errors", first.Rejected, len(first.Errors))
	}
	t.Logf("%d errors are kept", len(first.Errors))
	if res := n.once(st, body, "a", 1, true); !reflect.DeepEqual(res, first) {
		t.Errorf("%d errors, and at first %d", len(res.Errors), len(first.Errors))
	}
}

// A storm of retries stores once, and every one of them hears the same.
func TestAcceptOnceStorm(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	st := n.stream(registry.StreamSpec{Name: "free", Payload: "json"})
	const keys, retries = 20, 25
	var wg sync.WaitGroup
	var firsts atomic.Int64
	for k := range keys {
		for range retries {
			wg.Go(func() {
				res, again, err := n.AcceptOnce(t.Context(), st, relay.Bulk{Body: numbered(k, k+1, 0)}, "key-"+strconv.Itoa(k))
				if err != nil || res.Accepted != 1 {
					t.Errorf("key %d: %+v, %v", k, res, err)
				}
				if !again {
					firsts.Add(1)
				}
			})
		}
	}
	wg.Wait()
	if firsts.Load() != keys {
		t.Errorf("%d were stored, not %d", firsts.Load(), keys)
	}
	seen := map[int]int{}
	for _, i := range n.stored(st) {
		seen[i]++
	}
	for k := range keys {
		if seen[k] != 1 {
			t.Errorf("event %d is there %d times", k, seen[k])
		}
	}
}

// A large body that is broken off in its middle is completed when it is sent again, by the same node or by the next.
func TestAcceptOnceResumes(t *testing.T) {
	for _, restart := range []bool{false, true} {
		dir := t.TempDir()
		n := start(t, dir, relay.Config{})
		st := n.stream(registry.StreamSpec{Name: "free", Payload: "json"})
		const events = 8000
		body := numbered(0, events, 1000) // some forty blocks
		ctx, cancel := context.WithCancel(t.Context())
		_, stop, err := n.engine.Follow(ctx, st.Log, func(b *engine.Block) {
			if b.Count() > 0 {
				cancel()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = n.AcceptOnce(ctx, st, relay.Bulk{Body: body}, "large")
		stop()
		if err == nil {
			t.Fatal("the whole body was stored before it could be broken off")
		}
		if !errors.Is(err, engine.ErrUnconfirmed) || errors.Is(err, engine.ErrBusy) {
			t.Errorf("broken off: %v", err)
		}
		if restart {
			n.stop()
			n = start(t, dir, relay.Config{})
			st = n.registry.Snapshot().Stream(n.project(), "free")
		}
		part := len(n.stored(st))
		if part == 0 || part == events {
			t.Fatalf("%d events were stored when it was broken off", part)
		}
		if _, _, err := n.AcceptOnce(t.Context(), st, relay.Bulk{Body: numbered(0, 1, 0)}, "large"); !errors.Is(err, relay.ErrKeyReused) {
			t.Errorf("another body under the key of half a body: %v", err)
		}
		n.once(st, body, "large", events, false)
		n.once(st, body, "large", events, true)
		n.wantStored(st, 0, events)
	}
}

// A second node on the same log knows what the first stored: here it is a second core on one engine.
func TestAcceptOnceTwoNodes(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	st := n.stream(registry.StreamSpec{Name: "free", Payload: "json"})
	second := relay.New(n.engine, n.vault, n.registry, relay.Config{})
	for i := range 20 {
		key, body := "k"+strconv.Itoa(i), relay.Bulk{Body: numbered(i, i+1, 0)}
		one, two := n.Relay, second
		if i%2 == 1 {
			one, two = two, one
		}
		if _, again, err := one.AcceptOnce(t.Context(), st, body, key); err != nil || again {
			t.Fatal(again, err)
		}
		if _, again, err := two.AcceptOnce(t.Context(), st, body, key); err != nil || !again {
			t.Fatal(again, err)
		}
	}
	n.wantStored(st, 0, 20)
}
