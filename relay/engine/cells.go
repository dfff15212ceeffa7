package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Cells are small values with compare-and-set, each under its own key: dot-separated tokens of [A-Za-z0-9_=-], at most
// 255 bytes together. A value may be as long as an event. All methods may be called from any number of goroutines.
type Cells struct {
	e       *Engine
	batches chan struct{} // one slot for each batch under way; the server allows 50 for a stream
	tried   attempts

	mu      sync.Mutex
	watches map[*watch]struct{}
}

// Cell is one value as of one revision.
type Cell struct {
	Key      string
	Value    []byte // nil when Gone
	Revision uint64 // grows with every write to any cell
	Gone     bool   // it was erased
}

// Write is one part of a Batch.
type Write struct {
	Key      string
	Value    []byte // nil erases
	Revision uint64 // expected; 0: must not exist
}

const (
	hdrGone  = "Sluice-Gone"  // marks an erased cell
	hdrWrite = "Sluice-Write" // who wrote it, so that a write whose answer was lost finds itself

	// markLife is how long the mark of an erased cell stays for watchers that were away.
	markLife = 24 * time.Hour
	maxKey   = 255
)

func newCells(e *Engine) *Cells {
	return &Cells{e: e, batches: make(chan struct{}, 16), watches: map[*watch]struct{}{}}
}

// Get returns the cell as its last acknowledged write left it, or ErrNotFound.
func (c *Cells) Get(ctx context.Context, key string) (Cell, error) {
	if err := checkKey(key); err != nil {
		return Cell{}, err
	}
	m, err := c.last(ctx, key)
	if errors.Is(err, errNone) {
		return Cell{}, ErrNotFound
	}
	if err != nil {
		return Cell{}, fmt.Errorf("cell %s: %w", key, err)
	}
	cell := cellOf(m)
	if cell.Gone {
		return Cell{}, ErrNotFound
	}
	return cell, nil
}

// Put sets a cell whose revision is rev, 0 for one that must not exist, and returns its new revision. Nil means
// durable. ErrConflict: it has another revision. ErrUnconfirmed: no answer came in time; Get tells.
func (c *Cells) Put(ctx context.Context, key string, value []byte, rev uint64) (uint64, error) {
	if value == nil {
		value = []byte{}
	}
	w := []Write{{Key: key, Value: value, Revision: rev}}
	if err := c.Batch(ctx, w); err != nil {
		return 0, err
	}
	return w[0].Revision, nil
}

// Erase deletes a cell whose revision is rev. Watchers are told; its value can no longer be read from the log, though
// its bytes may lie on the disk for a while. The errors are Put's.
func (c *Cells) Erase(ctx context.Context, key string, rev uint64) error {
	return c.Batch(ctx, []Write{{Key: key, Revision: rev}})
}

// Batch does all writes or none, with one fsync. After nil each Write's Revision is the new one, so that the same
// slice may be used for the next round. At most 1,000 writes, no key twice. The errors are Put's, for any of them.
func (c *Cells) Batch(ctx context.Context, w []Write) error {
	if err := c.admit(w); err != nil || len(w) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.e.cfg.Timeout)
	defer cancel()
	select {
	case c.batches <- struct{}{}:
		defer func() { <-c.batches }()
	case <-ctx.Done():
		return ErrBusy
	}
	expect := make([]uint64, len(w))
	for i := range w {
		expect[i] = w[i].Revision
	}
	id := randomName()
	for attempt := 1; ; attempt++ {
		last, err := c.publish(ctx, id+"-"+strconv.Itoa(attempt), id, w, expect)
		if err == nil {
			c.tried.worked()
			for i := range w {
				w[i].Revision = last - uint64(len(w)-1-i)
			}
			return nil
		}
		if noWrite(err) && ctx.Err() == nil {
			c.tried.failed()
		}
		if ctx.Err() != nil {
			return ErrUnconfirmed
		}
		var refused *apiError
		if errors.As(err, &refused) && !isWrongLast(err) && refused.Code < 500 {
			return fmt.Errorf("writing cells: %w", err)
		}
		first, err := c.resolve(ctx, id, w, expect)
		switch {
		case first > 0:
			for i := range w {
				w[i].Revision = first + uint64(i)
			}
			return nil
		case errors.Is(err, ErrConflict):
			return err
		}
		select {
		case <-time.After(min(time.Duration(attempt)*5*time.Millisecond, time.Second)):
		case <-ctx.Done():
			return ErrUnconfirmed
		case <-c.e.closed:
			return ErrUnconfirmed
		}
	}
}

func (c *Cells) admit(w []Write) error {
	switch {
	case c.e.closing.Load():
		return ErrClosed
	case c.e.disk.tight.Load():
		return c.e.disk.full()
	case len(w) > maxBatchMessages:
		return fmt.Errorf("%w: a batch has at most %d cells", ErrTooLarge, maxBatchMessages)
	}
	var seen map[string]struct{}
	if len(w) > 1 {
		seen = make(map[string]struct{}, len(w))
	}
	for i := range w {
		if err := checkKey(w[i].Key); err != nil {
			return err
		}
		if len(w[i].Value) > c.e.cfg.maxCell() {
			return fmt.Errorf("%w: cell %s", ErrTooLarge, w[i].Key)
		}
		if seen == nil {
			continue
		}
		if _, twice := seen[w[i].Key]; twice {
			return fmt.Errorf("%w: %s is in the batch twice", ErrConflict, w[i].Key)
		}
		seen[w[i].Key] = struct{}{}
	}
	return nil
}

// publish sends the writes as one message or one atomic batch. The sequence is that of the last one.
func (c *Cells) publish(ctx context.Context, batch, id string, w []Write, expect []uint64) (uint64, error) {
	nc := c.e.cellConn.nc
	for i := range w {
		msg := &nats.Msg{Subject: cellRoot + w[i].Key, Data: w[i].Value, Header: nats.Header{
			hdrExpected: {strconv.FormatUint(expect[i], 10)},
			hdrWrite:    {id},
		}}
		if w[i].Value == nil {
			msg.Header[hdrGone] = []string{"1"}
			msg.Header[hdrTTL] = []string{markLife.String()}
		}
		if len(w) > 1 {
			msg.Header[hdrBatchID] = []string{batch}
			msg.Header[hdrBatchSeq] = []string{strconv.Itoa(i + 1)}
		}
		if i < len(w)-1 {
			if err := nc.PublishMsg(msg); err != nil {
				return 0, err
			}
			continue
		}
		if len(w) > 1 {
			msg.Header[hdrBatchEnd] = []string{"1"}
		}
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		answer, err := nc.RequestMsgWithContext(ctx, msg)
		if err != nil {
			return 0, err
		}
		a, err := parseAck(answer)
		if err != nil {
			return 0, err
		}
		if a.Err != nil {
			return 0, a.Err
		}
		return a.Seq, nil
	}
	return 0, nil
}

// resolve looks what became of writes that were refused or not answered: the revision of the first when they are
// stored, ErrConflict when one of them never can be; otherwise expect says what to try again with.
func (c *Cells) resolve(ctx context.Context, id string, w []Write, expect []uint64) (first uint64, err error) {
	places := make([]int, len(w))
	for i := range places {
		places[i] = i
	}
	own := make([]uint64, len(w))
	lost := make([]bool, len(w))
	err = each(places, func(i int) error {
		m, err := c.last(ctx, w[i].Key)
		switch {
		case errors.Is(err, errNone):
			lost[i] = w[i].Revision != 0
			expect[i] = 0
		case err != nil:
			return err
		case m.header.Get(hdrWrite) == id:
			own[i] = m.seq - uint64(i)
		case w[i].Revision == m.seq:
			expect[i] = m.seq
		case w[i].Revision == 0 && m.header.Get(hdrGone) != "":
			expect[i] = m.seq // erased: the mark makes way for the new cell
		default:
			lost[i] = true
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for i := range w {
		if own[i] > 0 {
			return own[i], nil
		}
	}
	for i := range w {
		if lost[i] {
			return 0, fmt.Errorf("%w: %s", ErrConflict, w[i].Key)
		}
	}
	return 0, nil
}

// List returns the cells whose key is prefix or begins with prefix and a dot; all with the empty prefix. Each is as
// its last acknowledged write left it or newer. The order is that of their revisions.
func (c *Cells) List(ctx context.Context, prefix string) ([]Cell, error) {
	subjects, err := prefixSubjects(prefix)
	if err != nil {
		return nil, err
	}
	var list []Cell
	at := map[string]int{} // a cell that is written meanwhile comes again, further behind
	add := func(m stored) {
		cell := cellOf(m)
		if i, again := at[cell.Key]; again {
			list[i].Gone = true
		}
		at[cell.Key] = len(list)
		list = append(list, cell)
	}
	for _, subject := range subjects {
		if err := c.scan(ctx, subject, add); err != nil {
			return nil, fmt.Errorf("listing cells: %w", err)
		}
	}
	kept := list[:0]
	for _, cell := range list {
		if !cell.Gone {
			kept = append(kept, cell)
		}
	}
	return kept, nil
}

// scan calls fn with every message under a subject.
func (c *Cells) scan(ctx context.Context, subject string, fn func(stored)) error {
	for next, more := uint64(1), true; more; {
		var err error
		if c.e.leader {
			// A replica may lag behind; the leader answers one at a time only.
			var m stored
			m, err = getLeader(ctx, &c.e.cellConn, cellStream, getRequest{Seq: next, Next: subject})
			if errors.Is(err, errNone) {
				return nil
			}
			if err == nil {
				next = m.seq + 1
				fn(m)
			}
		} else {
			req := getRequest{Seq: next, Next: subject, Batch: mostAhead, MaxBytes: cursorBytes}
			more, err = getMany(ctx, &c.e.cellConn, cellStream, req, func(m stored) {
				next = m.seq + 1
				fn(m)
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Cells) last(ctx context.Context, key string) (stored, error) {
	return c.e.getFresh(ctx, &c.e.cellConn, cellStream, getRequest{Last: cellRoot + key})
}

func cellOf(m stored) Cell {
	cell := Cell{Key: strings.TrimPrefix(m.subject, cellRoot), Revision: m.seq, Gone: m.header.Get(hdrGone) != ""}
	if !cell.Gone {
		if cell.Value = m.data; cell.Value == nil {
			cell.Value = []byte{}
		}
	}
	return cell
}

// prefixSubjects are the subjects of the cells under a prefix.
func prefixSubjects(prefix string) ([]string, error) {
	if prefix == "" {
		return []string{cellRoot + ">"}, nil
	}
	if err := checkKey(prefix); err != nil {
		return nil, err
	}
	return []string{cellRoot + prefix, cellRoot + prefix + ".>"}, nil
}

func checkKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("%w: it must have 1 to %d bytes", ErrKey, maxKey)
	}
	dot := true
	for i := 0; i < len(key); i++ {
		switch ch := key[i]; {
		case ch == '.':
			if dot {
				return fmt.Errorf("%w: it has an empty token", ErrKey)
			}
			dot = true
			continue
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', ch == '_', ch == '=', ch == '-':
		default:
			return fmt.Errorf("%w: it holds a byte outside of [A-Za-z0-9_=-]", ErrKey)
		}
		dot = false
	}
	if dot {
		return fmt.Errorf("%w: it has an empty token", ErrKey)
	}
	return nil
}
