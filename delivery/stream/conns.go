package stream

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// carrier is what a response is written to: a connection of HTTP/1.1 that was taken over, or one stream of HTTP/2. Its
// deadline may be set, and it may be closed, from any goroutine.
type carrier interface {
	io.WriteCloser
	SetWriteDeadline(time.Time) error
}

// Conns is every endless response in progress, kept by us because the HTTP server forgets a connection that was
// taken over: without it a drain would either hang or cut them. Safe for concurrent use; the zero value is not.
type Conns struct {
	ctx    context.Context // ends when draining begins
	cancel context.CancelFunc
	counts *metrics
	watch  *watch

	mu   sync.Mutex
	open map[carrier]struct{}
	none chan struct{} // closed when draining and open is empty
	over bool
}

// NewConns makes an empty registry. metrics may be nil.
func NewConns(metrics prometheus.Registerer) *Conns {
	ctx, cancel := context.WithCancel(context.Background())
	return &Conns{ctx: ctx, cancel: cancel, counts: newMetrics(metrics), watch: newWatch(), open: map[carrier]struct{}{}, none: make(chan struct{})}
}

// KeepSeries drops what was measured of streams that are not there any more.
func (c *Conns) KeepSeries(there func(stream string) bool) { c.counts.keep(there) }

// Count is how many responses are open.
func (c *Conns) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// Drain ends every response in an orderly way, with gzip trailer and last chunk, or a websocket's close frame with
// code 1001, and returns when all are gone. At the deadline it cuts those whose client does not read. Responses that begin later end at once.
func (c *Conns) Drain(deadline time.Time) {
	c.cancel()
	defer c.watch.close()
	c.mu.Lock()
	if !c.over {
		c.over = true
		if len(c.open) == 0 {
			close(c.none)
		}
	}
	// A client that does not read would hold its write until the write's own timeout.
	for conn := range c.open {
		_ = conn.SetWriteDeadline(deadline)
	}
	c.mu.Unlock()
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-c.none:
		return
	case <-t.C:
	}
	c.mu.Lock()
	for conn := range c.open {
		_ = conn.Close()
	}
	c.mu.Unlock()
	<-c.none
}

func (c *Conns) add(conn carrier) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = struct{}{}
}

func (c *Conns) remove(conn carrier) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
	if c.over && len(c.open) == 0 {
		select {
		case <-c.none:
		default:
			close(c.none)
		}
	}
}
