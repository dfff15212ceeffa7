package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"sluice/relay/engine"
)

// takersAtOnce bounds how many cells a node takes at one time, so that a start with thousands of them does not fill the write queue.
const takersAtOnce = 16

// Runner gives the subscriptions of a node their claims and runs their Sinks. Safe for concurrent use.
type Runner struct {
	cells   *engine.Cells
	cfg     Config
	log     *slog.Logger
	name    string // of this node in this run
	members *members
	flusher *flusher
	takers  *semaphore.Weighted
	ran     atomic.Bool

	wake chan struct{} // holds one; written by Set, read by Run

	mu   sync.Mutex
	want map[Kind]map[string]Subscription // a kind that was never set is not in it
}

func newRunner(cells *engine.Cells, cfg Config) *Runner {
	if cfg.Grace <= 0 {
		cfg.Grace = defGrace
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	name := uuid.NewString()
	return &Runner{
		cells: cells, cfg: cfg, log: cfg.Log, name: name,
		members: newMembers(cells, name, cfg.Log),
		flusher: newFlusher(cells, name, cfg.Log),
		takers:  semaphore.NewWeighted(takersAtOnce),
		wake:    make(chan struct{}, 1),
		want:    map[Kind]map[string]Subscription{},
	}
}

// Node is this node's name in this run.
func (r *Runner) Node() string { return r.name }

// Set says which subscriptions of a kind there are, all of them, on every node the same. What is not in subs any more is stopped, and its
// state erased. It returns at once and may be called before Run.
func (r *Runner) Set(kind Kind, subs []Subscription) {
	all := make(map[string]Subscription, len(subs))
	for _, s := range subs {
		all[s.ID] = s
	}
	r.mu.Lock()
	r.want[kind] = all
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Key is the cell of a subscription. Cells whose keys go on behind it belong to the subscription too and are erased with it.
func Key(kind Kind, id string) string { return subPrefix + "." + string(kind) + "." + id }

// Look tells what a subscription's cell says, whoever owns it. ErrNotHeld: nobody ever did.
func (r *Runner) Look(ctx context.Context, kind Kind, id string) (Holding, error) {
	cell, err := r.cells.Get(ctx, Key(kind, id))
	if errors.Is(err, engine.ErrNotFound) {
		return Holding{}, ErrNotHeld
	}
	if err != nil {
		return Holding{}, fmt.Errorf("look at subscription %s: %w", id, err)
	}
	h, err := decodeHolding(cell)
	return Holding{Owner: h.Owner, Term: h.Term, State: h.State}, err
}

func (r *Runner) alive() bool { return r.cfg.Alone || r.members.alive() }

// Run works until ctx ends; then every Sink stops taking, has Grace for what it has in hand, every state is stored, and the claims are
// given up so that other nodes need not wait. Nil after that. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	if !r.ran.CompareAndSwap(false, true) {
		return ErrRunning
	}
	// Beats and writes have to outlive the Sinks.
	under, end := context.WithCancel(context.WithoutCancel(ctx))
	var g errgroup.Group
	g.Go(func() error { r.flusher.run(under); return nil })
	if !r.cfg.Alone {
		g.Go(func() error { return r.members.watch(under) })
		g.Go(func() error { r.members.beat(under); return nil })
	}
	r.manage(ctx)
	end()
	return g.Wait()
}

// manage starts and stops holds until ctx ends, and then all of them.
func (r *Runner) manage(ctx context.Context) {
	holds := map[string]*hold{}
	defer func() {
		for _, h := range holds {
			h.end(r.cfg.Grace)
		}
		for _, h := range holds {
			<-h.done
		}
	}()
	var tick <-chan time.Time
	if !r.cfg.Alone {
		ticker := time.NewTicker(checkEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	sweep := time.NewTimer(forgetAfter)
	defer sweep.Stop()
	var known []string
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			if r.settle(ctx, holds, known) {
				sweep.Reset(forgetAfter)
			}
		case <-tick:
			if !r.alive() {
				// The others may take what is ours a second from now.
				for _, h := range holds {
					h.lose()
				}
			}
			live := r.members.live()
			if !slices.Equal(live, known) {
				known = live
				r.settle(ctx, holds, known)
			}
		case <-sweep.C:
			r.sweep(ctx)
		}
	}
}

// settle brings the holds in line with what is wanted and who is alive. removed: something was deleted, whose cell may have had no owner.
func (r *Runner) settle(ctx context.Context, holds map[string]*hold, live []string) (removed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := map[string]struct{}{}
	for kind, subs := range r.want {
		for id, sub := range subs {
			key := Key(kind, id)
			if sub.Sink == nil || !r.cfg.Alone && chosen(live, key) != r.name {
				continue
			}
			wanted[key] = struct{}{}
			h := holds[key]
			switch {
			case h == nil:
				holds[key] = r.start(ctx, kind, sub, nil)
			case h.ending || h.sub.Version != sub.Version:
				h.end(r.cfg.Grace)
				holds[key] = r.start(ctx, kind, sub, h.done)
			}
		}
	}
	for key, h := range holds {
		if _, ok := wanted[key]; ok {
			continue
		}
		if _, exists := r.want[h.kind][h.sub.ID]; !exists {
			h.gone.Store(true)
		}
		h.end(r.cfg.Grace)
		if h.ended() {
			delete(holds, key)
		}
		removed = true
	}
	return removed
}

// sweep erases the cells of subscriptions that do not exist and that nobody owned when they were deleted.
func (r *Runner) sweep(ctx context.Context) {
	r.mu.Lock()
	kinds := make([]Kind, 0, len(r.want))
	for kind := range r.want {
		kinds = append(kinds, kind)
	}
	r.mu.Unlock()
	for _, kind := range kinds {
		prefix := subPrefix + "." + string(kind)
		cells, err := r.cells.List(ctx, prefix)
		if err != nil {
			if ctx.Err() == nil {
				r.log.Warn("what deleted subscriptions left is not erased yet", "kind", kind, "error", err)
			}
			continue
		}
		for _, c := range cells {
			if len(c.Key) <= len(prefix) {
				continue
			}
			id, _, _ := strings.Cut(c.Key[len(prefix)+1:], ".")
			r.mu.Lock()
			_, exists := r.want[kind][id]
			r.mu.Unlock()
			if exists {
				continue
			}
			if err := r.cells.Erase(ctx, c.Key, c.Revision); err != nil && !errors.Is(err, engine.ErrConflict) && ctx.Err() == nil {
				r.log.Warn("what a deleted subscription left is not erased yet", "cell", c.Key, "error", err)
			}
		}
	}
}
