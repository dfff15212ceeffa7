package gateway_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"sluice/relay/registry"
)

func TestIdempotencyKey(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	const path = "/v1/streams/web/events"
	longest := strings.Repeat("k", 255)
	for _, key := range []string{"a", "7f0c1e9e-60c2-4b9d-8f43-0c7a1d9e2b11", `"quoted"`, longest} {
		first := e.want(200, "POST", path, st.token, clicks(0, 3)+"no event\n", "Idempotency-Key", key)
		if first.header.Get("Idempotent-Replayed") != "" || !strings.HasPrefix(first.body, `{"accepted":3,"rejected":1,"errors":[{"line":4,`) {
			t.Fatalf("%s: %v %s", key, first.header, first.body)
		}
		again := e.want(200, "POST", path, st.token, clicks(0, 3)+"no event\n", "Idempotency-Key", key)
		if again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: %v %s", key, again.header, again.body)
		}
		// The admin is no other sender: the key is the stream's.
		again = e.want(200, "POST", path, adminToken, clicks(0, 3)+"no event\n", "Idempotency-Key", key)
		if again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: stored again for another token", key)
		}
		other := e.want(422, "POST", path, st.token, clicks(9, 1), "Idempotency-Key", key)
		if !strings.HasPrefix(other.body, `{"error":{"code":422,"status":"Unprocessable Entity","message":"The Idempotency-Key was used for another body`) {
			t.Errorf("%s: %s", key, other.body)
		}
	}
	// All or nothing: the refusal is repeated like an answer.
	refused := e.want(400, "POST", path+"?atomic=true", st.token, clicks(0, 1)+"no event\n", "Idempotency-Key", "atomic")
	again := e.want(400, "POST", path+"?atomic=true", st.token, clicks(0, 1)+"no event\n", "Idempotency-Key", "atomic")
	if again.body != refused.body || again.header.Get("Idempotent-Replayed") != "true" || !strings.Contains(refused.body, `"accepted":0`) {
		t.Errorf("%s, then %s", refused.body, again.body)
	}
	for name, headers := range map[string][]string{
		"empty": {"Idempotency-Key", ""}, "too long": {"Idempotency-Key", longest + "k"}, "a space": {"Idempotency-Key", "a b"},
		"not ASCII": {"Idempotency-Key", "schlüssel"}, "twice": {"Idempotency-Key", "a", "Idempotency-Key", "b"},
	} {
		a := e.want(400, "POST", path, st.token, clicks(0, 1), headers...)
		if !strings.Contains(a.body, "Header Idempotency-Key must be 1 to 255 visible ASCII characters, once") {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	a := e.want(200, "GET", path+"?from=EARLIEST&timeout=200ms", st.token, "")
	if got := markers(t, a.body); fmt.Sprint(got) != "[1 2 3 1 2 3 1 2 3 1 2 3]" {
		t.Errorf("stored: %v", got)
	}
	metrics := e.want(200, "GET", "/metrics", "", "").body
	if !strings.Contains(metrics, `sluice_ingest_events_total{api="bulk",result="accepted",stream="web"} 12`) {
		t.Error("what was answered again was counted again")
	}
}

// Clients that lose patience and send again while the first is in hand, each several times over.
func TestIdempotencyKeyRetries(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	const producers, bodies, events = 4, 5, 50
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for b := range bodies {
				first := (p*bodies + b) * events
				var tries sync.WaitGroup
				for range 4 {
					tries.Go(func() {
						a := e.send("POST", "/v1/streams/web/events", st.token, clicks(first, events), "Idempotency-Key", fmt.Sprintf("%d-%d", p, b))
						if a.status != 200 || a.body != fmt.Sprintf(`{"accepted":%d,"rejected":0,"errors":[]}`, events) {
							t.Errorf("%d %s", a.status, a.body)
						}
					})
				}
				tries.Wait()
			}
		})
	}
	wg.Wait()
	a := e.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&timeout=500ms", st.token, "")
	seen := map[int]int{}
	for _, n := range markers(t, a.body) {
		seen[n]++
	}
	for n := 1; n <= producers*bodies*events; n++ {
		if seen[n] != 1 {
			t.Errorf("click %d is there %d times", n, seen[n])
		}
	}
}
