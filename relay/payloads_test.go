package relay_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay"
	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

func (n *node) payload(st *registry.Stream, id byte, body string) error {
	return n.AcceptPayload(n.t.Context(), st, relay.Payload{RequestID: [16]byte{id}, Body: []byte(body)})
}

// kept gives what the log holds of a stream, and the requests that brought it.
func (n *node) kept(st *registry.Stream, from, to engine.Offset) (bodies []string, ids []byte, offsets []engine.Offset) {
	n.t.Helper()
	err := n.Payloads(n.t.Context(), st, from, to, func(p *relay.StoredPayload) error {
		bodies, ids, offsets = append(bodies, string(p.Body)), append(ids, p.RequestID[0]), append(offsets, p.Offset)
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return bodies, ids, offsets
}

const everything = engine.Offset(1) << 52

// XML lies in the log as it came, byte for byte, and is shown as JSON live, from the log, and after a restart; what cannot be read is kept,
// and not shown.
func TestPayloadsOfXML(t *testing.T) {
	dir := t.TempDir()
	metrics := prometheus.NewRegistry()
	n := start(t, dir, relay.Config{Metrics: metrics})
	st := n.stream(registry.StreamSpec{Name: "orders", Payload: "xml"})
	sent := []string{
		"<?xml version='1.0'?>\r\n<r><a> 1 </a>\n<b k='v'/></r>\n", "<broken>", "\xff\xfe\x00", "<r>\"quoted\"</r>",
		"<!DOCTYPE r [<!ENTITY x 'y'>]><r>&x;</r>", "<r>" + strings.Repeat("<a>x</a>", 30000) + "</r>", "<r/>",
	}
	want := []string{`{"r":{"a":" 1 ","b":{"_k":"v"}}}`, `{"r":"\"quoted\""}`, `{"r":{"a":[` + strings.Repeat(`"x",`, 29999) + `"x"]}}`, `{"r":""}`}
	live := n.open(relay.Spec{Stream: st})
	for i, body := range sent {
		if err := n.payload(st, byte(i), body); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, live, len(want)); !slices.Equal(got, want) {
		t.Errorf("live: %.300q", got)
	}
	nothing(t, live)
	if got := droppedBy(t, metrics); got["orders unparsable"] != 3 {
		t.Errorf("counted are %v", got)
	}
	var v *contract.Violation
	if err := n.payload(st, 9, ""); !errors.As(err, &v) {
		t.Errorf("an empty payload: %v", err)
	}
	if res, err := n.AcceptBulk(t.Context(), st, relay.Bulk{Body: []byte("{}\n")}); err != nil || res.Rejected != 1 {
		t.Errorf("in bulk: %v %v", res, err)
	}
	live.Close()
	n.stop()

	n = start(t, dir, relay.Config{})
	st = n.registry.Snapshot().Stream(n.project(), "orders")
	if got := read(t, n.open(relay.Spec{Stream: st, From: relay.Earliest()}), len(want)); !slices.Equal(got, want) {
		t.Errorf("after a restart: %.300q", got)
	}
	bodies, ids, offsets := n.kept(st, 0, everything)
	if !slices.Equal(bodies, sent) || fmt.Sprint(ids) != "[0 1 2 3 4 5 6]" || !slices.IsSorted(offsets) {
		t.Errorf("the log holds %.200q of %v", bodies, ids)
	}
	if bodies, _, _ := n.kept(st, offsets[1], offsets[3]); !slices.Equal(bodies, sent[2:4]) {
		t.Errorf("a part of it is %q", bodies)
	}
	stop := errors.New("enough")
	if err := n.Payloads(t.Context(), st, 0, everything, func(*relay.StoredPayload) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("it goes on: %v", err)
	}
}

func TestPayloadsOfJSON(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	st, events := n.stream(registry.StreamSpec{Name: "web", Payload: "json"}), n.stream(registry.StreamSpec{Name: "events"})
	for i, body := range []string{"{ \"b\" : 1.0, \"a\" : [ ] }", `{"strmMeta":{"eventContractRef":"no/such/1.0.0"}}`} {
		if err := n.payload(st, byte(i), body); err != nil {
			t.Fatal(err)
		}
	}
	var v *contract.Violation
	for _, body := range []string{"", "[]", "<r/>", `{"a":1,"a":1}`, "{} {}", "{\"a\":\"\xff\"}"} {
		if err := n.payload(st, 9, body); !errors.As(err, &v) {
			t.Errorf("%q: %v", body, err)
		}
	}
	if err := n.payload(events, 9, "{}"); !errors.As(err, &v) {
		t.Errorf("a stream of events: %v", err)
	}
	bodies, ids, _ := n.kept(st, 0, everything)
	if want := []string{`{"b":1.0,"a":[]}`, `{"strmMeta":{"eventContractRef":"no/such/1.0.0"}}`}; !slices.Equal(bodies, want) || string(ids) != "\x00\x01" {
		t.Errorf("%q of %v", bodies, ids)
	}
	if _, _, err := n.registry.CreateStream(t.Context(), n.project(), registry.StreamSpec{DerivedFrom: "web", Levels: []int{1}}); err == nil {
		t.Error("payloads carry no consent, and yet a stream is derived from them")
	}
}
