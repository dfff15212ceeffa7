package load

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"sluice/delivery"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// KindCourier and KindGroup are what couriers and their groups are among a Runner's subscriptions.
const (
	KindCourier delivery.Kind = "courier"
	KindGroup   delivery.Kind = "couriergroup"
)

// Config is what a Service is made of.
type Config struct {
	// Dir is the folder of the tables, a database for each project.
	Dir string
	// List gives the landed files of a stream's day (UTC), in any order, others beside them or not.
	List func(ctx context.Context, st *registry.Stream, day time.Time) ([]Landed, error)
	// Open opens a landed file, or the one beside it; ErrNoFile where there is none.
	Open func(ctx context.Context, st *registry.Stream, name string) (io.ReadCloser, error)

	Cells    *engine.Cells
	Registry *registry.Registry
	Runner   *delivery.Runner

	// Poll is how often a schedule looks at the clock (default 1 s).
	Poll    time.Duration
	Now     func() time.Time      // default time.Now
	Log     *slog.Logger          // default slog.Default()
	Metrics prometheus.Registerer // nil: none
}

const (
	// runsAtOnce bounds the runs of a node: each reads and writes as fast as the disk allows.
	runsAtOnce  = 2
	defaultPoll = time.Second
	readyEvery  = 20 * time.Millisecond
)

// Service is the couriers of the gateway, as far as this node works on them. Safe for concurrent use.
type Service struct {
	cfg     Config
	metrics *metrics
	turns   *semaphore.Weighted

	mu      sync.Mutex
	writing map[string]chan struct{} // by project; holds one: the right to write its tables
}

// New makes a Service. It loads nothing before Run, but takes what is asked for.
func New(cfg Config) (*Service, error) {
	if cfg.Poll <= 0 {
		cfg.Poll = defaultPoll
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("metrics of couriers: %w", err)
	}
	return &Service{cfg: cfg, metrics: m, turns: semaphore.NewWeighted(runsAtOnce), writing: map[string]chan struct{}{}}, nil
}

// Run tells the Runner which couriers and groups there are until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	known := map[string]bool{}
	for {
		changed := s.cfg.Registry.Changed()
		var again <-chan time.Time
		if s.cfg.Registry.Ready() == nil {
			known = s.tell(s.cfg.Registry.Snapshot(), known)
		} else {
			// Before the control plane was heard whole, couriers would look deleted.
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

func (s *Service) tell(snap *registry.Snapshot, before map[string]bool) (known map[string]bool) {
	var couriers, groups []delivery.Subscription
	known = map[string]bool{}
	for _, c := range snap.AllCouriers() {
		known[label(c)] = true
		couriers = append(couriers, delivery.Subscription{ID: c.ID, Version: c.Version, Sink: &courier{s, c.Project, c.ID}})
	}
	for _, g := range snap.AllCourierGroups() {
		sub := delivery.Subscription{ID: g.ID, Version: g.Version}
		if g.Schedule != "" {
			sub.Sink = &group{s, g}
		}
		groups = append(groups, sub)
	}
	for name := range before {
		if !known[name] {
			s.metrics.gone(name)
		}
	}
	s.cfg.Runner.Set(KindCourier, couriers)
	s.cfg.Runner.Set(KindGroup, groups)
	return known
}

// turn waits until a run may begin; call the function it gives at its end. Runs of one project, which write the same database, come one after
// the other, and while one of them waits for that it takes no other project's place.
func (s *Service) turn(ctx context.Context, p *registry.Project) (done func(), err error) {
	s.mu.Lock()
	writing := s.writing[p.ID]
	if writing == nil {
		writing = make(chan struct{}, 1)
		s.writing[p.ID] = writing
	}
	s.mu.Unlock()
	select {
	case writing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := s.turns.Acquire(ctx, 1); err != nil {
		<-writing
		return nil, err
	}
	return func() {
		s.turns.Release(1)
		<-writing
	}, nil
}

// Start asks for a run of a courier, for the files of a day like 2026-11-20. Errors: *Unready, *registry.Invalid, *registry.InUse,
// registry.ErrNotFound.
func (s *Service) Start(ctx context.Context, c *registry.Courier, date string) (RunState, error) {
	if err := s.ready(c); err != nil {
		return RunState{}, err
	}
	return s.ask(ctx, c, "run-"+uuid.NewString(), date)
}

// StartGroup asks for a run of each of a group's couriers. Errors: as of Start; runs that were asked for before one was refused are done.
func (s *Service) StartGroup(ctx context.Context, g *registry.CourierGroup, date string) ([]RunState, error) {
	for _, c := range g.Couriers {
		if err := s.ready(c); err != nil {
			return nil, err
		}
	}
	var all []RunState
	for _, c := range g.Couriers {
		run, err := s.ask(ctx, c, "run-"+uuid.NewString(), date)
		if err != nil {
			return all, err
		}
		all = append(all, run)
	}
	return all, nil
}

func (s *Service) ask(ctx context.Context, c *registry.Courier, id, date string) (RunState, error) {
	_, err := s.cfg.Registry.AskRun(ctx, c.Project, c.ID, registry.CourierRun{ID: id, Date: date})
	return RunState{ID: id, Courier: c.Name, Date: date, State: Queued}, err
}

// ready holds a courier to what a run needs.
func (s *Service) ready(c *registry.Courier) error {
	for id := range c.LoadOperations {
		if s.cfg.Registry.Snapshot().Feed(c.Project, id) == nil {
			return noFeed(c, id)
		}
	}
	return nil
}

func noFeed(c *registry.Courier, id string) *Unready {
	return &Unready{fmt.Sprintf("Courier %s loads feed %s, which does not exist. Create it, or name another in the load operations", c.Name, id)}
}

// pause waits until a time by the clock, which is looked at again and again: it may be set, and this machine may sleep.
func (s *Service) pause(ctx context.Context, until time.Time) {
	for ctx.Err() == nil && s.cfg.Now().Before(until) {
		timer := time.NewTimer(min(until.Sub(s.cfg.Now()), s.cfg.Poll))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
