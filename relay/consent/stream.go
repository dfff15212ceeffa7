package consent

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"

	"sluice/relay/engine"
)

// stream is what the process knows of a stream's keys. Safe for concurrent use.
type stream struct {
	id    engine.StreamID
	vault *Vault

	// lock holds one token: who loads or changes the stream's keys takes it out. It is taken before
	// the vault's own lock, never after.
	lock chan struct{}

	// view is nil when it must be read from the store.
	view atomic.Pointer[view]

	// epoch moves after each change of view that could end a key's life.
	epoch   atomic.Uint64
	dropped atomic.Bool
}

// view is the state of a stream's keys at one moment. Immutable, but for the covers that are loaded
// into its parts when they are needed.
type view struct {
	exists bool // false: nothing is stored for the stream
	shift  node
	high   uint32
	eras   []*era // ascending by number
	mark   mark   // of the stream's cell

	// going holds the leaves that a Forget under way, here or on another node, is erasing. Readers take them as erased. Who
	// wants to write for such a person waits for the end of that Forget: were the next generation in
	// use while this one might live on, because the Forget does not succeed, then a later Forget,
	// which erases the first living generation, would spare it.
	going map[leafID]struct{}
}

type leafID struct {
	era  uint32
	leaf uint64
}

// era is the keys of an era. Immutable like the view.
type era struct {
	eraEntry
	link, index node
	root        node    // where nobody was forgotten yet
	parts       []*part // else the parts of the tree, ascending
}

// part is a subtree of an era's tree.
type part struct {
	start  uint64
	depth  uint8
	cell   uint64 // name of the cell that holds its cover; 0: the part is whole
	secret node   // its top node when it is whole, else the key of that cell

	rev    atomic.Uint64 // of that cell, once it was loaded or written
	loaded atomic.Pointer[cover]
	used   atomic.Bool // since the last time that room was made
}

func (s *stream) acquire(ctx context.Context) error {
	select {
	case s.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *stream) release() { <-s.lock }

// publish makes a view the present one and has every key that was handed out look again whether it
// lives. since is the stream's epoch when the view's content was fixed. When somebody else announced a
// change after that, the view may miss it: it is not kept, and publish answers false.
func (s *stream) publish(v *view, since uint64) bool {
	s.view.Store(v)
	if s.epoch.Add(1) == since+1 {
		return true
	}
	s.view.CompareAndSwap(v, nil)
	return false
}

// invalidate has the view read again and every key look whether it lives: the store was changed by
// somebody else, or it is not known what became of a change.
func (s *stream) invalidate() {
	s.view.Store(nil)
	s.epoch.Add(1)
}

// get is the present view, read from the store if need be.
func (s *stream) get(ctx context.Context) (*view, error) {
	if v := s.view.Load(); v != nil {
		return v, nil
	}
	if err := s.acquire(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	if v := s.view.Load(); v != nil {
		return v, nil
	}
	_, v, err := s.read(ctx)
	return v, err
}

// rereads bounds how often keys are read again because they were replaced while they were read. Each
// time means that somebody was forgotten in those microseconds.
const rereads = 16

// read reads the stream's keys from the store and makes them the present view. The caller holds the
// lock.
func (s *stream) read(ctx context.Context) (*path, *view, error) {
	for range rereads {
		since := s.epoch.Load()
		p, err := s.vault.readPath(ctx, s.id)
		if err != nil {
			return nil, nil, err
		}
		v, err := s.vault.viewOf(ctx, s.id, p, s.view.Load())
		if errors.Is(err, errStale) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		if s.publish(v, since) {
			return p, v, nil
		}
	}
	return nil, nil, fmt.Errorf("reading the keys of stream %s: %w", s.id, ErrDamaged)
}

func (v *view) era(number uint32) *era {
	i := sort.Search(len(v.eras), func(i int) bool { return v.eras[i].number >= number })
	if i < len(v.eras) && v.eras[i].number == number {
		return v.eras[i]
	}
	return nil
}

// above is the lowest node that covers a leaf, and its depth. ErrForgotten when the leaf, its era or
// the stream was erased, or is being erased.
func (s *stream) above(ctx context.Context, number uint32, leaf uint64) (node, uint8, error) {
	asked := false
	for range rereads {
		v, err := s.get(ctx)
		if err != nil {
			return node{}, 0, err
		}
		e := v.era(number)
		if e == nil {
			// An era above all that were known may have been begun by another node a moment ago.
			if number <= v.high || asked || s.dropped.Load() {
				return node{}, 0, ErrForgotten
			}
			asked = true
			s.view.CompareAndSwap(v, nil)
			continue
		}
		if _, ok := v.going[leafID{number, leaf}]; ok {
			return node{}, 0, ErrForgotten
		}
		n, depth, err := s.vault.covering(ctx, s.id, e, leaf)
		if errors.Is(err, errStale) {
			s.view.CompareAndSwap(v, nil)
			continue
		}
		return n, depth, err
	}
	return node{}, 0, fmt.Errorf("reading the keys of stream %s: %w", s.id, ErrDamaged)
}

// covering is the lowest node of an era that covers a leaf. errStale: the part is not in the store any
// more, so the era was changed since it was read.
func (v *Vault) covering(ctx context.Context, id engine.StreamID, e *era, leaf uint64) (node, uint8, error) {
	if e.parts == nil {
		return shardNode(&e.root, byte(leaf>>(leafBits-shardBits))), shardBits, nil
	}
	p := e.part(leaf)
	if p.cell == 0 {
		return p.secret, p.depth, nil
	}
	c, err := v.load(ctx, id, e.number, p)
	if err != nil {
		return node{}, 0, err
	}
	i, ok := c.find(leaf)
	if !ok {
		return node{}, 0, ErrForgotten
	}
	return c.nodes[i], c.depths[i], nil
}

func (e *era) part(leaf uint64) *part {
	return e.parts[sort.Search(len(e.parts), func(i int) bool { return e.parts[i].start > leaf })-1]
}

// load is the cover of a part that has a cell.
func (v *Vault) load(ctx context.Context, id engine.StreamID, number uint32, p *part) (*cover, error) {
	if c := p.loaded.Load(); c != nil {
		if !p.used.Load() {
			p.used.Store(true)
		}
		return c, nil
	}
	name := partName(id, number, p.cell)
	cell, err := v.cells.Get(ctx, name)
	if errors.Is(err, engine.ErrNotFound) {
		return nil, errStale
	}
	if err != nil {
		return nil, fmt.Errorf("reading a part of a key tree: %w", err)
	}
	plain, err := unseal(&p.secret, name, "", cell.Value)
	if err != nil {
		return nil, err
	}
	c, err := decodeCover(plain)
	if err != nil {
		return nil, err
	}
	if c.start != p.start || c.depth != p.depth {
		return nil, ErrDamaged
	}
	p.rev.Store(cell.Revision)
	v.covers.keep(p, c)
	return c, nil
}

// covers bounds the memory of the loaded covers. When it is full those go that were not used since
// it was full before; they are read again when they are needed.
type covers struct {
	mu    sync.Mutex
	limit int64
	size  int64
	parts list.List // of *part, those loaded last at the back
}

func (c *covers) keep(p *part, loaded *cover) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !p.loaded.CompareAndSwap(nil, loaded) {
		return
	}
	c.parts.PushBack(p)
	c.size += loaded.size()
	for c.size > c.limit && c.parts.Len() > 1 {
		first := c.parts.Front()
		old := first.Value.(*part)
		if old.used.Swap(false) {
			c.parts.MoveToBack(first)
			continue
		}
		c.parts.Remove(first)
		c.size -= old.loaded.Swap(nil).size()
	}
}

// release lets go of covers that no view will ask for again.
func (c *covers) release(gone map[*part]struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for e := c.parts.Front(); e != nil; {
		next := e.Next()
		if p := e.Value.(*part); isIn(gone, p) {
			c.parts.Remove(e)
			c.size -= p.loaded.Swap(nil).size()
		}
		e = next
	}
}

func isIn(set map[*part]struct{}, p *part) bool {
	_, ok := set[p]
	return ok
}
