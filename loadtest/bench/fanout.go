package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"sluice/loadtest/wire"
)

const (
	// fanoutCheckers are the consumers that unpack and hold every event against its sequence.
	fanoutCheckers = 8
	fanoutFeeders  = 2
	// fanoutWindow is how many events may be under way to the slowest checker: enough to keep every
	// part busy, and little enough that nobody falls behind the server's ring.
	fanoutWindow = 24 * bulkLines
)

// runFanout feeds consumers in bulk, plain and with gzip, and lets a loop write the very bytes that one
// consumer got to as many sockets.
func runFanout(ctx context.Context, b *bench) ([]measure, error) {
	return b.fanouts(ctx, plainLines, packedLines)
}

// runSockets is runFanout over websockets.
func runSockets(ctx context.Context, b *bench) ([]measure, error) {
	return b.fanouts(ctx, socketFrames)
}

// form is how consumers get their events.
type form struct {
	kind   string // in the name of the row
	file   string // of the recording; the floor sees by it what to answer
	gzip   bool
	socket bool
}

var (
	plainLines   = form{kind: "plain", file: "recording"}
	packedLines  = form{kind: "gzip", file: "recording.gz", gzip: true}
	socketFrames = form{kind: "websocket", file: "recording" + socketSuffix, socket: true}
)

// request is what a consumer of the server sends.
func (f form) request(t *target) []byte {
	if f.socket {
		return wire.SocketRequest("/ws?from=LATEST", t.Addr, []string{"Authorization: Bearer " + t.readToken})
	}
	return getEvents(t.Addr, t.derived, t.readToken, "from=LATEST", f.gzip)
}

func (b *bench) fanouts(ctx context.Context, forms ...form) ([]measure, error) {
	var measures []measure
	for _, f := range forms {
		m, err := b.fanout(ctx, f)
		if err != nil {
			return nil, err
		}
		measures = append(measures, m...)
		if err := os.RemoveAll(filepath.Join(b.dir, "data")); err != nil {
			return nil, err
		}
	}
	return measures, nil
}

func (b *bench) fanout(ctx context.Context, how form) ([]measure, error) {
	kind := how.kind
	got, recording, err := b.fanoutServer(ctx, how)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	path := filepath.Join(b.dir, how.file)
	if err := os.WriteFile(path, recording, 0o600); err != nil {
		return nil, err
	}
	f, err := startFloor(ctx, floorArgs(path, b.readers)...)
	if err != nil {
		return nil, err
	}
	defer f.end()
	floor, _, err := b.consume(f.addr, openFloorStreams(f.addr), how.gzip, func(*progress) (uint64, error) { return got.events, f.begin() })
	if err != nil {
		return nil, fmt.Errorf("%s floor: %w", kind, err)
	}
	deliveries := float64(got.events) * float64(b.readers) / got.took.Seconds()
	measures := []measure{{
		Name: fmt.Sprintf("fan-out to %d, %s", b.readers, kind), Floor: "a loop writing the same bytes", Unit: "bytes/s",
		Value: got.rate(), Base: floor.rate(), Bound: atLeast, Target: 0.8,
		Notes: map[string]float64{
			"deliveries/s": deliveries, "bytes per event": float64(got.bytes) / float64(b.readers) / float64(got.events),
			"least of a reader's bytes %": got.evenness, "peak MiB": got.peak, "KiB per read": got.perRead / 1024, "floor KiB per read": floor.perRead / 1024,
		},
	}}
	if how.gzip {
		measures = append(measures, measure{Name: "gzip event deliveries", Unit: "events/s", Value: deliveries, Bound: atLeast, Target: 5e6})
	}
	return measures, nil
}

func (b *bench) fanoutServer(ctx context.Context, how form) (consumed, []byte, error) {
	t, err := b.start(ctx)
	if err != nil {
		return consumed{}, nil, err
	}
	defer t.end()
	wait := b.profileDuring(t, b.duration(), "-"+how.kind)
	c, recording, err := b.consume(t.Addr, how.request(t), how.gzip, func(p *progress) (uint64, error) { return b.feed(ctx, t, p) })
	if err := errors.Join(err, wait()); err != nil {
		return consumed{}, nil, err
	}
	mem, err := t.Memory()
	c.peak = float64(mem.Peak) / (1 << 20)
	return c, recording, err
}

// feed posts bulk bodies while the slowest checker is less than a window behind. It gives the number of
// events sent.
func (b *bench) feed(ctx context.Context, t *target, p *progress) (uint64, error) {
	var sent atomic.Uint64
	var wg sync.WaitGroup
	errs := make([]error, fanoutFeeders)
	until := time.Now().Add(b.duration())
	for i := range fanoutFeeders {
		f, err := b.newFeeder(t, uint32(i))
		if err != nil {
			return 0, err
		}
		defer f.conn.Close()
		wg.Go(func() {
			for time.Now().Before(until) && ctx.Err() == nil && !p.failed.Load() {
				if sent.Load() > p.slowest()+fanoutWindow {
					time.Sleep(time.Millisecond)
					continue
				}
				sent.Add(bulkLines)
				if errs[i] = f.send(); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return sent.Load(), errors.Join(append(errs, ctx.Err())...)
}

// progress is what the consumers have received so far.
type progress struct {
	bytes  []counter // per consumer
	events [fanoutCheckers]counter
	failed atomic.Bool
}

// counter is alone on its cache line: each consumer counts on another core.
type counter struct {
	atomic.Uint64
	reads uint64 // how many reads it took; for its own goroutine until that has ended
	_     [48]byte
}

func (p *progress) total() (sum uint64) {
	for i := range p.bytes {
		sum += p.bytes[i].Load()
	}
	return sum
}

func (p *progress) slowest() uint64 {
	least := p.events[0].Load()
	for i := range p.events {
		least = min(least, p.events[i].Load())
	}
	return least
}

// consumed is what a fan-out came to.
type consumed struct {
	events   uint64
	bytes    uint64
	took     time.Duration
	evenness float64 // bytes of the consumer that got least, in percent of the mean
	perRead  float64 // mean bytes in one read of a consumer
	peak     float64 // MiB of the server
}

func (c consumed) rate() float64 { return float64(c.bytes) / c.took.Seconds() }

// consume opens b.readers streams, lets feed run, and reads until every checker has the number of events
// that feed gave and nobody gets any more bytes. The recording is what the last consumer, which does
// not check, got.
func (b *bench) consume(addr string, request []byte, gzip bool, feed func(*progress) (uint64, error)) (consumed, []byte, error) {
	streams, err := b.openConsumers(addr, b.readers, request)
	if err != nil {
		return consumed{}, nil, err
	}
	p := &progress{bytes: make([]counter, len(streams))}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer closeAll(streams)
	failures := make(chan error, fanoutCheckers)
	recording := make(chan []byte, 1)
	for i, s := range streams {
		wg.Go(func() {
			switch {
			case i < fanoutCheckers:
				var seq sequence
				each := func(line []byte) error {
					p.events[i].Add(1)
					return seq.check(line)
				}
				var err error
				if in := (&counted{s, &p.bytes[i]}); s.Socket {
					err = wire.Messages(in, each)
				} else {
					err = wire.Lines(in, s.Gzip, each)
				}
				p.failed.Store(true)
				failures <- fmt.Errorf("consumer %d after %d events: %w", i, p.events[i].Load(), err)
			case i == len(streams)-1:
				recording <- record(&counted{s, &p.bytes[i]})
			default:
				drain(&counted{s, &p.bytes[i]})
			}
		})
	}
	for _, s := range streams {
		if s.Gzip != gzip {
			return consumed{}, nil, errors.New("the stream is not coded as it was asked for")
		}
	}
	began := time.Now()
	sent, err := feed(p)
	if err != nil {
		select {
		case failure := <-failures:
			return consumed{}, nil, errors.Join(err, failure)
		default:
			return consumed{}, nil, err
		}
	}
	last, err := p.settle(sent, failures)
	if err != nil {
		return consumed{}, nil, err
	}
	c := consumed{events: sent, bytes: p.total(), took: last.Sub(began), evenness: 100}
	mean := float64(c.bytes) / float64(len(streams))
	for i := range p.bytes {
		c.evenness = min(c.evenness, float64(p.bytes[i].Load())/mean*100)
	}
	closeAll(streams)
	wg.Wait()
	var reads uint64
	for i := range p.bytes {
		reads += p.bytes[i].reads
	}
	c.perRead = float64(c.bytes) / float64(reads)
	return c, <-recording, nil
}

// Once every checker is done, the consumers that only count are done too when nothing more has come for
// settleQuiet; keepalives of a stream come much later.
const (
	settleQuiet = 300 * time.Millisecond
	settleLimit = 60 * time.Second
)

// settle gives the time at which the last bytes came.
func (p *progress) settle(sent uint64, failures <-chan error) (last time.Time, err error) {
	total := p.total()
	last = time.Now()
	for limit := last.Add(settleLimit); ; {
		select {
		case err := <-failures:
			return last, err
		case <-time.After(2 * time.Millisecond):
		}
		now := time.Now()
		if n := p.total(); n != total {
			total, last = n, now
		}
		if p.slowest() == sent && now.Sub(last) > settleQuiet {
			return last, nil
		}
		if now.After(limit) {
			return last, fmt.Errorf("the slowest checker got %d of %d events", p.slowest(), sent)
		}
	}
}

// counted counts what is read.
type counted struct {
	io.Reader
	n *counter
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(uint64(n))
	c.n.reads++
	return n, err
}

// drain reads until the connection ends.
func drain(r io.Reader) {
	for buf := make([]byte, 64<<10); ; {
		if _, err := r.Read(buf); err != nil {
			return
		}
	}
}

// record keeps everything that is read until the connection ends.
func record(r io.Reader) []byte {
	all := make([]byte, 0, 8<<20)
	for {
		if cap(all)-len(all) < 64<<10 {
			all = append(all, make([]byte, cap(all))...)[:len(all)]
		}
		n, err := r.Read(all[len(all):min(len(all)+64<<10, cap(all))])
		all = all[:len(all)+n]
		if err != nil {
			return all
		}
	}
}
