package webhook_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"sluice/delivery/webhook"
	"sluice/relay/registry"
)

// A batch that was tried is sent again with the same events, although the webhook asks for more by then, or for fewer; what
// comes behind it is what is asked for now.
func TestTriedBatchKeepsItsEventsUnderAnotherFilter(t *testing.T) {
	for _, row := range []struct{ was, is []string }{
		{was: []string{"CUSTOM"}, is: nil},
		{was: nil, is: []string{"CUSTOM"}},
		{was: []string{"CUSTOM"}, is: []string{"TAG_CHANGE"}},
	} {
		w := newWorld(t, t.TempDir())
		st, _, err := w.registry.CreateStream(t.Context(), w.project(), registry.StreamSpec{Name: "app"})
		if err != nil {
			t.Fatal(err)
		}
		var mended atomic.Bool
		r := newReceiver(t, func(*delivered, http.ResponseWriter) int {
			if mended.Load() {
				return http.StatusOK
			}
			return http.StatusBadGateway
		})
		h := w.hook(st, r.server.URL, func(s *registry.WebhookSpec) {
			s.BatchSize, s.Envelope, s.Types = 5, "airship", row.was
			s.Retry = slices.Repeat([]time.Duration{200 * time.Millisecond}, 50)
		})
		w.node(webhook.Config{Linger: 20 * time.Millisecond}, alone)
		w.airship(st, "a", "b", "c")
		tried := func() *delivered {
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.all) == 0 {
				return nil
			}
			return r.all[len(r.all)-1]
		}
		until(t, 10*time.Second, "tried", func() bool { return tried() != nil })
		first := tried()
		if _, err := w.registry.UpdateWebhook(t.Context(), h.ID, registry.WebhookPatch{Types: &row.is}); err != nil {
			t.Fatal(err)
		}
		mended.Store(true)
		until(t, 10*time.Second, "delivered", func() bool { return len(r.taken()) > 0 })
		if again := r.taken()[0]; again.id != first.id || string(again.body) != string(first.body) {
			t.Errorf("%v, then %v:\ntried %s %s\nagain %s %s", row.was, row.is, first.id, first.body, again.id, again.body)
		}
	}
}
