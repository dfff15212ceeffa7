package webhook_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/delivery"
	"sluice/delivery/webhook"
	"sluice/relay/registry"
)

// An orderly restart in the middle of it delivers everything once, whatever was in hand.
func TestRestartsDeliverEachOnce(t *testing.T) {
	for _, ordering := range []string{"fifo", "none", "key"} {
		t.Run(ordering, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			st := w.stream("source")
			r := newReceiver(t, func(d *delivered, _ http.ResponseWriter) int {
				time.Sleep(time.Millisecond)
				if d.numbers[0]%3 == 0 && time.Now().UnixMilli()%2 == 0 {
					return http.StatusBadGateway
				}
				return http.StatusOK
			})
			w.hook(st, r.server.URL, func(s *registry.WebhookSpec) {
				s.Ordering = ordering
				s.Retry = slices.Repeat([]time.Duration{5 * time.Millisecond}, 50)
			})
			const events = 3000
			w.send(st, 0, events)
			for range 4 {
				n := w.node(webhook.Config{Linger: 20 * time.Millisecond}, alone)
				time.Sleep(60 * time.Millisecond)
				n.stop()
			}
			w.node(webhook.Config{Linger: 20 * time.Millisecond}, alone)
			until(t, 15*time.Second, "delivered", func() bool { return len(r.numbers()) >= events })
			exactly(t, r, events)
			if ordering == "fifo" && !slices.IsSorted(r.numbers()) {
				t.Error("not in order")
			}
		})
	}
}

// A node that dies without storing its last moments: the next one loses nothing, sends again within five seconds, and doubles only what
// was in the last 200 ms.
func TestKilledNodeDoublesOnlyItsLastMoments(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("source")
	var mu sync.Mutex
	when := map[int]time.Time{} // of the first time an event was taken
	var again []time.Duration   // before the kill, of what was taken twice
	var killed time.Time
	r := newReceiver(t, nil)
	r.answer = func(d *delivered, _ http.ResponseWriter) int {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range d.numbers {
			if first, twice := when[n]; twice {
				again = append(again, killed.Sub(first))
			} else {
				when[n] = time.Now()
			}
		}
		return http.StatusOK
	}
	w.hook(st, r.server.URL, func(s *registry.WebhookSpec) { s.Ordering = "none" })
	// The node that dies writes through cells that stop taking its writes: what it saved after that is as good as never written.
	dying := w.node(webhook.Config{Linger: 10 * time.Millisecond}, delivery.Config{Grace: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var producer sync.WaitGroup
	sent := 0
	producer.Go(func() {
		for ctx.Err() == nil && sent < 100_000 {
			w.send(st, sent, sent+50)
			sent += 50
			time.Sleep(5 * time.Millisecond)
		}
	})
	until(t, 10*time.Second, "under way", func() bool { return len(r.numbers()) > 2000 })
	time.Sleep(time.Second)
	hook := w.registry.Snapshot().Webhooks(nil)[0]
	// Its cell is taken from it at this moment, as if by the next owner.
	for {
		cell, err := w.engine.Cells().Get(t.Context(), delivery.Key(webhook.Kind, hook.ID))
		if err != nil {
			t.Fatal(err)
		}
		h, err := dying.runner.Look(t.Context(), webhook.Kind, hook.ID)
		if err != nil {
			t.Fatal(err)
		}
		value := append([]byte(`{"v":1,"owner":"","term":7,"state":`), h.State...)
		if _, err := w.engine.Cells().Put(t.Context(), cell.Key, append(value, '}'), cell.Revision); err == nil {
			break
		}
	}
	mu.Lock()
	killed = time.Now()
	mu.Unlock()
	cancel()
	producer.Wait()
	dying.stop()
	restarted := time.Now()
	before := len(r.numbers())
	next := w.node(webhook.Config{Linger: 10 * time.Millisecond}, alone)
	w.send(st, sent, sent+10)
	sent += 10
	until(t, 5*time.Second, "sent again", func() bool { return len(r.numbers()) > before })
	t.Logf("sends again after %v", time.Since(restarted))
	until(t, 10*time.Second, "all delivered", func() bool {
		return len(counts(r.numbers())) >= sent && next.metric(t, "sluice_webhook_pending_events") == 0
	})
	mu.Lock()
	defer mu.Unlock()
	for _, d := range again {
		if d > 250*time.Millisecond {
			t.Errorf("an event that was taken %v before the kill came again", d)
			break
		}
	}
	t.Logf("%d of %d events came twice", len(again), sent)
}

// Two nodes on one log: each batch is delivered by one of them, and when one goes the other goes on.
func TestTwoNodes(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("source")
	r := newReceiver(t, nil)
	for i := range 6 {
		w.hook(st, r.server.URL, func(s *registry.WebhookSpec) {
			s.Name = "hook-" + itoa(i)
			s.Headers = map[string]string{"X-Hook": itoa(i)}
		})
	}
	cluster := delivery.Config{Grace: 2 * time.Second}
	a := w.node(webhook.Config{Linger: 10 * time.Millisecond}, cluster)
	w.node(webhook.Config{Linger: 10 * time.Millisecond}, cluster)
	const events = 1500
	for i := 0; i < events; i += 50 {
		w.send(st, i, i+50)
		time.Sleep(50 * time.Millisecond)
		if i == 700 {
			go a.stop()
		}
	}
	perHook := func() map[string][]int {
		m := map[string][]int{}
		for _, d := range r.taken() {
			m[d.header.Get("X-Hook")] = append(m[d.header.Get("X-Hook")], d.numbers...)
		}
		return m
	}
	until(t, 15*time.Second, "delivered", func() bool {
		m := perHook()
		for i := range 6 {
			if len(counts(m[itoa(i)])) < events {
				return false
			}
		}
		return true
	})
	for hook, numbers := range perHook() {
		if len(numbers) != events || !slices.IsSorted(numbers) {
			t.Errorf("hook %s: %d events, in order: %t", hook, len(numbers), slices.IsSorted(numbers))
		}
	}
}
