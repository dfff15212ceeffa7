package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/filter"
	"sluice/relay/registry"
)

// Spec is what a consumer wants to read.
type Spec struct {
	Stream  *registry.Stream
	From    Position
	Format  Format
	Framing Framing
	Filter  *filter.Filter // nil passes every event
	Subset  *filter.Subset // nil passes every event
	Again   bool           // what is read from the log was read for this consumer before: what is dropped of it is counted already
}

// Reader is one consumer's cursor: a position, not a queue. While it keeps up it takes the chunks that all readers
// of its rendering share; when it has fallen behind them it reads the log at its own pace and joins again. One
// goroutine at a time; Close when done.
type Reader struct {
	relay     *Relay
	hub       *hub
	rendering *rendering
	stream    string // its name
	standing  *Standing
	started   engine.Offset
	moved     bool

	// pos is up to where nothing is left to give out. It can lie behind the stream's last event, for other streams
	// have their places in between; seen is the last event considered, which is what a client may be told.
	pos, seen engine.Offset
	timer     *time.Timer
	woken     chan struct{}  // written by Wake
	again     bool           // Spec.Again
	erased    *atomic.Uint64 // the stream's count of what made openings wrong
	erasures  uint64         // what it was before the last chunk was taken

	// Behind the ring: its own view of the log.
	behind *catchUp
	// searching: in its last turn it found nothing, or it did not get one.
	searching bool
}

// catchUp is what a reader needs while it reads the log.
type catchUp struct {
	view      view
	render    renderer
	candidate candidate
	cursor    *engine.Cursor
	epoch     uint64
	ready     []*Chunk
	builder   chunkBuilder
	drops     *dropCounts
	read      engine.Offset // up to where the log was read
	last      engine.Offset // the last event read, shown or not
}

// OpenReader fixes the position, so that what is stored after it returns is behind LATEST, and joins the live
// tail. Errors: ErrOffsetGone, ErrOffsetAhead, ErrClosed, or the engine's.
func (r *Relay) OpenReader(ctx context.Context, s Spec) (*Reader, error) {
	start, moved, err := r.resolve(ctx, s)
	if err != nil {
		return nil, err
	}
	m, err := r.maskOf(s.Stream)
	if err != nil {
		return nil, err
	}
	h, err := r.join(ctx, s.Stream.Log)
	if err != nil {
		return nil, err
	}
	rd := &Reader{
		relay: r, hub: h, started: start, moved: moved, pos: start, seen: start, stream: s.Stream.Name, again: s.Again,
		erased: r.erasure(s.Stream.Log.ID), woken: make(chan struct{}, 1),
	}
	rd.rendering = h.join(s, m)
	rd.standing = &Standing{hub: h, ring: rd.rendering.ring}
	rd.standing.pos.Store(uint64(start))
	return rd, nil
}

// Started is the offset behind which reading began. moved tells that the position asked for is older than
// retention, so that events are missing.
func (rd *Reader) Started() (o engine.Offset, moved bool) { return rd.started, rd.moved }

// Position is the offset up to which everything was considered, shown or filtered: the next call goes on there.
func (rd *Reader) Position() engine.Offset {
	if rd.behind != nil {
		return rd.seen
	}
	return max(rd.seen, rd.rendering.ring.considered(rd.pos))
}

// Close leaves the rendering.
func (rd *Reader) Close() {
	if rd.hub == nil {
		return
	}
	rd.dropBehind()
	rd.hub.leave(rd.rendering, rd.stream)
	rd.hub.readers.Add(-1)
	rd.hub = nil
	if rd.timer != nil {
		rd.timer.Stop()
	}
}

// Next waits for the next chunk, of no more than most events (0: any), until ctx ends (its error) or idle has passed
// (nil, nil). The caller releases the chunk. A reader that reads the log stops at what was stored when it got
// there and joins the live tail without a gap; where it reads for long and nothing passes it returns (nil, nil) too,
// after idle or readPatience, whichever is longer, and so it does when it is woken.
func (rd *Reader) Next(ctx context.Context, idle time.Duration, most int) (*Chunk, error) {
	armed := false
	deadline := time.Now().Add(max(idle, readPatience))
	for {
		c, wake, err := rd.step(ctx, deadline, most)
		if err != nil || c != nil {
			return c, err
		}
		if wake == nil {
			if rd.searching && time.Now().After(deadline) {
				return nil, nil
			}
			continue
		}
		if !armed {
			rd.arm(idle)
			armed = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-rd.relay.stopping:
			return nil, ErrClosed
		case <-rd.timer.C:
			return nil, nil
		case <-rd.woken:
			return nil, nil
		case <-wake:
		}
	}
}

// Wake ends the wait of a Next in progress, or of the next one. Any goroutine.
func (rd *Reader) Wake() {
	select {
	case rd.woken <- struct{}{}:
	default: // it is awake already
	}
}

// More is the next chunk if it is there at once and has at most most events (0: any); nil otherwise. A writer that has
// fallen behind sends several chunks in one go with it.
func (rd *Reader) More(most int) *Chunk {
	if rd.behind != nil || rd.withheld() != nil {
		return nil
	}
	rd.erasures = rd.erased.Load()
	c, _, _, in := rd.rendering.ring.next(rd.pos)
	if c == nil || !in {
		return nil
	}
	if most > 0 && len(c.offsets) > most {
		c.Release()
		return nil
	}
	return rd.take(c, most)
}

func (rd *Reader) arm(idle time.Duration) {
	if rd.timer == nil {
		rd.timer = time.NewTimer(idle)
		return
	}
	rd.timer.Reset(idle)
}

// step gives the next chunk, or what to wait for, or neither when it got on by reading.
func (rd *Reader) step(ctx context.Context, deadline time.Time, most int) (*Chunk, <-chan struct{}, error) {
	if again := rd.withheld(); again != nil {
		return nil, again, nil
	}
	rd.erasures = rd.erased.Load()
	if c := rd.fromBehind(most); c != nil {
		return c, nil, nil
	}
	c, wake, base, in := rd.rendering.ring.next(rd.pos)
	switch {
	case c != nil:
		rd.dropBehind()
		return rd.take(c, most), nil, nil
	case in:
		rd.dropBehind()
		return nil, wake, nil
	}
	return nil, nil, rd.readOn(ctx, deadline, base)
}

// withheld is closed when it is worth asking again whether this node may show what is personal; nil: it may.
func (rd *Reader) withheld() <-chan struct{} {
	if rd.rendering.lens.Type == consent.Source {
		return nil
	}
	return rd.relay.vault.Withheld()
}

// Erasures is what Relay.Erasures counted before the chunk was made that was given out last: with another count it shows what
// must not be shown any more.
func (rd *Reader) Erasures() uint64 { return rd.erasures }

// take gives out a chunk of the ring, or the part of it that is behind the position.
func (rd *Reader) take(c *Chunk, most int) *Chunk {
	part := c.after(rd.pos, most)
	if part != c {
		c.Release()
	}
	rd.move(part.Last())
	return part
}

func (rd *Reader) move(o engine.Offset) {
	rd.pos, rd.seen = o, o
	rd.standing.pos.Store(uint64(o))
}

// fromBehind gives out what was read from the log. When a person was forgotten since it was rendered it is read
// again, for it may show what must not be shown any more.
func (rd *Reader) fromBehind(most int) *Chunk {
	b := rd.behind
	if b == nil {
		return nil
	}
	if b.epoch != rd.hub.epoch.Load() {
		rd.dropBehind()
		return nil
	}
	for len(b.ready) > 0 {
		part := b.ready[0].after(rd.pos, most)
		if part == nil {
			b.ready[0] = nil
			b.ready = b.ready[1:]
			continue
		}
		if part == b.ready[0] {
			b.ready[0] = nil // it is the caller's now, and gone once that one releases it
			b.ready = b.ready[1:]
		}
		rd.move(part.Last())
		return part
	}
	if b.builder.empty() {
		rd.cameTo(b)
	}
	return nil
}

// cameTo says that everything up to where the log was read is given out.
func (rd *Reader) cameTo(b *catchUp) {
	rd.pos, rd.seen = max(rd.pos, b.read), max(rd.seen, b.last)
	rd.standing.pos.Store(uint64(rd.pos))
}

func (rd *Reader) dropBehind() {
	if rd.behind != nil {
		rd.behind.cursor.Close()
		rd.behind = nil
	}
}

const (
	// readSlice is how long a reader reads the log in one go, so that what it found is not held back for a full chunk,
	// and those who wait for their turn get it however little passes.
	readSlice = 50 * time.Millisecond
	// readPatience is how long a reader searches the log, or waits for its turn to, before its owner may give a sign
	// of life and look whether it is still wanted.
	readPatience = 250 * time.Millisecond
)

// readOn renders the next part of the log for this reader alone, up to a chunk of it or as far as it comes in its
// slice of time. base is where the ring began before the log was asked: at the log's end everything up to it was read.
// It sets searching where it found nothing and there is more to read.
func (rd *Reader) readOn(ctx context.Context, deadline time.Time, base engine.Offset) error {
	rd.searching = false
	if !rd.relay.catchUps.TryAcquire(1) {
		turn, cancel := context.WithDeadline(ctx, deadline)
		err := rd.relay.catchUps.Acquire(turn, 1)
		cancel()
		if err != nil {
			rd.searching = true
			return ctx.Err()
		}
	}
	defer rd.relay.catchUps.Release(1)
	b := rd.behind
	if b == nil {
		live := rd.rendering
		b = &catchUp{
			view:   view{vault: rd.relay.vault, stream: rd.hub.stream.ID, rule: live.lens.Rule, mask: live.mask},
			render: renderer{stream: live.stream, format: live.format, framing: live.framing, filter: live.filter, subset: live.subset},
			cursor: rd.relay.engine.Read(rd.hub.stream, rd.pos),
			epoch:  rd.hub.epoch.Load(),
			read:   rd.pos,
			drops:  rd.relay.drops.of(rd.stream),
		}
		b.builder.private = true
		rd.behind = b
	}
	now, began := rd.relay.now(), time.Now()
	for len(b.ready) == 0 {
		block, err := b.cursor.Next(ctx)
		if errors.Is(err, io.EOF) {
			b.flush()
			b.read = max(b.read, base)
			return nil
		}
		if err != nil {
			return fmt.Errorf("read behind offset %s: %w", b.read, err)
		}
		err = b.view.showBlock(ctx, block, b.read, func(e *shown) {
			b.candidate.next()
			if b.render.passes(e, &b.candidate, now) {
				b.builder.begin()
				b.builder.lines = b.render.append(b.builder.lines, e)
				b.builder.end(e.offset)
				if b.builder.full() {
					b.flush()
				}
			}
			b.read, b.last = e.offset, e.offset
		})
		if errors.Is(err, consent.ErrCutOff) {
			rd.dropBehind() // it is read again once it may be
			return nil
		}
		if err != nil {
			return err
		}
		b.read, b.last = block.Last(), block.Last()
		if !rd.again {
			b.count()
		}
		block.Recycle()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Since(began) >= readSlice {
			b.flush()
			if len(b.ready) == 0 {
				rd.cameTo(b)
				rd.searching = true
				return nil
			}
		}
	}
	return nil
}

// count adds what was not shown of what was read.
func (b *catchUp) count() {
	b.drops.add(b.view.dropReason(), b.view.takeDropped())
	for why, n := range b.render.takeDropped() {
		b.drops.add(reason(why), n)
	}
}

func (b *catchUp) flush() {
	if !b.builder.empty() {
		b.ready = append(b.ready, b.builder.cut())
	}
}
