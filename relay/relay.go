package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Config is what the core can be told.
type Config struct {
	// RingBytes bounds the recent renderings of all streams together, so that readers who keep up never read the
	// log (default 64 MiB).
	RingBytes int64
	// BulkBytes bounds the bulk bodies that are being checked at one time, beyond which they are refused as busy
	// (default 256 MiB).
	BulkBytes int64
	// Retention and RetentionBytes end the life of an event of a stream that says nothing else: whichever comes
	// first (defaults 7 days, 100 GB).
	Retention      time.Duration
	RetentionBytes int64
	// Now is the clock (default time.Now).
	Now     func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

const (
	defaultRing      = 64 << 20
	defaultBulk      = 256 << 20
	defaultRetention = 7 * 24 * time.Hour
	defaultBytes     = 100_000_000_000
	janitorEvery     = time.Minute
	// landed is after which time a payload lies in a file, where nothing is wrong: until then it stays, however little its stream may keep.
	landed = 5 * time.Minute
	// catchUpReaders bounds how many readers read the log at one time: each holds what it fetched and rendered, and
	// more of them than there are cores only take turns.
	catchUpReaders = 4
)

// Relay is the core between the edges and the log. Safe for concurrent use once New returned; it serves readers
// while Run runs.
type Relay struct {
	engine   *engine.Engine
	vault    *consent.Vault
	registry *registry.Registry
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	budget   budget
	bulk     *semaphore.Weighted
	catchUps *semaphore.Weighted
	once     onces
	seen     seens
	drops    *drops
	stopping chan struct{} // closed when Run ends
	erasures sync.Map      // of *atomic.Uint64 by engine.StreamID: some 100 bytes for each stream that is read

	mu      sync.Mutex
	stopped bool
	hubs    map[engine.StreamID]*hubSlot
	running sync.WaitGroup // the hubs
	ctx     context.Context
	cancel  context.CancelFunc
}

// hubSlot is a hub that is there or about to be.
type hubSlot struct {
	hub   *hub
	ready chan struct{} // closed when err is known
	err   error
}

// New joins the parts. The caller runs Run, and closes the parts after it returned.
func New(e *engine.Engine, v *consent.Vault, reg *registry.Registry, cfg Config) *Relay {
	if cfg.RingBytes <= 0 {
		cfg.RingBytes = defaultRing
	}
	if cfg.BulkBytes <= 0 {
		cfg.BulkBytes = defaultBulk
	}
	if cfg.Retention <= 0 {
		cfg.Retention = defaultRetention
	}
	if cfg.RetentionBytes <= 0 {
		cfg.RetentionBytes = defaultBytes
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	r := &Relay{
		engine: e, vault: v, registry: reg, cfg: cfg, log: cfg.Log, now: cfg.Now,
		bulk:     semaphore.NewWeighted(cfg.BulkBytes),
		catchUps: semaphore.NewWeighted(catchUpReaders),
		stopping: make(chan struct{}),
		hubs:     map[engine.StreamID]*hubSlot{},
	}
	r.budget.limit = cfg.RingBytes
	r.drops = newDrops(cfg.Metrics, r.streamNames)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Run keeps retention until ctx ends, and then ends the live tails: readers get ErrClosed.
func (r *Relay) Run(ctx context.Context) error {
	defer r.stop()
	defer r.vault.OnChange(r.forgotten)()
	t := time.NewTicker(janitorEvery)
	defer t.Stop()
	for {
		r.sweep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (r *Relay) stop() {
	r.mu.Lock()
	if r.stopped {
		r.mu.Unlock()
		return
	}
	r.stopped = true
	r.mu.Unlock()
	close(r.stopping)
	r.cancel()
	r.running.Wait()
}

// sweep trims every source stream to its retention and ends the keys that nothing retained needs.
func (r *Relay) sweep(ctx context.Context) {
	for _, st := range r.registry.Snapshot().AllStreams() {
		if ctx.Err() != nil {
			return
		}
		if st.Source != nil {
			continue
		}
		keep := engine.Keep{Age: r.cfg.Retention, Bytes: r.cfg.RetentionBytes}
		if st.Retention > 0 {
			keep.Age = st.Retention
		}
		if st.RetentionBytes > 0 {
			keep.Bytes = st.RetentionBytes
		}
		if st.Payload != "" {
			keep.Least = landed
		}
		err := r.engine.Trim(ctx, st.Log, keep)
		if err == nil {
			err = r.vault.Expire(ctx, st.Log.ID, max(keep.Age, keep.Least))
		}
		if err != nil && ctx.Err() == nil {
			r.log.Warn("retention of a stream was not kept", "stream", st.UUID, "error", err)
		}
	}
}

// join finds the live tail of a stream, starting it for the first reader, and counts the caller as its reader.
func (r *Relay) join(ctx context.Context, s engine.Stream) (*hub, error) {
	r.mu.Lock()
	if r.stopped {
		r.mu.Unlock()
		return nil, ErrClosed
	}
	slot := r.hubs[s.ID]
	if slot == nil {
		slot = &hubSlot{hub: newHub(r, s), ready: make(chan struct{})}
		r.hubs[s.ID] = slot
		r.running.Add(1)
		go r.runHub(s.ID, slot)
	}
	slot.hub.readers.Add(1)
	r.mu.Unlock()
	select {
	case <-ctx.Done():
		slot.hub.readers.Add(-1)
		return nil, ctx.Err()
	case <-slot.ready:
	}
	if slot.err != nil {
		slot.hub.readers.Add(-1)
		return nil, slot.err
	}
	return slot.hub, nil
}

func (r *Relay) runHub(id engine.StreamID, slot *hubSlot) {
	defer r.running.Done()
	remove := func() {
		if r.hubs[id] == slot {
			delete(r.hubs, id)
		}
	}
	slot.hub.run(r.ctx, func(err error) {
		if err != nil {
			slot.err = fmt.Errorf("join the live tail: %w", err)
		}
		close(slot.ready)
	}, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		if slot.hub.readers.Load() > 0 {
			return false
		}
		remove()
		return true
	})
	r.mu.Lock()
	remove()
	r.mu.Unlock()
}

// Forget erases a person's keys in the given streams. When it returns nil nothing opens their old fields: not a
// reader in progress, not a replay, not a rendering that was made before. What is already on its way through a
// connection arrives. That holds for every node of a cluster: it waits until all of them have closed the person, and for one
// that is silent until it shows nothing any more. A later event of the person opens again. It may be repeated.
func (r *Relay) Forget(ctx context.Context, subject string, streams ...*registry.Stream) error {
	var errs []error
	for _, st := range streams {
		if st.Source != nil {
			continue
		}
		if err := r.vault.Forget(ctx, st.Log.ID, subject); err != nil {
			errs = append(errs, fmt.Errorf("forget in stream %s: %w", st.Name, err))
			continue
		}
		r.forgotten(st.Log.ID)
	}
	return errors.Join(errs...)
}

// forgotten drops what readers of a stream have yet to be shown and was opened with keys that are gone.
func (r *Relay) forgotten(id engine.StreamID) {
	r.mu.Lock()
	slot := r.hubs[id]
	r.mu.Unlock()
	if slot != nil {
		slot.hub.forget()
	}
	r.erasure(id).Add(1)
}

// Erasures counts what made openings of a stream's past wrong: somebody was forgotten, here or on another node. What was opened
// when the count was another must be read again before it is shown. See Reader.Erasures.
func (r *Relay) Erasures(st *registry.Stream) uint64 { return r.erasure(st.Log.ID).Load() }

func (r *Relay) erasure(id engine.StreamID) *atomic.Uint64 {
	n, known := r.erasures.Load(id)
	if !known {
		n, _ = r.erasures.LoadOrStore(id, new(atomic.Uint64))
	}
	return n.(*atomic.Uint64)
}

// Await waits until this node may show what is personal: see consent.ErrCutOff. Its error is ctx's.
func (r *Relay) Await(ctx context.Context) error { return r.vault.Await(ctx) }

// RingUsed is how many bytes the recent renderings hold now, those that stuck writers still hold included.
func (r *Relay) RingUsed() int64 { return r.budget.used.Load() }
