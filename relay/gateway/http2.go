package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// mostStreams is how many requests a connection may have in progress.
	mostStreams = 250
	// uploadWindow bounds what the client of a connection may have sent that no handler has taken, uploadStream what of
	// it one request may have: a handler that does not read keeps no other from its body.
	uploadWindow = 1 << 20
	uploadStream = 256 << 10
	// stuckTime is how long a connection may take no bytes at all. A reader that stops for a minute is waited for.
	stuckTime = 5 * time.Minute
)

// http2Server is the HTTP/2 transport: net/http's server of secured connections that have chosen it, and nothing of the
// answers. Safe for concurrent use.
type http2Server struct {
	g      *Gateway
	server *http.Server
	conns  chan net.Conn // from take to the server
	closed chan struct{} // it takes no more
	close  func()

	mu    sync.Mutex
	busy  int           // requests in progress
	ended bool          // no other may begin
	none  chan struct{} // closed when ended and none is in progress
}

type connOf struct{} // key of a request's *conn in its context

func newHTTP2(g *Gateway) *http2Server {
	h := &http2Server{g: g, conns: make(chan net.Conn), closed: make(chan struct{}), none: make(chan struct{})}
	h.close = sync.OnceFunc(func() { close(h.closed) })
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	h.server = &http.Server{
		Handler: h, Protocols: protocols, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: mostStreams, MaxReceiveBufferPerConnection: uploadWindow, MaxReceiveBufferPerStream: uploadStream,
			WriteByteTimeout: stuckTime,
		},
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			return context.WithValue(ctx, connOf{}, ours(nc))
		},
		ConnState: func(nc net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				g.connections.remove(ours(nc))
			}
		},
		ErrorLog: slog.NewLogLogger(g.log.Handler(), slog.LevelDebug), // it is about single clients
	}
	return h
}

// ours is our connection below one of net/http's.
func ours(nc net.Conn) *conn { return nc.(*tls.Conn).NetConn().(*socketOf).of }

// take serves a connection whose handshake is over.
func (h *http2Server) take(c *conn, tc *tls.Conn) {
	c.idle.Store(false)
	select {
	case h.conns <- tc:
	case <-h.closed:
		_ = c.tcp.Close()
		h.g.connections.remove(c)
	}
}

// Accept, Close and Addr make the server of secured connections a listener for net/http's.
func (h *http2Server) Accept() (net.Conn, error) {
	select {
	case nc := <-h.conns:
		return nc, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *http2Server) Close() error {
	h.close()
	return nil
}

func (h *http2Server) Addr() net.Addr { return h.g.Addr() }

// run serves until drain.
func (h *http2Server) run() error {
	if err := h.server.Serve(h); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// drain tells all clients to send no more on their connections (GOAWAY), which end when what is in progress has. wait
// returns when no request is in progress any more; call it when the connections have been cut.
func (h *http2Server) drain(deadline time.Time) (wait func()) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	told := make(chan struct{})
	go func() {
		defer close(told)
		// At the deadline what is left is cut by who waits.
		_ = h.server.Shutdown(ctx)
	}()
	return func() {
		cancel()
		<-told
		h.mu.Lock()
		if !h.ended {
			h.ended = true
			if h.busy == 0 {
				close(h.none)
			}
		}
		h.mu.Unlock()
		<-h.none
	}
}

// enter lets a request begin, until leave. net/http does not wait for the requests of connections that were cut.
func (h *http2Server) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return false
	}
	h.busy++
	return true
}

func (h *http2Server) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.busy--; h.ended && h.busy == 0 {
		close(h.none)
	}
}

// ServeHTTP answers one request.
func (h *http2Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		panic(http.ErrAbortHandler)
	}
	defer h.leave()
	c := r.Context().Value(connOf{}).(*conn)
	var refused netip.Addr
	if client, ok := h.forwarded(c, r); ok {
		leave, ok := h.g.connections.enter(client)
		if !ok {
			refused = client
		} else {
			defer leave()
		}
	}
	t := h.answer(w, r, c, refused)
	if t == nil {
		return
	}
	if !h.g.conns.ServeStream(r.Context(), w, t.answer) {
		panic(http.ErrAbortHandler) // the client must not take what it got for all there was
	}
}

// forwarded is for whom a trusted proxy sends the request, if it says so.
func (h *http2Server) forwarded(c *conn, r *http.Request) (client netip.Addr, ok bool) {
	if !c.proxy {
		return client, false
	}
	return h.g.connections.proxies.client(netHeader(r.Header))
}

// answer writes a whole answer, or gives one that goes on, its head set and not sent. Nothing of the request is needed
// after it. A client that is refused has as many requests in progress as it may have.
func (h *http2Server) answer(w http.ResponseWriter, r *http.Request, c *conn, refused netip.Addr) (t *takeover) {
	g := h.g
	x := g.exchanges.Get().(*exchange)
	uri := fasthttp.AcquireURI()
	sent := false
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				x.rq.release()
				panic(http.ErrAbortHandler) // nothing is wrong here: an answer could not be finished
			}
			// The exchange is left to the collector: nobody knows who still holds what of it.
			text := g.panicText(&x.rq, p)
			if x.rs.takeover != nil {
				x.rs.takeover.abandon()
			}
			if t = nil; sent {
				panic(http.ErrAbortHandler)
			}
			http.Error(w, text, http.StatusInternalServerError)
			return
		}
		fasthttp.ReleaseURI(uri)
		g.end(x)
	}()
	rq, rs := &x.rq, &x.rs
	host := r.Host
	if bare, ok := bareHost(host); ok {
		host = bare
	}
	rq.begin()
	if err := uri.Parse([]byte(host), []byte(r.RequestURI)); err != nil {
		rs.refuse(shapePlain, http.StatusBadRequest, "Request is not valid HTTP/2")
		sent = true
		writeHTTP2(w, rs)
		return nil
	}
	rq.ctx, rq.method, rq.path, rq.query = g.work, methodName([]byte(r.Method)), uri.Path(), uri.QueryString()
	rq.header, rq.peer, rq.http11, rq.http2 = netHeader(r.Header), c.peer, true, true
	rq.body.begun, rq.body.declared = time.Now(), r.ContentLength
	if r.ContentLength != 0 {
		up := &upload{body: r.Body, control: http.NewResponseController(w)}
		rq.body.src, rq.body.at, rq.body.grace = up, up, g.cfg.BodyTime
	}
	route, native := routeOf(rq.path)
	switch {
	case refused.IsValid():
		g.tooMany(refused, x)
	case native:
		g.handle(route, rq, rs)
	case g.metrics != nil && string(rq.path) == "/metrics":
		sent = true
		g.serveHTTP2By(g.metrics, w, r, c, host, nil)
		return nil
	case g.draining.Load():
		rs.refuse(shapeManage, http.StatusServiceUnavailable, errDraining.Error())
		rs.close = true
	default:
		data, err := rq.body.all(manageBody)
		if err == nil {
			sent, rq.body.buf = true, nil // the answer may point into it
			g.serveHTTP2By(g.manage, w, r, c, host, data)
			return nil
		}
		g.fail(rq, rs, shapeManage, err)
	}
	if t = rs.takeover; t != nil {
		t.head.each(func(name, value string) { w.Header().Add(name, value) })
		return t
	}
	sent = true
	writeHTTP2(w, rs)
	return nil
}

// writeHTTP2 sends a whole answer.
func writeHTTP2(w http.ResponseWriter, rs *response) {
	head := w.Header()
	head["Content-Type"] = nil // not guessed
	if rs.contentType != "" {
		head.Set("Content-Type", rs.contentType)
	}
	for _, f := range rs.fields {
		head.Set(f.name, f.value)
	}
	if rs.close {
		head.Set("Connection", "close") // net/http makes it a GOAWAY
	}
	sendHTTP2(w, rs.status, rs.body)
}

// sendHTTP2 sends status, length and body. A client that does not make room for the body in time is given up.
func sendHTTP2(w http.ResponseWriter, status int, body []byte) {
	if status != http.StatusNoContent && status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	if len(body) > 0 && http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime)) != nil {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	// A client that is gone is nobody's concern.
	_, _ = w.Write(body)
}

// netHeader is a header of net/http's.
type netHeader http.Header

func (h netHeader) Peek(name string) []byte {
	if v := http.Header(h).Values(name); len(v) > 0 {
		return []byte(v[0])
	}
	return nil
}

func (h netHeader) PeekAll(name string) [][]byte {
	values := http.Header(h).Values(name)
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = []byte(v)
	}
	return out
}

// upload is a body as it comes over a stream of HTTP/2. One goroutine.
type upload struct {
	body    io.Reader
	control *http.ResponseController
	armed   time.Time
}

// Read gives errors in the words of body: what is neither the end nor slow is cut.
func (u *upload) Read(p []byte) (int, error) {
	n, err := u.body.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// SetReadDeadline asks the connection's goroutine, and so only when something changes.
func (u *upload) SetReadDeadline(t time.Time) error {
	if t.Equal(u.armed) {
		return nil
	}
	u.armed = t
	return u.control.SetReadDeadline(t)
}

// cut: a stream that the client has broken off gives an error, not an end.
func (u *upload) cut() bool { return false }
