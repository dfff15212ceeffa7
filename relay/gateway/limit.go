package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// limiter holds a stream to its events per second on this node. Up to a second's worth may come at once. The zero limiter
// has let nothing in. Safe for concurrent use, without a lock.
type limiter struct {
	pace atomic.Pointer[pace] // nil before the first event
}

// pace knows one moment: when all that was let in would have come at exactly its rate. Both change together, or one who
// comes while the rate changes would have what was let in forgotten.
type pace struct {
	rate int64        // events/s
	due  atomic.Int64 // ns since the edge opened
}

// at begins anew where the rate has changed: a debt made at a lower one would outlast it.
func (l *limiter) at(rate int64) *pace {
	for {
		p := l.pace.Load()
		if p != nil && p.rate == rate {
			return p
		}
		l.pace.CompareAndSwap(p, &pace{rate: rate})
	}
}

// take lets n events in at a time, or says how long to wait until there is room for the first of them. A rate of 0
// limits nothing. Where there is room for one there is room for all n: a large body is not refused for ever, it is
// paid back by who comes after.
func (l *limiter) take(now time.Duration, rate int64, n int) (wait time.Duration) {
	if rate <= 0 {
		return 0
	}
	p := l.at(rate)
	for {
		due := p.due.Load()
		from := max(due, int64(now)-int64(time.Second))
		if over := from + each(rate, 1) - int64(now); over > 0 {
			return time.Duration(over)
		}
		if p.due.CompareAndSwap(due, from+each(rate, n)) {
			return 0
		}
	}
}

// room tells how long to wait until an event may come in, without letting one in.
func (l *limiter) room(now time.Duration, rate int64) (wait time.Duration) {
	if rate <= 0 {
		return 0
	}
	from := max(l.at(rate).due.Load(), int64(now)-int64(time.Second))
	return max(0, time.Duration(from+each(rate, 1)-int64(now)))
}

// each is how long n events take at a rate, in ns, without overflow for any n that fits a body.
func each(rate int64, n int) int64 {
	return int64(float64(n) * float64(time.Second) / float64(rate))
}

// overlap is how long a connection that is one too many waits for another of its token to end. A client that has lost its
// connection and is back at once may be heard before the end of the one it replaces is.
const overlap = 500 * time.Millisecond

// tally counts the open connections of each token. Safe for concurrent use.
type tally struct {
	most int // 0: any number
	mu   sync.Mutex
	open map[string]int
	left chan struct{} // closed when some connection ends; nil: nobody waits
}

// enter counts one more, unless there are as many as there may be and none of them ends while it waits.
func (t *tally) enter(ctx context.Context, token string) bool {
	var timer *time.Timer
	for {
		left := t.try(token)
		if left == nil {
			return true
		}
		if timer == nil {
			timer = time.NewTimer(overlap)
			defer timer.Stop()
		}
		select {
		case <-left:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// try counts one more and gives nil, or what is closed when trying again may help.
func (t *tally) try(token string) (left <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.most > 0 && t.open[token] >= t.most {
		if t.left == nil {
			t.left = make(chan struct{})
		}
		return t.left
	}
	if t.open == nil {
		t.open = make(map[string]int)
	}
	t.open[token]++
	return nil
}

func (t *tally) leave(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open[token]--; t.open[token] <= 0 {
		delete(t.open, token)
	}
	if t.left != nil {
		close(t.left)
		t.left = nil
	}
}
