//go:build parts

package cluster_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/loadtest/drive"
	"sluice/loadtest/server"
	"sluice/loadtest/verify"
)

// visible is how soon what one node does must show at the other.
const visible = time.Second

// status asks a node for a stream with a token of its own.
func status(t *testing.T, p *server.Process, d drive.Door) int {
	t.Helper()
	_, err := d.Follower(p.Base).Read(t.Context(), url.Values{"from": {"LATEST"}, "limit": {"1"}, "timeout": {"1ms"}}, func(uint64, []byte) error { return nil })
	var refused *verify.StatusError
	switch {
	case errors.As(err, &refused):
		return refused.Status
	case err != nil:
		t.Fatal(err)
	}
	return http.StatusOK
}

// What one node accepts the other serves, by the same offsets, opened by the same keys; what is made or deleted at one is at
// the other within a second.
func TestTwoNodesAreOneStreet(t *testing.T) {
	w := newWorld(t)
	in := source(t, w.a.Admin, "shared")
	took := soon(t, visible, "a stream made on a is not on b", func() bool {
		code, _, err := w.b.Call(t.Context(), "GET", "/v1/streams/shared", nil)
		return err == nil && code == http.StatusOK
	})
	if code := status(t, w.b, in); code != http.StatusOK {
		t.Fatalf("a token made on a is answered %d on b", code)
	}
	out := cumulative(t, w.b.Admin, in, 2)
	soon(t, visible, "a derived stream made on b is not on a", func() bool { return status(t, w.a, out) == http.StatusOK })

	ledger := verify.NewLedger()
	readers := []*reader{follow(t, in, w.a, ledger), follow(t, in, w.b, ledger), follow(t, out, w.a, ledger), follow(t, out, w.b, ledger)}
	crowd := drive.Start(10*time.Millisecond, w.producers(in, ledger, 16, 4)...)
	time.Sleep(scaled(2*time.Second, time.Minute))
	if err := crowd.Stop(); err != nil {
		t.Error(err)
	}
	stored, refused, unknown := ledger.Tally()
	t.Logf("a stream was seen after %s; %d events acknowledged, %d refused, %d without an answer", took, stored, refused, unknown)
	if stored < 500 || refused+unknown > 0 {
		t.Errorf("%d acknowledged, %d refused, %d without an answer", stored, refused, unknown)
	}
	w.settle(t, ledger, readers...)

	// A consumer that moves to the other node goes on where it was.
	half := verify.NewReader(ledger, out.Rule)
	next, err := out.Follower(w.a.Base).Read(t.Context(), url.Values{"from": {"EARLIEST"}, "limit": {"100"}}, func(o uint64, body []byte) error {
		half.Event(o, body)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = out.Follower(w.b.Base).Read(t.Context(), url.Values{"from": {next}, "limit": {"100000"}, "timeout": {"1s"}}, func(o uint64, body []byte) error {
		half.Event(o, body)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := half.Finish().Err(); err != nil {
		t.Errorf("read half from a and half from b: %v", err)
	}

	deleteAtOne(t, w, in, out)
}

// deleteAtOne deletes a stream on a: on b its tokens, its name and the consumers in the middle of it end within a second.
func deleteAtOne(t *testing.T, w *world, in, out drive.Door) {
	t.Helper()
	type end struct {
		at  time.Time
		err error
	}
	ended := make(chan end, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	begun := make(chan struct{}, 1)
	go func() {
		_, err := out.Follower(w.b.Base).Read(ctx, url.Values{"from": {"EARLIEST"}}, func(uint64, []byte) error {
			select {
			case begun <- struct{}{}:
			default:
			}
			return nil
		})
		ended <- end{time.Now(), err}
	}()
	<-begun
	code, text, err := w.a.Call(t.Context(), "DELETE", "/v1/streams/shared?recursive=true", nil)
	if err != nil || code != http.StatusOK {
		t.Fatalf("%d %s %v", code, text, err)
	}
	deleted := time.Now()
	tokens := soon(t, visible, "a token of a stream that was deleted on a is good on b", func() bool {
		return status(t, w.b, in) == http.StatusUnauthorized && status(t, w.b, out) == http.StatusUnauthorized
	})
	soon(t, visible, "a stream that was deleted on a is on b", func() bool {
		code, _, err := w.b.Call(t.Context(), "GET", "/v1/streams/shared", nil)
		return err == nil && code == http.StatusNotFound
	})
	e := <-ended
	live := e.at.Sub(deleted)
	if live > visible+500*time.Millisecond {
		t.Errorf("a consumer of a deleted stream was cut after %s: %v", live, e.err)
	}
	t.Logf("after a delete on a, b refused tokens after %s and ended its consumer after %s", tokens, live)
}

// Servers that take too little in one message are refused, by the names of both settings that disagree.
func TestSmallMessagesAreRefused(t *testing.T) {
	logs := logCluster(t, "1MB")
	cfg := nodeConfig(t, "a", settings(addresses(logs), ""))
	var said strings.Builder
	cfg.Stderr = &said
	p, err := server.Start(t.Context(), cfg)
	if err == nil {
		p.Kill()
		t.Fatal("it started")
	}
	if text := said.String(); !strings.Contains(text, "max_payload") || !strings.Contains(text, "ingest.max_event_bytes") {
		t.Errorf("the refusal does not name both settings: %s", text)
	}
}
