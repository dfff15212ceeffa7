// Package drive hides the hands of the durability tests: producers that send marked events and write down what they were
// answered, consumers that go on where they were whenever their connection ends, and an audit of a whole stream. They know a
// relay by its HTTP surface, and may use several nodes of one.
package drive

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/loadtest/server"
	"sluice/loadtest/verify"
	"sluice/loadtest/wire"
	"sluice/relay/sample"
)

// Door is a stream with a token of its own credentials, and what its readers may see.
type Door struct {
	Name, Token string
	Rule        verify.Rule
}

// Source makes a stream and opens its door.
func Source(ctx context.Context, a server.Admin, name string) (Door, error) {
	s, err := a.CreateStream(ctx, name)
	if err != nil {
		return Door{}, err
	}
	return open(ctx, a, s, verify.Rule{})
}

// Cumulative derives a stream that shows everything up to a level.
func Cumulative(ctx context.Context, a server.Admin, from Door, level int) (Door, error) {
	s, err := a.CreateDerived(ctx, from.Name, "CUMULATIVE", level)
	if err != nil {
		return Door{}, err
	}
	return open(ctx, a, s, verify.Rule{Derived: true, Cumulative: level})
}

// Granular derives a stream that shows exactly these levels.
func Granular(ctx context.Context, a server.Admin, from Door, levels ...int) (Door, error) {
	s, err := a.CreateDerived(ctx, from.Name, "GRANULAR", levels...)
	if err != nil {
		return Door{}, err
	}
	return open(ctx, a, s, verify.Rule{Derived: true, Granular: levels})
}

func open(ctx context.Context, a server.Admin, s server.Stream, rule verify.Rule) (Door, error) {
	token, err := a.AccessToken(ctx, s.Credentials)
	return Door{Name: s.Name, Token: token, Rule: rule}, err
}

// Follower reads the door's stream at a node.
func (d Door) Follower(base string) *verify.Follower {
	return &verify.Follower{Base: base, Stream: d.Name, Token: d.Token}
}

// auditWait bounds an audit: a log that has just lost a server answers late.
const auditWait = time.Minute

// Audit reads the door's stream at a node from its beginning to where it ends now, and gives the audit, not yet finished.
func (d Door) Audit(ctx context.Context, base string, l *verify.Ledger) (*verify.Reader, error) {
	return d.AuditEach(ctx, base, l, nil)
}

// AuditEach is Audit, and hands every event to each as well, unless that is nil. The body is valid during the call only.
func (d Door) AuditEach(ctx context.Context, base string, l *verify.Ledger, each func(offset uint64, body []byte)) (*verify.Reader, error) {
	ctx, cancel := context.WithTimeout(ctx, auditWait)
	defer cancel()
	f, r := d.Follower(base), verify.NewReader(l, d.Rule)
	end, err := f.Read(ctx, url.Values{"from": {"LATEST"}, "limit": {"1"}, "timeout": {"1ms"}}, func(uint64, []byte) error { return nil })
	if err != nil {
		return nil, fmt.Errorf("find the end of %s: %w", d.Name, err)
	}
	last, err := strconv.ParseUint(end, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("find the end of %s: %w", d.Name, err)
	}
	for at, from := uint64(0), "EARLIEST"; at < last; {
		next, err := f.Read(ctx, url.Values{"from": {from}, "limit": {"100000"}, "timeout": {"1s"}}, func(offset uint64, body []byte) error {
			r.Event(offset, body)
			if each != nil {
				each(offset, body)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", d.Name, err)
		}
		if at, err = strconv.ParseUint(next, 10, 64); err != nil {
			return nil, fmt.Errorf("read %s: %w", d.Name, err)
		}
		from = next
	}
	return r, nil
}

// Producer sends marked events on one connection and writes them into the ledger. It never sends an event twice, whatever
// became of it. One goroutine.
type Producer struct {
	Door   Door
	Ledger *verify.Ledger
	ID     uint32   // of the marker; below 1000
	Addrs  []string // nodes, host:port: where one cannot be reached it goes to the next
	Lines  int      // events in a body; 0: single events

	// Next appends an event with that marker; nil: one of a crowd of 200.
	Next func(dst []byte, m sample.Marker) []byte

	Answered func(status int, took time.Duration) // told of every answer; may be nil

	m    sample.Marker
	at   int // in Addrs
	conn *wire.Conn
}

const (
	answerWait = 30 * time.Second
	pause      = 10 * time.Millisecond // after a refusal
)

// Send posts the next event or body. Transport errors are no error: they leave the outcome unknown. An answer that is neither
// an acknowledgement nor an honest refusal is one.
func (p *Producer) Send() error {
	p.m.Producer = p.ID
	if p.Next == nil {
		g := sample.New(uint64(p.ID), 200)
		p.Next = func(dst []byte, m sample.Marker) []byte { dst, _ = g.Event(dst, m); return dst }
	}
	var body []byte
	var markers []string
	for range max(p.Lines, 1) {
		p.m.N++
		line := p.Next(nil, p.m)
		marker, err := p.Ledger.Sending(line)
		if err != nil {
			return err
		}
		markers = append(markers, marker)
		body = append(append(body, line...), '\n')
	}
	if p.conn == nil {
		conn, err := wire.Dial(p.Addrs[p.at], time.Hour)
		if err != nil {
			p.settle(markers, verify.Refused) // nothing was sent
			p.at = (p.at + 1) % len(p.Addrs)
			time.Sleep(pause)
			return nil
		}
		p.conn = conn
	}
	if err := p.conn.SetDeadline(time.Now().Add(answerWait)); err != nil {
		return err
	}
	began := time.Now()
	status, answer, err := p.conn.Do(p.request(body))
	if err != nil {
		p.Close()
		return nil
	}
	if p.Answered != nil {
		p.Answered(status, time.Since(began))
	}
	switch {
	case p.Lines == 0 && status == http.StatusNoContent:
		p.settle(markers, verify.Stored)
	case p.Lines > 0 && status == http.StatusOK && strings.Contains(string(answer), fmt.Sprintf(`"accepted":%d`, p.Lines)):
		p.settle(markers, verify.Stored)
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		p.settle(markers, verify.Refused)
		time.Sleep(pause)
	case status == http.StatusGatewayTimeout:
	default:
		return fmt.Errorf("status %d: %s", status, answer)
	}
	return nil
}

func (p *Producer) request(body []byte) []byte {
	target := "/event"
	if p.Lines > 0 {
		target = "/v1/streams/" + p.Door.Name + "/events"
	}
	return wire.Request("POST", target, p.Addrs[p.at], []string{"Authorization: Bearer " + p.Door.Token}, body)
}

func (p *Producer) settle(markers []string, o verify.Outcome) {
	for _, m := range markers {
		p.Ledger.Settle(m, o)
	}
}

// Cut tells that the last event or body was not answered, or that nothing was sent yet.
func (p *Producer) Cut() bool { return p.conn == nil }

// Sent is how many events were sent: the number in the marker of the last.
func (p *Producer) Sent() uint64 { return p.m.N }

// Markers are those of the events first to last.
func (p *Producer) Markers(first, last uint64) (list []string) {
	for n := first; n <= last; n++ {
		list = append(list, string(sample.Marker{Producer: p.ID, N: n}.Append(nil)))
	}
	return list
}

// Close ends the connection; Send opens another.
func (p *Producer) Close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// Crowd is producers at work. Stop ends them.
type Crowd struct {
	stop   chan struct{}
	done   sync.WaitGroup
	faults chan error
}

// Start sets producers to work, each with rest between two sends.
func Start(rest time.Duration, producers ...*Producer) *Crowd {
	c := &Crowd{stop: make(chan struct{}), faults: make(chan error, len(producers))}
	for _, p := range producers {
		c.done.Go(func() {
			defer p.Close()
			for {
				select {
				case <-c.stop:
					return
				case <-time.After(rest):
				}
				if err := p.Send(); err != nil {
					c.faults <- fmt.Errorf("producer %d: %w", p.ID, err)
					return
				}
			}
		})
	}
	return c
}

// Stop waits until everyone has the answer to what they last sent, and gives the first answer that was neither an
// acknowledgement nor an honest refusal.
func (c *Crowd) Stop() error {
	close(c.stop)
	c.done.Wait()
	select {
	case err := <-c.faults:
		return err
	default:
		return nil
	}
}

// Tail is a consumer that follows a stream from its beginning and goes on where it was whenever its connection ends.
type Tail struct {
	last    atomic.Uint64
	stop    context.CancelFunc
	done    sync.WaitGroup
	resumed int
	err     error
}

// Follow hands every event to each, on one goroutine, until End.
func Follow(ctx context.Context, f *verify.Follower, each func(offset uint64, body []byte)) *Tail {
	ctx, stop := context.WithCancel(ctx)
	t := &Tail{stop: stop}
	t.done.Go(func() {
		t.resumed, t.err = f.Resume(ctx, func(offset uint64, body []byte) error {
			each(offset, body)
			t.last.Store(offset)
			return nil
		})
	})
	return t
}

// Reach waits until the consumer has got the event at that offset.
func (t *Tail) Reach(offset uint64, within time.Duration) error {
	for end := time.Now().Add(within); t.last.Load() < offset; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("the consumer is at %d after %s, not at %d", t.last.Load(), within, offset)
		}
	}
	return nil
}

// End stops the consumer and gives how often it went on, and the error that ended it before, if one did. Nothing is handed to
// each afterwards.
func (t *Tail) End() (resumed int, err error) {
	t.stop()
	t.done.Wait()
	return t.resumed, t.err
}

// Click appends an event of one person, with consent to levels 0 and 1. Its session is personal too, and bears the person's name.
func Click(dst []byte, m sample.Marker, person string) []byte {
	dst = append(dst, `{"strmMeta":{"eventContractRef":"`+sample.ClickstreamRef+`","consentLevels":[0,1]},"producerSessionId":"session of `...)
	dst = append(dst, person...)
	dst = append(dst, `","url":"https://example.com/a","eventType":"view","referrer":"`...)
	dst = append(dst, strings.Repeat("r", 200)...)
	dst = append(dst, `","userAgent":"`...)
	dst = m.Append(dst)
	dst = append(dst, `","conversion":1,"customer":{"id":"`...)
	dst = append(dst, person...)
	return append(dst, `"},"abTests":[]}`...)
}
