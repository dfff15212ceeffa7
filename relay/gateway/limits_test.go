package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"io"

	"sluice/relay/engine"
	"sluice/relay/gateway"
	"sluice/relay/usage"
)

// meteredWorld is a gateway that counts usage.
func meteredWorld(t *testing.T) *manageWorld {
	return newManageWorldWith(t, func(w *manageWorld, e *engine.Engine, run func(func(context.Context) error), cfg *gateway.Config) {
		m, err := usage.Open(t.Context(), usage.Config{Engine: e})
		w.must(err)
		run(m.Run)
		cfg.Usage = m
	})
}

// plain sends a request that is not the management API's, and gives status, body and Retry-After.
func (w *manageWorld) plain(path, body string) (int, string, string) {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, w.base+path, strings.NewReader(body))
	w.must(err)
	req.Header.Set("Authorization", "Bearer "+w.token)
	res, err := w.client.Do(req)
	w.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	w.must(err)
	return res.StatusCode, string(text), res.Header.Get("Retry-After")
}

// The month's limit is exact whoever sends, nothing refused is counted, and usage tells what was taken.
func TestMonthLimit(t *testing.T) {
	w := meteredWorld(t)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"name":"web"}`)
	w.call(http.StatusOK, http.MethodPatch, "/v1/streams/web", `{"limits":{"eventCount":"30"}}`)
	w.bulk("web", exampleEvent(1, nil), exampleEvent(2, nil)) // 2
	if status, _, _ := w.plain("/event?stream=web", `{"not":"an event"}`); status != http.StatusBadRequest {
		t.Fatalf("status %d", status)
	}
	// A body that the month has no room for is refused whole.
	var many []string
	for i := range 29 {
		many = append(many, exampleEvent(i, nil))
	}
	status, text, after := w.plain("/v1/streams/web/events", strings.Join(many, "\n"))
	if status != http.StatusTooManyRequests || text != `{"error":{"code":429,"status":"Too Many Requests","message":"event rate limit exceeded"}}` {
		t.Fatalf("%d %s", status, text)
	}
	if n, err := strconv.Atoi(after); err != nil || n < 1 || n > 31*24*3600 {
		t.Errorf("Retry-After is %q", after)
	}
	var wait sync.WaitGroup
	var taken, refused atomic.Int64
	for i := range 8 {
		wait.Go(func() {
			for j := range 8 {
				switch status, text, after := w.plain("/event?stream=web", exampleEvent(100+8*i+j, nil)); {
				case status == http.StatusNoContent:
					taken.Add(1)
				case status == http.StatusTooManyRequests && text == "event rate limit exceeded" && after != "":
					refused.Add(1)
				default:
					t.Errorf("%d %s", status, text)
				}
			}
		})
	}
	wait.Wait()
	if taken.Load() != 28 || refused.Load() != 36 {
		t.Errorf("%d were taken, %d refused", taken.Load(), refused.Load())
	}
	w.call(http.StatusOK, http.MethodPatch, "/v1/streams/web", `{"limits":{"eventCount":"31"}}`)
	if status, _, _ := w.plain("/event?stream=web", exampleEvent(0, nil)); status != http.StatusNoContent {
		t.Errorf("with a higher limit: %d", status)
	}
	sum := 0.0
	windows := w.call(http.StatusOK, http.MethodGet, "/v1/usage/web", "").at().([]any)
	for _, window := range windows {
		sum += window.(map[string]any)["eventCount"].(float64)
	}
	if len(windows) != 96 || sum != 31 {
		t.Errorf("%d windows have %v events", len(windows), sum)
	}
}

// A second's worth may come at once, and what a body brings too much of is paid back.
func TestRateLimit(t *testing.T) {
	w := meteredWorld(t)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"name":"web"}`)
	w.call(http.StatusOK, http.MethodPatch, "/v1/streams/web", `{"limits":{"eventRate":"1"}}`)
	var many []string
	for i := range 600 {
		many = append(many, exampleEvent(i, nil))
	}
	w.bulk("web", many...)
	for _, path := range []string{"/event?stream=web", "/v1/streams/web/events"} {
		status, text, after := w.plain(path, exampleEvent(0, nil))
		n, err := strconv.Atoi(after)
		if status != http.StatusTooManyRequests || !strings.Contains(text, "event rate limit exceeded") || err != nil || n < 300 || n > 600 {
			t.Errorf("%s: %d %s, Retry-After %q", path, status, text, after)
		}
	}
	w.call(http.StatusOK, http.MethodPatch, "/v1/streams/web", `{"limits":null}`)
	if status, text, _ := w.plain("/event?stream=web", exampleEvent(0, nil)); status != http.StatusNoContent {
		t.Errorf("without the limit: %d %s", status, text)
	}
}

func TestUsageQuestions(t *testing.T) {
	w := meteredWorld(t)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"name":"web"}`)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"linkedStream":"web","consentLevels":[1]}`)
	w.bulk("web", exampleEvent(1, nil), exampleEvent(2, nil))
	now := time.Now().UTC().Truncate(time.Minute)
	at := func(d time.Duration) string { return now.Add(d).Format(time.RFC3339) }
	got := w.call(http.StatusOK, http.MethodGet, fmt.Sprintf("/v1/usage/web?from=%s&to=%s&interval=2h", at(-3*time.Hour), at(2*time.Minute)), "")
	got.want(t, fmt.Sprintf(`[{"startTime":%q,"endTime":%q,"eventCount":0},{"startTime":%q,"endTime":%q,"eventCount":2}]`,
		at(-3*time.Hour), at(-time.Hour), at(-time.Hour), at(2*time.Minute)))
	for query, says := range map[string]string{
		"from=yesterday": "must be a time", "interval=30s": "whole minutes", "interval=soon": "must be a duration", "interval=90s": "whole minutes",
		"from=" + at(0) + "&to=" + at(-time.Hour): "must be before to", "from=1970-01-01T00:00:00Z&interval=1m": "more than 10000 windows",
	} {
		if text := w.call(http.StatusBadRequest, http.MethodGet, "/v1/usage/web?"+query, "").message(); !strings.Contains(text, says) {
			t.Errorf("%s says %q, want %q", query, text, says)
		}
	}
	if text := w.call(http.StatusBadRequest, http.MethodGet, "/v1/usage/web-1", "").message(); !strings.Contains(text, "its source 'web'") {
		t.Errorf("a derived stream's usage: %q", text)
	}
	w.call(http.StatusNotFound, http.MethodGet, "/v1/usage/nothing", "")
	// A stream of the same name is another one.
	w.call(http.StatusOK, http.MethodDelete, "/v1/streams/web?recursive=true", "")
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"name":"web"}`)
	for _, window := range w.call(http.StatusOK, http.MethodGet, "/v1/usage/web?interval=1d", "").at().([]any) {
		if n := window.(map[string]any)["eventCount"].(float64); n != 0 {
			t.Errorf("the new stream has %v events", n)
		}
	}
}
