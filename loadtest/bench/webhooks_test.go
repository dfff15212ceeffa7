package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"sluice/relay/sample"
)

// A row whose checks hold whatever comes would measure anything: each kind of fault is told from what is right.
func TestDeliveriesAreHeldToTheirPromise(t *testing.T) {
	for _, c := range []struct {
		name, ordering string
		got            received
		fault          string // "" for none
	}{
		{"all in order", "fifo", received{Events: 9, Newest: 9}, ""},
		{"some still open", "none", received{Events: 9, Newest: 100, Order: 5}, ""},
		{"one twice", "none", received{Events: 9, Newest: 9, Again: 1}, "came twice"},
		{"one that is none", "fifo", received{Events: 9, Newest: 9, Strange: 1}, "were none"},
		{"out of order", "fifo", received{Events: 9, Newest: 9, Order: 2}, "out of order"},
		{"one left out", "fifo", received{Events: 9, Newest: 10}, "1 are missing"},
		{"too many open", "none", received{Events: 9, Newest: 10_000}, "are missing"},
	} {
		err := delivered{last: c.got}.check(c.ordering)
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestReceiverKeepsALedger(t *testing.T) {
	f, err := startFloor(t.Context(), "receive")
	if err != nil {
		t.Fatal(err)
	}
	defer f.end()
	client := &fasthttp.HostClient{Addr: f.addr}
	defer client.CloseIdleConnections()
	g := sample.New(1, 10)
	short := &bench{options: options{seconds: 0.2, people: 10}}
	post := func(path string, body []byte) {
		t.Helper()
		rq, rs := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
		defer fasthttp.ReleaseRequest(rq)
		defer fasthttp.ReleaseResponse(rs)
		rq.SetRequestURI("http://" + f.addr + path)
		rq.Header.SetMethod(fasthttp.MethodPost)
		rq.SetBodyRaw(body)
		if err := client.Do(rq, rs); err != nil || rs.StatusCode() != fasthttp.StatusOK {
			t.Fatalf("%s: %d %v", path, rs.StatusCode(), err)
		}
	}
	event := func(n uint64) []byte { return g.SeedLine(nil, sample.Marker{N: n}) }
	for _, n := range []uint64{1, 2, 4, 3, 4, 100_000} {
		post("/hook", event(n))
	}
	post("/hook", []byte(`{}`))
	post("/floor", event(1))
	got, err := f.look()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Sampling) != len(event(1)) {
		t.Errorf("kept %q", got.Sampling)
	}
	got.Sampling = nil
	want := received{Events: 5, Again: 1, Strange: 1, Order: 3, Newest: 100_000, Floor: 1}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := short.posts(f.addr, event(1), 2); err != nil {
		t.Error(err)
	}
	if after, err := f.look(); err != nil || after.Floor < 10 || after.Events != got.Events {
		t.Errorf("after the floor: %+v %v", after, err)
	}
}
