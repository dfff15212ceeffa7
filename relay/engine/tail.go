package engine

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
)

// tail is the one reader of a shard's newest blocks on this node, for all who follow a stream of it. It starts with
// the first Follow.
type tail struct {
	e     *Engine
	shard int

	start   sync.Mutex // held while starting
	started bool

	mu        sync.Mutex
	last      uint64 // sequence of the last block handed out, or passed over for nobody followed its stream
	followers map[StreamID][]*follower
}

// follower is one Follow. Lists of followers are replaced, never changed, so that a delivery walks its own.
type follower struct {
	fn      func(*Block)
	stopped atomic.Bool
}

// Follow hands every block of s with Seq > from to fn, in order, once, on the shard's tail goroutine: fn must not
// block, for it holds up every stream of the shard. What is stored up to from is there for Read already. stop may be
// called more than once and from within fn; a call of fn that is under way on another goroutine may still finish
// after it. A block that cannot be opened arrives too: its Each says so. ctx bounds the start only.
func (e *Engine) Follow(ctx context.Context, s Stream, fn func(*Block)) (from uint64, stop func(), err error) {
	if e.closing.Load() {
		return 0, nil, ErrClosed
	}
	if !e.has(s) {
		return 0, nil, ErrStream
	}
	t := e.tails[s.Shard]
	if err := t.begin(ctx); err != nil {
		return 0, nil, err
	}
	f := &follower{fn: fn}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.followers[s.ID] = append(slices.Clip(t.followers[s.ID]), f)
	return t.last, func() { t.remove(s.ID, f) }, nil
}

func (t *tail) remove(id StreamID, f *follower) {
	if f.stopped.Swap(true) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(t.followers[id]), func(other *follower) bool { return other == f })
	if len(rest) == 0 {
		delete(t.followers, id)
		return
	}
	t.followers[id] = rest
}

// begin starts the tail behind what is stored now.
func (t *tail) begin(ctx context.Context) error {
	t.start.Lock()
	defer t.start.Unlock()
	if t.started {
		return nil
	}
	last, err := t.e.lastSeq(ctx, t.shard)
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.last, t.followers = last, map[StreamID][]*follower{}
	t.mu.Unlock()
	t.started = true
	p := &puller{
		link: &t.e.tailConn, js: t.e.tailJS, log: t.e.log, stream: shardStream(t.shard), next: last + 1,
		max: t.e.cfg.maxStored() + recordSlack, deliver: t.deliver,
	}
	t.e.part("tail", p.run)
	return nil
}

func (t *tail) deliver(m stored, _ bool) {
	id, known := subjectStream(m.subject)
	t.mu.Lock()
	t.last = m.seq
	list := t.followers[id]
	t.mu.Unlock()
	if len(list) == 0 || !known {
		return
	}
	b := asBlock(Stream{ID: id, Shard: t.shard}, m)
	if b.err != nil { // nobody may open it before the followers do
		t.e.log.Error("a stored block is corrupt", slog.Int("shard", t.shard), slog.Uint64("sequence", m.seq), slog.Any("error", b.err))
	}
	for _, f := range list {
		if !f.stopped.Load() {
			f.fn(b)
		}
	}
}
