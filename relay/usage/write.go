package usage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"sluice/relay/engine"
)

const (
	// flushEvery is how old what a node has written of its counts may be: what other nodes know of a month.
	flushEvery = time.Second
	// flushStreams bounds a batch: each stream has a cell of now and at most a few of days.
	flushStreams = 200
	// lastFlush is how long the last one may take.
	lastFlush = 5 * time.Second
	// watchAgain is the pause before the cells are watched anew.
	watchAgain = time.Second
	// KeepDays is how long the minutes of a stream are kept.
	KeepDays = 62
)

// Run writes counts down and listens to those of others until ctx ends; then it writes once more.
func (m *Meter) Run(ctx context.Context) error {
	defer m.stop()
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		m.listen(ctx)
	}()
	defer func() { <-listening }()
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
			defer cancel()
			if err := m.flush(ctx); err != nil {
				// The next start counts it from the log.
				m.log.Warn("the last usage of streams was not written", slog.Any("error", err))
			}
			return nil
		case <-tick.C:
			if err := m.flush(ctx); err != nil && ctx.Err() == nil {
				m.log.Warn("the usage of streams is not written yet", slog.Any("error", err))
			}
		}
	}
}

// listen hears the cells of other nodes, and of streams that are gone.
func (m *Meter) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := m.cells.Watch(ctx, nowPrefix, m.heard, nil); err != nil {
			m.log.Debug("usage is watched anew", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchAgain):
		}
	}
}

// flush writes all counts that moved.
func (m *Meter) flush(ctx context.Context) error {
	reached := make([]uint64, len(m.seqs))
	for i := range m.seqs {
		reached[i] = m.seqs[i].Load()
	}
	var moved []*stream
	m.mu.RLock()
	for _, s := range m.streams {
		s.mu.Lock()
		if s.dirty {
			moved = append(moved, s)
		}
		s.mu.Unlock()
	}
	m.mu.RUnlock()
	if len(moved) == 0 && slices.Equal(reached, m.written) {
		return nil
	}
	for some := range slices.Chunk(moved, flushStreams) {
		if err := m.write(ctx, some); err != nil {
			return err
		}
	}
	rev, err := m.cells.Put(ctx, atKey(m.node), encodeAt(reached), m.atRev)
	if err != nil {
		if cell, look := m.cells.Get(ctx, atKey(m.node)); look == nil {
			m.atRev = cell.Revision
		}
		return fmt.Errorf("writing how far usage is counted: %w", err)
	}
	m.atRev, m.written = rev, reached
	return nil
}

// write writes some streams' counts, all or none. Who reads a stream's cells then finds every block up to its sequence in
// them once: an hour goes to its day in the batch that takes it out of the cell of now.
func (m *Meter) write(ctx context.Context, some []*stream) error {
	var writes []engine.Write
	places := make([]int, len(some)) // of each stream's cell of now, in writes
	closed := make([][]hour, len(some))
	for i, s := range some {
		s.mu.Lock()
		if s.gone {
			s.dirty = false
			s.mu.Unlock()
			places[i] = -1
			continue
		}
		state, over := s.state, slices.Clone(s.over)
		s.dirty = false
		s.mu.Unlock()
		days, err := m.days(ctx, s.id, over)
		if err != nil {
			m.again(some[:i+1])
			return err
		}
		writes = append(writes, days...)
		places[i], closed[i] = len(writes), over
		writes = append(writes, engine.Write{Key: nowKey(s.id, m.node), Value: state.encode(), Revision: s.rev})
	}
	if len(writes) == 0 {
		return nil
	}
	if err := m.cells.Batch(ctx, writes); err != nil {
		m.again(some)
		m.lookUp(ctx, some)
		return fmt.Errorf("writing usage: %w", err)
	}
	for i, s := range some {
		if places[i] < 0 {
			continue
		}
		s.rev = writes[places[i]].Revision
		s.mu.Lock()
		s.over = slices.Delete(s.over, 0, len(closed[i]))
		today := dayAt(s.state.hour.number)
		s.mu.Unlock()
		if n := len(closed[i]); n > 0 && dayAt(closed[i][n-1].number) != today {
			m.expire(ctx, s.id)
		}
	}
	return nil
}

// again has streams written by the next flush.
func (m *Meter) again(some []*stream) {
	for _, s := range some {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
	}
}

// lookUp reads the revisions of cells after a batch that may have been written, or been refused.
func (m *Meter) lookUp(ctx context.Context, some []*stream) {
	for _, s := range some {
		cell, err := m.cells.Get(ctx, nowKey(s.id, m.node))
		switch {
		case err == nil:
			s.rev = cell.Revision
		case errors.Is(err, engine.ErrNotFound):
			s.rev = 0
		default:
			return
		}
	}
}

// days are the writes that bring hours into their days' cells.
func (m *Meter) days(ctx context.Context, id engine.StreamID, over []hour) ([]engine.Write, error) {
	var writes []engine.Write
	for i := range over {
		h := &over[i]
		key := dayKey(id, dayAt(h.number), m.node)
		if n := len(writes); n == 0 || writes[n-1].Key != key {
			cell, err := m.cells.Get(ctx, key)
			if errors.Is(err, engine.ErrNotFound) {
				cell, err = engine.Cell{Value: newDay()}, nil
			}
			if err != nil {
				return nil, fmt.Errorf("reading a day of usage: %w", err)
			}
			writes = append(writes, engine.Write{Key: key, Value: cell.Value, Revision: cell.Revision})
		}
		w := &writes[len(writes)-1]
		var err error
		if w.Value, err = withHour(w.Value, h); err != nil {
			return nil, err
		}
	}
	return writes, nil
}

// expire erases a stream's days that are older than KeepDays, whichever node's they are. What it does not get to is erased
// the next day.
func (m *Meter) expire(ctx context.Context, id engine.StreamID) {
	oldest := m.now().UTC().AddDate(0, 0, -KeepDays)
	all, err := m.cells.List(ctx, dayPrefix+"."+streamName(id))
	if err != nil {
		return
	}
	var writes []engine.Write
	for _, c := range all {
		if day, _, ok := dayOf(c.Key); ok && day.Before(oldest) {
			writes = append(writes, engine.Write{Key: c.Key, Revision: c.Revision})
		}
	}
	if len(writes) > 0 {
		_ = m.cells.Batch(ctx, writes)
	}
}

// Drop erases all that was counted of a stream that is no more. It may be repeated.
func Drop(ctx context.Context, cells *engine.Cells, id engine.StreamID) error {
	for _, prefix := range []string{nowPrefix, dayPrefix} {
		all, err := cells.List(ctx, prefix+"."+streamName(id))
		if err != nil {
			return fmt.Errorf("erasing a stream's usage: %w", err)
		}
		for some := range slices.Chunk(all, flushStreams) {
			writes := make([]engine.Write, 0, len(some))
			for _, c := range some {
				writes = append(writes, engine.Write{Key: c.Key, Revision: c.Revision})
			}
			if err := cells.Batch(ctx, writes); err != nil {
				return fmt.Errorf("erasing a stream's usage: %w", err)
			}
		}
	}
	return nil
}
