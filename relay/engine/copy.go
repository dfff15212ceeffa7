package engine

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// Raw is one block as the log holds it, for a copy of the log.
type Raw struct {
	Subject string // the place of its stream and writer in the shard
	Seq     uint64 // in its shard
	At      time.Time
	Data    []byte // valid until the function it was given to returns
}

// Extent is the range of a shard's sequences. Between them there are gaps, where retention or a deletion has been. A shard that
// holds nothing has a First one above its Last.
type Extent struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Extent is how far a shard reaches now: everything that was acknowledged before the call is in it.
func (e *Engine) Extent(ctx context.Context, shard int) (Extent, error) {
	s, err := e.shardState(ctx, shard)
	if err != nil {
		return Extent{}, err
	}
	return Extent{First: max(s.FirstSeq, 1), Last: s.LastSeq}, nil
}

// Copy calls fn with the blocks of a shard in an extent, in order. What retention deletes meanwhile is left out. It asks for
// half a megabyte at a time and waits for fn, so that a slow fn costs nobody anything. fn's error ends it.
func (e *Engine) Copy(ctx context.Context, shard int, of Extent, fn func(Raw) error) error {
	if !e.has(Stream{Shard: shard}) {
		return ErrStream
	}
	var page []stored
	for next := of.First; next <= of.Last; {
		if e.closing.Load() {
			return ErrClosed
		}
		clear(page)
		page = page[:0]
		more, err := e.page(ctx, shard, next, func(m stored) { page = append(page, m) })
		if err != nil {
			return err
		}
		for _, m := range page {
			if next = m.seq + 1; m.seq > of.Last {
				return nil
			}
			if err := fn(Raw{Subject: m.subject, Seq: m.seq, At: m.time, Data: m.data}); err != nil {
				return err
			}
		}
		if more {
			continue
		}
		if !e.leader {
			return nil
		}
		// A replica may lag behind; only the leader knows that there is nothing.
		m, err := getLeader(ctx, &e.readConn, shardStream(shard), getRequest{Seq: next, Next: subjectRoot + strconv.Itoa(shard) + ".>"})
		if errors.Is(err, errNone) {
			return nil
		}
		if err != nil {
			return err
		}
		if next = m.seq + 1; m.seq <= of.Last {
			if err := fn(Raw{Subject: m.subject, Seq: m.seq, At: m.time, Data: m.data}); err != nil {
				return err
			}
		}
	}
	return nil
}

// page asks one question for many blocks, when it is its turn.
func (e *Engine) page(ctx context.Context, shard int, from uint64, take func(stored)) (more bool, err error) {
	select {
	case e.reading <- struct{}{}:
		defer func() { <-e.reading }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return getMany(ctx, &e.readConn, shardStream(shard), getRequest{Seq: from, Batch: mostAhead, MaxBytes: cursorBytes}, take)
}

const (
	// journalQuiet is how long nothing may have come for a journal to be at its end. The messages of an atomic batch can be seen
	// one after the other while they are stored, and a journal that ended among them would tell of half a change.
	journalQuiet = 10 * time.Millisecond
	// journalLooks is how often it is waited for that: where writes never pause, each look is the end of some change.
	journalLooks = 50
)

// Journal calls fn with what was written under prefix (see List) behind a revision, in order, and returns the revision it came
// to. Of several writes to one cell only the last may be told, and erased cells are told of, so that who applies it in order to
// what an earlier journal gave has the cells as they were at one moment. fn's error ends it.
func (c *Cells) Journal(ctx context.Context, prefix string, after uint64, fn func(Cell) error) (through uint64, err error) {
	subjects, err := prefixSubjects(prefix)
	if err != nil {
		return after, err
	}
	// Of the two the second is a prefix's own; a cell that is named as the prefix itself is not kept by anybody who asks for one.
	subject := subjects[len(subjects)-1]
	quiet := false
	for looks := 0; ; {
		if c.e.closing.Load() {
			return after, ErrClosed
		}
		page, err := c.behind(ctx, subject, after)
		if err != nil {
			return after, err
		}
		for _, m := range page {
			if err := fn(cellOf(m)); err != nil {
				return after, err
			}
			after = m.seq
		}
		switch {
		case len(page) > 0:
			quiet = false
			continue
		case quiet, looks == journalLooks:
			return after, nil
		}
		quiet = true
		looks++
		select {
		case <-time.After(journalQuiet):
		case <-ctx.Done():
			return after, ctx.Err()
		}
	}
}

// behind is some of what is stored under a subject behind a revision; nothing when there is nothing, by the leader's word.
func (c *Cells) behind(ctx context.Context, subject string, after uint64) (page []stored, err error) {
	req := getRequest{Seq: after + 1, Next: subject, Batch: mostAhead, MaxBytes: cursorBytes}
	_, err = getMany(ctx, &c.e.cellConn, cellStream, req, func(m stored) { page = append(page, m) })
	if err != nil || len(page) > 0 || !c.e.leader {
		return page, err
	}
	m, err := getLeader(ctx, &c.e.cellConn, cellStream, getRequest{Seq: after + 1, Next: subject})
	if errors.Is(err, errNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []stored{m}, nil
}
