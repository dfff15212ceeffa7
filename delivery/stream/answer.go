package stream

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay"
)

const (
	// writeTimeout is how long a client may take no bytes at all before it is given up. A reader that stops for a
	// minute is one we promise to wait for.
	writeTimeout = 5 * time.Minute
	endTimeout   = 5 * time.Second
	// A write carries no more chunks once it has so many bytes, or so many of lines before they were deflated. The
	// latter is what a client that does not read can hold.
	wireAtOnce  = 64 << 10
	linesAtOnce = 256 << 10
	// aliveEvery is how often a silent response is asked whether it may go on: what was revoked ends within a second.
	aliveEvery = 750 * time.Millisecond
	// DefaultKeepalive is how long a response is silent before a blank line: under the 5 s that the least patient
	// known client waits.
	DefaultKeepalive = 2 * time.Second
)

// Answer is one response of lines or of server-sent events, endless or long poll.
type Answer struct {
	Label
	// Reader is what is sent; Serve closes it.
	Reader *relay.Reader
	// Header is the complete response head, "HTTP/1.1 200 OK\r\n…Transfer-Encoding: chunked\r\n\r\n", naming
	// Content-Encoding gzip where Gzip is set. ServeStream has no use for it.
	Header []byte
	// Bare sends the body without the chunked coding, to a client of HTTP/1.0: it ends with the connection. Header says so.
	Bare bool
	Gzip bool
	// ServerEvents: the Reader's framing is that of server-sent events, and what is sent beside events fits in.
	ServerEvents bool
	// Keepalive is how long the response may be silent (default DefaultKeepalive).
	Keepalive time.Duration
	// OffsetUpdates sends OFFSET_UPDATE events in place of blank lines; not for ServerEvents.
	OffsetUpdates bool
	// FinalOffset ends a response that has a Limit or Until with a line that says where the next call goes on.
	FinalOffset bool
	// Limit is the most events to send; 0: any number.
	Limit int
	// Until is when a long poll ends; zero: never.
	Until time.Time
	// Alive is asked before events are sent, and about once a second, whether the caller may still read; nil: always. It
	// must be quick. One goroutine asks.
	Alive func() bool
	// Done is called when the response is over; may be nil.
	Done func()
}

// outlet is how a session's bytes get to its client. One goroutine at a time.
type outlet interface {
	// add puts shared events to those of the next flush and tells how many bytes of the connection they take.
	add(*relay.Chunk) int
	// flush sends what was added in one system call.
	flush() error
	// sign sends a sign of life.
	sign() error
}

// session is one response or websocket in progress.
type session struct {
	Answer
	out    outlet
	lines  *writer // out, where the session is a response
	far    *farEnd // its client; nil: not under watch
	steady bool    // signs of life come at their time, events or not
	sent   int
	count  prometheus.Counter // of events delivered
	last   time.Time          // of the last bytes sent; where steady, of the last sign of life

	// writing is the offset before the events that are being written; 0: none are. For whoever watches.
	writing atomic.Uint64

	batch []*relay.Chunk // of one write
}

// Signs of life, and how soon a client of server-sent events that lost its connection should come back: a relay that
// loses nothing can be asked again at once, a second spreads a crowd.
var (
	blankLine = newFixed("\n")
	comment   = newFixed(":\n\n")
	retryHint = newFixed("retry: 1000\n\n")
)

// Serve writes the answer to a taken-over connection until the client leaves, or Limit, Until, Alive or Drain end
// it. It does not close the connection. It returns true when the response ended in an orderly way.
func (c *Conns) Serve(conn net.Conn, a Answer) bool {
	far := c.follow(conn, a.Reader.Wake)
	defer far.forget()
	return c.serve(c.ctx, &writer{conn: conn, bare: a.Bare, gzip: a.Gzip, timeout: writeTimeout, life: blankLine}, a, far)
}

// serve is Serve over any protocol. ctx ends when draining begins, and with the client where the protocol tells of it; else
// far does, where it is not nil.
func (c *Conns) serve(ctx context.Context, w *writer, a Answer, far *farEnd) bool {
	s := &session{Answer: a, out: w, lines: w, far: far}
	if s.Keepalive <= 0 {
		s.Keepalive = DefaultKeepalive
	}
	defer s.Reader.Close()
	if s.Done != nil {
		defer s.Done()
	}
	c.add(w.conn)
	defer c.remove(w.conn)
	count, leave := c.counts.enter(s)
	defer leave()
	s.count = count
	if w.head(s.Header) != nil {
		return false
	}
	if s.ServerEvents {
		w.life = comment
		if w.fixed(retryHint) != nil {
			return false
		}
	}
	s.last = time.Now()
	switch err := s.pump(ctx); {
	case errors.Is(err, errOver), errors.Is(err, errRevoked), errors.Is(err, relay.ErrClosed), c.ctx.Err() != nil:
	default:
		return false
	}
	if s.FinalOffset && (s.Limit > 0 || !s.Until.IsZero()) && w.line(s.finalLine()) != nil {
		return false
	}
	return w.end() == nil
}

// pump sends chunk after chunk. Its error says why it stopped.
func (s *session) pump(ctx context.Context) error {
	for {
		if s.Limit > 0 && s.sent >= s.Limit {
			return errOver
		}
		chunk, err := s.Reader.Next(ctx, s.patience(), s.left())
		if err != nil {
			return err
		}
		if s.Alive != nil && !s.Alive() {
			if chunk != nil {
				chunk.Release()
			}
			return errRevoked
		}
		if chunk != nil {
			if err := s.send(chunk); err != nil {
				return err
			}
		}
		now := time.Now()
		if chunk != nil && !s.steady {
			s.last = now
		}
		if !s.Until.IsZero() && !now.Before(s.Until) {
			return errOver
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.far.gone() {
			return errWire
		}
		if s.far.doubtful() || now.Sub(s.last) >= s.Keepalive {
			if s.far.vanished(silence) {
				return errWire
			}
			if err := s.signOfLife(now); err != nil {
				return err
			}
			s.last = now
		}
	}
}

// send writes a chunk and whatever else is there already: under load the writes become larger instead of more.
func (s *session) send(chunk *relay.Chunk) error {
	s.batch = s.batch[:0]
	before := s.sent
	s.writing.Store(uint64(chunk.First() - 1))
	for wire, lines := 0, 0; chunk != nil; {
		s.batch = append(s.batch, chunk)
		s.sent += chunk.Events()
		wire += s.out.add(chunk)
		lines += len(chunk.Bytes())
		if wire >= wireAtOnce || lines >= linesAtOnce || s.Limit > 0 && s.left() == 0 {
			break
		}
		chunk = s.Reader.More(s.left())
	}
	err := s.out.flush()
	s.writing.Store(0)
	if err == nil {
		s.count.Add(float64(s.sent - before))
	}
	for i, c := range s.batch {
		c.Release()
		s.batch[i] = nil
	}
	return err
}

// patience is how long to wait for events before something else is due.
func (s *session) patience() time.Duration {
	wait := min(aliveEvery, s.Keepalive-time.Since(s.last))
	if !s.Until.IsZero() {
		wait = min(wait, time.Until(s.Until))
	}
	return max(wait, time.Millisecond)
}

func (s *session) left() int {
	if s.Limit == 0 {
		return 0
	}
	return s.Limit - s.sent
}

func (s *session) signOfLife(now time.Time) error {
	if !s.OffsetUpdates {
		return s.out.sign()
	}
	return s.lines.line(s.offsetUpdate(now))
}

// offsetUpdate is the event that tells a client how far the stream was considered for it. It is this connection's
// own and never stored; its id is there because clients insist on one.
func (s *session) offsetUpdate(now time.Time) []byte {
	const layout = "2006-01-02T15:04:05.000Z"
	at := now.UTC()
	line := make([]byte, 0, 192)
	line = append(line, `{"id":"`...)
	line = append(line, uuid.NewString()...)
	line = append(line, `","type":"OFFSET_UPDATE","offset":"`...)
	line = append(line, s.Reader.Position().String()...)
	line = append(line, `","occurred":"`...)
	line = at.AppendFormat(line, layout)
	line = append(line, `","processed":"`...)
	line = at.AppendFormat(line, layout)
	return append(line, "\"}\n"...)
}

func (s *session) finalLine() []byte {
	at := s.Reader.Position().String()
	line := `{"type":"OFFSET_UPDATE","offset":"` + at + "\"}\n"
	if s.ServerEvents {
		line = "id: " + at + "\ndata: " + line + "\n"
	}
	return []byte(line)
}
