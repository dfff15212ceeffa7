package relay

import (
	"sort"
	"sync"
	"sync/atomic"

	"sluice/relay/engine"
)

// budget bounds the bytes of all recent renderings together. Chunks that a ring let go of but a stuck writer
// still holds count until the writer is done. Safe for concurrent use.
type budget struct {
	limit int64
	used  atomic.Int64
	rings atomic.Int64
}

// share is what one ring may hold.
func (b *budget) share() int64 {
	return max(b.limit/max(b.rings.Load(), 1), maxChunk)
}

// ring holds the recent chunks of one rendering. When it is full the oldest chunk goes; a reader that had not got
// to it reads the log on its own instead. The newest chunk always stays, so that a ring works however small the
// budget is. Safe for concurrent use.
type ring struct {
	budget *budget

	mu     sync.Mutex
	chunks []*Chunk // oldest first
	bytes  int64
	base   engine.Offset // whatever is shown behind base is in chunks
	seen   engine.Offset // of the last event considered, shown or not; 0 before the first
	wake   chan struct{} // closed when something changed
}

func newRing(b *budget, base engine.Offset) *ring {
	b.rings.Add(1)
	return &ring{budget: b, base: base, wake: make(chan struct{})}
}

// publish adds chunks and says how far the stream was considered.
func (g *ring) publish(chunks []*Chunk, seen engine.Offset) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = seen
	if len(chunks) == 0 {
		return
	}
	for _, c := range chunks {
		c.ring = g
		c.refs.Store(1)
		c.size = int64(cap(c.frame)) + int64(12*len(c.offsets))
		g.budget.used.Add(c.size)
		g.bytes += c.size
		g.chunks = append(g.chunks, c)
	}
	share := g.budget.share()
	for len(g.chunks) > 1 && (g.bytes > share || g.budget.used.Load() > g.budget.limit) {
		g.evict()
	}
	close(g.wake)
	g.wake = make(chan struct{})
}

func (g *ring) evict() {
	c := g.chunks[0]
	g.chunks[0] = nil
	g.chunks = g.chunks[1:]
	g.base = c.Last()
	g.bytes -= c.size
	c.Release()
}

// charge counts bytes that a chunk grew by. The caller holds the chunk.
func (g *ring) charge(c *Chunk, n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.size += n
	g.budget.used.Add(n)
	if i := g.find(c.Last() - 1); i < len(g.chunks) && g.chunks[i] == c {
		g.bytes += n
	}
}

// find is the index of the first chunk that has something behind an offset.
func (g *ring) find(o engine.Offset) int {
	return sort.Search(len(g.chunks), func(i int) bool { return g.chunks[i].Last() > o })
}

// next is the first chunk with something behind an offset, held for the caller. Without one, wake is closed when
// there may be. in is false when the ring has already let go of what follows the offset; base is then where the
// reader can come back to.
func (g *ring) next(o engine.Offset) (c *Chunk, wake <-chan struct{}, base engine.Offset, in bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if o < g.base {
		return nil, nil, g.base, false
	}
	if i := g.find(o); i < len(g.chunks) {
		c = g.chunks[i]
		c.refs.Add(1)
		return c, nil, g.base, true
	}
	return nil, g.wake, g.base, true
}

// considered is the last event of the stream that a reader has come to who has taken everything up to an offset; 0
// when something is left for it, or when the ring has seen no event yet.
func (g *ring) considered(o engine.Offset) engine.Offset {
	g.mu.Lock()
	defer g.mu.Unlock()
	if o < g.base || g.find(o) < len(g.chunks) {
		return 0
	}
	return g.seen
}

// purge lets go of every chunk: the readers behind it read the log again.
func (g *ring) purge() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.chunks) > 0 {
		g.evict()
	}
	close(g.wake)
	g.wake = make(chan struct{})
}

// close gives everything back; readers must be gone.
func (g *ring) close() {
	g.purge()
	g.budget.rings.Add(-1)
}
