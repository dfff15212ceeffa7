package webhook

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	maxAnswer     = 64 << 10 // bytes of an answer's body that are read; it is not used
	answerHead    = 16 << 10 // bytes an answer's head may have
	idleFor       = 30 * time.Second
	oneWrite      = 64 << 10    // a body up to this is sent with its head in one write
	bodyTime      = time.Second // how long an answer's body is waited for once its status is known
	maxInterim    = 10          // 1xx answers before the final one
	maxRetryAfter = 24 * time.Hour
)

// message is one request as it is sent.
type message struct {
	id   string
	body []byte
}

// outcome is what became of one attempt.
type outcome struct {
	status     int    // 0: there was no answer
	failure    string // empty: it is delivered
	retryAfter time.Duration
	took       time.Duration
	at         time.Time
}

// poster sends messages to one receiver. It keeps the connections that are not in use, so that one at a time needs one connection, and 64
// need 64. We write HTTP/1.1 ourselves, with fasthttp's parser for the answers: its client keeps a goroutine for each receiver that ends
// seconds after the last connection, hides whether a connection was new when it broke, and gives no say in when TLS and dialing time out.
// Safe for concurrent use.
type poster struct {
	target  target
	dialer  net.Dialer
	tls     *tls.Config // nil: plain
	head    []byte      // request line and headers that are the same in every request
	secrets []signing
	limit   time.Duration // for a whole attempt
	now     func() time.Time

	mu   sync.Mutex
	idle []*conn // the one used last at the end
}

// signing is a secret that messages are signed with, the only one or beside others.
type signing struct {
	*signer
	until time.Time // zero: for good
}

// conn is a connection to the receiver. It gives up waiting when the context ends that it was dialed with.
type conn struct {
	net.Conn
	in   *bufio.Reader
	out  []byte
	used time.Time
	quit func() bool // takes back what the end of the context would do
}

func (c *conn) Close() error {
	c.quit()
	return c.Conn.Close()
}

// post makes one attempt: a request on an idle connection, or on a new one. A kept connection may have been closed by the receiver just
// then; when it breaks before the first byte of an answer, the request goes out once more on a new one, under the same id. The whole takes
// no longer than the limit, however slowly the receiver answers. All posts of a poster are given the same context.
func (p *poster) post(ctx context.Context, m message) outcome {
	began := time.Now()
	deadline := began.Add(p.limit)
	o := outcome{at: p.now()}
	c, err := p.kept(began), error(nil)
	kept := c != nil
	if !kept {
		c, err = p.dial(ctx, deadline)
	}
	if err == nil {
		if untouched := p.exchange(ctx, c, m, deadline, &o); untouched && kept {
			// The others that are kept are likely as dead.
			p.close()
			if c, err = p.dial(ctx, deadline); err == nil {
				p.exchange(ctx, c, m, deadline, &o)
			}
		}
	}
	if err != nil {
		o.failure = dialFailure(err)
	}
	o.took = time.Since(began)
	return o
}

// exchange sends the request and reads the answer. untouched: the connection broke before anything was answered.
func (p *poster) exchange(ctx context.Context, c *conn, m message, deadline time.Time, o *outcome) (untouched bool) {
	keep := false
	defer func() {
		if keep && ctx.Err() == nil {
			p.keep(c)
		} else {
			_ = c.Close()
		}
	}()
	// The end of ctx sets a deadline in the past; when it came first, this one has undone that.
	if c.SetDeadline(deadline) != nil || ctx.Err() != nil {
		o.failure = FailBroken
		return true
	}
	writeErr := c.send(p.request(c.out[:0], m, o.at), m.body)
	// A receiver may refuse before it has read everything; its answer is there although writing failed.
	answer := fasthttp.AcquireResponse()
	defer fasthttp.ReleaseResponse(answer)
	if err := readHead(c.in, &answer.Header); err != nil {
		o.failure = exchangeFailure(writeErr, err)
		return o.failure == FailBroken
	}
	// The status line is the receiver's word, whatever becomes of what is behind it.
	status := answer.StatusCode()
	o.status = status
	o.failure = statusFailure(status)
	if value := answer.Header.Peek(fasthttp.HeaderRetryAfter); len(value) > 0 {
		o.retryAfter = retryAfter(status, string(value), p.now())
	}
	keep = c.readRest(answer, deadline) && writeErr == nil
	return false
}

// request writes the head of a request.
func (p *poster) request(b []byte, m message, now time.Time) []byte {
	b = append(b, p.head...)
	b = append(b, "webhook-id: "...)
	b = append(b, m.id...)
	b = append(b, "\r\nwebhook-timestamp: "...)
	b = strconv.AppendInt(b, now.Unix(), 10)
	b = append(b, "\r\nwebhook-signature: "...)
	first := true
	for i := range p.secrets {
		k := &p.secrets[i]
		if !k.until.IsZero() && !now.Before(k.until) {
			continue
		}
		if !first {
			b = append(b, ' ')
		}
		b = k.append(b, m.id, now.Unix(), m.body)
		first = false
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(m.body)), 10)
	return append(b, "\r\n\r\n"...)
}

// send writes head and body, in one write where they are short. It keeps the head's memory for the next.
func (c *conn) send(head, body []byte) error {
	if len(body) > oneWrite {
		c.out = head
		if _, err := c.Write(head); err != nil {
			return err
		}
		_, err := c.Write(body)
		return err
	}
	c.out = append(head, body...)
	_, err := c.Write(c.out)
	return err
}

// readHead reads the status line and the headers of the final answer.
func readHead(in *bufio.Reader, h *fasthttp.ResponseHeader) error {
	for range maxInterim {
		if err := h.Read(in); err != nil {
			return err
		}
		if s := h.StatusCode(); s >= 200 || s == fasthttp.StatusSwitchingProtocols {
			return nil
		}
	}
	return errInterim
}

// readRest reads the body, which nobody looks at, so that the connection can be used again; it tells whether it can. A receiver that takes
// its time over it, or sends too much, loses the connection.
func (c *conn) readRest(answer *fasthttp.Response, deadline time.Time) bool {
	s := answer.StatusCode()
	if answer.ConnectionClose() || s == fasthttp.StatusSwitchingProtocols {
		return false
	}
	if s != fasthttp.StatusNoContent && s != fasthttp.StatusNotModified && answer.Header.ContentLength() != 0 {
		if rest := time.Now().Add(bodyTime); rest.Before(deadline) && c.SetReadDeadline(rest) != nil {
			return false
		}
		if answer.Header.ContentLength() < -1 || answer.ReadBody(c.in, maxAnswer) != nil {
			return false
		}
		if answer.Header.ContentLength() == -1 && answer.Header.ReadTrailer(c.in) != nil {
			return false
		}
	}
	return c.in.Buffered() == 0
}

// dial opens a connection to an allowed address, with TLS where the URL says so.
func (p *poster) dial(work context.Context, deadline time.Time) (*conn, error) {
	if latest := time.Now().Add(dialTimeout); latest.Before(deadline) {
		deadline = latest
	}
	ctx, cancel := context.WithDeadline(work, deadline)
	defer cancel()
	raw, err := p.dialer.DialContext(ctx, "tcp", p.target.addr)
	if err != nil {
		return nil, err
	}
	if p.tls != nil {
		secure := tls.Client(raw, p.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, &handshakeError{err}
		}
		raw = secure
	}
	c := &conn{Conn: raw, in: bufio.NewReaderSize(raw, answerHead)}
	c.quit = context.AfterFunc(work, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	return c, nil
}

func (p *poster) keep(c *conn) {
	c.used = time.Now()
	if cap(c.out) > 2*oneWrite {
		c.out = nil
	}
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
}

// kept takes the connection that was used last, nil when there is none. Those that nobody needed for a while are closed.
func (p *poster) kept(now time.Time) *conn {
	p.prune(now.Add(-idleFor))
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return c
}

// prune closes the connections that have not been used since.
func (p *poster) prune(since time.Time) {
	p.mu.Lock()
	var old []*conn
	for len(p.idle) > 0 && !p.idle[0].used.After(since) {
		old = append(old, p.idle[0])
		p.idle[0] = nil
		p.idle = p.idle[1:]
	}
	p.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
}

// close closes all kept connections.
func (p *poster) close() { p.prune(time.Now()) }

var errInterim = errors.New("too many interim answers")

// handshakeError is a TLS handshake that failed.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "tls: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func dialFailure(err error) string {
	var dns *net.DNSError
	var handshake *handshakeError
	switch {
	case errors.Is(err, ErrAddress):
		return FailAddress
	case errors.As(err, &dns):
		return FailDNS
	case timedOut(err):
		return FailTimeout
	case errors.As(err, &handshake):
		return FailTLS
	}
	return FailConnect
}

// exchangeFailure says why there is no status. fasthttp's parser gives io.EOF for whatever ended the connection before its first byte.
func exchangeFailure(writeErr, readErr error) string {
	switch {
	case timedOut(readErr), errors.Is(readErr, fasthttp.ErrTimeout), timedOut(writeErr):
		return FailTimeout
	case errors.Is(readErr, io.EOF), errors.Is(readErr, io.ErrUnexpectedEOF), errors.Is(readErr, syscall.ECONNRESET), writeErr != nil:
		return FailBroken
	}
	return FailAnswer
}

func statusFailure(status int) string {
	switch {
	case status >= 200 && status < 300:
		return ""
	case status == fasthttp.StatusGone:
		return FailGone
	case status >= 300 && status < 400:
		return FailRedirect
	}
	return FailStatus
}

// retryAfter reads the header of a 429 or 503: seconds, or a date. It is held to a day.
func retryAfter(status int, value string, now time.Time) time.Duration {
	if value == "" || status != fasthttp.StatusTooManyRequests && status != fasthttp.StatusServiceUnavailable {
		return 0
	}
	var d time.Duration
	if n, err := strconv.ParseUint(value, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		d = time.Duration(n) * time.Second // of what is out of range n is the largest
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
