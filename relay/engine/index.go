package engine

import (
	"context"
	"errors"
	"fmt"
)

// Index is how many events of a stream were written up to and with an offset, counted from some beginning. Only differences count: between
// two offsets it is the number of events behind the one up to and with the other. It costs a few questions to the log and opens one block
// at most. An offset that retention has passed counts as the beginning of what is retained.
func (e *Engine) Index(ctx context.Context, s Stream, o Offset) (uint64, error) {
	subjects, err := e.subjects(ctx, s)
	if err != nil {
		return 0, err
	}
	t, err := e.totalsAt(ctx, s, subjects, max(o.Seq(), s.Since+1))
	if err != nil {
		return 0, err
	}
	b, err := e.nextBlock(ctx, s, o.Seq())
	switch {
	case errors.Is(err, errNone):
		return t.events, nil
	case err != nil:
		return 0, fmt.Errorf("counting in the log: %w", err)
	case b.Seq == o.Seq():
		t.events += uint64(min(o.Index()+1, b.Count()))
	}
	return t.events, nil
}
