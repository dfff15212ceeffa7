package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

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
}

// Reader is one consumer's cursor: a position, not a queue. While it keeps up it takes the chunks that all readers
// of its rendering share; when it has fallen behind them it reads the log at its own pace and joins again. One
// goroutine at a time; Close when done.
type Reader struct {
	relay     *Relay
	hub       *hub
	rendering *rendering
	started   engine.Offset
	moved     bool

	// pos is up to where nothing is left to give out. It can lie behind the stream's last event, for other streams
	// have their places in between; seen is the last event considered, which is what a client may be told.
	pos, seen engine.Offset
	timer     *time.Timer

	// Behind the ring: its own view of the log.
	behind *catchUp
}

// catchUp is what a reader needs while it reads the log.
type catchUp struct {
	view    view
	render  renderer
	cursor  *engine.Cursor
	epoch   uint64
	ready   []*Chunk
	builder chunkBuilder
	read    engine.Offset // up to where the log was read
	last    engine.Offset // the last event read, shown or not
}

// OpenReader fixes the position, so that what is stored after it returns is behind LATEST, and joins the live
// tail. Errors: ErrOffsetGone, ErrOffsetAhead, ErrClosed, or the engine's.
func (r *Relay) OpenReader(ctx context.Context, s Spec) (*Reader, error) {
	start, moved, err := r.resolve(ctx, s)
	if err != nil {
		return nil, err
	}
	h, err := r.join(ctx, s.Stream.Log)
	if err != nil {
		return nil, err
	}
	rd := &Reader{relay: r, hub: h, started: start, moved: moved, pos: start, seen: start}
	rd.rendering = h.join(s)
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
	rd.hub.leave(rd.rendering)
	rd.hub.readers.Add(-1)
	rd.hub = nil
	if rd.timer != nil {
		rd.timer.Stop()
	}
}

// Next waits for the next chunk, of no more than most events (0: any), until ctx ends (its error) or idle has passed
// (nil, nil). The caller releases the chunk. A reader that reads the log stops at what was stored when it got
// there and joins the live tail without a gap.
func (rd *Reader) Next(ctx context.Context, idle time.Duration, most int) (*Chunk, error) {
	armed := false
	for {
		c, wake, err := rd.step(ctx, most)
		if err != nil || c != nil {
			return c, err
		}
		if wake == nil {
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
		case <-wake:
		}
	}
}

// More is the next chunk if it is there at once and has at most most events (0: any); nil otherwise. A writer that has
// fallen behind sends several chunks in one go with it.
func (rd *Reader) More(most int) *Chunk {
	if rd.behind != nil {
		return nil
	}
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
func (rd *Reader) step(ctx context.Context, most int) (*Chunk, <-chan struct{}, error) {
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
	return nil, nil, rd.readOn(ctx, base)
}

// take gives out a chunk of the ring, or the part of it that is behind the position.
func (rd *Reader) take(c *Chunk, most int) *Chunk {
	part := c.after(rd.pos, most)
	if part != c {
		c.Release()
	}
	rd.move(part.Last())
	return part
}

func (rd *Reader) move(o engine.Offset) { rd.pos, rd.seen = o, o }

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
		rd.pos, rd.seen = max(rd.pos, b.read), max(rd.seen, b.last)
	}
	return nil
}

func (rd *Reader) dropBehind() {
	if rd.behind != nil {
		rd.behind.cursor.Close()
		rd.behind = nil
	}
}

// readOn renders the next part of the log for this reader alone, up to a chunk of it. base is where the ring
// began before the log was asked: at the log's end everything up to it was read.
func (rd *Reader) readOn(ctx context.Context, base engine.Offset) error {
	if err := rd.relay.catchUps.Acquire(ctx, 1); err != nil {
		return err
	}
	defer rd.relay.catchUps.Release(1)
	b := rd.behind
	if b == nil {
		live := rd.rendering
		b = &catchUp{
			view:   view{vault: rd.relay.vault, stream: rd.hub.stream.ID, rule: live.rule},
			render: renderer{stream: live.stream, format: live.format, framing: live.framing, filter: live.filter, subset: live.subset},
			cursor: rd.relay.engine.Read(rd.hub.stream, rd.pos),
			epoch:  rd.hub.epoch.Load(),
			read:   rd.pos,
		}
		b.builder.private = true
		rd.behind = b
	}
	now := rd.relay.now()
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
			if b.render.passes(e, now) {
				b.builder.begin()
				b.builder.lines = b.render.append(b.builder.lines, e)
				b.builder.end(e.offset)
				if b.builder.full() {
					b.flush()
				}
			}
			b.read, b.last = e.offset, e.offset
		})
		if err != nil {
			return err
		}
		b.read, b.last = block.Last(), block.Last()
		block.Recycle()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (b *catchUp) flush() {
	if !b.builder.empty() {
		b.ready = append(b.ready, b.builder.cut())
	}
}
