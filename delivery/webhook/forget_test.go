package webhook_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"sluice/delivery/webhook"
	"sluice/relay"
	"sluice/relay/registry"
)

// clicks stores an event of each of these people in a stream of the built-in contract.
func (w *world) clicks(st *registry.Stream, people ...string) {
	w.t.Helper()
	var body bytes.Buffer
	for i, person := range people {
		fmt.Fprintf(&body, `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0,1,2]},"producerSessionId":"s-%s",`+
			`"url":"https://www.example.com","eventType":"click","referrer":"","userAgent":"","conversion":%d,"customer":{"id":%q},"abTests":[]}`+"\n", person, i, person)
	}
	res, err := w.relay.AcceptBulk(w.t.Context(), st, relay.Bulk{Body: body.Bytes()})
	if err != nil || res.Rejected > 0 {
		w.t.Fatalf("bulk: %+v %v", res, err)
	}
}

// shows tells whom the events of a body name in clear, and which events they are.
func shows(body []byte) (people []string, events []int64) {
	for _, e := range gjson.ParseBytes(body).Array() {
		people = append(people, e.Get("customer.id").String())
		events = append(events, e.Get("conversion").Int())
	}
	return people, events
}

// A batch that was opened before a person was forgotten and is sent afterwards, again or for the first time, shows the person
// no more; it is the same events under the same id, and everybody else in it is shown as before.
func TestForgottenBeforeItIsSent(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st, _, err := w.registry.CreateStream(t.Context(), w.project(), registry.StreamSpec{Name: "clicks"})
	if err != nil {
		t.Fatal(err)
	}
	derived, _, err := w.registry.CreateStream(t.Context(), w.project(), registry.StreamSpec{DerivedFrom: st.Name, Levels: []int{2}})
	if err != nil {
		t.Fatal(err)
	}
	var forgotten atomic.Bool
	r := newReceiver(t, func(*delivered, http.ResponseWriter) int {
		if forgotten.Load() {
			return http.StatusOK
		}
		return http.StatusInternalServerError
	})
	w.hook(derived, r.server.URL, func(s *registry.WebhookSpec) {
		s.BatchSize = 5
		s.Retry = slices.Repeat([]time.Duration{200 * time.Millisecond}, 50)
	})
	w.node(webhook.Config{Linger: 20 * time.Millisecond}, alone)
	w.clicks(st, "jane", "john", "jane", "ann", "john", "jane", "jane", "ann")

	refused := func() []*delivered {
		r.mu.Lock()
		defer r.mu.Unlock()
		return slices.Clone(r.all)
	}
	until(t, 10*time.Second, "tried", func() bool { return len(refused()) >= 2 })
	before := refused()[0]
	if people, _ := shows(before.body); !slices.Equal(people, []string{"jane", "john", "jane", "ann", "john"}) {
		t.Fatalf("the first attempt shows %q", people)
	}
	if err := w.relay.Forget(t.Context(), "jane", st); err != nil {
		t.Fatal(err)
	}
	forgotten.Store(true)
	tried := len(refused())
	until(t, 10*time.Second, "delivered", func() bool { return len(r.taken()) >= 2 })

	taken := r.taken()
	_, was := shows(before.body)
	people, is := shows(taken[0].body)
	if taken[0].id != before.id || !slices.Equal(is, was) {
		t.Errorf("another batch was sent again: %s with %v, it was %s with %v", taken[0].id, is, before.id, was)
	}
	if people[1] != "john" || people[3] != "ann" || people[4] != "john" {
		t.Errorf("the others are shown as %q", people)
	}
	if rest, events := shows(taken[1].body); len(rest) != 3 || rest[2] != "ann" || events[0] != 5 {
		t.Errorf("the next batch shows %q, %v", rest, events)
	}
	for _, d := range refused()[min(tried+1, len(refused())):] { // one may have been on its way
		if bytes.Contains(d.body, []byte(`"jane"`)) {
			t.Errorf("a person who was forgotten was sent: %s", d.body)
		}
	}
}
