package usage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"sluice/relay/engine"
)

// Config is what a Meter is made of.
type Config struct {
	Engine *engine.Engine
	Now    func() time.Time // default time.Now
	Log    *slog.Logger     // default slog.Default()
}

// Meter counts the events of all streams. Safe for concurrent use.
type Meter struct {
	engine *engine.Engine
	cells  *engine.Cells
	node   string
	now    func() time.Time
	log    *slog.Logger

	mu      sync.RWMutex
	streams map[engine.StreamID]*stream // those that ever took an event
	seqs    []atomic.Uint64             // of each shard: the last block counted
	stop    func()                      // of OnStored

	written []uint64 // of each shard: what the cell of atPrefix says; of Run's goroutine
	atRev   uint64
}

// stream is one stream's part of the Meter.
type stream struct {
	id engine.StreamID
	Counter

	mu    sync.Mutex
	state now    // all that was counted
	over  []hour // hours that are not in a day's cell yet, ascending
	dirty bool
	rev   uint64 // of its usage.now cell; of Run's goroutine once that runs
	gone  bool   // its cells were erased: the stream is no more
}

// Open reads what was counted before, and counts what this node stored and had not written down when it ended. It must
// have returned before events are let in, and the Meter counts from then on whether Run runs or not.
func Open(ctx context.Context, cfg Config) (*Meter, error) {
	m := &Meter{
		engine: cfg.Engine, cells: cfg.Engine.Cells(), node: cfg.Engine.NodeName(), now: cfg.Now, log: cfg.Log,
		streams: map[engine.StreamID]*stream{},
		seqs:    make([]atomic.Uint64, cfg.Engine.Shards()), written: make([]uint64, cfg.Engine.Shards()),
	}
	if m.now == nil {
		m.now = time.Now
	}
	if m.log == nil {
		m.log = slog.Default()
	}
	if err := m.load(ctx); err != nil {
		return nil, fmt.Errorf("reading the usage of streams: %w", err)
	}
	for shard := range m.seqs {
		if err := m.engine.Own(ctx, shard, m.written[shard], m.stored); err != nil {
			return nil, fmt.Errorf("counting what was stored before the start: %w", err)
		}
	}
	m.stop = m.engine.OnStored(m.stored)
	return m, nil
}

// load reads the cells.
func (m *Meter) load(ctx context.Context) error {
	switch cell, err := m.cells.Get(ctx, atKey(m.node)); {
	case errors.Is(err, engine.ErrNotFound):
	case err != nil:
		return err
	default:
		if m.written, err = decodeAt(cell.Value, len(m.seqs)); err != nil {
			return err
		}
		m.atRev = cell.Revision
		for i := range m.seqs {
			m.seqs[i].Store(m.written[i])
		}
	}
	all, err := m.cells.List(ctx, nowPrefix)
	if err != nil {
		return err
	}
	for _, c := range all {
		id, node, ok := nowOf(c.Key)
		if !ok {
			continue
		}
		if node != m.node {
			m.heard(c)
			continue
		}
		n, err := decodeNow(c.Value)
		if err != nil {
			return err
		}
		s := m.of(id)
		s.state, s.rev = n, c.Revision
		s.count(total{n.month, n.total})
	}
	return nil
}

// Of gives a stream's counter.
func (m *Meter) Of(id engine.StreamID) *Counter { return &m.of(id).Counter }

func (m *Meter) of(id engine.StreamID) *stream {
	if s := m.find(id); s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.streams[id]
	if s == nil {
		s = &stream{id: id}
		m.streams[id] = s
	}
	return s
}

// find gives a stream, nil for one that nothing is known of.
func (m *Meter) find(id engine.StreamID) *stream {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.streams[id]
}

// stored counts a block.
func (m *Meter) stored(b engine.Stored) {
	s := m.of(b.Stream)
	s.mu.Lock()
	if b.Seq > s.state.seq {
		s.add(b)
	}
	s.mu.Unlock()
	// Behind the stream's own state: whoever reads this sequence finds all blocks up to it counted.
	m.seqs[b.Shard].Store(b.Seq)
}

// add counts a block. Of a clock that went back, the hour and the month that were there already take what comes. The
// caller holds mu.
func (s *stream) add(b engine.Stored) {
	ms := b.At.UnixMilli()
	n := &s.state
	if mo := monthAt(ms); mo > n.month {
		n.month, n.total = mo, 0
	}
	minute := int(ms / time.Minute.Milliseconds() % hourMinutes)
	switch h := hourAt(ms); {
	case h > n.hour.number:
		if n.hour.number > 0 {
			s.over = append(s.over, n.hour)
		}
		n.hour = hour{number: h}
	case h < n.hour.number:
		minute = 0
	}
	n.seq = b.Seq
	n.total += uint64(b.Events)
	n.hour.minutes[minute] += uint64(b.Events)
	s.dirty = true
	s.count(total{n.month, n.total})
}

// heard takes in another node's cell.
func (m *Meter) heard(c engine.Cell) {
	id, node, ok := nowOf(c.Key)
	if !ok {
		return
	}
	if node == m.node {
		if c.Gone {
			m.forget(id)
		}
		return
	}
	if c.Gone {
		if s := m.find(id); s != nil {
			s.hear(node, nil)
		}
		return
	}
	n, err := decodeNow(c.Value)
	if err != nil {
		m.log.Error("another node's usage of a stream cannot be read", slog.String("stream", id.String()), slog.Any("error", err))
		return
	}
	m.of(id).hear(node, &total{n.month, n.total})
}

// forget lets go of a stream whose cells were erased.
func (m *Meter) forget(id engine.StreamID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.streams[id]; s != nil {
		s.mu.Lock()
		s.gone = true
		s.mu.Unlock()
		delete(m.streams, id)
	}
}
