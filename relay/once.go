package relay

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/relay/engine"
	"sluice/relay/registry"
)

const (
	// onceFor is how long a key stands for what was first sent under it.
	onceFor = 10 * time.Minute
	// onceKeys bounds the keys a node remembers places of, some 25 bytes each; one more is refused as busy until others
	// are ten minutes old.
	onceKeys = 1 << 20
	// oncePatience is how long one request may read the log for keys before it is refused as busy. What it has read is
	// kept, so that one of the next gets to the end.
	oncePatience = 5 * time.Second
	// oncePart is how many bytes of records go into one block of a keyed body, short of what a block holds.
	oncePart = 192 << 10
	// emptyBytes bounds the remembered answers to bodies of which nothing was stored.
	emptyBytes = 4 << 20
)

// onceKey is what is kept of a sender's key.
type onceKey [16]byte

// short is what a key's place is found by; the note at the place tells whether it is the key.
func (k onceKey) short() uint64 { return binary.LittleEndian.Uint64(k[:]) }

// bodySum tells bodies apart.
type bodySum [16]byte

// AcceptOnce is AcceptBulk for a body that its sender may send again, under a key that stands for it on this stream
// for ten minutes. Sent again it is not stored again: the result is the first one, and again is true. A body that
// comes while the first is being stored waits for it. Beside AcceptBulk's errors, ErrKeyReused: the key stands for
// another body, and nothing was stored.
//
// That holds across restarts, and across nodes once the first is in the log: each block of a keyed body says in its
// header how far the body is stored, the last one with the result, so that after any error, also one in the middle of
// a large body, sending it again stores what is missing and no more. Of a body of which nothing was stored the result
// is remembered by this node only, until it restarts or needs the room: to check it again does no harm.
func (r *Relay) AcceptOnce(ctx context.Context, st *registry.Stream, b Bulk, key string) (res BulkResult, again bool, err error) {
	sum := sha256.Sum256([]byte(key))
	id, mark := onceKey(sum[:16]), sumOf(b)
	s := r.once.stream(st.Log.ID, r.now())
	for {
		c, first := s.enter(id, mark)
		if first {
			c.res, again, c.err = r.acceptOnce(ctx, st, b, s, id, mark)
			s.leave(id, c)
			return c.res, again, c.err
		}
		select {
		case <-ctx.Done():
			return BulkResult{}, false, fmt.Errorf("%w: another request with this key is in hand", engine.ErrBusy)
		case <-c.done:
		}
		switch {
		case c.err != nil: // the first was not stored, or nobody knows: look again
		case c.body != mark:
			return BulkResult{}, false, ErrKeyReused
		default:
			return c.res, true, nil
		}
	}
}

func sumOf(b Bulk) bodySum {
	h := sha256.New()
	fmt.Fprintf(h, "%t %d %s ", b.Atomic, len(b.Ref), b.Ref) // a hash takes everything
	h.Write(b.Body)
	return bodySum(h.Sum(nil)[:16])
}

// acceptOnce is one attempt, the only one of its key at a time on this node.
func (r *Relay) acceptOnce(ctx context.Context, st *registry.Stream, b Bulk, s *onceStream, id onceKey, mark bodySum) (BulkResult, bool, error) {
	if s.doubtful(id) {
		// The last attempt may still be on its way into the log: as long as it is, the log's end proves nothing.
		if err := r.engine.Ready(); err != nil {
			return BulkResult{}, false, fmt.Errorf("%w: what became of the first request is not known yet: %w", engine.ErrBusy, err)
		}
	}
	n, err := r.recall(ctx, st, s, id)
	if err != nil {
		return BulkResult{}, false, err
	}
	if n != nil {
		switch {
		case n.body != mark:
			return BulkResult{}, false, ErrKeyReused
		case n.final:
			return n.result, true, nil
		}
	} else {
		n = &onceNote{key: id, body: mark}
	}
	res, err := r.acceptBulk(ctx, st, b, n)
	s.doubt(id, errors.Is(err, engine.ErrUnconfirmed))
	if err == nil && n.empty {
		r.once.keepEmpty(st.Log.ID, &onceNote{key: id, body: mark, result: res, final: true}, r.now())
	}
	return res, false, err
}

// recall finds what is known of a key: nil when nothing is.
func (r *Relay) recall(ctx context.Context, st *registry.Stream, s *onceStream, id onceKey) (*onceNote, error) {
	since := r.now().Add(-onceFor)
	if n := r.once.empty(st.Log.ID, id, since); n != nil {
		return n, nil
	}
	if err := r.readNotes(ctx, st, s, since); err != nil {
		return nil, err
	}
	seq := s.place(id)
	if seq == 0 {
		return nil, nil
	}
	cursor := r.engine.Read(st.Log, engine.AfterBlock(seq-1))
	defer cursor.Close()
	block, err := cursor.Next(ctx)
	if errors.Is(err, io.EOF) || err == nil && block.Seq != seq {
		return nil, nil // retention took it, or somebody erased it
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer to an earlier request: %w", err)
	}
	var found *onceNote
	block.Notes(func(text []byte) bool {
		if n, ok := parseOnce(text); ok && n.key == id && !block.Accepted().Before(since) {
			found = n
		}
		return true // of several the last counts
	})
	return found, nil
}

// readNotes reads the log to its end for the places of keys. What was stored before it is called is found.
func (r *Relay) readNotes(ctx context.Context, st *registry.Stream, s *onceStream, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, oncePatience)
	defer cancel()
	select {
	case s.reading <- struct{}{}:
		defer func() { <-s.reading }()
	case <-ctx.Done():
		return fmt.Errorf("%w: the log is being read for keys", engine.ErrBusy)
	}
	from := s.from(since)
	if from == 0 {
		var err error
		if from, err = r.engine.SeekTime(ctx, st.Log, since); ctx.Err() != nil {
			return fmt.Errorf("%w: the log is being read for keys", engine.ErrBusy)
		} else if err != nil {
			return fmt.Errorf("seek in stream %s: %w", st.Name, err)
		}
	}
	cursor := r.engine.Read(st.Log, from)
	defer cursor.Close()
	for {
		block, err := cursor.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			s.readTo(from, r.now())
			return nil
		case errors.Is(err, engine.ErrCorrupt):
			continue // its events are lost to every reader, and so is what it says of keys
		case ctx.Err() != nil:
			return fmt.Errorf("%w: the log is being read for keys", engine.ErrBusy)
		case err != nil:
			return fmt.Errorf("read keys of stream %s: %w", st.Name, err)
		}
		full := false
		block.Notes(func(text []byte) bool {
			if key, ok := onceKeyOf(text); ok && !block.Accepted().Before(since) {
				full = !s.keep(key, block.Seq, block.Accepted())
			}
			return !full
		})
		if full {
			return fmt.Errorf("%w: %d keys are remembered, which is as many as may be", engine.ErrBusy, onceKeys)
		}
		from = block.Last()
		s.readTo(from, r.now())
	}
}
