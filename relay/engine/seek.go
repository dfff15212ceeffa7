package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Bounds says what is retained: first is the offset behind which the earliest event follows, last that of the last
// event. Both are equal when the stream holds nothing; then they are a place that no event given out so far lies
// behind, which for a new stream is its beginning.
func (e *Engine) Bounds(ctx context.Context, s Stream) (first, last Offset, err error) {
	// Asked first: a block that is stored meanwhile lies behind it.
	end, err := e.lastSeq(ctx, s.Shard)
	if err != nil {
		return 0, 0, err
	}
	earliest, err := e.nextBlock(ctx, s, s.Since+1)
	if errors.Is(err, errNone) {
		o := AfterBlock(max(end, s.Since))
		return o, o, nil
	}
	if err != nil {
		return 0, 0, err
	}
	newest, err := e.lastBlock(ctx, s)
	if errors.Is(err, errNone) { // emptied in between
		o := AfterBlock(max(end, s.Since))
		return o, o, nil
	}
	if err != nil {
		return 0, 0, err
	}
	return max(AfterBlock(earliest.Seq-1), AfterBlock(s.Since)), newest.Last(), nil
}

// SeekTime is the offset to resume at to read the events accepted at or after t. A few from just before may come
// along, none is missed.
func (e *Engine) SeekTime(ctx context.Context, s Stream, t time.Time) (Offset, error) {
	from := t
	if e.leader {
		from = t.Add(-clockSkew)
	}
	m, err := e.getFresh(ctx, &e.readConn, shardStream(s.Shard), getRequest{Since: &from, Next: streamSubjects(s)})
	if errors.Is(err, errNone) {
		_, last, err := e.Bounds(ctx, s)
		return last, err
	}
	if err != nil {
		return 0, fmt.Errorf("seeking by time: %w", err)
	}
	if m.seq <= s.Since {
		return AfterBlock(s.Since), nil
	}
	at := AfterBlock(m.seq - 1)
	err = asBlock(s, m).Each(func(o Offset, r *Record) bool {
		if r.Processed >= t.UnixMilli() {
			return false
		}
		at = o
		return true
	})
	if err != nil {
		return AfterBlock(m.seq - 1), nil
	}
	return at, nil
}

// clockSkew is how far the clocks of a cluster's nodes may differ.
const clockSkew = time.Second

// SeekBack is the offset to resume at to read the last n events; the beginning when there are fewer.
func (e *Engine) SeekBack(ctx context.Context, s Stream, n int) (Offset, error) {
	first, last, err := e.Bounds(ctx, s)
	if err != nil || first == last || n <= 0 {
		return last, err
	}
	subjects, err := e.subjects(ctx, s)
	if err != nil {
		return 0, err
	}
	end, err := e.totalsAt(ctx, s, subjects, last.Seq()+1)
	if err != nil {
		return 0, err
	}
	begin, err := e.totalsAt(ctx, s, subjects, first.Seq()+1)
	if err != nil {
		return 0, err
	}
	if end.events-begin.events <= uint64(n) {
		return first, nil
	}
	// The block that holds the event before the last n: the last one with at least n+1 events from it on.
	seq, at, err := e.search(ctx, s, subjects, first.Seq()+1, last.Seq(), func(t totals) bool { return end.events-t.events > uint64(n) })
	if err != nil {
		return 0, err
	}
	return MakeOffset(seq, int(end.events-at.events)-n-1), nil
}

// totals is what was written to a stream's subjects before some sequence.
type totals struct{ events, bytes uint64 }

// search finds the last block of s between lo and hi for which ok holds, given the totals before it. ok must hold for
// the first block and, once it does not, for none after.
func (e *Engine) search(ctx context.Context, s Stream, subjects []string, lo, hi uint64, ok func(totals) bool) (seq uint64, before totals, err error) {
	for lo <= hi {
		b, err := e.nextBlock(ctx, s, lo+(hi-lo)/2)
		if errors.Is(err, errNone) || err == nil && b.Seq > hi {
			if lo == hi {
				break
			}
			hi = lo + (hi-lo)/2 - 1
			continue
		}
		if err != nil {
			return 0, totals{}, err
		}
		t, err := e.totalsAt(ctx, s, subjects, b.Seq)
		if err != nil {
			return 0, totals{}, err
		}
		if ok(t) {
			seq, before, lo = b.Seq, t, b.Seq+1
		} else {
			hi = lo + (hi-lo)/2 - 1
		}
	}
	if seq == 0 {
		return 0, totals{}, fmt.Errorf("seeking in the log: %w", errNone)
	}
	return seq, before, nil
}

// totalsAt adds up, over the subjects of a stream, what was written before sequence seq.
func (e *Engine) totalsAt(ctx context.Context, s Stream, subjects []string, seq uint64) (totals, error) {
	var sum totals
	for _, subject := range subjects {
		m, err := e.getFresh(ctx, &e.readConn, shardStream(s.Shard), getRequest{Seq: seq, Next: subject})
		behind := errors.Is(err, errNone)
		if behind {
			m, err = e.getFresh(ctx, &e.readConn, shardStream(s.Shard), getRequest{Last: subject})
		}
		if errors.Is(err, errNone) {
			continue
		}
		if err != nil {
			return totals{}, fmt.Errorf("seeking in the log: %w", err)
		}
		h, _, _, reason := parseHeader(m.data)
		if reason != "" {
			return totals{}, &CorruptError{Shard: s.Shard, Seq: m.seq, Reason: reason}
		}
		sum.events += h.events
		sum.bytes += h.bytes
		if !behind {
			sum.events -= uint64(h.count)
			sum.bytes -= uint64(len(m.data))
		}
	}
	return sum, nil
}

// nextBlock is the first stored block of s at or behind a sequence; errNone when there is none.
func (e *Engine) nextBlock(ctx context.Context, s Stream, seq uint64) (*Block, error) {
	return e.block(ctx, s, getRequest{Seq: max(seq, s.Since+1), Next: streamSubjects(s)})
}

// lastBlock is the newest block of s; errNone when there is none.
func (e *Engine) lastBlock(ctx context.Context, s Stream) (*Block, error) {
	return e.block(ctx, s, getRequest{Last: streamSubjects(s)})
}

func (e *Engine) block(ctx context.Context, s Stream, req getRequest) (*Block, error) {
	m, err := e.getFresh(ctx, &e.readConn, shardStream(s.Shard), req)
	if err != nil {
		return nil, fmt.Errorf("block of the log: %w", err)
	}
	return asBlock(s, m), nil
}
