package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"sluice/relay/engine"
)

// finding is what lies behind a position.
type finding struct {
	plan *plan         // an object to make, or
	to   engine.Offset // everything up to here is passed over, for nothing of it is shown, or
	wait time.Time     // there is nothing to do before

	withheld int // of the events up to the plan's end or to, those that consent keeps back
}

// scan looks for the next object: the events behind the position that were accepted before the end of their window. A window is decided by
// the order of the log: it ends before the first event that was accepted at or after its end. An event that was accepted a moment before
// the end and reached the log behind such a one belongs to the next window; so does everything of a clock that went backwards. Hence every
// event is in one window, windows are one behind the other, and a name once used never comes again.
func (e *exporter) scan(ctx context.Context, s state, now time.Time) (finding, error) {
	cursor := e.engine.Read(e.stream.Log, s.Position)
	defer cursor.Close()
	sc := scanner{e: e, state: s, now: now, to: s.Position}
	for !sc.done {
		block, err := cursor.Next(ctx)
		var corrupt *engine.CorruptError
		switch {
		case errors.Is(err, io.EOF):
			sc.done = true
			continue
		case errors.As(err, &corrupt):
			sc.to = engine.AfterBlock(corrupt.Seq) // Between logs it
			continue
		case err != nil:
			return finding{}, fmt.Errorf("read the stream behind offset %s: %w", sc.to, err)
		}
		if err := block.Each(sc.take); err != nil {
			sc.to = block.Last()
			continue
		}
		block.Recycle()
	}
	return sc.finding(), nil
}

// scanner goes through the events behind a position. One goroutine.
type scanner struct {
	e     *exporter
	state state
	now   time.Time

	window int64 // end of the window that is being looked at, Unix seconds; 0: no event was seen
	index  int
	wait   time.Time
	to     engine.Offset // the last event of the object
	bytes  int64
	events int
	held   int   // events that consent keeps back
	first  int64 // when the first event was accepted, Unix milliseconds
	more   bool
	done   bool
}

// take looks at one event; false when it is not the object's any more.
func (sc *scanner) take(o engine.Offset, r *engine.Record) bool {
	if o <= sc.state.Position {
		return true
	}
	if sc.window == 0 && !sc.begin(r.Processed) {
		sc.done = true
		return false
	}
	if r.Processed >= sc.window*1000 {
		sc.done = true
		return false
	}
	if sc.e.stream.Rule.Keeps(r.Consent) {
		size := int64(len(r.Payload)) + 1
		if sc.events > 0 && sc.bytes+size > sc.e.maxObject {
			sc.more, sc.done = true, true
			return false
		}
		if sc.events == 0 {
			sc.first = r.Processed
		}
		sc.bytes += size
		sc.events++
	} else {
		sc.held++
	}
	sc.to = o
	return true
}

// begin settles which window the first event opens; false when that one has not ended yet.
func (sc *scanner) begin(processed int64) bool {
	s, interval := sc.state, sc.e.interval
	sc.window = windowEnd(processed, interval)
	switch {
	case s.Window == 0:
	case s.Next > 0 && sc.window <= s.Window:
		sc.window, sc.index = s.Window, s.Next
	case s.Next == 0:
		// Of the windows behind the last: that one may have been of another length.
		sc.window = max(sc.window, windowEnd(s.Window*1000, interval))
	}
	ready := time.Unix(sc.window, 0).Add(sc.e.settle)
	if sc.now.Before(ready) {
		sc.wait = ready
		return false
	}
	return true
}

func (sc *scanner) finding() finding {
	switch {
	case !sc.wait.IsZero():
		return finding{wait: sc.wait}
	case sc.events > 0:
		return finding{withheld: sc.held, plan: &plan{
			From: sc.state.Position, To: sc.to, Window: sc.window, Index: sc.index, More: sc.more, Bytes: sc.bytes, Events: sc.events, First: sc.first,
			Upload: uuid.NewString(), Prefix: &sc.e.prefix,
		}}
	case sc.to > sc.state.Position:
		return finding{withheld: sc.held, to: sc.to}
	}
	// What is accepted from now on is in the window of now at the earliest.
	return finding{wait: time.Unix(windowEnd(sc.now.UnixMilli(), sc.e.interval), 0).Add(sc.e.settle)}
}
