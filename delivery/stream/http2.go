package stream

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// ServeStream is Serve over one stream of HTTP/2: w is its writer, whose header is set and not yet sent, and ctx the
// request's, which ends when the client leaves. The caller's goroutine is the answer's; when ServeStream has returned
// false the caller must break the stream off, or the client takes its end for an orderly one.
func (c *Conns) ServeStream(ctx context.Context, w http.ResponseWriter, a Answer) bool {
	st := &multiplexed{ResponseWriter: w, control: http.NewResponseController(w)}
	defer st.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	w.WriteHeader(http.StatusOK)
	return c.serve(ctx, &writer{conn: st, push: st.control.Flush, bare: true, gzip: a.Gzip, timeout: writeTimeout, life: blankLine}, a, nil)
}

// multiplexed is one stream of HTTP/2 as a carrier. Flow control makes a write wait for this stream's client alone; a
// deadline that passes resets the stream, and the connection's other streams go on.
type multiplexed struct {
	http.ResponseWriter
	control *http.ResponseController

	mu   sync.Mutex // held to set a deadline
	left bool       // the writer must not be touched any more: the handler returns
}

func (m *multiplexed) SetWriteDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return net.ErrClosed
	}
	return m.control.SetWriteDeadline(t)
}

// Close resets the stream, whatever is being written.
func (m *multiplexed) Close() error { return m.SetWriteDeadline(time.Unix(1, 0)) }

func (m *multiplexed) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left = true
}
