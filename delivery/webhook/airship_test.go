package webhook_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"sluice/delivery/webhook"
	"sluice/relay"
	"sluice/relay/contract"
	"sluice/relay/registry"
)

// airship stores a custom event of a game, and one of another type that nobody asked for.
func (w *world) airship(st *registry.Stream, ids ...string) {
	w.t.Helper()
	at := time.Now().UTC().Format(time.RFC3339Nano)
	var body strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&body, `{"id":"other-%s","type":"TAG_CHANGE","occurred":%q}`+"\n", id, at)
		fmt.Fprintf(&body, `{"id":%q,"type":"CUSTOM","occurred":%q,"device":{"ios_channel":"1819298f","attributes":{"locale_variant":""}},`+
			`"body":{"name":"finished_game","session_id":"e025","properties":{"game_name":"snaps","game_score":1000}}}`+"\n", id, at)
	}
	res, err := w.relay.AcceptBulk(w.t.Context(), st, relay.Bulk{Ref: []byte(contract.AirshipRef), Body: []byte(body.String())})
	if err != nil || res.Rejected > 0 {
		w.t.Fatalf("%+v %v", res, err)
	}
}

// A webhook integration as Airship's dashboard makes one: an address with a query, headers of its own, an authorization, event types, and
// arrays of ten or single objects; edited, and removed.
func TestAirshipWebhook(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st, _, err := w.registry.CreateStream(t.Context(), w.project(), registry.StreamSpec{Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var queries []string
	r := newReceiver(t, nil)
	inner := r.server.Config.Handler
	r.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		mu.Lock()
		queries = append(queries, req.Method+" "+req.URL.RequestURI()+" "+fmt.Sprint(req.ContentLength > 0))
		mu.Unlock()
		inner.ServeHTTP(rw, req)
	})
	h := w.hook(st, r.server.URL+"/in?team=games&x=%C3%A9", func(s *registry.WebhookSpec) {
		s.Name, s.Description = "games", "What is played"
		s.Headers = map[string]string{"Custom-Header1": "Value1", "Custom-Header2": "Value2"}
		s.Authorization, s.Types, s.Envelope = "Basic dXNlcj0wYXNzd29yZA==", []string{"CUSTOM"}, "airship"
	})
	w.node(webhook.Config{Linger: 20 * time.Millisecond}, alone)
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("e%d", i))
	}
	w.airship(st, ids...)
	got := func() (ids []string, bodies []gjson.Result) {
		for _, d := range r.taken() {
			v := gjson.ParseBytes(d.body)
			bodies = append(bodies, v)
			if !v.IsArray() {
				ids = append(ids, v.Get("id").Str)
			}
			for _, id := range v.Get("#.id").Array() {
				ids = append(ids, id.Str)
			}
		}
		return ids, bodies
	}
	all := func(want int) []gjson.Result {
		t.Helper()
		until(t, 10*time.Second, "delivered", func() bool { ids, _ := got(); return len(ids) >= want })
		_, bodies := got()
		return bodies
	}
	bodies := all(12)
	if len(bodies[0].Array()) != 10 {
		t.Errorf("the first batch has %d events", len(bodies[0].Array()))
	}
	var e struct {
		ID, Type, Offset, Occurred, Processed string
		Device, Body                          map[string]any
	}
	if err := json.Unmarshal([]byte(bodies[0].Get("0").Raw), &e); err != nil || e.ID != "e0" || e.Type != "CUSTOM" || e.Offset == "" ||
		!strings.HasSuffix(e.Occurred, "Z") || !strings.HasSuffix(e.Processed, "Z") || e.Device["ios_channel"] != "1819298f" || e.Body["name"] != "finished_game" {
		t.Errorf("%v: %s", err, bodies[0].Get("0"))
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json; charset=UTF-8", "Custom-Header1": "Value1", "Custom-Header2": "Value2", "Authorization": "Basic dXNlcj0wYXNzd29yZA==",
	} {
		if got := r.taken()[0].header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	mu.Lock()
	if queries[0] != "POST /in?team=games&x=%C3%A9 true" {
		t.Errorf("asked for %s", queries[0])
	}
	mu.Unlock()

	// Edited: single objects, another header, another type.
	one, headers, types := 1, map[string]string{"Custom-Header3": "3"}, []string{"CUSTOM", "TAG_CHANGE"}
	if _, err := w.registry.UpdateWebhook(t.Context(), h.ID, registry.WebhookPatch{BatchSize: &one, Headers: &headers, Types: &types}); err != nil {
		t.Fatal(err)
	}
	w.airship(st, "f0")
	bodies = all(14)
	last := r.taken()[len(r.taken())-1]
	if v := bodies[len(bodies)-1]; v.IsArray() || v.Get("id").Str != "f0" || last.header.Get("Custom-Header3") != "3" || last.header.Get("Custom-Header1") != "" {
		t.Errorf("%v %s", last.header, v)
	}

	// Removed: nothing more comes.
	if _, err := w.registry.DeleteWebhook(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	witness := newReceiver(t, nil)
	w.hook(st, witness.server.URL, func(s *registry.WebhookSpec) { s.Name, s.BatchSize, s.Types = "witness", 1, []string{"CUSTOM"} })
	for i := 0; len(witness.taken()) == 0; i++ { // the end of the one and the beginning of the other are told in one list
		w.airship(st, fmt.Sprintf("g%d", i))
		time.Sleep(50 * time.Millisecond)
		if i > 200 {
			t.Fatal("the other webhook gets nothing")
		}
	}
	if ids, _ := got(); len(ids) != 14 {
		t.Errorf("%v", ids)
	}
}
