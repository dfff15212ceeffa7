//go:build parts

package crash_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"sluice/loadtest/server"
	"sluice/loadtest/wire"
	"sluice/relay/sample"
)

const (
	stuckReaders = 24
	stuckRing    = 8 << 20
	// stuckSlack is what the server's memory may differ by between two like loads: its collector lets
	// garbage grow to the size of what lives, and a ring costs up to twice its bytes by that.
	stuckSlack = 2*stuckRing + 48<<20
	// catchUp is what a reader of the log may hold: a block and a chunk in hand, and the garbage of
	// those before.
	catchUp = 2 << 20
	// stuckPace is the time between two bodies of stuckLines: some 15,000 events a second.
	stuckPace  = 33 * time.Millisecond
	stuckLines = 500
	// smallBuffer stops the sender soon when its reader stops.
	smallBuffer = 16 << 10
)

// Readers stop in the middle of a stream under load, for a minute in a full run. The server's memory
// stays what it is under the same load without them, a reader beside them is not held up, and when they
// read on they get every event, on the same connection.
func TestStuckReadersCostNothingAndLoseNothing(t *testing.T) {
	pause := scaled(5*time.Second, 60*time.Second)
	p := start(t, t.TempDir(), "SLUICE_STREAM_RING_BYTES=8MiB")
	in := source(t, p, "stuck")
	doors := []door{in, cumulative(t, p, in, 0)}
	f := newFeed(t, p, in)

	// The same load with readers that keep up, for comparison and to warm the server up.
	control := openSlow(t, p, doors, len(doors)*2)
	for _, r := range control {
		r.goOn(t)
	}
	f.run(t, pause/2)
	peak := func() int64 {
		mem, err := p.Memory()
		if err != nil {
			t.Fatal(err)
		}
		return mem.Peak
	}
	before, warm := peak(), int64(f.bytes)

	slow := openSlow(t, p, doors, stuckReaders)
	f.run(t, pause)
	growth := peak() - before
	written := int64(f.bytes) - warm
	t.Logf("%d readers stuck for %s behind %d MiB of events: %d MiB more memory on %d", stuckReaders, pause, written>>20, growth>>20, before>>20)
	if growth > stuckSlack {
		t.Errorf("the server's memory grew by %d MiB, allowed are %d", growth>>20, stuckSlack>>20)
	}
	if stuckReaders*written < 4*stuckSlack {
		t.Errorf("only %d bytes were written, too few to tell", written)
	}
	for i, r := range control {
		if err := r.reach(f.sent, 10*time.Second); err != nil {
			t.Errorf("reader %d, which never stopped, is held up: %v", i, err)
		}
	}
	for _, r := range slow {
		r.goOn(t)
	}
	for i, r := range slow {
		if err := r.reach(f.sent, scaled(time.Minute, 5*time.Minute)); err != nil {
			t.Errorf("reader %d, which stopped: %v", i, err)
		}
	}
	allowed := int64(stuckSlack + stuckReaders*catchUp)
	if growth := peak() - before; growth > allowed {
		t.Errorf("reading on made the server's memory grow by %d MiB, allowed are %d", growth>>20, allowed>>20)
	}
}

// feed sends bulk bodies of one producer at a fixed pace.
type feed struct {
	conn  *wire.Conn
	g     *sample.Generator
	head  func([]byte) []byte
	sent  uint64
	bytes int
}

func newFeed(t *testing.T, p *server.Process, in door) *feed {
	t.Helper()
	conn, err := wire.Dial(p.Addr, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	headers := []string{"Authorization: Bearer " + in.Token}
	return &feed{conn: conn, g: sample.New(1, 100), head: func(body []byte) []byte {
		return wire.Request("POST", "/v1/streams/"+in.Name+"/events", p.Addr, headers, body)
	}}
}

func (f *feed) run(t *testing.T, d time.Duration) {
	t.Helper()
	tick := time.NewTicker(stuckPace)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		var body []byte
		for range stuckLines {
			f.sent++
			body = append(f.g.SeedLine(body, sample.Marker{Producer: 1, N: f.sent}), '\n')
		}
		f.bytes += len(body)
		status, answer, err := f.conn.Do(f.head(body))
		if err != nil || status != 200 {
			t.Fatalf("the load stopped: status %d %s %v", status, answer, err)
		}
	}
}

// slowReader reads the first event of a stream and then nothing until goOn.
type slowReader struct {
	conn  *wire.Conn
	on    chan struct{}
	last  atomic.Uint64
	ended chan struct{}
	err   error
}

// openSlow opens readers at the streams' ends, in turn plain and with gzip, with small receive
// buffers.
func openSlow(t *testing.T, p *server.Process, doors []door, n int) []*slowReader {
	t.Helper()
	readers := make([]*slowReader, n)
	for i := range readers {
		d, gzip := doors[i%len(doors)], i/len(doors)%2 == 1
		conn, err := wire.Dial(p.Addr, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if err := conn.ReceiveBuffer(smallBuffer); err != nil {
			t.Fatal(err)
		}
		headers := []string{"Authorization: Bearer " + d.Token}
		if gzip {
			headers = append(headers, "Accept-Encoding: gzip")
		}
		s, err := conn.Open(wire.Request("GET", "/v1/streams/"+d.Name+"/events?from=LATEST", p.Addr, headers, nil))
		if err != nil || s.Gzip != gzip {
			t.Fatalf("open a stream: gzip %v, %v", s, err)
		}
		r := &slowReader{conn: conn, on: make(chan struct{}), ended: make(chan struct{})}
		readers[i] = r
		go func() {
			defer close(r.ended)
			r.err = wire.Lines(s, gzip, r.line)
		}()
	}
	return readers
}

// goOn lets it read, with a buffer of usual size: a tiny one slows a connection down by itself.
func (r *slowReader) goOn(t *testing.T) {
	t.Helper()
	if err := r.conn.ReceiveBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	close(r.on)
}

func (r *slowReader) line(line []byte) error {
	n, err := markerNumber(line)
	if err != nil {
		return err
	}
	switch last := r.last.Load(); {
	case last == 0:
		r.last.Store(n)
		<-r.on
		return nil
	case n != last+1:
		return fmt.Errorf("event %d came after %d", n, last)
	}
	r.last.Store(n)
	return nil
}

func (r *slowReader) reach(n uint64, within time.Duration) error {
	for end := time.Now().Add(within); r.last.Load() < n; time.Sleep(5 * time.Millisecond) {
		select {
		case <-r.ended:
			return fmt.Errorf("it ended at event %d of %d: %w", r.last.Load(), n, errors.Join(errCut, r.err))
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("it is at event %d of %d after %s", r.last.Load(), n, within)
		}
	}
	return nil
}

var errCut = errors.New("the connection ended")
