package relay

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

const (
	// inboxBytes bounds the blocks that wait for the hub. Beyond it the hub forgets them and reads the log, as a
	// slow reader does.
	inboxBytes = 16 << 20
	// A tick follows the last one at once when few are listening, and later the more writes it causes, so that
	// under load a write carries many events; never later than maxTick.
	maxTick       = 10 * time.Millisecond
	tickPerReader = 10 * time.Microsecond
	// hubLinger is how long a hub without readers waits for the next one.
	hubLinger = 10 * time.Second
	// keyRetry is the pause before a block is tried again whose keys could not be had.
	keyRetry = 100 * time.Millisecond
)

// hub is the live tail of one source stream: it opens every block once per view and writes every event once per
// rendering, for all readers of the stream and of the streams derived from it. Safe for concurrent use.
type hub struct {
	relay  *Relay
	stream engine.Stream
	// epoch counts what made renderings of the past wrong: a person was forgotten.
	epoch   atomic.Uint64
	readers atomic.Int64

	inbox struct {
		sync.Mutex
		blocks []*engine.Block
		bytes  int
		gap    bool          // blocks were let go of: read the log
		wake   chan struct{} // of one element; the tail writes, run reads
	}

	mu    sync.Mutex    // held while a tick renders
	pos   engine.Offset // every block up to here was rendered
	views map[consent.Rule]*liveView
}

// liveView is a view with the renderings that show it.
type liveView struct {
	view
	renderings map[renderKey]*rendering
}

// renderKey tells which readers share their bytes, within one stream and rule.
type renderKey struct {
	format         Format
	framing        Framing
	filter, subset string
}

// rendering is one form of a stream, written once for all its readers. The hub's mutex guards all but the ring.
type rendering struct {
	renderer
	key     renderKey
	rule    consent.Rule
	ring    *ring
	readers int
	builder chunkBuilder
	ready   []*Chunk
}

func newHub(r *Relay, s engine.Stream) *hub {
	h := &hub{relay: r, stream: s, views: map[consent.Rule]*liveView{}}
	h.inbox.wake = make(chan struct{}, 1)
	return h
}

// run follows the stream until ctx ends or nobody has listened for a while and idle agrees. started is called once
// the tail is joined, or with the reason why it could not be.
func (h *hub) run(ctx context.Context, started func(error), idle func() bool) {
	from, stop, err := h.relay.engine.Follow(ctx, h.stream, h.receive)
	if err != nil {
		started(err)
		return
	}
	defer stop()
	h.pos = engine.AfterBlock(from)
	started(nil)
	linger := time.NewTicker(hubLinger)
	defer linger.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-linger.C:
			if h.readers.Load() == 0 && idle() {
				return
			}
			continue
		case <-h.inbox.wake:
		}
		begun := time.Now()
		if h.tick(ctx) != nil {
			return
		}
		wait := min(maxTick, time.Duration(h.readers.Load())*tickPerReader) - time.Since(begun)
		if wait <= 0 {
			continue
		}
		pause.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}

// receive takes a block from the tail, which must not wait.
func (h *hub) receive(b *engine.Block) {
	h.inbox.Lock()
	if h.inbox.bytes += b.Size(); h.inbox.bytes > inboxBytes {
		h.inbox.blocks, h.inbox.bytes, h.inbox.gap = nil, 0, true
	} else {
		h.inbox.blocks = append(h.inbox.blocks, b)
	}
	h.inbox.Unlock()
	select {
	case h.inbox.wake <- struct{}{}:
	default:
	}
}

// tick renders what has arrived. Its error is ctx's.
func (h *hub) tick(ctx context.Context) error {
	for {
		h.inbox.Lock()
		blocks, gap := h.inbox.blocks, h.inbox.gap
		h.inbox.blocks, h.inbox.bytes, h.inbox.gap = nil, 0, false
		h.inbox.Unlock()
		if gap {
			// What arrives from here on is in the inbox again, and what arrived before is in the log.
			if err := h.catchUp(ctx); err != nil {
				return err
			}
			continue
		}
		if len(blocks) == 0 {
			return nil
		}
		if err := h.render(ctx, blocks); err != nil {
			return err
		}
	}
}

func (h *hub) catchUp(ctx context.Context) error {
	cursor := h.relay.engine.Read(h.stream, h.position())
	defer cursor.Close()
	for {
		b, err := cursor.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if err := h.pauseAfter(ctx, err); err != nil {
				return err
			}
			continue
		}
		if err := h.render(ctx, []*engine.Block{b}); err != nil {
			return err
		}
	}
}

func (h *hub) position() engine.Offset {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pos
}

// render shows blocks to every view and rendering and publishes what came of it.
func (h *hub) render(ctx context.Context, blocks []*engine.Block) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.relay.now()
	for _, b := range blocks {
		if b.First() <= h.pos {
			continue
		}
		if err := h.renderBlock(ctx, b, now); err != nil {
			return err
		}
		h.pos = b.Last()
	}
	for _, v := range h.views {
		for _, rd := range v.renderings {
			if !rd.builder.empty() {
				rd.ready = append(rd.ready, rd.builder.cut())
			}
			rd.ring.publish(rd.ready, h.pos)
			clear(rd.ready)
			rd.ready = rd.ready[:0]
		}
	}
	return nil
}

// renderBlock shows one block to everybody. A key that cannot be had now is waited for: to go on without it would
// show the event in another form to those who are live than to those who come later.
func (h *hub) renderBlock(ctx context.Context, b *engine.Block, now time.Time) error {
	for _, v := range h.views {
		done := h.pos
		for {
			err := v.showBlock(ctx, b, done, func(e *shown) {
				done = e.offset
				for _, rd := range v.renderings {
					rd.add(e, now)
				}
			})
			if err == nil {
				break
			}
			if err := h.pauseAfter(ctx, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *hub) pauseAfter(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	h.relay.log.Warn("a live stream waits", "stream", h.stream.ID.String(), "error", err)
	t := time.NewTimer(keyRetry)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// showBlock calls fn with every event of a block behind an offset that the view shows.
func (v *view) showBlock(ctx context.Context, b *engine.Block, after engine.Offset, fn func(*shown)) error {
	var failed error
	err := b.Each(func(o engine.Offset, rec *engine.Record) bool {
		if o <= after {
			return true
		}
		e, err := v.open(ctx, o, rec)
		if err != nil {
			failed = err
			return false
		}
		if e != nil {
			fn(e)
		}
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

// add writes an event that passes the rendering's filter.
func (rd *rendering) add(e *shown, now time.Time) {
	if !rd.passes(e, now) {
		return
	}
	rd.builder.begin()
	rd.builder.lines = rd.renderer.append(rd.builder.lines, e)
	rd.builder.end(e.offset)
	if rd.builder.full() {
		rd.ready = append(rd.ready, rd.builder.cut())
	}
}

// join adds a reader to the rendering it asks for, making it if it is the first.
func (h *hub) join(s Spec) *rendering {
	key := renderKey{format: s.Format, framing: s.Framing}
	if s.Filter != nil {
		key.filter = s.Filter.Key()
	}
	if s.Subset != nil {
		key.subset = s.Subset.Key()
	}
	rule := s.Stream.Rule
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.views[rule]
	if v == nil {
		v = &liveView{view: view{vault: h.relay.vault, stream: h.stream.ID, rule: rule}, renderings: map[renderKey]*rendering{}}
		h.views[rule] = v
	}
	rd := v.renderings[key]
	if rd == nil {
		rd = &rendering{
			renderer: newRenderer(h.stream.ID, s),
			key:      key, rule: rule, ring: newRing(&h.relay.budget, h.pos),
		}
		v.renderings[key] = rd
	}
	rd.readers++
	return rd
}

// leave takes a reader from its rendering; the last one takes the rendering along.
func (h *hub) leave(rd *rendering) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if rd.readers--; rd.readers > 0 {
		return
	}
	v := h.views[rd.rule]
	delete(v.renderings, rd.key)
	if len(v.renderings) == 0 {
		delete(h.views, rd.rule)
	}
	rd.ring.close()
}

// forget drops what was rendered with keys that are gone. The keys must be gone already.
func (h *hub) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epoch.Add(1)
	for rule, v := range h.views {
		if rule.Type == consent.Source {
			continue
		}
		for _, rd := range v.renderings {
			rd.ring.purge()
		}
	}
}
