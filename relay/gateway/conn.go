package gateway

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// lingerTime and lingerBytes are how long and how much a refused client may go on sending before it is cut off.
	// Many clients send a body to its end before they look for an answer; one that is reset meanwhile never sees why.
	lingerTime  = 10 * time.Second
	lingerBytes = 64 << 20
)

// connections are all client connections, however they are used at the moment. Safe for concurrent use.
type connections struct {
	most    int     // for each address; 0: any number
	proxies proxies // whose connections are not counted, but what comes over them for others

	mu        sync.Mutex
	all       map[*conn]struct{}
	addresses map[netip.Prefix]int
	finishing bool
	none      chan struct{} // closed when finishing and all is empty
}

func newConnections(perAddress int, trusted proxies) *connections {
	return &connections{
		most: perAddress, proxies: trusted, all: make(map[*conn]struct{}), addresses: make(map[netip.Prefix]int), none: make(chan struct{}),
	}
}

// add takes a connection in, or tells that its address has too many.
func (cs *connections) add(nc net.Conn) (*conn, bool) {
	c := &conn{Conn: nc, tcp: nc, of: cs}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		c.peer = a.AddrPort()
		c.key = addressKey(c.peer.Addr())
		c.proxy = cs.proxies.trust(c.peer.Addr())
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.finishing || !c.proxy && !cs.count(c.key) {
		return nil, false
	}
	cs.all[c] = struct{}{}
	return c, true
}

// count adds one to what an address has, or tells that it has as many as it may have. The caller holds mu.
func (cs *connections) count(key netip.Prefix) bool {
	if cs.most > 0 && cs.addresses[key] >= cs.most {
		return false
	}
	cs.addresses[key]++
	return true
}

// discount takes one away. The caller holds mu.
func (cs *connections) discount(key netip.Prefix) {
	if cs.addresses[key]--; cs.addresses[key] <= 0 {
		delete(cs.addresses, key)
	}
}

// enter counts a request that a trusted proxy has sent for a client as if it were a connection of the client's, until
// leave: of the proxy's own connections nobody knows how many clients they serve.
func (cs *connections) enter(client netip.Addr) (leave func(), ok bool) {
	key := addressKey(client)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if !cs.count(key) {
		return nil, false
	}
	return func() {
		cs.mu.Lock()
		defer cs.mu.Unlock()
		cs.discount(key)
	}, true
}

// addressKey is what connections are counted by: a single IPv6 client has a whole /64 to come from.
func addressKey(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if _, ok := cs.all[c]; !ok {
		return
	}
	delete(cs.all, c)
	if !c.proxy {
		cs.discount(c.key)
	}
	if cs.finishing && len(cs.all) == 0 {
		close(cs.none)
	}
}

// finish closes what is idle, and waits for the rest until the deadline.
func (cs *connections) finish(deadline time.Time) {
	cs.mu.Lock()
	if !cs.finishing {
		cs.finishing = true
		if len(cs.all) == 0 {
			close(cs.none)
		}
	}
	cs.mu.Unlock()
	timeout := time.NewTimer(time.Until(deadline))
	defer timeout.Stop()
	// A connection that was busy when it was looked at may be idle when it has answered: look again.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		cs.mu.Lock()
		for c := range cs.all {
			if c.idle.Load() {
				_ = c.tcp.Close()
			}
		}
		cs.mu.Unlock()
		select {
		case <-cs.none:
			return
		case <-timeout.C:
			return
		case <-again.C:
		}
	}
}

// cut closes what is left, and waits until nobody holds a connection any more.
func (cs *connections) cut() {
	cs.mu.Lock()
	for c := range cs.all {
		_ = c.tcp.Close()
	}
	cs.mu.Unlock()
	<-cs.none
}

// conn is one client connection. It outlives fasthttp's interest in it: a close by fasthttp is a close only as long as
// nobody has taken it over, and is preceded by a linger where the client may not have heard the answer. Its fields
// belong to the goroutine that serves it at the moment, but for idle.
type conn struct {
	net.Conn          // what is read and written: tcp, or TLS over it
	tcp      net.Conn // the socket; its Close waits for nobody
	of       *connections
	peer     netip.AddrPort
	key      netip.Prefix
	proxy    bool // a trusted proxy, which sends for others
	// idle: no request is in hand. One whose header has not come whole is none yet, nor is what is lingered for.
	idle atomic.Bool
	over bool // nothing more will come: the client has ended its side

	opening  opening       // of the request in progress
	linger   bool          // the client may still be sending what nobody wants
	asked    bool          // the request in progress has passed once already and was told to continue
	early    []byte        // what fasthttp had read ahead when the connection was taken over
	takeover *takeover     // what happens to the connection when fasthttp has let go
	released chan struct{} // fasthttp has let go; written once for each takeover
}

func (c *conn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		n, err := c.Conn.Read(p)
		// TLS tells the end of the connection without a goodbye apart.
		c.over = c.over || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		c.opening.hear(p[:n])
		return n, err
	}
	n := copy(p, c.early)
	c.opening.hear(p[:n])
	if c.early = c.early[n:]; len(c.early) == 0 {
		c.early = nil
	}
	return n, nil
}

func (c *conn) cut() bool { return c.over }

// Close is what fasthttp calls when it is done with the connection.
func (c *conn) Close() error {
	if c.takeover != nil {
		c.released <- struct{}{}
		return nil
	}
	if c.linger {
		c.drainInput()
	}
	return c.Conn.Close()
}

// drainInput says that no more comes from this side and reads away what the client still sends.
func (c *conn) drainInput() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	c.idle.Store(true)
	buf := lingerBuffers.Get().(*[]byte)
	defer lingerBuffers.Put(buf)
	for got := 0; got < lingerBytes; {
		n, err := c.Conn.Read(*buf)
		if got += n; err != nil {
			return
		}
	}
}

var lingerBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// take prepares a connection to be taken over by an answer when fasthttp has let go of it.
func (c *conn) take(t *takeover) {
	c.takeover = t
	c.released = make(chan struct{}, 1)
}

// keepEarly saves what fasthttp has read ahead from its connection, which is part of the next request. A deadline in
// the past lets a buffer give what it holds, but not wait for more.
func (c *conn) keepEarly(from net.Conn) {
	if c.Conn.SetReadDeadline(time.Unix(1, 0)) != nil {
		return
	}
	// Only when all is there may it be put before what comes: reading goes through Read.
	var early []byte
	var buf [4 << 10]byte
	for {
		n, err := from.Read(buf[:])
		early = append(early, buf[:n]...)
		if err != nil || n == 0 {
			break
		}
	}
	c.early = early
	_ = c.Conn.SetReadDeadline(time.Time{})
}

// accept takes connections until the listener is closed. Running out of file descriptors does not end it: that passes.
func (g *Gateway) accept() error {
	pause := time.Duration(0)
	for {
		nc, err := g.listener.Accept()
		switch {
		case err == nil:
			pause = 0
		case errors.Is(err, net.ErrClosed):
			return nil
		case temporary(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			g.log.Warn("connection could not be accepted", "error", err)
			g.rest(pause)
			continue
		default:
			return err
		}
		c, ok := g.connections.add(nc)
		if !ok {
			g.turnAway(nc)
			continue
		}
		if g.tls != nil {
			go g.welcome(c)
			continue
		}
		go g.serveConn(c)
	}
}

// temporary tells errors of accept that say nothing about the listener: no descriptors, no memory, a client that left.
func temporary(err error) bool {
	var sys *os.SyscallError
	return errors.As(err, &sys)
}

func (g *Gateway) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-g.work.Done():
	}
}

// turnAway answers a connection that is one too many. It never waits for the client.
func (g *Gateway) turnAway(nc net.Conn) {
	g.log.Debug("connection turned away", slog.String("address", nc.RemoteAddr().String()))
	_ = nc.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if g.tls != nil {
		_, _ = nc.Write(accessDenied)
		_ = nc.Close()
		return
	}
	const answer = "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 40\r\n" +
		"Retry-After: 1\r\nConnection: close\r\n\r\nToo many connections from this address.\n"
	_, _ = nc.Write([]byte(answer))
	_ = nc.Close()
}

// serveConn serves a connection until it ends or is taken over.
func (g *Gateway) serveConn(c *conn) {
	c.idle.Store(true)
	c.opening = opening{}
	err := g.server.ServeConn(c)
	switch {
	case c.takeover == nil:
		g.connections.remove(c)
	case err != nil:
		// The connection broke between the handler and the takeover.
		c.takeover.abandon()
		_ = c.Conn.Close()
		g.connections.remove(c)
	default:
		// A goroutine of its own, for the stack that served the request is larger than an idle stream needs.
		go g.stream(c)
	}
}

// stream writes the answer that has taken a connection over, and gives the connection back to the server where both
// sides can go on.
func (g *Gateway) stream(c *conn) {
	<-c.released
	t := c.takeover
	if t.socket != nil {
		nc := c.Conn
		if len(c.early) > 0 {
			nc = &ahead{Conn: c.Conn, early: c.early}
		}
		g.conns.ServeSocket(nc, *t.socket)
		g.connections.remove(c)
		return
	}
	if !g.conns.Serve(c.Conn, t.answer) || !t.keepOpen || g.draining.Load() || c.Conn.SetDeadline(time.Time{}) != nil {
		_ = c.Conn.Close()
		g.connections.remove(c)
		return
	}
	c.takeover = nil
	g.serveConn(c)
}

// ahead is a connection of which something was read already. One goroutine reads.
type ahead struct {
	net.Conn
	early []byte
}

func (a *ahead) Read(p []byte) (int, error) {
	if len(a.early) == 0 {
		return a.Conn.Read(p)
	}
	n := copy(p, a.early)
	if a.early = a.early[n:]; len(a.early) == 0 {
		a.early = nil
	}
	return n, nil
}

// connState notes when a request has been answered. When the next one begins the handler says, for fasthttp calls a
// connection active before it has sent anything.
func connState(nc net.Conn, s fasthttp.ConnState) {
	if c, ok := nc.(*conn); ok && s == fasthttp.StateIdle {
		c.idle.Store(true)
		c.opening.heard, c.opening.whole = 0, false
	}
}
