package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Between shows the events of a stream behind from, up to and with to, in order: fn gets whole lines, about 64 KiB at a
// time, which are valid until it returns; an error of fn ends it. It reads the log for this caller alone, for who wants
// a stretch of the past has no use for the live tail, and holds the memory of some blocks. While fn works no place among
// those who read the log is taken. A block that cannot be read is logged and left out. A person who is forgotten
// meanwhile stays ciphertext from the next piece on.
func (r *Relay) Between(ctx context.Context, st *registry.Stream, from, to engine.Offset, fn func(lines []byte) error) error {
	m, err := r.maskOf(st)
	if err != nil {
		return err
	}
	p := passage{
		relay: r, done: from, to: to,
		view:   view{vault: r.vault, stream: st.Log.ID, rule: st.Rule, mask: m},
		render: renderer{stream: st.Log.ID, format: Raw},
		cursor: r.engine.Read(st.Log, from),
	}
	defer p.cursor.Close()
	for more := true; more; {
		var err error
		if more, err = p.read(ctx); err != nil {
			return err
		}
		if len(p.lines) == 0 {
			continue
		}
		if err := fn(p.lines); err != nil {
			return err
		}
	}
	return nil
}

// passage is one Between. One goroutine.
type passage struct {
	relay  *Relay
	view   view
	render renderer
	cursor *engine.Cursor
	done   engine.Offset // shown up to here
	to     engine.Offset
	lines  []byte // the piece to give out
}

// nextBlock is the cursor's next block; io.EOF where there is none. One that cannot be read is logged and left out.
func (r *Relay) nextBlock(ctx context.Context, cursor *engine.Cursor, stream engine.StreamID) (*engine.Block, error) {
	for {
		block, err := cursor.Next(ctx)
		var corrupt *engine.CorruptError
		if !errors.As(err, &corrupt) {
			return block, err
		}
		r.log.Error("a block of a stream cannot be read and is left out", slog.String("stream", stream.String()), slog.Any("error", err))
	}
}

// read makes the next piece; false when there is none behind it.
func (p *passage) read(ctx context.Context) (more bool, err error) {
	if err := p.relay.catchUps.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer p.relay.catchUps.Release(1)
	p.lines = p.lines[:0]
	for len(p.lines) < maxChunk && p.done < p.to {
		block, err := p.relay.nextBlock(ctx, p.cursor, p.view.stream)
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read behind offset %s: %w", p.done, err)
		}
		err = p.view.showBlock(ctx, block, p.done, func(e *shown) {
			if e.offset <= p.to {
				p.lines = p.render.append(p.lines, e)
			}
		})
		if err != nil {
			return false, err
		}
		p.done = block.Last()
		block.Recycle()
	}
	return p.done < p.to, nil
}
