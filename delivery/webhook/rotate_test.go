package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"sluice/delivery/webhook"
)

// The secret before the last one signs for a day beside the new one, and then no more, without anybody touching the webhook.
func TestRotatedSecretSignsForADay(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("source")
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	type taken struct {
		header http.Header
		body   []byte
	}
	got := make(chan taken, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		got <- taken{req.Header, body}
	}))
	t.Cleanup(server.Close)
	h := w.hook(st, server.URL, nil)
	n := w.node(webhook.Config{Now: now}, alone)
	const fresh = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	if _, err := w.registry.RotateWebhookSecret(t.Context(), h.ID, fresh, ""); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		old   bool
	}{{0, true}, {23 * time.Hour, true}, {25 * time.Hour, false}} {
		ahead.Store(int64(c.after))
		if a, err := n.Test(t.Context(), w.registry.Snapshot().WebhookByID(h.ID)); err != nil || a.Status != http.StatusOK {
			t.Fatalf("after %v: %+v, %v", c.after, a, err)
		}
		d := <-got
		if err := webhook.Verify(fresh, d.header, d.body, now()); err != nil {
			t.Errorf("after %v by the new secret: %v", c.after, err)
		}
		if err := webhook.Verify(secret, d.header, d.body, now()); (err == nil) != c.old {
			t.Errorf("after %v by the old secret: %v, want it to fit: %t", c.after, err, c.old)
		}
	}
}
