package gateway

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"sluice/relay"
	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/registry"
	"sluice/relay/sample"
)

// benchEdge is a gateway over a real log, called without a network.
func benchEdge(t testing.TB) (*Gateway, *registry.Stream, string) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	var parts sync.WaitGroup
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	e, err := engine.Open(ctx, engine.Config{Dir: filepath.Join(dir, "log"), MinFree: 1 << 20, Durability: "os", Log: log})
	must(err)
	v, err := consent.Open(ctx, e.Cells(), consent.Config{Dir: dir, Log: log})
	must(err)
	reg, err := registry.Open(ctx, e, v, registry.Config{Log: log})
	must(err)
	r := relay.New(e, v, reg, relay.Config{Log: log})
	for _, run := range []func(context.Context) error{e.Run, v.Run, reg.Run, r.Run} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	g, err := Open(Config{Listen: "127.0.0.1:0", Registry: reg, Relay: r, Log: log})
	must(err)
	t.Cleanup(func() {
		must(g.Close())
		cancel()
		parts.Wait()
		must(e.Close())
	})
	st, cred, err := reg.CreateStream(t.Context(), reg.Snapshot().Project(defaultProject), registry.StreamSpec{Name: "web"})
	must(err)
	issued, err := reg.Tokens().Issue(t.Context(), cred.ClientID)
	must(err)
	return g, st, issued.AccessToken
}

// called is a request that is made again and again without a network.
type called struct {
	ctx  fasthttp.RequestCtx
	body *bytes.Reader
}

func newCalled(t testing.TB, event []byte) *called {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	c := &called{body: bytes.NewReader(event)}
	c.ctx.Init2(&conn{Conn: near}, nil, false)
	return c
}

func (c *called) do(g *Gateway, bearer string, event []byte) int {
	h := &c.ctx.Request.Header
	h.SetMethod(http.MethodPost)
	h.SetRequestURI("/event")
	h.SetHost("x")
	h.Set("Authorization", bearer)
	h.Set("Strm-Schema-Ref", sample.ClickstreamRef)
	c.body.Reset(event)
	c.ctx.Request.SetBodyStream(c.body, len(event))
	g.serve(&c.ctx)
	return c.ctx.Response.StatusCode()
}

// The edge adds nothing to what the core allocates for an event.
func TestEventAllocates(t *testing.T) {
	g, st, token := benchEdge(t)
	event := sample.New(1, 1).SeedLine(nil, sample.Marker{N: 1})
	c := newCalled(t, event)
	if status := c.do(g, "Bearer "+token, event); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, c.ctx.Response.Body())
	}
	ref := []byte(sample.ClickstreamRef)
	core := testing.AllocsPerRun(300, func() {
		if err := g.relay.Accept(g.work, st, relay.Event{Ref: ref, Body: event}); err != nil {
			t.Fatal(err)
		}
	})
	bearer := "Bearer " + token
	edge := testing.AllocsPerRun(300, func() { c.do(g, bearer, event) })
	t.Logf("%.0f allocations in the core, %.0f with the edge", core, edge)
	if raceOff && edge > core+1 {
		t.Errorf("the edge adds %.1f allocations to the core's %.1f", edge-core, core)
	}
}

// A handler's panic is one request's, is answered, and tells nothing of the request.
func TestPanicIsAnswered(t *testing.T) {
	var log bytes.Buffer
	g, _, token := benchEdge(t)
	g.log = slog.New(slog.NewTextHandler(&log, nil))
	g.ingest = nil
	event := []byte(`{"name":"Mrs Secret"}`)
	c := newCalled(t, event)
	if status := c.do(g, "Bearer "+token, event); status != http.StatusInternalServerError {
		t.Fatalf("%d", status)
	}
	if !strings.Contains(log.String(), "request panicked") || strings.Contains(log.String(), "Secret") || strings.Contains(log.String(), token) {
		t.Errorf("the log says %s", log.String())
	}
	if !c.ctx.Response.ConnectionClose() {
		t.Error("the connection goes on after a panic")
	}
}

func BenchmarkEvent(b *testing.B) {
	g, _, token := benchEdge(b)
	event := sample.New(1, 1).SeedLine(nil, sample.Marker{N: 1})
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		c, bearer := newCalled(b, event), "Bearer "+token
		for pb.Next() {
			if status := c.do(g, bearer, event); status != http.StatusNoContent {
				b.Fatalf("%d %s", status, c.ctx.Response.Body())
			}
		}
	})
}
