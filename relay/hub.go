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
	// A tick follows the last one at once when it caused few writes, and later the more it caused, so that under load a
	// write carries many events; never later than maxTick.
	maxTick      = 10 * time.Millisecond
	tickPerWrite = 10 * time.Microsecond
	// Thousands of readers that each ask for another hundredth of a stream get one event a write that way, and the
	// writes cost more than both cores have: 90,000 a second for 2,000 of 5,000 events/s. Where a tick causes manyWrites
	// and these carry fewer than fewEvents each, the next one waits for as long as the writes take.
	manyWrites     = 500
	fewEvents      = 8
	maxSparseTick  = 50 * time.Millisecond
	sparsePerWrite = 25 * time.Microsecond
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
	newest  atomic.Uint64 // offset of the last event that the tail has brought

	inbox struct {
		sync.Mutex
		blocks []*engine.Block
		bytes  int
		gap    bool          // blocks were let go of: read the log
		wake   chan struct{} // of one element; the tail writes, run reads
	}

	mu     sync.Mutex    // held while a tick renders
	pos    engine.Offset // every block up to here was rendered
	views  map[lens]*liveView
	caused caused // since it was taken last
}

// liveView is a view with the renderings that show it.
type liveView struct {
	view
	renderings map[renderKey]*rendering
	audience   audience
	candidate  candidate
}

// renderKey tells which readers share their bytes, within one stream and lens.
type renderKey struct {
	format         Format
	framing        Framing
	filter, subset string
}

// rendering is one form of a stream, written once for all its readers. The hub's mutex guards all but the ring.
type rendering struct {
	renderer
	key      renderKey
	lens     lens
	mask     *mask
	ring     *ring
	readers  int
	audience audience
	builder  chunkBuilder
	ready    []*Chunk
}

func newHub(r *Relay, s engine.Stream) *hub {
	h := &hub{relay: r, stream: s, views: map[lens]*liveView{}}
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
	h.heard(h.pos)
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
		wait := h.takeCaused().pause() - time.Since(begun)
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

// caused is what ticks brought about: how often readers write, and how many events these writes carry together.
type caused struct{ writes, events int }

// pause is how long after the tick's beginning the next one is due.
func (c caused) pause() time.Duration {
	if c.writes >= manyWrites && c.events < fewEvents*c.writes {
		return min(maxSparseTick, time.Duration(c.writes)*sparsePerWrite)
	}
	return min(maxTick, time.Duration(c.writes)*tickPerWrite)
}

func (h *hub) takeCaused() caused {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.caused
	h.caused = caused{}
	return c
}

// receive takes a block from the tail, which must not wait.
func (h *hub) receive(b *engine.Block) {
	h.heard(b.Last())
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

// render shows blocks to every view and rendering and publishes what came of it, as soon as this node may open them.
func (h *hub) render(ctx context.Context, blocks []*engine.Block) error {
	for {
		// Not under the mutex: to hear of the others again, those who are told of their changes must come by.
		if err := h.relay.vault.Await(ctx); err != nil {
			return err
		}
		if err := h.tryRender(ctx, blocks); !errors.Is(err, consent.ErrCutOff) {
			return err
		}
	}
}

// tryRender is render for a node that may open. consent.ErrCutOff: it may no more, and nothing was published.
func (h *hub) tryRender(ctx context.Context, blocks []*engine.Block) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, began := h.relay.now(), h.pos
	for _, b := range blocks {
		if b.First() <= h.pos {
			continue
		}
		if err := h.renderBlock(ctx, b, now); err != nil {
			if errors.Is(err, consent.ErrCutOff) {
				h.pos = began
				h.discard()
			}
			return err
		}
		h.pos = b.Last()
	}
	for _, v := range h.views {
		v.audience.dropped(v.dropReason(), v.takeDropped())
		for _, rd := range v.renderings {
			for why, n := range rd.takeDropped() {
				rd.audience.dropped(reason(why), n)
			}
			if !rd.builder.empty() {
				rd.ready = append(rd.ready, rd.builder.cut())
			}
			for _, c := range rd.ready {
				h.caused.events += rd.readers * c.Events()
			}
			if len(rd.ready) > 0 {
				h.caused.writes += rd.readers
			}
			rd.ring.publish(rd.ready, h.pos)
			clear(rd.ready)
			rd.ready = rd.ready[:0]
		}
	}
	return nil
}

// discard lets go of what was rendered and not published.
func (h *hub) discard() {
	for _, v := range h.views {
		for _, rd := range v.renderings {
			rd.takeDropped()
			rd.builder = chunkBuilder{bytes: rd.builder.bytes, events: rd.builder.events}
			clear(rd.ready)
			rd.ready = rd.ready[:0]
		}
	}
}

// renderBlock shows one block to everybody. A key that cannot be had now is waited for: to go on without it would
// show the event in another form to those who are live than to those who come later.
func (h *hub) renderBlock(ctx context.Context, b *engine.Block, now time.Time) error {
	for _, v := range h.views {
		done := h.pos
		for {
			err := v.showBlock(ctx, b, done, func(e *shown) {
				done = e.offset
				v.candidate.next()
				for _, rd := range v.renderings {
					rd.add(e, &v.candidate, now)
				}
			})
			if err == nil {
				break
			}
			if errors.Is(err, consent.ErrCutOff) {
				return err
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
		switch {
		case e != nil:
			fn(e)
		case o > v.droppedTo: // a block whose keys could not be had is shown again
			v.dropped, v.droppedTo = v.dropped+1, o
		}
		return true
	})
	if failed != nil {
		return failed
	}
	return err
}

// add writes an event that passes the rendering's filter.
func (rd *rendering) add(e *shown, c *candidate, now time.Time) {
	if !rd.passes(e, c, now) {
		return
	}
	rd.builder.begin()
	rd.builder.lines = rd.renderer.append(rd.builder.lines, e)
	rd.builder.end(e.offset)
	if rd.builder.full() {
		rd.ready = append(rd.ready, rd.builder.cut())
	}
}

// join adds a reader to the rendering it asks for, making it if it is the first. m is the stream's mask.
func (h *hub) join(s Spec, m *mask) *rendering {
	key := renderKey{format: s.Format, framing: s.Framing}
	if s.Filter != nil {
		key.filter = s.Filter.Key()
	}
	if s.Subset != nil {
		key.subset = s.Subset.Key()
	}
	l := lensOf(s.Stream.Rule, m)
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.views[l]
	if v == nil {
		v = &liveView{view: view{vault: h.relay.vault, stream: h.stream.ID, rule: l.Rule, mask: m}, renderings: map[renderKey]*rendering{}, audience: audience{}}
		h.views[l] = v
	}
	rd := v.renderings[key]
	if rd == nil {
		rd = &rendering{
			renderer: newRenderer(h.stream.ID, s),
			key:      key, lens: l, mask: m, ring: newRing(&h.relay.budget, h.pos), audience: audience{},
		}
		v.renderings[key] = rd
	}
	rd.readers++
	v.audience.join(s.Stream.Name, h.relay.drops)
	rd.audience.join(s.Stream.Name, h.relay.drops)
	return rd
}

// leave takes a reader of a stream from its rendering; the last one takes the rendering along.
func (h *hub) leave(rd *rendering, stream string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := h.views[rd.lens]
	v.audience.leave(stream)
	rd.audience.leave(stream)
	if rd.readers--; rd.readers > 0 {
		return
	}
	delete(v.renderings, rd.key)
	if len(v.renderings) == 0 {
		delete(h.views, rd.lens)
	}
	rd.ring.close()
}

// forget drops what was rendered with keys that are gone. The keys must be gone already.
func (h *hub) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.epoch.Add(1)
	for l, v := range h.views {
		if l.Type == consent.Source {
			continue
		}
		for _, rd := range v.renderings {
			rd.ring.purge()
		}
	}
}
