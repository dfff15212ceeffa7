package webhook_test

import (
	"net/http"
	"testing"
	"time"

	"sluice/delivery/webhook"
)

// A receiver that asks for more time than anybody would wait is given a day, the most there is, and not none at all.
func TestRetryAfterBeyondAllBounds(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("source")
	r := newReceiver(t, func(_ *delivered, rw http.ResponseWriter) int {
		rw.Header().Set("Retry-After", "99999999999999999999")
		return http.StatusServiceUnavailable
	})
	h := w.hook(st, r.server.URL, nil)
	n := w.node(webhook.Config{Linger: 5 * time.Millisecond}, alone)
	w.send(st, 0, 1)
	var attempts []webhook.Attempt
	until(t, 5*time.Second, "tried", func() bool {
		var err error
		if attempts, err = n.Attempts(t.Context(), h.ID); err != nil {
			t.Fatal(err)
		}
		return len(attempts) == 1
	})
	if wait := attempts[0].Next.Sub(attempts[0].At); wait < 23*time.Hour || wait > 25*time.Hour {
		t.Errorf("the next attempt comes after %v, want a day", wait)
	}
}
