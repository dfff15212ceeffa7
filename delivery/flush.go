package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"sluice/relay/engine"
)

const (
	// mostCells is how many cells one batch takes.
	mostCells = 1000
	// writeTime bounds one batch; what is not confirmed by then is looked up.
	writeTime = 5 * time.Second
)

// flusher writes the states of all claims of a node, from one goroutine, so that no cell has two writes under way.
type flusher struct {
	cells *engine.Cells
	node  string
	log   *slog.Logger
	wake  chan struct{} // holds one; written by mark, read by run

	mu     sync.Mutex
	dirty  map[*Claim]struct{}
	urgent bool
}

func newFlusher(cells *engine.Cells, node string, log *slog.Logger) *flusher {
	return &flusher{cells: cells, node: node, log: log, wake: make(chan struct{}, 1), dirty: map[*Claim]struct{}{}}
}

// mark puts a claim on the list of the next batch; urgent: somebody waits for it.
func (f *flusher) mark(c *Claim, urgent bool) {
	f.mu.Lock()
	_, known := f.dirty[c]
	f.dirty[c] = struct{}{}
	hurry := urgent && !f.urgent
	f.urgent = f.urgent || urgent
	f.mu.Unlock()
	if known && !hurry {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default: // it is awake already
	}
}

func (f *flusher) hurry() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.urgent
}

// run writes until ctx ends. Whoever needs a last state stored waits for it before.
func (f *flusher) run(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		for !f.hurry() {
			select {
			case <-ctx.Done():
				return
			case <-f.wake:
				continue
			case <-next.C:
			}
			break
		}
		next.Reset(flushEvery)
		f.flush(ctx)
	}
}

// flush writes everything that is dirty.
func (f *flusher) flush(ctx context.Context) {
	f.mu.Lock()
	claims := make([]*Claim, 0, len(f.dirty))
	for c := range f.dirty {
		claims = append(claims, c)
	}
	clear(f.dirty)
	f.urgent = false
	f.mu.Unlock()
	for len(claims) > 0 {
		n := min(len(claims), mostCells)
		f.write(ctx, claims[:n])
		claims = claims[n:]
	}
}

// write writes the states of some claims, all or none. When it is refused, those that are not ours any more are dropped, and the rest is
// tried again: a claim of ours is refused only when a write of ours that was not confirmed was stored after all.
func (f *flusher) write(ctx context.Context, claims []*Claim) {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	claims, asked := f.sure(ctx, claims)
	for asked && len(claims) > 0 {
		writes := make([]engine.Write, 0, len(claims))
		versions := make([]uint64, 0, len(claims))
		kept := claims[:0]
		for _, c := range claims {
			c.mu.Lock()
			h := holding{Owner: f.node, Term: c.term, State: c.state}
			version, revision, clean := c.version, c.revision, c.version == c.stored
			if c.over {
				h.Owner = ""
			}
			c.mu.Unlock()
			if clean {
				continue // it was marked again while it was being written
			}
			value, err := h.encode()
			if err != nil {
				f.log.Error("a subscription is given up", "cell", c.key, "error", err)
				c.lose()
				continue
			}
			kept = append(kept, c)
			writes = append(writes, engine.Write{Key: c.key, Value: value, Revision: revision})
			versions = append(versions, version)
		}
		claims = kept
		err := f.cells.Batch(ctx, writes)
		if err == nil {
			for i, c := range claims {
				c.wrote(writes[i].Revision, versions[i])
			}
			return
		}
		for _, c := range claims {
			c.unsure = true
		}
		if !errors.Is(err, engine.ErrConflict) {
			f.log.Warn("the progress of deliveries is not stored yet; it is tried again", "subscriptions", len(claims), "error", err)
			break
		}
		claims, asked = f.sure(ctx, claims)
	}
	for _, c := range claims {
		f.mark(c, false)
	}
}

// sure gives the claims that are still ours, with the revisions their cells have. asked is false when the store did not say.
func (f *flusher) sure(ctx context.Context, claims []*Claim) (ours []*Claim, asked bool) {
	asked = true
	for _, c := range claims {
		if c.lost() {
			continue
		}
		if !c.unsure {
			ours = append(ours, c)
			continue
		}
		cell, err := f.cells.Get(ctx, c.key)
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			ours, asked = append(ours, c), false
			continue
		}
		var h holding
		if err == nil {
			h, err = decodeHolding(cell)
		}
		c.mu.Lock()
		own := err == nil && h.Term == c.term && (h.Owner == f.node || c.over && h.Owner == "")
		over := c.over
		c.revision = cell.Revision
		c.mu.Unlock()
		if !own {
			if !over {
				f.log.Info("a subscription was taken by another node", "cell", c.key, "term", c.term, "owner", h.Owner)
			}
			c.lose()
			continue
		}
		c.unsure = false
		ours = append(ours, c)
	}
	return ours, asked
}

// wrote tells those who wait that a version is on the disk.
func (c *Claim) wrote(revision, version uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.revision, c.stored = revision, version
	close(c.changed)
	c.changed = make(chan struct{})
}
