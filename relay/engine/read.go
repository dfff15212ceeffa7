package engine

import (
	"context"
	"errors"
	"io"
)

// Cursor reads a stream's stored blocks in order. It is for one goroutine. Between two Next it holds at most
// cursorBytes and one block of the log's data, and nothing in the server; an idle one costs its own few hundred bytes.
type Cursor struct {
	e     *Engine
	s     Stream
	after Offset
	next  uint64 // shard sequence to ask for

	queue []*Block // read and not handed out yet
	ahead int      // how many messages to ask for at once; 0: one at a time
	near  int      // how many blocks in a row lay close behind the one before
}

const (
	// cursorBytes is what one question for many blocks may bring.
	cursorBytes = 512 << 10
	// nearGap is the distance, in sequences, at which reading other streams' blocks along costs less than asking
	// for each own one.
	nearGap    = 4
	nearRun    = 3
	firstAhead = 16
	mostAhead  = 512
)

// Read returns a cursor behind the given offset. It asks nothing yet. The zero offset, like any below the stream's
// beginning, is the beginning.
func (e *Engine) Read(s Stream, after Offset) *Cursor {
	after = max(after, AfterBlock(s.Since))
	next := after.Seq()
	if after.Index() == MaxBlockEvents-1 {
		next++
	}
	return &Cursor{e: e, s: s, after: after, next: next}
}

// Next returns the next block that holds an event behind the cursor's offset; the block may begin before it. io.EOF
// means that nothing further was stored when it was asked; asking again later is fine. A *CorruptError names a block
// that cannot be read; the next call goes on behind it. After any other error the next call tries the same again.
func (c *Cursor) Next(ctx context.Context) (*Block, error) {
	for {
		for len(c.queue) > 0 {
			b := c.queue[0]
			c.queue[0] = nil
			c.queue = c.queue[1:]
			if b.err != nil {
				return nil, b.err
			}
			if b.Last() > c.after {
				return b, nil
			}
		}
		c.queue = nil
		switch {
		case c.e.closing.Load():
			return nil, ErrClosed
		case !c.e.has(c.s):
			return nil, ErrStream
		}
		if c.ahead > 0 {
			if err := c.fetchAll(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err := c.fetchOne(ctx); err != nil {
			return nil, err
		}
	}
}

// Close lets go of what the cursor has read ahead.
func (c *Cursor) Close() { c.queue = nil }

// fetchOne asks for the next block of the stream alone, wherever in the shard it lies.
func (c *Cursor) fetchOne(ctx context.Context) error {
	req := getRequest{Seq: c.next, Next: streamSubjects(c.s)}
	m, err := get(ctx, &c.e.readConn, shardStream(c.s.Shard), req)
	if errors.Is(err, errNone) && c.e.leader {
		// A replica may lag behind; only the leader knows that there is nothing.
		m, err = getLeader(ctx, &c.e.readConn, shardStream(c.s.Shard), req)
	}
	if errors.Is(err, errNone) {
		return io.EOF
	}
	if err != nil {
		return err
	}
	if m.seq-c.next < nearGap {
		c.near++
	} else {
		c.near = 0
	}
	if c.near >= nearRun {
		c.ahead = firstAhead
	}
	c.take(m)
	return nil
}

// take queues a stored message that is a block of this stream.
func (c *Cursor) take(m stored) {
	c.next = m.seq + 1
	b := asBlock(c.s, m)
	b.reread = true
	c.queue = append(c.queue, b)
}

// fetchAll asks for everything in the shard from the cursor on and keeps what is the stream's own. Such a question
// with a filter would make the server count all that match it, which in a large log means to read it; without, it
// costs the same as reading a file.
func (c *Cursor) fetchAll(ctx context.Context) error {
	ctx, cancel := c.e.readConn.bounded(ctx)
	defer cancel()
	select {
	case c.e.reading <- struct{}{}:
		defer func() { <-c.e.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	seen, own := 0, 0
	more, err := getMany(ctx, &c.e.readConn, shardStream(c.s.Shard), getRequest{Seq: c.next, Batch: c.ahead, MaxBytes: cursorBytes}, func(m stored) {
		seen++
		if id, ok := subjectStream(m.subject); ok && id == c.s.ID {
			own++
			c.take(m)
		} else {
			c.next = m.seq + 1
		}
	})
	if err != nil || !more || own*nearGap < seen {
		// Also at the end: one question with the filter then says whether it is the end.
		c.ahead, c.near = 0, 0
	} else {
		c.ahead = min(2*c.ahead, mostAhead)
	}
	return err
}
