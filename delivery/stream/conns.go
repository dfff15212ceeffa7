package stream

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Conns is every endless response in progress, kept by us because the HTTP server forgets a connection that was
// taken over: without it a drain would either hang or cut them. Safe for concurrent use; the zero value is not.
type Conns struct {
	ctx    context.Context // ends when draining begins
	cancel context.CancelFunc
	counts metrics

	mu   sync.Mutex
	open map[net.Conn]struct{}
	none chan struct{} // closed when draining and open is empty
	over bool
}

// NewConns makes an empty registry. metrics may be nil.
func NewConns(metrics prometheus.Registerer) *Conns {
	ctx, cancel := context.WithCancel(context.Background())
	return &Conns{ctx: ctx, cancel: cancel, counts: newMetrics(metrics), open: map[net.Conn]struct{}{}, none: make(chan struct{})}
}

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

func (c *Conns) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = struct{}{}
}

func (c *Conns) remove(conn net.Conn) {
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
