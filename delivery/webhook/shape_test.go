package webhook_test

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"sluice/delivery/webhook"
	"sluice/relay/registry"
)

// What was tried under one batch size is sent again as it was under another, by a retry and by a replay of the dead letter.
func TestBatchKeepsItsShapeUnderAnotherSize(t *testing.T) {
	for _, size := range [][2]int{{10, 1}, {1, 10}, {10, 5}} {
		t.Run(strconv.Itoa(size[0])+" to "+strconv.Itoa(size[1]), func(t *testing.T) {
			w := newWorld(t, t.TempDir())
			st := w.stream("source")
			var mended atomic.Bool
			r := newReceiver(t, func(*delivered, http.ResponseWriter) int {
				if mended.Load() {
					return http.StatusOK
				}
				return http.StatusBadGateway
			})
			h := w.hook(st, r.server.URL, func(s *registry.WebhookSpec) {
				s.BatchSize, s.Retry = size[0], []time.Duration{time.Millisecond}
			})
			n := w.node(webhook.Config{Linger: 20 * time.Millisecond}, alone)
			first := func() map[string]string {
				r.mu.Lock()
				defer r.mu.Unlock()
				bodies := map[string]string{}
				for _, d := range r.all {
					if was, ok := bodies[d.id]; ok && was != string(d.body) {
						t.Errorf("two bodies under the id %s:\n%s\n%s", d.id, was, d.body)
					}
					bodies[d.id] = string(d.body)
				}
				return bodies
			}
			const parked = 10
			w.send(st, 0, parked)
			until(t, 10*time.Second, "parked", func() bool {
				letters, err := n.DeadLetters(t.Context(), h.ID)
				return err == nil && len(letters) == parked/size[0]
			})
			again := slices.Repeat([]time.Duration{200 * time.Millisecond}, 50)
			if _, err := w.registry.UpdateWebhook(t.Context(), h.ID, registry.WebhookPatch{Retry: &again}); err != nil {
				t.Fatal(err)
			}
			w.send(st, parked, 2*parked)
			until(t, 10*time.Second, "tried", func() bool { return len(first()) > parked/size[0] })
			was := first()
			if _, err := w.registry.UpdateWebhook(t.Context(), h.ID, registry.WebhookPatch{BatchSize: &size[1]}); err != nil {
				t.Fatal(err)
			}
			h = w.registry.Snapshot().WebhookByID(h.ID)
			if _, _, err := n.ReplayDead(t.Context(), h, nil); err != nil {
				t.Fatal(err)
			}
			mended.Store(true)
			until(t, 10*time.Second, "delivered", func() bool { return len(r.numbers()) >= 2*parked })
			exactly(t, r, 2*parked)
			now := first()
			for id := range was {
				if _, ok := now[id]; !ok || !slices.ContainsFunc(r.taken(), func(d *delivered) bool { return d.id == id }) {
					t.Errorf("batch %s was tried and never delivered", id)
				}
			}
		})
	}
}
