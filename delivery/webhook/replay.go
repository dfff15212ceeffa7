package webhook

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"sluice/relay/engine"
	"sluice/relay/registry"
)

// replay is a replay that is under way.
type replay struct {
	replayState
	asked registry.Replay
	feed  *feed // nil: all is read

}

// before moves a position back so that a batch that is not stored will be formed again.
func (p *replayState) before(b *batch) {
	if p == nil {
		return
	}
	if b.part < p.Range || b.part == p.Range && b.first-1 < p.Position {
		p.Range, p.Position = b.part, b.first-1
	}
}

// nextReplay begins the replay that was under way, or the next that is asked for.
func (r *run) nextReplay(ctx context.Context) error {
	if r.replay != nil || ctx.Err() != nil {
		return nil
	}
	hook := r.service.cfg.Registry.Snapshot().WebhookByID(r.hook.ID)
	if hook == nil {
		return nil
	}
	for _, asked := range hook.Replays {
		if r.done[asked.ID] {
			continue
		}
		p := &replay{asked: asked, replayState: replayState{ID: asked.ID}}
		if was := r.state.Replay; was != nil && was.ID == asked.ID && was.Range <= len(asked.Ranges) {
			p.replayState = *was
		}
		r.replay = p
		r.dirty = true
		return r.nextRange(ctx)
	}
	r.state.Replay = nil
	return nil
}

// nextRange begins to read the range that is next, or sees that there is none.
func (r *run) nextRange(ctx context.Context) error {
	p := r.replay
	if p.feed != nil {
		p.feed.end()
		p.feed = nil
	}
	for p.Range < len(p.asked.Ranges) {
		at := p.asked.Ranges[p.Range]
		p.Position = max(p.Position, at.After)
		if p.Position < at.To {
			f, err := r.follow(ctx, p.Position)
			if err != nil {
				return err
			}
			p.feed = f
			return nil
		}
		p.Range, p.Position = p.Range+1, 0
	}
	r.replayed(p.ID)
	return nil
}

// readAgain takes in what a replay reads.
func (r *run) readAgain(ctx context.Context, f fed, now time.Time) error {
	if f.err != nil {
		return f.err
	}
	p := r.replay
	at := p.asked.Ranges[p.Range]
	over := false
	if f.chunk != nil {
		for i := range f.chunk.Events() {
			line, o := f.chunk.Line(i)
			if over = o > at.To; over {
				break
			}
			if at.Lane == 0 || laneOf(line, r.hook.Envelope == "airship")+1 == at.Lane {
				r.take(r.again, at.Lane, line, o, f.erasures, now, p)
			}
			p.Position = o
		}
		f.chunk.Release()
	}
	r.dirty = true
	p.Position = max(p.Position, f.position)
	if !over && f.chunk == nil {
		over = r.atEnd(ctx, p.Position)
	}
	if over || p.Position >= at.To {
		r.closeBatch(r.again, now)
		p.Range, p.Position = p.Range+1, 0
		return r.nextRange(ctx)
	}
	return nil
}

// atEnd tells whether nothing is stored behind a position. A feed that gives no events says nothing about that: it may be
// searching through much that does not pass the filter, wait for its turn to read the log, or not be allowed to open events
// for a moment. But a log may have lost its end, and with it what a range was to end with.
func (r *run) atEnd(ctx context.Context, at engine.Offset) bool {
	_, last, err := r.service.cfg.Engine.Bounds(ctx, r.hook.Stream.Log)
	return err == nil && last <= at
}

// replayed sees whether a replay is at its end.
func (r *run) replayed(id string) {
	p := r.replay
	if p == nil || p.ID != id || p.feed != nil || p.Range < len(p.asked.Ranges) {
		return
	}
	for b := range r.open {
		if b.replay == id {
			return
		}
	}
	r.done[id] = true
	r.replay, r.state.Replay, r.dirty = nil, nil, true
	s, hook, work := r.service, r.hook.ID, r.work
	r.others.Go(func() {
		if err := s.cfg.Registry.FinishReplay(work, hook, id); err != nil && !errors.Is(err, registry.ErrNotFound) && work.Err() == nil {
			s.log.Warn("a replay that is done will be done again", "webhook", hook, "error", err)
		}
	})
}

func (r *run) endReplay() {
	if r.replay != nil && r.replay.feed != nil {
		r.replay.feed.end()
	}
}

// Replay asks for the events behind an offset up to and with another to be sent again, in new batches.
func (s *Service) Replay(ctx context.Context, w *registry.Webhook, after, to engine.Offset) (id string, err error) {
	id = "rp-" + uuid.NewString()
	return id, s.cfg.Registry.AddReplay(ctx, w.ID, registry.Replay{ID: id, Ranges: []registry.ReplayRange{{After: after, To: to}}})
}

// ReplayDead asks for dead letters to be sent again, each as the batch it was, and takes them off the list: what fails again comes back.
// No ids: all of them. It returns how many were found.
func (s *Service) ReplayDead(ctx context.Context, w *registry.Webhook, ids []string) (replay string, n int, err error) {
	letters, err := s.DeadLetters(ctx, w.ID)
	if err != nil {
		return "", 0, err
	}
	found := pick(letters, ids)
	if len(found) == 0 {
		return "", 0, nil
	}
	asked := registry.Replay{ID: "rp-" + uuid.NewString()}
	for _, d := range found {
		asked.Ranges = append(asked.Ranges, registry.ReplayRange{After: d.First - 1, To: d.Last, Lane: d.Lane, Batch: d.Events, Bare: d.Bare})
	}
	// The replay first: a crash in between leaves the letters on the list, and at worst they are sent twice, under the same ids.
	if err := s.cfg.Registry.AddReplay(ctx, w.ID, asked); err != nil {
		return "", 0, err
	}
	return asked.ID, len(found), s.removeDead(ctx, w.ID, found)
}
