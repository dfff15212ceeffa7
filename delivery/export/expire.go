package export

import (
	"context"
	"log/slog"

	"sluice/relay/engine"
)

// loss is what an exporter has lost since it made an object last. One goroutine.
type loss struct {
	events uint64 // that no warning has told of
	told   bool   // a warning told that it begins
}

// expire counts what has left the log before it was in an object, since a store that is away for longer than the stream's retention loses
// events, and moves the position over it. Of a planned object that was stored while its answer was lost the events count too. The log's
// refusal to answer is no reason not to export.
func (w *work) expire(ctx context.Context) {
	first, last, err := w.engine.Bounds(ctx, w.stream.Log)
	if err != nil {
		w.uncounted(ctx, err)
		return
	}
	// A log that holds nothing of the stream knows of no number: what it held when it was looked at last is what it has lost.
	empty := first == last
	if !empty {
		// Less than before comes of an answer that retention overtook.
		if end := w.index(ctx, last); end != nil && (w.state.End == nil || *end > *w.state.End) {
			w.state.End = end
			w.claim.Save(w.state.encode())
		}
	}
	if w.state.Position >= first {
		if w.state.Index == nil && !empty {
			w.state.Index = w.index(ctx, w.state.Position)
		}
		return
	}
	index := w.state.End
	if !empty {
		index = w.index(ctx, first)
	}
	if index == nil {
		return
	}
	gone := uint64(0)
	switch before := w.state.Index; {
	case before == nil:
	case *index < *before:
		return // it was emptied since; or a node's part of the stream was, and the next object brings a new count
	default:
		gone = *index - *before
	}
	if empty && gone == 0 {
		return // the end that it would be moved to is that of all streams, which moves on and on
	}
	w.state.Position, w.state.Index = first, index
	w.state.Expired += gone
	w.claim.Save(w.state.encode())
	if gone == 0 {
		return
	}
	w.metrics.lost.WithLabelValues(w.name, reasonExpired).Add(float64(gone))
	if w.lost.events += gone; !w.lost.told {
		w.lost.told = true
		w.warnLost("events left the log before they were exported, for the sink is away or slow for longer than the stream keeps them")
	}
}

// toldLost ends what was lost at one time, and tells of what no warning has told yet: there was one when it began, and none for each retry.
func (w *work) toldLost() {
	if w.lost.events > 0 {
		w.warnLost("more events left the log before they were exported; the sink takes objects again")
	}
	w.lost.told = false
}

func (w *work) warnLost(message string) {
	w.log.Warn(message, slog.String("exporter", w.name), slog.Uint64("events", w.lost.events), slog.Uint64("in_all", w.state.Expired))
	w.lost.events = 0
}

// index is how many events were written up to and with an offset; nil when the log does not say.
func (w *work) index(ctx context.Context, o engine.Offset) *uint64 {
	n, err := w.engine.Index(ctx, w.stream.Log, o)
	if err != nil {
		w.uncounted(ctx, err)
		return nil
	}
	return &n
}

func (w *work) uncounted(ctx context.Context, err error) {
	if ctx.Err() == nil {
		w.log.Warn("whether events left the log before they were exported is not known", slog.String("exporter", w.name), slog.Any("error", err))
	}
}
