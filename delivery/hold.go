package delivery

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"sluice/relay/engine"
)

// hold is the work on one subscription by this node, from waiting for its cell to giving it up. It has one goroutine.
type hold struct {
	kind Kind
	sub  Subscription

	stop  context.CancelFunc // take no more
	cut   context.CancelFunc // and end what is in hand
	done  chan struct{}      // closed by the hold's goroutine at its end
	claim atomic.Pointer[Claim]
	gone  atomic.Bool // the subscription was deleted: its cells are erased instead of given up

	ending bool // the manager's alone
}

// start begins a hold. after, if not nil, is closed when the former hold of the same subscription has ended.
func (r *Runner) start(ctx context.Context, kind Kind, sub Subscription, after <-chan struct{}) *hold {
	more, stop := context.WithCancel(context.WithoutCancel(ctx))
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	h := &hold{kind: kind, sub: sub, stop: stop, cut: cut, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		defer cut()
		defer stop()
		if after != nil {
			<-after
		}
		r.hold(more, work, h)
	}()
	return h
}

// end stops a hold, two-phase. It may be called again.
func (h *hold) end(grace time.Duration) {
	if h.ending {
		return
	}
	h.ending = true
	h.stop()
	time.AfterFunc(grace, h.cut)
}

func (h *hold) ended() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

func (h *hold) lose() {
	if c := h.claim.Load(); c != nil {
		c.lose()
	}
}

// hold takes the cell, works, and gives it up, again and again while it is wanted: a claim that was lost because this node was cut off for
// a while comes back when the other owner goes.
func (r *Runner) hold(more, work context.Context, h *hold) {
	key := Key(h.kind, h.sub.ID)
	for more.Err() == nil {
		c := r.take(more, work, key)
		if c == nil {
			break
		}
		h.claim.Store(c)
		r.runSink(more, c, h)
		h.claim.Store(nil)
		if !c.lost() {
			last, cancel := context.WithTimeout(context.WithoutCancel(more), writeTime)
			if err := c.giveUp(last); err != nil && !errors.Is(err, ErrLost) {
				r.log.Warn("a subscription is not given up yet; it is tried again", "cell", key, "error", err)
			}
			cancel()
		}
		c.cancel(nil)
	}
	if h.gone.Load() {
		r.erase(key)
	}
}

// take waits until the cell is free and takes it; nil when ctx ended before.
func (r *Runner) take(ctx, work context.Context, key string) *Claim {
	told := false
	for {
		c, err := r.tryTake(ctx, work, key)
		if c != nil {
			return c
		}
		if err != nil && ctx.Err() == nil && !told {
			r.log.Warn("a subscription cannot be taken; it is tried on", "cell", key, "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(askEvery):
		}
	}
}

// tryTake takes the cell if it is free; a nil claim without an error: it is not.
func (r *Runner) tryTake(ctx, work context.Context, key string) (*Claim, error) {
	if err := r.takers.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer r.takers.Release(1)
	if !r.alive() {
		return nil, nil
	}
	cell, err := r.cells.Get(ctx, key)
	var h holding
	switch {
	case errors.Is(err, engine.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("take a subscription: %w", err)
	default:
		if h, err = decodeHolding(cell); err != nil {
			return nil, err
		}
		if !r.cfg.Alone && !r.members.dead(h.Owner) {
			return nil, nil
		}
	}
	h.Owner = r.name
	h.Term++
	value, err := h.encode()
	if err != nil {
		return nil, err
	}
	// Not ctx: a write that was cut short may be stored all the same, and then nobody would own what is written under a living name.
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	c := &Claim{runner: r, key: key, term: h.Term, state: h.State, changed: make(chan struct{})}
	c.work, c.cancel = context.WithCancelCause(work)
	c.revision, err = r.cells.Put(write, key, value, cell.Revision)
	if err == nil {
		return c, nil
	}
	if !errors.Is(err, engine.ErrConflict) {
		// Should it be stored, it is taken back as soon as the store says so.
		c.unsure, c.over, c.version = true, true, 1
		r.flusher.mark(c, false)
		return nil, fmt.Errorf("take a subscription: %w", err)
	}
	c.cancel(nil)
	return nil, nil
}

// runSink runs the Sink until it is told to stop or the claim is lost.
func (r *Runner) runSink(more context.Context, c *Claim, h *hold) {
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(time.Second), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(30*time.Second), backoff.WithMaxElapsedTime(0))
	// Who has lost the claim is to take no more, too.
	ctx, cancel := context.WithCancel(more)
	defer cancel()
	defer context.AfterFunc(c.work, cancel)()
	for ctx.Err() == nil {
		began := time.Now()
		err := h.sub.Sink.Run(ctx, c)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Minute {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		r.log.Warn("the work on a subscription broke off and begins again", "kind", h.kind, "subscription", h.sub.ID, "after", wait, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// erase removes everything that lies under a subscription's key.
func (r *Runner) erase(key string) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	cells, err := r.cells.List(ctx, key)
	for _, c := range cells {
		if e := r.cells.Erase(ctx, c.Key, c.Revision); e != nil && !errors.Is(e, engine.ErrConflict) {
			err = e
		}
	}
	if err != nil {
		r.log.Warn("what a deleted subscription left is not erased yet", "cell", key, "error", err)
	}
}
