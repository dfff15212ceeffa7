// Package node joins the parts of Sluice to one running process: it hides in which order they are opened, that one's death is the end of
// all, and in which order they stop.
//
// Parts are opened along the data's way back, log first, edge last, so that nobody is let in before there is somewhere to put what they
// bring. They stop the other way: the edge takes no more and ends its streams, what was accepted is finished, and the log closes last,
// when nothing can be written any more. A part that ends on its own, with an error or without, takes the process down in that same
// order: a node that lost its janitor or its control plane would look healthy and be wrong.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"sluice/config"
	"sluice/delivery"
	"sluice/delivery/export"
	"sluice/delivery/load"
	"sluice/delivery/webhook"
	"sluice/relay"
	"sluice/relay/backup"
	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/gateway"
	"sluice/relay/registry"
	"sluice/relay/usage"
)

// Options are what a node is told beside its configuration.
type Options struct {
	Config     config.Config
	SelfSigned bool   // listen speaks TLS with a certificate of its own for localhost, made below the data folder where there is none
	AdminToken string // the admin token of this run, in place of the stored one; "" for none
	Version    string
	Log        *slog.Logger

	// TestServer, if set, makes up events for whoever comes with its public credentials.
	TestServer *TestServer

	// Ready, if set, is called once, on Run's goroutine, when the edge listens.
	Ready func(Started)
}

// Started is what a node can tell once it runs.
type Started struct {
	URL             string // where the edge is reached from this machine
	Certificate     string // the file of the self-signed certificate; else ""
	FirstAdminToken string // made by the very first start of a store, shown this once; else ""
}

// Run opens a node and serves until ctx ends, then stops it in order; nil after that. An error says which part could not start, or died.
func Run(ctx context.Context, o Options) (err error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	edge := o.Config.Edge
	if edge.Listen, err = fixedPort(edge.Listen); err != nil {
		return fmt.Errorf("listen on %s (setting listen): %w", o.Config.Edge.Listen, err)
	}
	if o.SelfSigned {
		if edge.CertFile, edge.KeyFile, err = gateway.SelfSigned(filepath.Join(o.Config.Data, "tls")); err != nil {
			return err
		}
	}
	local := "http://" + reachable(edge.Listen)
	if edge.CertFile != "" {
		local = "https://" + reachable(edge.Listen)
	}
	if o.Config.PublicURL == "" {
		o.Config.PublicURL = local
	}
	// A stop lets the opening finish, which normally takes moments: cut in the middle, the first start of a store would leave an admin
	// token behind that nobody was shown.
	opening, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(edge.Grace, cut) })()
	store, err := open(opening, o, metrics)
	if err != nil {
		if opening.Err() != nil {
			o.Log.Warn("the start was cut short by a stop", slog.Any("error", err))
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, store.stop()) }()

	core := o.Config.Relay
	core.Log, core.Metrics = o.Log, metrics
	r := relay.New(store.engine, store.vault, store.registry, core)
	store.start("relay", r.Run)
	// Before anything is let in: it counts what this node stores from here on.
	meter, err := usage.Open(opening, usage.Config{Engine: store.engine, Log: o.Log})
	if err != nil {
		return err
	}
	store.start("usage", meter.Run)

	// Another node can only be on an engine that is not in this process.
	runner := delivery.New(store.engine.Cells(), delivery.Config{Alone: o.Config.Engine.URL == "", Grace: edge.Grace, Log: o.Log})
	data, err := filepath.Abs(o.Config.Data) // a relative sink would lie below the folders of sinks
	if err != nil {
		return fmt.Errorf("folder of setting data: %w", err)
	}
	exports, err := export.New(export.Config{
		Engine: store.engine, Relay: r, Registry: store.registry, Runner: runner,
		Folders: filepath.Join(data, "export"), Landing: filepath.Join(data, "landing"), Log: o.Log, Metrics: metrics,
	})
	if err != nil {
		return err
	}
	hooks := o.Config.Webhooks
	hooks.Relay, hooks.Engine, hooks.Registry, hooks.Runner = r, store.engine, store.registry, runner
	hooks.Version, hooks.Log, hooks.Metrics = o.Version, o.Log, metrics
	webhooks, err := webhook.New(hooks)
	if err != nil {
		return err
	}
	files := landed{exports}
	couriers, err := load.New(load.Config{
		Dir: filepath.Join(data, "feeds"), List: files.list, Open: files.open, Cells: store.engine.Cells(), Registry: store.registry,
		Runner: runner, Log: o.Log, Metrics: metrics,
	})
	if err != nil {
		return err
	}
	store.start("couriers", couriers.Run)
	store.start("delivery", runner.Run)
	store.start("webhooks", webhooks.Run)
	store.start("export", exports.Run)

	edge.Exports, edge.Webhooks, edge.Couriers, edge.Usage = exports, webhooks, couriers, meter
	edge.Backup = &backup.Source{Engine: store.engine, Vault: store.vault, Version: o.Version, Cluster: o.Config.Engine.URL != ""}
	edge.Registry, edge.Relay, edge.Ready, edge.Version = store.registry, r, store.ready, o.Version
	edge.Log, edge.Metrics, edge.Gatherer = o.Log, metrics, metrics
	if o.TestServer != nil {
		feed, err := openTestServer(opening, store.engine, store.registry, r, *o.TestServer, o.Log)
		if err != nil {
			return err
		}
		edge.TestStream = feed.stream.UUID
		store.start("test server", feed.Run)
	}
	g, err := gateway.Open(edge)
	if err != nil {
		return err
	}
	store.start("gateway", g.Run)
	attrs := []any{slog.String("url", local), slog.String("data", o.Config.Data), slog.String("version", o.Version)}
	if a := g.MetricsAddr(); a != nil {
		attrs = append(attrs, slog.String("metrics", a.String()))
	}
	o.Log.Info("listening", attrs...)
	if o.Ready != nil {
		started := Started{URL: local, FirstAdminToken: store.registry.FirstAdminToken()}
		if o.SelfSigned {
			started.Certificate = edge.CertFile
		}
		o.Ready(started)
	}
	select {
	case <-ctx.Done():
		o.Log.Info("stopping", slog.Duration("grace", edge.Grace))
		return nil
	case <-store.died:
		return nil // stop gives the reason
	}
}

// NewAdminToken replaces the stored admin token of a store whose node is stopped.
func NewAdminToken(ctx context.Context, o Options) (token string, err error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Config.Engine.URL == "" {
		if _, err := os.Stat(engineDir(o.Config)); err != nil {
			return "", fmt.Errorf("there is no store in %s, name the folder by --data: %w", o.Config.Data, err)
		}
	}
	o.AdminToken = ""
	store, err := open(ctx, o, nil)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, store.stop()) }()
	return store.registry.NewAdminToken(ctx)
}

// hearPatience is how long a start waits until it hears of the other nodes of its cluster: as long as for the log to come up.
const hearPatience = 30 * time.Second

func engineDir(c config.Config) string { return filepath.Join(c.Data, "engine") }

// logSettings and keySettings are the settings of log and keys, with the folders they lie in.
func logSettings(o Options) engine.Config {
	log := o.Config.Engine
	log.Dir, log.MaxEvent, log.Log = engineDir(o.Config), o.Config.Edge.MaxEventBytes, o.Log
	return log
}

func keySettings(o Options) consent.Config {
	keys := o.Config.Keys
	keys.Dir, keys.Log = filepath.Join(o.Config.Data, "keys"), o.Log
	keys.Shared = o.Config.Engine.URL != "" // other nodes need the same erase key
	return keys
}

// store is the opened log, keys and control plane, with what runs on them. One goroutine, but for died.
type store struct {
	engine   *engine.Engine
	vault    *consent.Vault
	registry *registry.Registry

	parts   []part // in the order of starting
	running errgroup.Group
	died    chan struct{} // written to by a part that ended before it was told to; never closed
}

// part is a running part: it has its own context, so that each can be told to stop when those before it have.
type part struct {
	stop context.CancelFunc
	done chan struct{}
}

// open opens log, keys and control plane and starts them. After an error nothing is left running.
func open(ctx context.Context, o Options, metrics prometheus.Registerer) (s *store, err error) {
	s = &store{died: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if err := os.MkdirAll(o.Config.Data, 0o700); err != nil {
		return s, fmt.Errorf("folder of setting data: %w", err)
	}
	if err := backup.Pending(o.Config.Data); err != nil {
		return s, fmt.Errorf("%w: run `sluice restore` again", err)
	}
	log := logSettings(o)
	log.Metrics = metrics
	if s.engine, err = engine.Open(ctx, log); err != nil {
		if errors.Is(err, engine.ErrLocked) {
			err = fmt.Errorf("%w: stop it first, or name another folder by --data", err)
		}
		return s, err
	}
	s.start("engine", s.engine.Run)

	keys := keySettings(o)
	keys.Metrics = metrics
	if s.vault, err = consent.Open(ctx, s.engine.Cells(), keys); err != nil {
		return s, err
	}
	s.start("consent", s.vault.Run)

	control := o.Config.Registry
	control.PublicURL, control.AdminToken, control.Log = o.Config.PublicURL, o.AdminToken, o.Log
	if s.registry, err = registry.Open(ctx, s.engine, s.vault, control); err != nil {
		return s, err
	}
	s.start("registry", s.registry.Run)
	hearing, cancel := context.WithTimeout(ctx, hearPatience)
	defer cancel()
	if s.vault.Await(hearing) != nil {
		return s, fmt.Errorf("keys: %w", consent.ErrCutOff)
	}
	return s, nil
}

// ready is nil when events can be taken and shown; else it says what is missing.
func (s *store) ready() error {
	if err := s.engine.Ready(); err != nil {
		return err
	}
	return s.vault.Ready()
}

// start runs a part in the group until stop. The group's error is that of the first part that died.
func (s *store) start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := part{stop: cancel, done: make(chan struct{})}
	s.parts = append(s.parts, p)
	s.running.Go(func() error {
		defer close(p.done)
		err := run(ctx)
		if ctx.Err() != nil && err == nil {
			return nil
		}
		select {
		case s.died <- struct{}{}:
		default: // somebody died before
		}
		if err == nil {
			err = errors.New("it ended on its own")
		}
		return fmt.Errorf("%s: %w", name, err)
	})
}

// stop ends the parts in the order of the data's flow, the last started first, each when those before it have ended, then closes the log.
// Nil, or why a part died.
func (s *store) stop() error {
	for i := len(s.parts) - 1; i >= 0; i-- {
		s.parts[i].stop()
		<-s.parts[i].done
	}
	err := s.running.Wait()
	if s.engine != nil {
		err = errors.Join(err, s.engine.Close())
	}
	return err
}
