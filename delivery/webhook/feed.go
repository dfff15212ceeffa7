package webhook

import (
	"context"
	"errors"
	"time"

	"sluice/relay"
	"sluice/relay/engine"
)

// feed reads a stream on a goroutine of its own, so that one who waits for events can wait for other things as well. It is one chunk ahead.
type feed struct {
	out    chan fed // written by the feed's goroutine, read by the run
	cancel context.CancelFunc
	ended  chan struct{}
}

// fed is what was read: a chunk, which the reader of the channel releases, or how far nothing passed the filter.
type fed struct {
	chunk    *relay.Chunk
	erasures uint64        // relay.Reader.Erasures of the chunk
	position engine.Offset // all up to it was considered
	err      error
	again    bool // of a replay; the run says so
}

// end stops the feed and returns when its goroutine has.
func (f *feed) end() {
	f.cancel()
	<-f.ended
}

// follow begins to read behind an offset.
func (r *run) follow(ctx context.Context, behind engine.Offset) (*feed, error) {
	spec := relay.Spec{Stream: r.hook.Stream, From: relay.After(behind), Format: r.format, Filter: r.choice.filter}
	rd, err := r.service.cfg.Relay.OpenReader(ctx, spec)
	switch {
	case errors.Is(err, relay.ErrOffsetAhead):
		// The log has lost its end, as it may with durability os and a power cut. What comes now is new.
		r.service.log.Warn("the stream is shorter than what was delivered of it; deliveries go on at its end", "webhook", r.hook.ID)
		spec.From = relay.Latest()
		rd, err = r.service.cfg.Relay.OpenReader(ctx, spec)
	case errors.Is(err, relay.ErrOffsetGone):
		spec.From = relay.Earliest()
		rd, err = r.service.cfg.Relay.OpenReader(ctx, spec)
	}
	if err != nil {
		return nil, err
	}
	inner, cancel := context.WithCancel(ctx)
	f := &feed{out: make(chan fed), cancel: cancel, ended: make(chan struct{})}
	go f.run(inner, rd)
	return f, nil
}

func (f *feed) run(ctx context.Context, rd *relay.Reader) {
	defer close(f.ended)
	defer rd.Close()
	var told engine.Offset
	for {
		c, err := rd.Next(ctx, idleRead, 0)
		if ctx.Err() != nil {
			if c != nil {
				c.Release()
			}
			return
		}
		next := fed{chunk: c, erasures: rd.Erasures(), position: rd.Position(), err: err}
		if c != nil {
			// Position may be further on than the chunk's last event, but never behind one that is still to come.
			next.position = max(next.position, c.Last())
		} else if err == nil && next.position == told {
			next.position = 0
		}
		told = max(told, next.position)
		select {
		case f.out <- next:
		case <-ctx.Done():
			if c != nil {
				c.Release()
			}
			return
		}
		if err != nil {
			return
		}
	}
}

// fetch reads the events of a batch again. kept is how many of them are still there.
func (r *run) fetch(ctx context.Context, b *batch) (body []byte, kept int, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	rd, err := r.service.cfg.Relay.OpenReader(ctx, relay.Spec{
		Stream: r.hook.Stream, From: relay.After(b.first - 1), Format: r.format, Filter: b.choice.filter, Again: true,
	})
	if errors.Is(err, relay.ErrOffsetAhead) || errors.Is(err, relay.ErrOffsetGone) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer rd.Close()
	read := batch{bare: b.bare}
	for read.events < b.events {
		c, err := rd.Next(ctx, time.Millisecond, 0)
		if err != nil {
			return nil, 0, err
		}
		if c == nil {
			if rd.Position() >= b.last {
				break // what is missing left the log
			}
			if _, last, err := r.service.cfg.Engine.Bounds(ctx, r.hook.Stream.Log); err != nil || last <= rd.Position() {
				return nil, 0, err
			}
			continue
		}
		past := false
		for i := range c.Events() {
			line, o := c.Line(i)
			if past = o > b.last; past {
				break
			}
			if b.lane == 0 || laneOf(line, r.format == relay.Airship)+1 == b.lane {
				read.add(line, o, r.hook.BatchSize)
			}
		}
		c.Release()
		if past {
			break
		}
	}
	if read.events == 0 {
		return nil, 0, nil
	}
	read.close()
	return read.body, read.events, nil
}

// fetchTime bounds reading a batch again.
const fetchTime = time.Minute
