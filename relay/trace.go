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

// Trace is what the log knows of one event. It holds nothing of the payload, and no place in the key tree.
type Trace struct {
	Offset    engine.Offset
	ID        string // as readers see it
	Type      string
	Contract  string // ref, empty for a payload without one
	RequestID [16]byte
	KeyLink   engine.KeyLink // zero: no field of it is encrypted
	Occurred  time.Time
	Processed time.Time
	Stored    time.Time // when its block was sealed, just before it was committed
	Consent   uint64    // bit n: the person consented to level n
	Bytes     int       // of the payload as it is stored
}

// Found is a stretch of a log that was searched for an event.
type Found struct {
	Events  []Trace       // in the order of the log: one, but where a producer sent an id again
	Scanned int           // events looked at
	At      engine.Offset // up to where
	End     bool          // there was nothing further
}

// Find searches a stream's log, behind an offset, for the events of an id. It stops at the end of what is stored, or after about patience,
// and says how far it came, so that the caller can go on behind At. Errors: the engine's, or ctx's.
func (r *Relay) Find(ctx context.Context, st *registry.Stream, id string, from engine.Offset, patience time.Duration) (Found, error) {
	found := Found{At: from}
	cursor := r.engine.Read(st.Log, from)
	defer cursor.Close()
	if err := r.catchUps.Acquire(ctx, 1); err != nil {
		return found, err
	}
	defer r.catchUps.Release(1)
	var buf [36]byte
	until := r.now().Add(patience)
	for r.now().Before(until) {
		block, err := r.nextBlock(ctx, cursor, st.Log.ID)
		if errors.Is(err, io.EOF) {
			found.End = true
			return found, nil
		}
		if err != nil {
			return found, fmt.Errorf("search behind offset %s: %w", found.At, err)
		}
		err = block.Each(func(o engine.Offset, rec *engine.Record) bool {
			if o <= from {
				return true
			}
			found.Scanned++
			own := rec.ID
			if len(own) == 0 {
				own = eventID(&buf, st.Log.ID, o)
			}
			if string(own) == id {
				found.Events = append(found.Events, traceOf(o, rec, id, block.Accepted()))
			}
			return true
		})
		if err != nil {
			return found, err
		}
		found.At = block.Last()
		block.Recycle()
	}
	return found, nil
}

func traceOf(o engine.Offset, rec *engine.Record, id string, stored time.Time) Trace {
	return Trace{
		Offset: o, ID: id, Type: string(eventType(rec)), Contract: string(rec.Contract), RequestID: rec.RequestID, KeyLink: rec.KeyLink,
		Occurred: time.UnixMilli(rec.Occurred), Processed: time.UnixMilli(rec.Processed), Stored: stored, Consent: rec.Consent, Bytes: len(rec.Payload),
	}
}

// Verdict says what becomes of one event on its way to a consumer.
type Verdict uint8

// The verdicts.
const (
	Shown     Verdict = iota // it is shown
	Forbidden                // consent keeps it from the stream
	Unwanted                 // the consumer's filter leaves it out
	Gone                     // it is not in the log any more
)

// Judge tells what becomes of a stored event in a stream, under a consumer's filter (nil: none).
func (r *Relay) Judge(ctx context.Context, st *registry.Stream, at engine.Offset, f *filter.Filter) (Verdict, error) {
	m, err := r.maskOf(st)
	if err != nil {
		return Gone, err
	}
	cursor := r.engine.Read(st.Log, at-1)
	defer cursor.Close()
	block, err := r.nextBlock(ctx, cursor, st.Log.ID)
	if errors.Is(err, io.EOF) {
		return Gone, nil
	}
	if err != nil {
		return Gone, fmt.Errorf("look at offset %s: %w", at, err)
	}
	v := view{vault: r.vault, stream: st.Log.ID, rule: st.Rule, mask: m}
	show := renderer{stream: st.Log.ID, filter: f}
	verdict := Gone
	var failed error
	err = block.Each(func(o engine.Offset, rec *engine.Record) bool {
		if o != at {
			return o < at
		}
		if verdict = Forbidden; !st.Rule.Keeps(rec.Consent) {
			return false
		}
		if verdict = Shown; f == nil {
			return false
		}
		e, err := v.open(ctx, o, rec)
		if failed = err; err == nil && (e == nil || !show.passes(e, &candidate{}, r.now())) {
			verdict = Unwanted
		}
		return false
	})
	return verdict, errors.Join(err, failed)
}

// Lags tells for each offset how many events of a stream's log lie behind it, before consent and filter. It asks the log once for each
// that is not at the end, and once for those that are equal.
func (r *Relay) Lags(ctx context.Context, st *registry.Stream, at []engine.Offset) ([]uint64, error) {
	_, last, err := r.engine.Bounds(ctx, st.Log)
	if err != nil {
		return nil, err
	}
	total, err := r.engine.Index(ctx, st.Log, last)
	if err != nil {
		return nil, err
	}
	known := map[engine.Offset]uint64{}
	lags := make([]uint64, len(at))
	for i, o := range at {
		if o >= last {
			continue
		}
		n, ok := known[o]
		if !ok {
			if n, err = r.engine.Index(ctx, st.Log, o); err != nil {
				return nil, err
			}
			known[o] = n
		}
		lags[i] = max(total, n) - n
	}
	return lags, nil
}
