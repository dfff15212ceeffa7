package relay

import (
	"context"
	"errors"
	"fmt"
	"io"

	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// resolve turns a position into the offset behind which reading begins. moved tells that what was asked for is no
// longer retained.
func (r *Relay) resolve(ctx context.Context, s Spec) (start engine.Offset, moved bool, err error) {
	st := s.Stream
	first, last, err := r.engine.Bounds(ctx, st.Log)
	if err != nil {
		return 0, false, fmt.Errorf("bounds of stream %s: %w", st.Name, err)
	}
	switch p := s.From; p.kind {
	case earliest:
		return first, false, nil
	case afterOffset:
		switch {
		case p.offset == 0:
			return first, false, nil
		case p.offset < engine.AfterBlock(st.Log.Since):
			return 0, false, fmt.Errorf("%w: %s", ErrOffsetGone, p.offset)
		case p.offset > last:
			return 0, false, fmt.Errorf("%w: %s", ErrOffsetAhead, p.offset)
		case p.offset < first:
			return first, true, nil
		}
		return p.offset, false, nil
	case sinceTime:
		if start, err = r.engine.SeekTime(ctx, st.Log, p.time); err != nil {
			return 0, false, fmt.Errorf("seek in stream %s: %w", st.Name, err)
		}
		return min(max(start, first), last), false, nil
	case lastN:
		start, err = r.seekBack(ctx, st, p.back, first, last)
		return start, false, err
	}
	return last, false, nil
}

// seekBack finds where the last n events begin that the stream shows. A derived stream may drop most of what its
// source holds, so the search goes further back until enough are found.
func (r *Relay) seekBack(ctx context.Context, st *registry.Stream, n int, first, last engine.Offset) (engine.Offset, error) {
	if n == 0 {
		return last, nil
	}
	for look := n; ; look *= 4 {
		start, err := r.engine.SeekBack(ctx, st.Log, look)
		if err != nil {
			return 0, fmt.Errorf("seek in stream %s: %w", st.Name, err)
		}
		if st.Rule.Type == consent.Source {
			return min(max(start, first), last), nil
		}
		kept, err := r.kept(ctx, st, start, last, n)
		if err != nil {
			return 0, err
		}
		if len(kept) == n {
			return kept[0] - 1, nil
		}
		if start <= first {
			return first, nil
		}
	}
}

// kept lists the offsets of the last n events that the stream's rule keeps in (start, last].
func (r *Relay) kept(ctx context.Context, st *registry.Stream, start, last engine.Offset, n int) ([]engine.Offset, error) {
	cursor := r.engine.Read(st.Log, start)
	defer cursor.Close()
	var kept []engine.Offset
	for {
		b, err := cursor.Next(ctx)
		if errors.Is(err, io.EOF) {
			return kept, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", st.Name, err)
		}
		err = b.Each(func(o engine.Offset, rec *engine.Record) bool {
			if o > start && o <= last && st.Rule.Keeps(rec.Consent) {
				if len(kept) == n {
					kept = append(kept[:0], kept[1:]...)
				}
				kept = append(kept, o)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
		if b.Last() >= last {
			return kept, nil
		}
	}
}
