package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/relay/engine"
	"sluice/relay/registry"
)

const (
	// seenFor is how long an event's own id stands for the event on its stream.
	seenFor = 10 * time.Minute
	// seenMost bounds the ids a node remembers, some 30 bytes each, in all streams: 14,000 new events a second for as
	// long as they are remembered. One more is refused as busy until others are ten minutes old.
	seenMost = 1 << 23
)

// storeUnseen stores the batches with store, without the events whose own ids were stored on the stream in the last ten
// minutes: they are left out of the batches, as if they had been stored again. A copy that comes while the first is
// being stored waits for it, and takes its place when it fails.
//
// That holds across restarts, and across nodes once the first is in the log, for the log is where the ids are: a node
// reads the last ten minutes of it before the stream's first event, and what came since before each event when other
// nodes write too, or when an append had an unknown end. Errors beside store's: engine.ErrBusy, and nothing was stored.
func (r *Relay) storeUnseen(ctx context.Context, st *registry.Stream, batches []*engine.Batch, now time.Time, store func(context.Context) error) error {
	s := r.seen.stream(st.Log.ID, now)
	ids := r.seen.sums(batches)
	var mine *seenClaim
	var again []bool
	for {
		if err := r.learnSeen(ctx, st, s); err != nil {
			return err
		}
		var wait *seenClaim
		var err error
		if mine, again, wait, err = s.claim(ids, now); err != nil {
			return err
		}
		if wait == nil {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: another request with an event of the same id is in hand", engine.ErrBusy)
		case <-wait.done:
		}
	}
	copies := 0
	if again != nil {
		n := 0
		for _, b := range batches {
			size := b.Len()
			b.Keep(func(i int) bool { return !again[n+i] })
			n, copies = n+size, copies+size-b.Len()
		}
	}
	// Waited for to its end, which the log bounds: an append of unknown fate that is still on its way would not be found
	// by the one who looks whether it is there.
	err := store(context.WithoutCancel(ctx))
	s.release(mine, now, err)
	if err == nil && copies > 0 {
		r.drops.of(st.Name).add(droppedDuplicate, copies)
	}
	return err
}

// learnSeen makes sure that the ids in the log are known, as far as they must be.
func (r *Relay) learnSeen(ctx context.Context, st *registry.Stream, s *seenStream) error {
	known := func() bool { return !r.engine.Shared() && s.sure() }
	if known() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, oncePatience)
	defer cancel()
	busy := func() error { return fmt.Errorf("%w: the log is being read for ids", engine.ErrBusy) }
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return busy()
	}
	if known() { // somebody else read it
		return nil
	}
	now := r.now()
	since := now.Add(-seenFor)
	from, doubts := s.from(since)
	if doubts > 0 {
		// The append may still be on its way into the log: as long as it is, the log's end proves nothing.
		if err := r.engine.Ready(); err != nil {
			return fmt.Errorf("%w: what became of an earlier event is not known yet: %w", engine.ErrBusy, err)
		}
	}
	if from == 0 {
		var err error
		if from, err = r.engine.SeekTime(ctx, st.Log, since); ctx.Err() != nil {
			return busy()
		} else if err != nil {
			return fmt.Errorf("seek in stream %s: %w", st.Name, err)
		}
	}
	cursor := r.engine.Read(st.Log, from)
	defer cursor.Close()
	for {
		block, err := cursor.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			s.readTo(from, now, doubts)
			return nil
		case errors.Is(err, engine.ErrCorrupt):
			continue // its events are lost to every reader
		case ctx.Err() != nil:
			return busy()
		case err != nil:
			return fmt.Errorf("read ids of stream %s: %w", st.Name, err)
		}
		full := false
		last := block.Last()
		err = block.Each(func(o engine.Offset, rec *engine.Record) bool {
			if at := time.UnixMilli(rec.Processed); o > from && len(rec.ID) > 0 && at.After(since) {
				full = !s.keep(r.seen.sum(rec.ID), at)
			}
			return !full
		})
		if full {
			return errSeenFull()
		}
		if err == nil {
			block.Recycle()
		}
		from = last
		s.progress(from, now)
	}
}

func errSeenFull() error {
	return fmt.Errorf("%w: %d ids of events are remembered, which is as many as may be", engine.ErrBusy, seenMost)
}
