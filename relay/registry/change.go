package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"sluice/relay/engine"
)

const (
	// maxAttempts is how often a change is tried against others who change the same.
	maxAttempts = 20
	// maxPause bounds the pause between two attempts.
	maxPause = 100 * time.Millisecond
	// settleTime is how long a change waits for the watch to show it.
	settleTime = 10 * time.Second
)

// revisions are those of the cells that exist; 0 for one that does not, which is what a write that must
// not overwrite anything expects.
type revisions map[string]uint64

// change makes one change of the control plane. plan looks at a Snapshot and the revisions that belong to
// it and gives the writes; it is called again when somebody else was faster, and must do no I/O, for it
// runs under the lock that publishing takes. After nil the local Snapshot has the change.
func (r *Registry) change(ctx context.Context, plan func(s *Snapshot, at revisions) ([]engine.Write, error)) error {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for attempt := range maxAttempts {
		r.mu.Lock()
		writes, err := plan(r.snapshot.Load(), r.state.revisions)
		r.mu.Unlock()
		if err != nil || len(writes) == 0 {
			return err
		}
		with, noted := r.audited(ctx, writes)
		err = r.commit(ctx, with)
		if err == nil || errors.Is(err, ErrBehind) {
			noted()
		}
		if !errors.Is(err, engine.ErrConflict) {
			return err
		}
		if err := r.refresh(ctx, keys(writes)); err != nil {
			return err
		}
		// Nodes that were refused together should not come back together.
		select {
		case <-time.After(rand.N(min(time.Millisecond<<attempt, maxPause))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ErrContended
}

func keys(writes []engine.Write) []string {
	all := make([]string, len(writes))
	for i, w := range writes {
		all[i] = w.Key
	}
	return all
}

// waiter waits until the state has gone beyond a revision of each of some cells. That is exact: the write
// that is waited for has a higher one, and so has whatever overtook it.
type waiter struct {
	want map[string]uint64
	done chan struct{} // closed by publish
}

// expect begins to wait; it has to be called before the writes are sent.
func (r *Registry) expect(want map[string]uint64) *waiter {
	w := &waiter{want: want, done: make(chan struct{})}
	r.mu.Lock()
	r.waiters[w] = struct{}{}
	r.mu.Unlock()
	return w
}

func (r *Registry) unexpect(w *waiter) {
	r.mu.Lock()
	delete(r.waiters, w)
	r.mu.Unlock()
}

// commit writes all or nothing and returns when the Snapshot shows it; ErrConflict when a cell was not as expected.
func (r *Registry) commit(ctx context.Context, writes []engine.Write) error {
	want := make(map[string]uint64, len(writes))
	var shown []string
	for _, w := range writes {
		if strings.HasPrefix(w.Key, root+".") { // the audit log's entries are watched by nobody
			want[w.Key] = w.Revision
			shown = append(shown, w.Key)
		}
	}
	w := r.expect(want)
	defer r.unexpect(w)
	if err := r.cells.Batch(ctx, writes); err != nil {
		return fmt.Errorf("changing the control plane: %w", err)
	}
	return r.settle(ctx, w, shown)
}

// settle returns when the waiter's cells have been seen. Outside Run nobody watches, and it reads them itself.
func (r *Registry) settle(ctx context.Context, w *waiter, keys []string) error {
	late := time.NewTimer(settleTime)
	defer late.Stop()
	for {
		r.mu.Lock()
		watching := r.watching
		r.mu.Unlock()
		if watching == nil {
			read, err := r.read(ctx, keys)
			if err != nil {
				return err
			}
			if read {
				return nil
			}
			continue // Run has begun, its watch shows them
		}
		select {
		case <-w.done:
			return nil
		case <-watching:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrBehind, ctx.Err())
		case <-late.C:
			return ErrBehind
		}
	}
}

// read takes in single cells while nobody watches; false when somebody began to.
func (r *Registry) read(ctx context.Context, keys []string) (bool, error) {
	found := make([]engine.Cell, 0, len(keys))
	for _, key := range keys {
		c, err := r.cells.Get(ctx, key)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			c = engine.Cell{Key: key, Gone: true}
		case err != nil:
			return false, fmt.Errorf("reading the control plane: %w", err)
		}
		found = append(found, c)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.watching != nil {
		// What was read may be older than what the watch applies from now on.
		return false, nil
	}
	for _, c := range found {
		if c.Gone {
			c.Revision = r.state.revisions[c.Key] + 1
		}
		r.state.apply(c)
	}
	r.publish()
	return true, nil
}

// refresh brings some cells up to what the store has now: it reads their revisions there and waits until
// the watch has shown them. It does not touch what is up to date.
func (r *Registry) refresh(ctx context.Context, keys []string) error {
	stored := make(map[string]uint64, len(keys))
	for _, key := range keys {
		c, err := r.cells.Get(ctx, key)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			stored[key] = 0
		case err != nil:
			return fmt.Errorf("reading the control plane: %w", err)
		default:
			stored[key] = c.Revision
		}
	}
	want := map[string]uint64{}
	var behind []string
	r.mu.Lock()
	for key, revision := range stored {
		known := r.state.revisions[key]
		switch {
		case revision > known:
			want[key] = revision - 1
		case revision == 0 && known != 0:
			want[key] = known
		default:
			continue
		}
		behind = append(behind, key)
	}
	w := &waiter{want: want, done: make(chan struct{})}
	if len(want) > 0 {
		r.waiters[w] = struct{}{}
	}
	r.mu.Unlock()
	if len(want) == 0 {
		return nil
	}
	defer r.unexpect(w)
	return r.settle(ctx, w, behind)
}

// applied takes in a cell and tells the waiters. Under mu.
func (r *Registry) applied(c engine.Cell) {
	r.state.apply(c)
	for w := range r.waiters {
		if after, ok := w.want[c.Key]; ok && c.Revision > after {
			delete(w.want, c.Key)
		}
	}
}
