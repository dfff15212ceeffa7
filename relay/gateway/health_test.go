package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay/gateway"
	"sluice/relay/registry"
)

func TestHealth(t *testing.T) {
	var broken atomic.Bool
	e := newEdge(t, func(c *gateway.Config) {
		ready := c.Ready
		c.Ready = func() error {
			if broken.Load() {
				return errNotReady
			}
			return ready()
		}
	})
	e.want(200, "GET", "/is-alive", "", "")
	e.want(200, "GET", "/ready", "", "")
	e.want(200, "HEAD", "/ready", "", "")
	e.want(405, "POST", "/ready", "", "")
	broken.Store(true)
	if a := e.want(503, "GET", "/ready", "", ""); a.body != errNotReady.Error()+"\n" {
		t.Errorf("the reason is %q", a.body)
	}
	e.want(200, "GET", "/is-alive", "", "")
	e.want(200, "HEAD", "/metrics", "", "")
	e.want(405, "DELETE", "/metrics", "", "")
	if a := e.want(200, "GET", "/metrics", "", ""); !strings.Contains(a.body, "sluice_ingest_duration_seconds") {
		t.Errorf("metrics: %.200s", a.body)
	}
	e.want(404, "GET", "/nothing/here", "", "")
}

func TestMetricsApart(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.MetricsListen = "127.0.0.1:0" })
	if a := e.send("GET", "/metrics", "", ""); a.status != 404 {
		t.Errorf("/metrics for everybody: %d", a.status)
	}
	res, err := http.Get("http://" + e.g.MetricsAddr().String() + "/metrics")
	e.must(err)
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || !strings.Contains(string(text), "sluice_ingest_duration_seconds") {
		t.Errorf("%v %.200s", err, text)
	}
	http.DefaultClient.CloseIdleConnections()
}

// A stop ends streams in order, finishes what is in hand, tells who asks that no more is taken, and is over in time.
func TestDrain(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.Grace = 3 * time.Second })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 3)
	packed := e.open("POST", "/api/events", st.token, `{"start":"EARLIEST"}`, gunzip(t))
	plain := e.open("GET", "/v1/streams/web/events?from=EARLIEST", st.token, "", nil)
	poll := e.open("GET", "/v1/streams/web/events?timeout=10m", st.token, "", nil)
	for range 3 {
		packed.object()
		plain.object()
	}
	// A client that began to send a header and has gone quiet, one that has sent nothing, and one whose event is on its
	// way: that one alone is work in hand.
	slow, silent, coming := e.raw(), e.raw(), e.raw()
	event := strings.TrimSpace(clicks(9, 1))
	_, err := io.WriteString(slow, "POST /event HTTP/1.1\r\nHost: x\r\n")
	e.must(err)
	_, err = fmt.Fprintf(coming, "%s%x\r\n%s", head("POST /event HTTP/1.1", "Host: x", st.bearer(), "Transfer-Encoding: chunked"), len(event), event[:50])
	e.must(err)
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- e.stop() }()
	for name, s := range map[string]*endless{"packed": packed, "plain": plain, "poll": poll} {
		if line, ok := s.next(); ok {
			t.Errorf("%s: one more line: %s", name, line)
		}
	}
	time.Sleep(100 * time.Millisecond)
	_, err = io.WriteString(coming, event[50:]+"\r\n0\r\n\r\n")
	e.must(err)
	if a := readAnswer(t, bufio.NewReader(coming), "POST"); a.status != 204 {
		t.Errorf("work in hand is answered %d %s", a.status, a.body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if n, err := slow.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("a connection with half a header is still open")
	}
	if n, err := silent.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("a silent connection is still open")
	}
	if _, err := http.Get(e.base + "/ready"); err == nil {
		t.Error("the stopped server answers")
	}
}

// While a stream that cannot be written holds the stop up, work is refused and /ready says why.
func TestDrainSaysSo(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, func(c *gateway.Config) { c.Grace = time.Second })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	for i := range 8 {
		e.bulk(st, i*2000, 2000)
	}
	stuck := e.raw()
	e.must(stuck.(*net.TCPConn).SetReadBuffer(4 << 10))
	if _, err := io.WriteString(stuck, "GET /v1/streams/web/events?from=EARLIEST HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+st.token+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- e.stop() }()
	e.eventually("/ready is 503", func() bool {
		req, err := http.NewRequestWithContext(ctx, "GET", e.base+"/ready", nil)
		e.must(err)
		res, err := e.client.Do(req)
		if err != nil {
			t.Fatalf("the server is gone before its streams: %v", err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode == 503 && strings.Contains(string(text), "stopping")
	})
	a := e.want(503, "POST", "/event", st.token, strings.TrimSpace(clicks(0, 1)))
	if a.header.Get("Retry-After") == "" || !a.close {
		t.Errorf("503 with %v", a.header)
	}
	e.want(503, "GET", "/v1/streams", adminToken, "")
	e.want(503, "GET", "/v1/streams/web/events", st.token, "")
	e.want(200, "GET", "/is-alive", "", "")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	e := newEdge(t, nil)
	for name, change := range map[string]func(*gateway.Config){
		"no address":    func(c *gateway.Config) { c.Listen = "" },
		"taken":         func(c *gateway.Config) { c.Listen = e.addr },
		"metrics taken": func(c *gateway.Config) { c.MetricsListen = e.addr; c.Gatherer = prometheus.NewRegistry() },
		"no core":       func(c *gateway.Config) { c.Relay = nil },
		"negative":      func(c *gateway.Config) { c.PerAddress, c.Grace, c.MaxEventBytes = -1, -1, -1 },
	} {
		cfg := gateway.Config{Listen: "127.0.0.1:0", Registry: e.reg, Relay: e.relay}
		change(&cfg)
		if g, err := gateway.Open(cfg); err == nil {
			t.Errorf("%s: opened", name)
			g.Close()
		}
	}
}
