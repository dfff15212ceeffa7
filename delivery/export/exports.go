package export

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"sluice/delivery"
	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Kind is what exporters are among a Runner's subscriptions.
const Kind delivery.Kind = "exporter"

const (
	// defaultMaxObject is where a window is cut into several objects, by the bytes of its events in the log. It is what a repeat after a
	// crash has to send again.
	defaultMaxObject = 64 << 20
	// defaultSettle is how long after its end a window is looked at: events that were accepted in it are in the log by then, whichever
	// node took them.
	defaultSettle = time.Second
	defaultPoll   = time.Second
	defaultRetry  = time.Second
	defaultMemory = 128 << 20
	// perSink bounds the objects on their way to one sink, so that a slow one leaves room for the others.
	perSink = 4
	// readyEvery is how often a start looks whether the control plane was heard whole.
	readyEvery = 20 * time.Millisecond
)

// Config is what Exports are made of.
type Config struct {
	Engine   *engine.Engine
	Relay    *relay.Relay
	Registry *registry.Registry
	Runner   *delivery.Runner
	// Folders is the directory that the relative folders of sinks lie in, each project's below its name.
	Folders string
	// Landing is the directory that payloads land in whose stream names no sink, where all nodes must find the same one. Empty: no payload
	// lands anywhere.
	Landing string
	// MaxObject is where a window is cut into several objects, in bytes of its events in the log (default 64 MiB). One larger event has an
	// object alone.
	MaxObject int64
	// Memory bounds the parts of objects that are being sent at one time, in bytes (default 128 MiB). Exporters beyond it wait for their
	// turn; one sink has at most four turns at once, so that a slow one does not take them all.
	Memory int64
	// Settle is how long after the end of a window its object is made (default 1 s).
	Settle time.Duration
	// Poll is how often the clock is looked at while there is nothing to do (default 1 s).
	Poll time.Duration
	// Retry is how long after an export broke off it begins again (default 1 s), twice as long each time up to 30 times that.
	Retry time.Duration
	// Now is the clock (default time.Now). It must be the one that events are accepted by.
	Now func() time.Time
	// Open opens stores; nil: those of this package.
	Open    func(Target) (Store, error)
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

// Exports are all exporters of the gateway, as far as this node works on them. Safe for concurrent use.
type Exports struct {
	engine    *engine.Engine
	relay     *relay.Relay
	registry  *registry.Registry
	runner    *delivery.Runner
	open      func(Target) (Store, error)
	landing   string
	maxObject int64
	memory    int64
	settle    time.Duration
	poll      time.Duration
	retry     time.Duration
	now       func() time.Time
	log       *slog.Logger
	metrics   *metrics

	room  *semaphore.Weighted // of memory
	mu    sync.Mutex
	slots map[string]*slot // by the id of a sink with objects on their way
}

// slot is the room of one sink.
type slot struct {
	places *semaphore.Weighted
	users  int
}

// New makes Exports. They do nothing before Run, but Check works.
func New(cfg Config) (*Exports, error) {
	x := &Exports{
		engine: cfg.Engine, relay: cfg.Relay, registry: cfg.Registry, runner: cfg.Runner,
		open: cfg.Open, landing: cfg.Landing, maxObject: cfg.MaxObject, settle: cfg.Settle, poll: cfg.Poll, retry: cfg.Retry, now: cfg.Now, log: cfg.Log,
		memory: cfg.Memory, slots: map[string]*slot{},
	}
	if x.memory <= 0 {
		x.memory = defaultMemory
	}
	x.room = semaphore.NewWeighted(x.memory)
	if x.open == nil {
		x.open = func(t Target) (Store, error) { return t.open(cfg.Folders) }
	}
	if x.maxObject <= 0 {
		x.maxObject = defaultMaxObject
	}
	if x.settle <= 0 {
		x.settle = defaultSettle
	}
	if x.poll <= 0 {
		x.poll = defaultPoll
	}
	if x.retry <= 0 {
		x.retry = defaultRetry
	}
	if x.now == nil {
		x.now = time.Now
	}
	if x.log == nil {
		x.log = slog.Default()
	}
	var err error
	if x.metrics, err = newMetrics(cfg.Metrics, x.now); err != nil {
		return nil, fmt.Errorf("metrics of exports: %w", err)
	}
	return x, nil
}

// Check writes a test object to a target, under a prefix, and takes it away. A *Refused says why the target does not take it;
// ErrCredentials that its credentials cannot be read.
func (x *Exports) Check(ctx context.Context, t Target, prefix string) error {
	store, err := x.open(t)
	if err != nil {
		return err
	}
	defer store.Close()
	return store.Probe(ctx, prefix)
}

// CheckSink is Check for a sink that exists.
func (x *Exports) CheckSink(ctx context.Context, s *registry.Sink, prefix string) error {
	t, err := x.target(s)
	if err != nil {
		return err
	}
	return x.Check(ctx, t, prefix)
}

// CheckChange is CheckSink for a sink as a patch would make it.
func (x *Exports) CheckChange(ctx context.Context, s *registry.Sink, p registry.SinkPatch) error {
	t, err := x.target(s)
	if err != nil {
		return err
	}
	if p.Endpoint != nil {
		t.Endpoint = *p.Endpoint
	}
	if p.Region != nil {
		t.Region = *p.Region
	}
	if p.PathStyle != nil {
		t.PathStyle = *p.PathStyle
	}
	if p.Credentials != nil {
		t.Credentials = p.Credentials
	}
	return x.Check(ctx, t, "")
}

func (x *Exports) target(s *registry.Sink) (Target, error) {
	secret, err := x.registry.SinkCredentials(s)
	if err != nil {
		return Target{}, err
	}
	return Target{
		Project: s.Project.Name, Type: s.Type, Bucket: s.Bucket, Endpoint: s.Endpoint, Region: s.Region, PathStyle: s.PathStyle, Credentials: secret,
	}, nil
}

func (x *Exports) openSink(s *registry.Sink) (Store, error) {
	t, err := x.target(s)
	if err != nil {
		return nil, err
	}
	return x.open(t)
}

// Run tells the Runner which exporters there are until ctx ends, and returns nil then. The Runner stops them when itself is told to.
func (x *Exports) Run(ctx context.Context) error {
	names := map[string]bool{}
	for {
		changed := x.registry.Changed()
		var again <-chan time.Time
		if x.registry.Ready() == nil {
			names = x.tell(x.registry.Snapshot(), names)
		} else {
			// Before the control plane was heard whole, exporters would look deleted.
			again = time.After(readyEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again:
		}
	}
}

func (x *Exports) tell(s *registry.Snapshot, before map[string]bool) map[string]bool {
	all := s.AllExporters()
	subs := make([]delivery.Subscription, 0, len(all))
	names, counted := make(map[string]bool, len(all)), map[series]bool{}
	for _, ex := range all {
		e := &exporter{
			Exports: x, name: ex.Stream.Project.Name + "/" + ex.Stream.Name + "/" + ex.Name, prefix: ex.PathPrefix,
			interval: int64(ex.Interval / time.Second), start: ex.Start, stream: ex.Stream, place: ex.Sink.ID,
		}
		e.layout = keyWindows{e}
		if !ex.Keys {
			e.layout, e.counted = windows{e}, series{ex.Stream.Name, Kind}
		}
		counted[e.counted] = true
		e.open = func() (Store, error) { return x.openSink(ex.Sink) }
		names[e.name] = true
		sub := delivery.Subscription{ID: ex.ID, Version: strings.Join([]string{ex.Sink.Version(), e.prefix, strconv.FormatInt(e.interval, 10), e.view()}, "|")}
		if ex.Stream.Enabled {
			sub.Sink = e
		}
		subs = append(subs, sub)
	}
	landings := x.landings(s, names, counted)
	x.metrics.keep(counted)
	for name := range before {
		if !names[name] {
			x.metrics.gone(name)
		}
	}
	x.runner.Set(Kind, subs)
	x.runner.Set(Landing, landings)
	return names
}

// admit waits for one of a sink's places, and for the memory that an object of so many bytes needs.
func (x *Exports) admit(ctx context.Context, sink string, bytes int64) (release func(), err error) {
	bytes = min(bytes, x.memory)
	x.mu.Lock()
	s := x.slots[sink]
	if s == nil {
		s = &slot{places: semaphore.NewWeighted(perSink)}
		x.slots[sink] = s
	}
	s.users++
	x.mu.Unlock()
	leave := func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(x.slots, sink)
		}
	}
	if err := s.places.Acquire(ctx, 1); err != nil {
		leave()
		return nil, err
	}
	if err := x.room.Acquire(ctx, bytes); err != nil {
		s.places.Release(1)
		leave()
		return nil, err
	}
	return func() {
		x.room.Release(bytes)
		s.places.Release(1)
		leave()
	}, nil
}
