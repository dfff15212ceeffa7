package registry

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v4"
	"golang.org/x/sync/errgroup"

	"sluice/relay/engine"
)

const (
	// maxSilence is how long the watch may say nothing before the node counts as cut off.
	maxSilence = 10 * time.Second
	// burst is how many changes are taken into one Snapshot at most.
	burst = 4096
)

// heard is one thing that the watch said.
type heard struct {
	cell  engine.Cell
	start bool // a watch begins: what follows up to ready is all there is
	ready bool
}

// Run keeps the Snapshot up to date and finishes deletions that a crash left undone. It returns nil after ctx ends. Not to be called twice at once.
func (r *Registry) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.watching != nil {
		r.mu.Unlock()
		return errors.New("the control plane is being run already")
	}
	stopped := make(chan struct{})
	r.watching, r.complete = stopped, false
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.watching, r.complete = nil, false
		close(stopped)
		r.mu.Unlock()
	}()

	// Written by the watch's goroutine, read by follow. Small: when follow is busy the watch waits, and
	// what the store holds back meanwhile costs this process nothing.
	said := make(chan heard, 64)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.watch(ctx, said) })
	g.Go(func() error { return r.follow(ctx, said) })
	g.Go(func() error { return r.finishDeletions(ctx) })
	g.Go(func() error { return r.trimAudit(ctx) })
	return g.Wait()
}

// watch watches until ctx ends, again and again where a watch breaks off.
func (r *Registry) watch(ctx context.Context, said chan<- heard) error {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(50*time.Millisecond), backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	say := func(h heard) {
		select {
		case said <- h:
		case <-ctx.Done():
		}
	}
	for {
		say(heard{start: true})
		err := r.cells.Watch(ctx, root,
			func(c engine.Cell) { say(heard{cell: c}) },
			func() { pause.Reset(); say(heard{ready: true}) })
		if ctx.Err() != nil {
			return nil
		}
		r.log.Warn("the watch of the control plane broke off and begins anew", "error", err)
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return nil
		}
	}
}

// follow makes one Snapshot of all that has been said since the one before.
func (r *Registry) follow(ctx context.Context, said <-chan heard) error {
	var listed map[string]struct{} // keys of the present listing, nil behind it
	take := func(h heard) {
		switch {
		case h.start:
			listed = map[string]struct{}{}
			r.complete = false
		case h.ready:
			for _, c := range r.state.missing(listed) {
				r.applied(c)
			}
			listed = nil
			r.complete = true
		default:
			if listed != nil && !h.cell.Gone {
				listed[h.cell.Key] = struct{}{}
			}
			r.applied(h.cell)
		}
	}
	for {
		select {
		case h := <-said:
			r.mu.Lock()
			take(h)
			for n := 1; n < burst && len(said) > 0; n++ {
				take(<-said)
			}
			r.publish()
			r.mu.Unlock()
		case <-ctx.Done():
			return nil
		}
	}
}
