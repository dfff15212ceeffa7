// Package gateway is the HTTP edge: it turns requests of three systems' clients, and of our own, into calls of the
// core, and the core's answers into what those clients understand.
//
// It hides the transport. A handler sees a request and fills a response, both our own small types that borrow from
// whatever carried them; fasthttp carries HTTP/1. What is hot (ingest), endless (reading) or asked by anybody
// (tokens, health) is answered natively; all else is the management API, a fiber application behind a body limit.
//
// It also hides how hostile a client may be: a header has 10 s and 16 KiB, a body comes at a least rate into a buffer
// that grows with what has come, large buffers share a budget, a refused body is read away for a while so that the
// client can read the refusal, and a client's address may have so many connections.
//
// An endless answer takes its connection away from the server: the edge keeps it among its connections, hands it to
// delivery/stream, and gives it back to the server when a long poll has ended in order.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"sluice/delivery/export"
	"sluice/delivery/load"
	"sluice/delivery/stream"
	"sluice/delivery/webhook"
	"sluice/relay"
	"sluice/relay/backup"
	"sluice/relay/registry"
	"sluice/relay/usage"
)

// errDraining is why a stopping edge takes no more.
var errDraining = errors.New("the server is stopping")

// Config is what the edge works on and how it limits its clients.
type Config struct {
	// Listen is the address and port to listen on; port 0 takes any free one.
	Listen string
	// CertFile and KeyFile are PEM files of a certificate and its key, read again when they change. With them Listen
	// speaks TLS, HTTP/2 and HTTP/1.1 by the client's choice; without them HTTP/1.1 as it is.
	CertFile, KeyFile string
	// MetricsListen is an address and port for /metrics alone. Empty: /metrics is on Listen, for everybody.
	MetricsListen string

	Registry *registry.Registry
	Relay    *relay.Relay
	// Exports check what sinks and exporters are made of. Nil: the edge has no routes for them.
	Exports *export.Exports
	// Webhooks deliver; the edge asks them what a webhook may be. Nil: the edge has no routes for them.
	Webhooks *webhook.Service
	// Couriers load landed files into feeds. Nil: the edge has no routes for them.
	Couriers *load.Service
	// Usage counts what streams take. Nil: months have no limit, and the edge has no route for usage.
	Usage *usage.Meter
	// Backup is what backups are taken of. Nil: the edge has no route for them.
	Backup *backup.Source
	// Conns are the endless answers in progress. Nil: the edge's own.
	Conns *stream.Conns
	// Ready says what else keeps the process from working, such as the log. May be nil.
	Ready func() error
	// Version is shown in the OpenAPI document.
	Version string

	// Grace is how long a stop may take to end streams in order and finish requests in hand (default 10s, below the
	// 30s that process managers usually wait).
	Grace time.Duration
	// MaxEventBytes is the largest single event and the longest line of a bulk body, in bytes (default 1 MiB).
	MaxEventBytes int
	// MaxPayloadBytes is the largest payload, in bytes (default 254 KiB, which clients of the imitated gateway know). One above MaxEventBytes
	// counts as that.
	MaxPayloadBytes int
	// Keepalive is how long an endless answer may be silent before a blank line (default 2s: the least patient known
	// client gives up after 5).
	Keepalive time.Duration
	// Ping is how often a websocket is pinged (default 30s: proxies cut what is silent for a minute).
	Ping time.Duration
	// MaxConnections is how many streams of /api/events a token may have open at once (default 100; a quick reconnect
	// overlaps the connection it replaces).
	MaxConnections int
	// TestStream is the uuid of the stream that the test server's public credentials read. Empty: there is no test server.
	TestStream string
	// PerAddress is how many connections a client's address may have, an IPv6 address counting by its /64. 0: any number, for
	// behind a proxy that is not in TrustedProxies all have the proxy's.
	PerAddress int
	// TrustedProxies are the addresses and ranges whose X-Forwarded-For is believed. Their own connections are not counted;
	// each request in progress that they send for a client counts as a connection of the client's address.
	TrustedProxies []string

	// Origins are the origins whose pages may read streams over /sse and /v1/streams/{stream}/events: exact ones like
	// https://app.example.com, or *. None: no other origin's. Websockets ask for no origin, only for a token.
	Origins []string

	// HeaderTime is how long a request's header may take (default 10s). BodyTime is how long a body may, with a second
	// more for each 16 KiB that have come (default 10s).
	HeaderTime, BodyTime time.Duration

	// Log gets what a client was not told; nil: slog.Default().
	Log *slog.Logger
	// Metrics takes the edge's own metrics, Gatherer is what /metrics shows. Either may be nil.
	Metrics  prometheus.Registerer
	Gatherer prometheus.Gatherer
}

// withDefaults fills what was left out.
func (c Config) withDefaults() Config {
	if c.Grace <= 0 {
		c.Grace = 10 * time.Second
	}
	if c.MaxEventBytes <= 0 {
		c.MaxEventBytes = 1 << 20
	}
	if c.MaxPayloadBytes <= 0 {
		c.MaxPayloadBytes = 254 << 10
	}
	c.MaxPayloadBytes = min(c.MaxPayloadBytes, c.MaxEventBytes)
	if c.Keepalive <= 0 {
		c.Keepalive = stream.DefaultKeepalive
	}
	if c.Ping <= 0 {
		c.Ping = stream.DefaultPing
	}
	if c.HeaderTime <= 0 {
		c.HeaderTime = 10 * time.Second
	}
	if c.BodyTime <= 0 {
		c.BodyTime = 10 * time.Second
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 100
	}
	if c.Conns == nil {
		c.Conns = stream.NewConns(c.Metrics)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Registry == nil || c.Relay == nil {
		fault("Registry and Relay are needed")
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		fault("Listen: %w", err)
	}
	if c.MetricsListen != "" {
		if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil {
			fault("MetricsListen: %w", err)
		}
	}
	if c.Grace < 0 || c.Keepalive < 0 || c.Ping < 0 || c.HeaderTime < 0 || c.BodyTime < 0 {
		fault("Grace, Keepalive, Ping, HeaderTime and BodyTime must not be negative")
	}
	if c.MaxEventBytes < 0 || c.MaxEventBytes > bulkMaxBytes {
		fault("MaxEventBytes must be at most %d", bulkMaxBytes)
	}
	if c.MaxPayloadBytes < 0 {
		fault("MaxPayloadBytes must not be negative")
	}
	if c.MaxConnections < 0 || c.PerAddress < 0 {
		fault("MaxConnections and PerAddress must not be negative")
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		fault("CertFile and KeyFile belong together")
	}
	if _, err := parseProxies(c.TrustedProxies); err != nil {
		fault("TrustedProxies: %w", err)
	}
	for _, o := range c.Origins {
		if err := checkOrigin(o); err != nil {
			fault("Origins: %q %w", o, err)
		}
	}
	return errors.Join(faults...)
}

// Gateway is an edge that listens. Open, then Run or Close. Safe for concurrent use.
type Gateway struct {
	cfg      Config
	log      *slog.Logger
	registry *registry.Registry
	relay    *relay.Relay
	conns    *stream.Conns
	manage   fasthttp.RequestHandler
	metrics  fasthttp.RequestHandler // nil: not on this listener
	ingest   *ingest
	rtds     tally
	bodies   *budget
	logins   logins

	server      *fasthttp.Server
	tls         *tlsPort     // nil: plain
	http2       *http2Server // nil: plain
	connections *connections
	listener    net.Listener
	observer    *http.Server // of MetricsListen, or nil
	observed    net.Listener

	exchanges sync.Pool
	opened    time.Time
	// work ends when the grace of a stop is over: what is still waiting in a handler then gives up.
	work     context.Context
	cut      context.CancelFunc
	draining atomic.Bool
}

// Open listens; connections wait in the kernel until Run. The caller must call Run or Close.
func Open(cfg Config) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	cfg = cfg.withDefaults()
	in, err := newIngest(cfg.Metrics, cfg.Usage)
	if err != nil {
		return nil, fmt.Errorf("gateway: register metrics: %w", err)
	}
	trusted, err := parseProxies(cfg.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{
		cfg: cfg, log: cfg.Log, registry: cfg.Registry, relay: cfg.Relay, conns: cfg.Conns, ingest: in,
		rtds: tally{most: cfg.MaxConnections}, bodies: newBudget(bodyBudget),
		connections: newConnections(cfg.PerAddress, trusted), opened: time.Now(),
	}
	g.work, g.cut = context.WithCancel(context.Background())
	g.exchanges.New = func() any { return &exchange{rq: request{body: body{budget: g.bodies}}} }
	g.manage = newManagement(manageConfig{
		Registry: cfg.Registry, Relay: cfg.Relay, Exports: cfg.Exports, Webhooks: cfg.Webhooks, Couriers: cfg.Couriers, Usage: cfg.Usage, Backup: cfg.Backup, Conns: cfg.Conns, Version: cfg.Version, Log: cfg.Log,
	}).Handler()
	g.server = g.newServer()
	if cfg.CertFile != "" {
		if g.tls, err = openTLS(cfg.CertFile, cfg.KeyFile, g.draining.Load, g.log); err != nil {
			g.cut()
			return nil, fmt.Errorf("gateway: %w", err)
		}
		g.http2 = newHTTP2(g)
	}
	if g.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		g.cut()
		return nil, fmt.Errorf("listen on %s (setting listen): %w", cfg.Listen, err)
	}
	if err := g.openMetrics(); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Addr is where the edge listens.
func (g *Gateway) Addr() net.Addr { return g.listener.Addr() }

// MetricsAddr is where /metrics is served alone, or nil.
func (g *Gateway) MetricsAddr() net.Addr {
	if g.observed == nil {
		return nil
	}
	return g.observed.Addr()
}

// Close is for an edge that is never run.
func (g *Gateway) Close() error {
	g.cut()
	err := g.listener.Close()
	if g.observed != nil {
		err = errors.Join(err, g.observed.Close())
	}
	return err
}

// uptime is a clock for limits: it never jumps, and begins late enough for a limit to look an hour back.
func (g *Gateway) uptime() time.Duration { return time.Since(g.opened) + time.Hour }

// Run serves until ctx ends, then takes no more: work is answered 503, /ready too, streams end in order, requests in
// hand are finished, all within the grace; what is left then is cut. Nil after that, or why it could not go on.
func (g *Gateway) Run(ctx context.Context) error {
	accepting := make(chan error, 1)
	go func() { accepting <- g.accept() }()
	observing := make(chan error, 1)
	if g.observer != nil {
		go func() { observing <- g.observer.Serve(g.observed) }()
	}
	multiplexing := make(chan error, 1)
	if g.http2 != nil {
		go func() { multiplexing <- g.http2.run() }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-accepting:
		accepting <- err
	case err = <-multiplexing:
		multiplexing <- err
	case err = <-observing:
		observing <- err
	}
	g.drain(time.Now().Add(g.cfg.Grace))
	<-accepting
	if g.http2 != nil {
		<-multiplexing
	}
	if g.observer != nil {
		_ = g.observer.Close()
		<-observing
	}
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	return nil
}

// drain ends all connections, in order until the deadline. The listener stays open while streams end, so that who
// asks /ready hears 503 instead of a refused connection.
func (g *Gateway) drain(deadline time.Time) {
	g.draining.Store(true)
	g.log.Info("draining", slog.Int("streams", g.conns.Count()))
	if g.http2 != nil {
		defer g.http2.drain(deadline)()
	}
	g.conns.Drain(deadline)
	_ = g.listener.Close()
	g.connections.finish(deadline)
	g.cut()
	g.connections.cut()
}
