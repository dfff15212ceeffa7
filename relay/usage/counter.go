package usage

import (
	"sync"
	"sync/atomic"
	"time"
)

// Counter knows what a stream took in this month. Safe for concurrent use; Take and Done take no lock and allocate
// nothing, but for the first Take of a month.
type Counter struct {
	// held is what was let in and is not answered yet. It is a part of the month whatever becomes of it, so that at no
	// moment more is let in than the limit: a block is counted before who waits for it is answered.
	held atomic.Int64
	sums atomic.Pointer[sums]

	mu    sync.Mutex // held to replace sums, and for what follows
	own   total
	nodes map[string]total // what the others wrote last
}

// total is what a node counted in a month.
type total struct {
	month  month
	events uint64
}

// sums are the totals of one month: this node's and all others'.
type sums struct {
	month       month
	ends        int64 // Unix milliseconds
	own, others atomic.Int64
}

// Take lets n more events in, unless the month would then have more than limit (0: any number): then it says how long the
// month still lasts. What was let in is held until Done.
func (c *Counter) Take(at time.Time, limit int64, n int) (wait time.Duration, ok bool) {
	held := c.held.Add(int64(n))
	if limit <= 0 {
		return 0, true
	}
	s := c.month(at.UnixMilli())
	if s.own.Load()+s.others.Load()+held <= limit {
		return 0, true
	}
	c.held.Add(-int64(n))
	return time.Duration(s.ends-at.UnixMilli()) * time.Millisecond, false
}

// Done says that n events which were let in are stored, and so counted, or never will be.
func (c *Counter) Done(n int) { c.held.Add(-int64(n)) }

// Month is how many events of this month all nodes have counted.
func (c *Counter) Month(at time.Time) int64 {
	s := c.month(at.UnixMilli())
	return s.own.Load() + s.others.Load()
}

// month gives the sums of the month that a moment is in; a month that is over is not begun again.
func (c *Counter) month(ms int64) *sums {
	if s := c.sums.Load(); s != nil && ms < s.ends {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sums.Load(); s != nil && ms < s.ends {
		return s
	}
	return c.begin(monthAt(ms))
}

// begin makes the sums of a month the present ones. The caller holds mu.
func (c *Counter) begin(m month) *sums {
	s := &sums{month: m, ends: m.end()}
	if c.own.month == m {
		s.own.Store(int64(c.own.events))
	}
	for _, t := range c.nodes {
		if t.month == m {
			s.others.Add(int64(t.events))
		}
	}
	c.sums.Store(s)
	return s
}

// count tells what this node has counted in a month.
func (c *Counter) count(t total) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = t
	s := c.sums.Load()
	switch {
	case s == nil || s.month < t.month:
		c.begin(t.month)
	case s.month == t.month:
		s.own.Store(int64(t.events))
	}
}

// hear tells what another node has written; nil: its cell is gone.
func (c *Counter) hear(node string, t *total) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t == nil {
		delete(c.nodes, node)
	} else {
		if c.nodes == nil {
			c.nodes = map[string]total{}
		}
		c.nodes[node] = *t
	}
	if s := c.sums.Load(); s != nil {
		var others int64
		for _, t := range c.nodes {
			if t.month == s.month {
				others += int64(t.events)
			}
		}
		s.others.Store(others)
	}
}
