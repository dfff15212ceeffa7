package relay

import (
	"context"
	"fmt"
	"sync/atomic"

	"sluice/relay/engine"
)

// Standing is where a reader is, for whoever watches it. Safe for concurrent use, also after the reader was closed.
type Standing struct {
	hub  *hub
	ring *ring
	pos  atomic.Uint64 // the reader's; it alone writes
}

// Stream is the log that is read: that of the source, where the stream is derived.
func (s *Standing) Stream() engine.StreamID { return s.hub.stream.ID }

// Position is the offset up to which everything was considered for the reader, shown or not.
func (s *Standing) Position() engine.Offset {
	at := engine.Offset(s.pos.Load())
	return max(at, s.ring.considered(at))
}

// Behind is how many events of the log lie behind an offset, up to the newest that this node has heard of: events, not offsets, before
// consent and filter. It asks the log only when there are any.
func (s *Standing) Behind(ctx context.Context, at engine.Offset) (uint64, error) {
	newest := engine.Offset(s.hub.newest.Load())
	if at >= newest {
		return 0, nil
	}
	log := s.hub.relay.engine
	to, err := log.Index(ctx, s.hub.stream, newest)
	if err != nil {
		return 0, fmt.Errorf("count to offset %s: %w", newest, err)
	}
	from, err := log.Index(ctx, s.hub.stream, at)
	if err != nil {
		return 0, fmt.Errorf("count to offset %s: %w", at, err)
	}
	return max(to, from) - from, nil
}

// heard notes the newest offset that the tail has brought.
func (h *hub) heard(o engine.Offset) {
	for {
		before := h.newest.Load()
		if uint64(o) <= before || h.newest.CompareAndSwap(before, uint64(o)) {
			return
		}
	}
}

// Standing is where the reader is, for another goroutine to look at.
func (rd *Reader) Standing() *Standing { return rd.standing }
