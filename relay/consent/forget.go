package consent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	mrand "math/rand/v2"
	"slices"
	"time"

	"sluice/relay/engine"
)

const (
	// maxCuts is how many leaves one change erases, which bounds its memory to some 80 MB. Forget of
	// more people makes several changes.
	maxCuts = 20_000

	// A batch of tree parts has at most batchCells cells, and batchBytes bytes or one cell.
	batchCells = 64
	batchBytes = 4 << 20

	// eraseBatch is how many cells one batch clears away.
	eraseBatch = 500
)

// Forget erases the keys of people in every live era of a stream. After it returns nil nothing opens
// their old fields: no Key that was handed out before, no former revision of the store, no restart.
// People it does not name keep their keys, and who was forgotten gets a new key at the next event. It
// is the same for people the stream never saw, whom it cannot know. Forgetting many people in one call
// costs one rewrite of the path to the top for each 20,000 people and eras.
//
// On an error some of the people may be forgotten; call it again. ErrNoPerson: one name is empty.
func (v *Vault) Forget(ctx context.Context, id engine.StreamID, subjects ...string) error {
	if slices.Contains(subjects, "") {
		return ErrNoPerson
	}
	subjects = slices.Compact(slices.Sorted(slices.Values(subjects)))
	s := v.stream(id)
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	for len(subjects) > 0 {
		n, err := s.forget(ctx, subjects)
		if err != nil {
			return fmt.Errorf("forgetting %d people of stream %s: %w", len(subjects), id, err)
		}
		v.metrics.forgotten.Add(float64(n))
		subjects = subjects[n:]
	}
	return nil
}

// retry runs a change of the stream again while others overtake it. The caller holds the lock.
func (s *stream) retry(ctx context.Context, change func() error) error {
	for try := range rereads {
		err := change()
		if !errors.Is(err, engine.ErrConflict) || errors.Is(err, errLeft) {
			return err
		}
		// Nodes that keep overtaking each other part at random.
		select {
		case <-time.After(time.Duration(mrand.Int64N(int64(time.Millisecond) << min(try, 6)))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return engine.ErrConflict
}

// forget erases as many of the people as go into one change, and says how many. The caller holds the
// lock.
func (s *stream) forget(ctx context.Context, subjects []string) (n int, err error) {
	word := s.vault.peers.word(s.id)
	defer func() { s.vault.takeBack(ctx, s, word) }()
	err = s.retry(ctx, func() error {
		n, err = s.tryForget(ctx, subjects, word)
		return err
	})
	return n, err
}

func (s *stream) tryForget(ctx context.Context, subjects []string, word *word) (int, error) {
	v := s.vault
	p, w, err := s.read(ctx)
	if err != nil {
		return 0, err
	}
	n := len(subjects)
	if len(w.eras) == 0 {
		return n, nil
	}
	n = min(n, max(1, maxCuts/len(w.eras)))
	leaves, err := v.leavesOf(ctx, s.id, w, subjects[:n])
	if err != nil {
		return 0, err
	}

	// Before the store: a backup that was taken before must not bring back who was told to be forgotten.
	if err := v.note(s.id, w.eras, leaves); err != nil {
		return 0, err
	}
	return n, s.erase(ctx, p, w, leaves, word)
}

// erase erases leaves from each era of a view, in the caches and in the store. The caller holds the lock. word is how the
// other nodes are told before; nil when there can be none.
//
// What a crash leaves of it beside what commit says is a word of a node that is dead: the people it is about stay closed, and
// their new events wait, until another node takes it back, some ten seconds later. They are then as before, for the Forget was
// not answered.
func (s *stream) erase(ctx context.Context, p *path, w *view, leaves [][]uint64, word *word) error {
	v := s.vault

	// The caches first: from here on nobody is given one of these keys, and those who have one find
	// it erased.
	going := *w
	going.going = map[leafID]struct{}{}
	for i, e := range w.eras {
		for _, leaf := range leaves[i] {
			going.going[leafID{e.number, leaf}] = struct{}{}
		}
	}
	maps.Copy(going.going, w.going)
	since := s.epoch.Load()
	if s.view.Load() != w || !s.publish(&going, since) {
		return engine.ErrConflict
	}
	v.cache.drop(func(k *Key) bool {
		_, gone := going.going[leafID{k.era, k.leaf}]
		return gone && k.stream == s
	})

	// Then those of the other nodes.
	if err := v.announce(ctx, word, &w.shift, w.eras, leaves); err != nil {
		s.invalidate()
		return err
	}

	// Then the store.
	after, cut, err := s.cut(ctx, p, w, leaves)
	if err != nil {
		s.invalidate()
		return err
	}
	cut.change.below = append(cut.change.below, word.end()...)
	since = s.epoch.Load()
	m, err := v.commit(ctx, cut.change)
	if err != nil && !errors.Is(err, errLeft) {
		if errors.Is(err, engine.ErrConflict) {
			v.eraseCells(ctx, cut.ahead)
			err = errors.Join(err, v.stillSaid(ctx, word))
		}
		s.invalidate()
		return err
	}
	v.peers.said(word)
	var damaged error
	if after.going, damaged = v.peers.goingIn(s.id, &w.shift); damaged != nil {
		s.invalidate()
		return errors.Join(err, damaged)
	}
	after.mark = m
	v.covers.release(cut.gone)
	for p, c := range cut.covers {
		v.covers.keep(p, c)
	}
	s.publish(after, since)
	v.eraseCells(ctx, cut.dead)
	return err
}

// leavesOf is, for each era of a view, the living leaves of these people, ascending.
func (v *Vault) leavesOf(ctx context.Context, id engine.StreamID, w *view, subjects []string) ([][]uint64, error) {
	sc := getScratch()
	defer sc.put()
	out := make([][]uint64, len(w.eras))
	for i, e := range w.eras {
		out[i] = make([]uint64, 0, len(subjects))
		for _, subject := range subjects {
			leaf, _, err := v.living(ctx, id, w, e, sc, []byte(subject))
			if errors.Is(err, errStale) {
				return nil, engine.ErrConflict
			}
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], leaf)
		}
		slices.Sort(out[i])
		out[i] = slices.Compact(out[i])
	}
	return out, nil
}

// incision is what it takes to erase leaves from a stream's eras.
type incision struct {
	change change
	covers map[*part]*cover   // of the new parts
	gone   map[*part]struct{} // the parts they replace
	ahead  []engine.Write     // erases the new parts' cells, which are written already
	dead   []engine.Write     // erases the cells of the parts they replace
}

// cut erases leaves from each era of a view: it gives the view after the change, and the change. The
// cells of the new parts are written when it returns.
func (s *stream) cut(ctx context.Context, p *path, w *view, leaves [][]uint64) (*view, *incision, error) {
	v := s.vault
	after := &view{exists: true, shift: w.shift, high: w.high}
	next := &record{shift: p.record.shift, high: p.record.high}
	c := &incision{covers: map[*part]*cover{}, gone: map[*part]struct{}{}}
	var batch []engine.Write
	var parts []*part // of the batch
	var size int
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := v.cells.Batch(ctx, batch); err != nil {
			return fmt.Errorf("writing parts of a key tree: %w", err)
		}
		for i := range batch {
			parts[i].rev.Store(batch[i].Revision)
			c.ahead = append(c.ahead, engine.Write{Key: batch[i].Key, Revision: batch[i].Revision})
		}
		clear(batch)
		batch, parts, size = batch[:0], parts[:0], 0
		return nil
	}
	for i, e := range w.eras {
		n, err := v.cutEra(ctx, s.id, e, leaves[i], c, func(p *part, write engine.Write) error {
			if len(batch) == batchCells || size+len(write.Value) > batchBytes {
				if err := flush(); err != nil {
					return err
				}
			}
			batch, parts, size = append(batch, write), append(parts, p), size+len(write.Value)
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
		name := eraName(s.id, e.number)
		write := engine.Write{Key: name, Value: seal(&n.secret, name, "", encodeEra(n))}
		if len(write.Value) > maxCell {
			return nil, nil, ErrFull
		}
		if e.cut {
			cell, err := v.cells.Get(ctx, name)
			if err != nil {
				return nil, nil, fmt.Errorf("reading the keys of an era: %w", err)
			}
			write.Revision = cell.Revision
		}
		c.change.below = append(c.change.below, write)
		next.eras = append(next.eras, n.eraEntry)
		after.eras = append(after.eras, n)
	}
	if err := flush(); err != nil {
		return nil, nil, err
	}
	c.change.stream, c.change.from, c.change.record = s.id, p, next
	return after, c, nil
}

// cutEra is an era without some leaves, under a new key. write is given the cells of the new parts.
func (v *Vault) cutEra(ctx context.Context, id engine.StreamID, e *era, leaves []uint64, c *incision, write func(*part, engine.Write) error) (*era, error) {
	n := &era{eraEntry: e.eraEntry, link: e.link, index: e.index}
	n.cut, n.secret = true, newNode()
	parts := e.parts
	if parts == nil {
		for i := range shards {
			parts = append(parts, &part{start: uint64(i) << (leafBits - shardBits), depth: shardBits, secret: shardNode(&e.root, byte(i))})
		}
	}
	for _, p := range parts {
		inside, _ := slices.BinarySearchFunc(leaves, p.start+span(p.depth), func(a, last uint64) int {
			if a > last {
				return 1
			}
			return -1
		})
		if inside == 0 {
			n.parts = append(n.parts, p)
			continue
		}
		whole := &cover{start: p.start, depth: p.depth}
		if p.cell == 0 {
			whole.push(p.start, p.depth, &p.secret)
		} else {
			var err error
			if whole, err = v.load(ctx, id, e.number, p); errors.Is(err, errStale) {
				return nil, engine.ErrConflict
			} else if err != nil {
				return nil, err
			}
			c.gone[p] = struct{}{}
			c.dead = append(c.dead, engine.Write{Key: partName(id, e.number, p.cell), Revision: p.rev.Load()})
		}
		for _, piece := range whole.puncture(leaves[:inside]).pieces(v.partBytes, nil) {
			fresh := &part{start: piece.start, depth: piece.depth}
			n.parts = append(n.parts, fresh)
			if piece.whole() {
				fresh.secret = piece.nodes[0]
				continue
			}
			fresh.cell, fresh.secret = newCellNumber(), newNode()
			name := partName(id, e.number, fresh.cell)
			if err := write(fresh, engine.Write{Key: name, Value: seal(&fresh.secret, name, "", piece.encode(nil))}); err != nil {
				return nil, err
			}
			c.covers[fresh] = piece
		}
		leaves = leaves[inside:]
	}
	return n, nil
}

// sealOverhead is what sealing adds to a cell below the top.
const sealOverhead = 1 + markSize + 16

// pieces are the covers of a subtree, each small enough for a cell of so many bytes: one that is not
// is split by one more bit.
func (c *cover) pieces(limit int, out []*cover) []*cover {
	if c.encodedSize()+sealOverhead <= limit || c.depth == leafBits-1 {
		return append(out, c)
	}
	left, right := c.halves()
	return right.pieces(limit, left.pieces(limit, out))
}

func newCellNumber() uint64 {
	for {
		var b [8]byte
		rand.Read(b[:])
		if n := binary.BigEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

// eraseCells clears away cells that nothing names any more. What stays because of an error is noise,
// and goes with its era.
func (v *Vault) eraseCells(ctx context.Context, erasures []engine.Write) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeWait)
	defer cancel()
	for some := range slices.Chunk(erasures, eraseBatch) {
		if err := v.cells.Batch(ctx, some); err != nil {
			v.warnLeft(ctx, err)
			return
		}
	}
}

func (v *Vault) warnLeft(ctx context.Context, err error) {
	v.cfg.Log.WarnContext(ctx, "key cells that are no longer in use were not cleared away", "error", err)
}
