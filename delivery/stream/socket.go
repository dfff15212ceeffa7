package stream

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/relay"
)

const (
	// DefaultPing is how often a websocket is pinged: proxies cut what is silent for a minute.
	DefaultPing = 30 * time.Second
	// mostFromClient bounds a message of the client's in bytes. There is nothing a client has to say; what it says is
	// ignored, and above this it is cut off with close code 1009.
	mostFromClient = 4 << 10
	// closeTimeout is how long a client has to answer our close frame before the connection is closed under it.
	closeTimeout = 2 * time.Second
	// lingerBytes is how much of what a client that was cut off still sends is read away.
	lingerBytes = 1 << 20
	// readBuffer is enough for a control frame; it stays with the connection.
	readBuffer = 256
)

// Socket is one websocket of events, a text message each.
type Socket struct {
	Label
	// Reader is what is sent, framed as relay.SocketFrames; ServeSocket closes it.
	Reader *relay.Reader
	// Handshake holds the client's Connection, Upgrade, Sec-Websocket-Version and Sec-Websocket-Key, which CheckHandshake
	// has found good. Header is sent with the 101.
	Handshake, Header http.Header
	// Ping is how often the client is pinged (default DefaultPing).
	Ping time.Duration
	// Limit is the most events to send, after which the socket is closed with 1000; 0: any number.
	Limit int
	// Until is when the socket is closed with 1000; zero: never.
	Until time.Time
	// Alive is as in Answer.
	Alive func() bool
	// Done is called when the socket is over; may be nil.
	Done func()
}

// ServeSocket answers a handshake on a taken-over connection and sends events until the client leaves, or Limit, Until,
// Alive or Drain end it. It closes the connection, telling the client why by a close code: 1000 limit or time reached,
// 1001 the server is stopping (come back), 1008 the right to read is gone, 1009 the client sent too much, 1011 the log
// could not be read (come back).
func (c *Conns) ServeSocket(conn net.Conn, so Socket) {
	defer so.Reader.Close()
	if so.Done != nil {
		defer so.Done()
	}
	if so.Ping <= 0 {
		so.Ping = DefaultPing
	}
	c.add(conn)
	defer c.remove(conn)
	defer conn.Close()
	w := &wire{Conn: conn}
	ws, err := upgrade(w, so.Handshake, so.Header)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	gone, rude := make(chan struct{}), false
	go func() {
		defer cancel()
		defer close(gone)
		rude = w.listen(ws)
	}()
	s := &session{
		Answer: Answer{Label: so.Label, Reader: so.Reader, Keepalive: so.Ping, Limit: so.Limit, Until: so.Until, Alive: so.Alive},
		out:    &socket{wire: w, ws: ws}, steady: true, last: time.Now(),
	}
	count, leave := c.counts.enter(s)
	defer leave()
	s.count = count
	if code, text := c.verdict(s.pump(ctx)); code != 0 && w.final() == nil {
		_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, text), time.Now().Add(closeTimeout))
	}
	if w.saidClose() {
		// A connection that is closed while something unread has come is reset, and the reset overtakes the close frame.
		wait := time.NewTimer(closeTimeout)
		defer wait.Stop()
		select {
		case <-gone:
			if rude {
				w.linger()
			}
		case <-wait.C:
		}
	}
	_ = conn.Close()
	<-gone
}

// verdict is the close code and text for why the pump stopped; 0 when there is nobody to tell any more.
func (c *Conns) verdict(err error) (code int, text string) {
	switch {
	case errors.Is(err, errOver):
		return websocket.CloseNormalClosure, ""
	case errors.Is(err, errRevoked):
		return websocket.ClosePolicyViolation, "the right to read this stream is gone"
	case c.ctx.Err() != nil, errors.Is(err, relay.ErrClosed):
		return websocket.CloseGoingAway, "the server is stopping"
	case errors.Is(err, context.Canceled), errors.Is(err, errWire):
		return 0, ""
	}
	return websocket.CloseInternalServerErr, "the stream could not be read"
}

// socket is the outlet of a session over a websocket.
type socket struct {
	*wire
	ws     *websocket.Conn
	frames net.Buffers // of the next flush
}

// add takes shared frames as they are.
func (s *socket) add(c *relay.Chunk) int {
	s.frames = append(s.frames, c.Bytes())
	return len(c.Bytes())
}

func (s *socket) flush() error {
	err := s.send(s.frames)
	clear(s.frames)
	s.frames = s.frames[:0]
	return err
}

// sign pings the client. One that has neither said anything nor taken an event for as long as a write may take is gone.
func (s *socket) sign() error {
	now := time.Now()
	if quiet := now.Sub(time.Unix(0, s.heard.Load())); quiet > writeTimeout {
		return errWire
	}
	if err := s.ws.WriteControl(websocket.PingMessage, nil, now.Add(writeTimeout)); err != nil {
		return errWire
	}
	return nil
}

// wire is the connection below a websocket. Two goroutines write to it: the pump sends shared frames, and the
// websocket library answers pings and closes from where it reads. Its lock keeps their frames whole; the library sends
// each of its own in one Write. The deadlines of writes are the wire's own: the library's would end a shared frame in
// its middle because a pong was due.
type wire struct {
	net.Conn
	heard atomic.Int64 // Unix ns: when the client last said something or took an event

	mu     sync.Mutex // held to write
	armed  time.Time  // when the write deadline was set last
	fixed  bool       // the write deadline is the last one
	closed bool       // a close frame was sent: nothing may follow it
}

// closeFrame is the first byte of a close frame.
const closeFrame = 0x80 | websocket.CloseMessage

// Write sends what the library made: the answer to the handshake, then control frames.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.arm(); err != nil {
		return 0, err
	}
	if len(p) > 0 && p[0] == closeFrame {
		w.closed = true
	}
	return w.Conn.Write(p)
}

// send writes shared frames. The error is errWire.
func (w *wire) send(frames net.Buffers) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.arm() != nil {
		return errWire
	}
	// WriteTo takes its own copy of the slice apart.
	if _, err := frames.WriteTo(w.Conn); err != nil {
		return errWire
	}
	w.heard.Store(time.Now().UnixNano())
	return nil
}

// arm moves the write deadline on, but not at every write.
func (w *wire) arm() error {
	now := time.Now()
	if w.fixed || now.Sub(w.armed) <= writeTimeout/8 {
		return nil
	}
	w.armed = now
	return w.Conn.SetWriteDeadline(now.Add(writeTimeout))
}

// saidClose tells whether a close frame was sent, by whomever.
func (w *wire) saidClose() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// final sets the deadline for what is still to be said.
func (w *wire) final() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fixed = true
	return w.Conn.SetWriteDeadline(time.Now().Add(closeTimeout))
}

// SetWriteDeadline and SetDeadline do nothing: see wire.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
func (w *wire) SetDeadline(time.Time) error      { return nil }

// listen reads what the client sends until it leaves: pings and closes are answered, messages ignored. rude tells that
// the client was cut off for what it sent, and may be sending still.
func (w *wire) listen(ws *websocket.Conn) (rude bool) {
	hear := func() { w.heard.Store(time.Now().UnixNano()) }
	ws.SetReadLimit(mostFromClient)
	ws.SetPongHandler(func(string) error {
		hear()
		return nil
	})
	answer := ws.PingHandler()
	ws.SetPingHandler(func(data string) error {
		hear()
		return answer(data)
	})
	for {
		_, message, err := ws.NextReader()
		if err == nil {
			hear()
			// Read and not skipped: the library counts what is read of a message against its limit.
			err = skip(message)
		}
		if err != nil {
			var left *websocket.CloseError
			var broken net.Error
			if errors.As(err, &left) || errors.As(err, &broken) {
				return false
			}
			if code := websocket.CloseMessageTooBig; errors.Is(err, websocket.ErrReadLimit) && !w.saidClose() {
				// The library says nothing to a length that is negative.
				_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(closeTimeout))
			}
			return true
		}
	}
}

func skip(message io.Reader) error {
	buf := make([]byte, readBuffer)
	for {
		if _, err := message.Read(buf); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// linger reads away what a client still sends that was told why it is cut off: a connection closed with something
// unread is reset, and the reset overtakes what the client was told. The caller is the only one left to read.
func (w *wire) linger() {
	half, ok := w.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || w.Conn.SetReadDeadline(time.Now().Add(closeTimeout)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, w.Conn, lingerBytes)
}

// CheckHandshake tells whether a client's Connection, Upgrade, Sec-Websocket-Version and Sec-Websocket-Key ask for a
// websocket: nil, ErrNotSocket, ErrVersion or ErrKey.
func CheckHandshake(h http.Header) error {
	if !websocket.IsWebSocketUpgrade(&http.Request{Header: h}) {
		return ErrNotSocket
	}
	if strings.TrimSpace(h.Get("Sec-Websocket-Version")) != "13" {
		return ErrVersion
	}
	if key, err := base64.StdEncoding.DecodeString(h.Get("Sec-Websocket-Key")); err != nil || len(key) != 16 {
		return ErrKey
	}
	return nil
}

// upgrader asks for no origin: a page of another origin has no token of ours unless its user gave it one. There are no
// cookies that a browser would send along by itself.
var upgrader = websocket.Upgrader{
	ReadBufferSize: readBuffer, WriteBufferPool: new(sync.Pool), WriteBufferSize: readBuffer,
	CheckOrigin: func(*http.Request) bool { return true },
}

// upgrade lets the library answer the handshake and read the connection from there on.
func upgrade(w *wire, handshake, header http.Header) (*websocket.Conn, error) {
	if err := w.Conn.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	w.heard.Store(time.Now().UnixNano())
	return upgrader.Upgrade(&taken{wire: w, header: http.Header{}}, &http.Request{Method: http.MethodGet, Header: handshake}, header)
}

// taken is a response that was taken over already, as the library wants to take it over.
type taken struct {
	*wire
	header http.Header
}

func (t *taken) Header() http.Header { return t.header }
func (t *taken) WriteHeader(int)     {}

// Hijack gives the connection, with buffers that hold nothing and are not kept.
func (t *taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	const least = 16 // what bufio takes
	return t.wire, bufio.NewReadWriter(bufio.NewReaderSize(t.wire, least), bufio.NewWriterSize(t.wire, least)), nil
}
