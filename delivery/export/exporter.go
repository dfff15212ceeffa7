package export

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"

	"sluice/delivery"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// maxIndex bounds the objects of one window, so that a name that is always taken is an error and not for ever.
const maxIndex = 1_000_000

// maxTaken bounds how often an object is looked for that was not there and then was.
const maxTaken = 3

// exporter is the work on one exporter: a delivery.Sink.
type exporter struct {
	*Exports
	name     string // for metrics
	prefix   string
	interval int64 // seconds
	start    engine.Offset
	stream   *registry.Stream
	layout   layout
	counted  series                // of its events; zero: what it writes are no events
	place    string                // names the sink among those that share turns
	open     func() (Store, error) // opens it
}

var _ delivery.Sink = (*exporter)(nil)

// view names the consent rule: a change of it is a change of the exporter.
func (e *exporter) view() string {
	return e.stream.Rule.Type.String() + ":" + strconv.FormatUint(e.stream.Rule.Levels, 10)
}

// Run makes objects until ctx ends, the one in hand under the claim's own context. It implements delivery.Sink. What a store does not take
// is tried again here rather than by the Runner, so that the lag is told in between.
func (e *exporter) Run(ctx context.Context, c *delivery.Claim) error {
	due, end := e.metrics.working(e.name)
	defer end()
	var lost loss
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(e.retry), backoff.WithMultiplier(2),
		backoff.WithMaxInterval(30*e.retry), backoff.WithMaxElapsedTime(0))
	for {
		progress, err := e.session(ctx, c, due, &lost)
		if ctx.Err() != nil {
			return nil
		}
		if progress {
			pause.Reset()
		}
		wait := pause.NextBackOff()
		e.log.Warn("an export broke off and begins again", slog.String("exporter", e.name), slog.Duration("after", wait), slog.Any("error", err))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// session opens the store and makes objects until ctx ends or something goes wrong. progress: it made one.
func (e *exporter) session(ctx context.Context, c *delivery.Claim, due *due, lost *loss) (progress bool, err error) {
	s, err := decodeState(c.State(), e.start)
	if err != nil {
		return false, err
	}
	if s.Plan != nil {
		due.at.Store(s.Plan.Window)
	}
	w := work{exporter: e, claim: c, state: s, repeat: s.Plan != nil, lost: lost}
	w.expire(ctx) // also while the store is away
	store, err := e.open()
	if err != nil {
		e.metrics.objects.WithLabelValues(e.name, resultFailed).Inc()
		return false, err
	}
	defer store.Close()
	w.store = store
	if s.Sealed != "" {
		w.seal(s.Sealed)
	}
	for ctx.Err() == nil {
		if w.state.Plan != nil {
			if err := w.export(ctx); err != nil {
				return progress, err
			}
			progress = true
			w.toldLost()
			continue
		}
		wait, err := w.plan(ctx)
		switch {
		case err != nil:
			return progress, err
		case w.state.Plan != nil:
			due.at.Store(w.state.Plan.Window)
		case !wait.IsZero():
			due.at.Store(0)
			e.sleepUntil(ctx, wait)
		}
	}
	return progress, nil
}

// sleepUntil waits for a time by the clock, which is looked at again and again: it may be set, and this machine may sleep.
func (e *exporter) sleepUntil(ctx context.Context, t time.Time) {
	for ctx.Err() == nil {
		left := t.Sub(e.now())
		if left <= 0 {
			return
		}
		timer := time.NewTimer(min(left, e.poll))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// work is one Run. One goroutine.
type work struct {
	*exporter
	claim  *delivery.Claim
	store  Store
	state  state
	lost   *loss
	repeat bool // the plan may have been begun before: by a session that broke off, or by one that was killed
}

// commit stores a state; only then it counts.
func (w *work) commit(s state) error {
	if err := w.claim.Commit(w.claim.Work(), s.encode()); err != nil {
		return fmt.Errorf("store how far the export has come: %w", err)
	}
	w.state = s
	return nil
}

// plan looks for the next object and stores the plan for it. wait: there is none before.
func (w *work) plan(ctx context.Context) (wait time.Time, err error) {
	w.expire(ctx)
	f, err := w.scan(ctx, w.state, w.now())
	switch {
	case err != nil:
		return wait, err
	case f.plan != nil:
		s := w.state
		s.Plan, s.Sealed = f.plan, ""
		w.repeat = false
		if err := w.commit(s); err != nil {
			return wait, err
		}
	case f.wait.IsZero():
		// Nothing of it is shown. If this is lost it is only looked at again.
		w.state = w.state.passed(f.to, w.index(ctx, f.to))
		w.claim.Save(w.state.encode())
	}
	// Here and not where they are written: a plan is made once, and written until it is in the store.
	w.relay.Withheld(w.stream, f.withheld)
	return f.wait, nil
}

// export makes the planned object, once, and stores that it is there.
func (w *work) export(ctx context.Context) error {
	release, err := w.admit(ctx, w.place, w.layout.memory(w.state.Plan))
	if err != nil {
		return err
	}
	defer release()
	w.expire(ctx) // it may have waited for its turn
	index := w.index(ctx, w.state.Plan.To)
	result, err := w.produce()
	if err != nil {
		w.metrics.objects.WithLabelValues(w.name, resultFailed).Inc()
		return err
	}
	if result != "" {
		w.metrics.objects.WithLabelValues(w.name, result).Inc()
	}
	events, s := w.state.Plan.Events, w.state.behind(index)
	if err := w.commit(s); err != nil {
		return err
	}
	if result != "" && w.counted.kind != "" {
		w.metrics.took(w.counted, events)
	}
	w.seal(s.Sealed)
	return nil
}

// produce brings the planned objects into the store and gives the result; empty: there was nothing to write.
func (w *work) produce() (string, error) {
	ctx := w.claim.Work()
	for taken := 0; ; {
		parts := w.layout.parts(w.state.Plan)
		have, err := w.look(ctx, parts)
		switch {
		case err != nil:
			return "", err
		case have[0] == Own:
			return resultFound, nil // it is committed behind all others
		case slices.Contains(have, Foreign):
			if err := w.next(); err != nil {
				return "", err
			}
			continue
		}
		written, err := w.write(ctx, parts, have)
		switch {
		case err == nil && written:
			return resultWritten, nil
		case err == nil:
			return "", nil
		case !errors.Is(err, ErrTaken):
			return "", err
		case taken == maxTaken:
			return "", fmt.Errorf("an object comes and goes: %w", err)
		case slices.Contains(have, Unknown):
			// Nobody may look, so whose object it is stays unknown. To store the events once more is better than not at all.
			if err := w.next(); err != nil {
				return "", err
			}
		}
		w.repeat = true
		taken++
	}
}

// look tells of each part whether it is there, and whose it is. What an attempt before left of one that is not there is swept.
func (w *work) look(ctx context.Context, parts []part) ([]Found, error) {
	have := make([]Found, len(parts))
	for i, part := range parts {
		var err error
		if have[i], err = w.store.Look(ctx, part.name, part.upload); err != nil {
			return nil, err
		}
		if i == 0 && have[0] == Own {
			return have, nil
		}
	}
	for i, part := range parts {
		if !w.repeat || have[i] == Own || have[i] == Foreign {
			continue
		}
		if err := w.store.Sweep(ctx, part.name, part.upload); err != nil {
			w.log.Debug("what an attempt of an export left is not swept", slog.String("exporter", w.name), slog.Any("error", err))
		}
	}
	return have, nil
}

// next plans the object under the window's next name, since another's has this one.
func (w *work) next() error {
	w.metrics.objects.WithLabelValues(w.name, resultForeign).Inc()
	p := *w.state.Plan
	if p.Index++; p.Index > maxIndex {
		return ErrTaken
	}
	p.Upload = uuid.NewString()
	s := w.state
	s.Plan = &p
	w.repeat = false
	return w.commit(s)
}

// write reads the planned events and writes them; false when nothing came of them: retention has taken all of them meanwhile.
func (w *work) write(ctx context.Context, parts []part, have []Found) (bool, error) {
	p := w.state.Plan
	ps := parcels{ctx: ctx, store: w.store, parts: parts, have: have, size: p.Bytes, objects: make([]Object, len(parts))}
	err := w.layout.write(ctx, p, ps.to)
	if err == nil && ps.begun() {
		// Right before it can be seen: who was stopped for a while may have been replaced.
		err = w.claim.Alive()
	}
	return ps.commit(err)
}

// seal says that nobody will ask for an upload again.
func (w *work) seal(upload string) {
	for _, part := range w.layout.parts(&plan{Upload: upload}) {
		if err := w.store.Seal(w.claim.Work(), part.upload); err != nil {
			w.log.Warn("a trace of an exported object is left in its store", slog.String("exporter", w.name), slog.Any("error", err))
		}
	}
}
