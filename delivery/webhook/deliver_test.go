package webhook_test

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"sluice/delivery/webhook"
	"sluice/relay/registry"
)

func TestDeliversInOrderInBatches(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("orders")
	r := newReceiver(t, nil)
	h := w.hook(st, r.server.URL+"/in?x=1", func(s *registry.WebhookSpec) {
		s.Headers = map[string]string{"X-Team": "blue"}
		s.Authorization = "Basic abc"
	})
	n := w.node(webhook.Config{Linger: 50 * time.Millisecond, Version: "1.2"}, alone)
	w.send(st, 0, 95)
	until(t, 5*time.Second, "delivered", func() bool { return len(r.numbers()) >= 95 })
	exactly(t, r, 95)
	if !slices.IsSorted(r.numbers()) {
		t.Error("not in order")
	}
	for i, d := range r.taken() {
		if want := min(10, 95-10*i); len(d.numbers) != want {
			t.Errorf("batch %d has %d events, want %d", i, len(d.numbers), want)
		}
	}
	first := r.taken()[0].header
	for name, want := range map[string]string{
		"Content-Type": "application/json; charset=UTF-8", "User-Agent": "Sluice/1.2", "X-Team": "blue", "Authorization": "Basic abc",
	} {
		if got := first.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// What was answered is noted a moment later.
	var list []webhook.Attempt
	until(t, 5*time.Second, "noted", func() bool {
		var err error
		list, err = n.Attempts(t.Context(), h.ID)
		return err != nil || len(list) >= 10
	})
	if len(list) != 10 || list[0].Events != 5 || list[0].Status != 204 || list[0].Failure != "" {
		t.Errorf("attempts: %d %+v", len(list), list)
	}
	if got := n.metric(t, "sluice_webhook_attempts_total", "webhook", "orders", "result", "delivered"); got != 10 {
		t.Errorf("attempts_total: %v", got)
	}
	until(t, 2*time.Second, "nothing pending", func() bool { return n.metric(t, "sluice_webhook_pending_events") == 0 })
}

// Each ordering against a receiver that refuses half of what it gets: every event is taken once, in the order that is promised, and what
// is sent again is the same batch under the same id.
func TestFailingHalfTheTime(t *testing.T) {
	for _, ordering := range []string{"fifo", "none", "key"} {
		t.Run(ordering, func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			st := w.stream("source")
			r := newReceiver(t, func(*delivered, http.ResponseWriter) int {
				if rand.IntN(2) == 0 {
					return http.StatusInternalServerError
				}
				return http.StatusOK
			})
			w.hook(st, r.server.URL, func(s *registry.WebhookSpec) {
				s.Ordering = ordering
				s.Retry = slices.Repeat([]time.Duration{2 * time.Millisecond}, 50)
			})
			w.node(webhook.Config{Linger: 20 * time.Millisecond}, alone)
			const events = 2000
			for i := 0; i < events; i += 100 {
				w.send(st, i, i+100)
			}
			until(t, 10*time.Second, "delivered", func() bool { return len(r.numbers()) >= events })
			exactly(t, r, events)
			switch ordering {
			case "fifo":
				if !slices.IsSorted(r.numbers()) {
					t.Error("not in order")
				}
			case "key":
				last := map[int]int{}
				for _, n := range r.numbers() {
					if n < last[n%97] {
						t.Fatalf("event %d of key %d came after %d", n, n%97, last[n%97])
					}
					last[n%97] = n
				}
			}
			bodies := map[string]string{}
			for _, d := range r.all {
				if was, ok := bodies[d.id]; ok && was != string(d.body) {
					t.Fatalf("two bodies under the id %s", d.id)
				}
				bodies[d.id] = string(d.body)
			}
		})
	}
}

func TestBatchOfOneIsABareObject(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("source")
	r := newReceiver(t, nil)
	w.hook(st, r.server.URL, func(s *registry.WebhookSpec) { s.BatchSize, s.Envelope = 1, "airship" })
	w.node(webhook.Config{}, alone)
	w.send(st, 0, 5)
	until(t, 5*time.Second, "delivered", func() bool { return len(r.numbers()) >= 5 })
	exactly(t, r, 5)
	for _, d := range r.taken() {
		if d.body[0] != '{' {
			t.Errorf("body: %.50s", d.body)
		}
	}
}

func TestParksAndGoesOn(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("source")
	var mended atomic.Bool
	r := newReceiver(t, func(d *delivered, _ http.ResponseWriter) int {
		if !mended.Load() && slices.Contains(d.numbers, 7) {
			return http.StatusBadRequest
		}
		return http.StatusOK
	})
	h := w.hook(st, r.server.URL, func(s *registry.WebhookSpec) {
		s.BatchSize = 5
		s.Retry = []time.Duration{5 * time.Millisecond, 5 * time.Millisecond}
	})
	n := w.node(webhook.Config{Linger: 20 * time.Millisecond}, alone)
	w.send(st, 0, 20)
	until(t, 5*time.Second, "the others delivered", func() bool { return len(r.numbers()) >= 15 })
	letters, err := n.DeadLetters(t.Context(), h.ID)
	if err != nil || len(letters) != 1 || letters[0].Attempts != 3 || letters[0].Events != 5 || letters[0].Status != 400 {
		t.Fatalf("dead letters: %+v %v", letters, err)
	}
	mended.Store(true)
	if _, count, err := n.ReplayDead(t.Context(), h, []string{letters[0].ID}); err != nil || count != 1 {
		t.Fatalf("replay: %d %v", count, err)
	}
	until(t, 5*time.Second, "the parked one delivered", func() bool { return len(r.numbers()) >= 20 })
	exactly(t, r, 20)
	if d := r.taken()[3]; d.id != letters[0].ID {
		t.Errorf("sent again as %s, was %s", d.id, letters[0].ID)
	}
	if letters, err = n.DeadLetters(t.Context(), h.ID); err != nil || len(letters) != 0 {
		t.Errorf("dead letters: %+v %v", letters, err)
	}
	until(t, 5*time.Second, "the replay is done", func() bool { return len(w.registry.Snapshot().WebhookByID(h.ID).Replays) == 0 })
}
