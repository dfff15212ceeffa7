package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/loadtest/server"
	"sluice/loadtest/wire"
	"sluice/relay/sample"
)

const (
	// singleConns is how many keep-alive connections post at once.
	singleConns = 64
	// turns is how often a closed loop and its floor take turns: what else the machine does then
	// hits both alike.
	turns = 4
	// warmup is how long a closed loop runs before it is counted.
	warmup = 250 * time.Millisecond
)

// runSingle posts single events as fast as answers come, to sluice and to a bare fiber handler.
func runSingle(ctx context.Context, b *bench) ([]measure, error) {
	f, err := startFloor(ctx, "post")
	if err != nil {
		return nil, err
	}
	defer f.end()
	t, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer t.end()
	floor, err := b.newPosters(f.addr, "none", f.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	defer floor.close()
	got, err := b.newPosters(t.Addr, t.write, t.PID())
	if err != nil {
		return nil, err
	}
	defer got.close()
	wait := b.profileDuring(t, 2*b.duration(), "")
	for range turns {
		if err := floor.run(ctx, b.duration()/turns); err != nil {
			return nil, fmt.Errorf("floor: %w", err)
		}
		if err := got.run(ctx, b.duration()/turns); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(wait(), b.checkLog(t, got.acknowledged)); err != nil {
		return nil, err
	}
	mem, err := t.Memory()
	if err != nil {
		return nil, err
	}
	perBlock, err := t.eventsPerBlock(ctx)
	if err != nil {
		return nil, err
	}
	times, floorTimes := got.times(), floor.times()
	return []measure{{
		Name: "single POST", Floor: "fiber answering 204", Unit: "requests/s", Value: got.rate(), Base: floor.rate(), Bound: atLeast, Target: 0.6,
		Notes: map[string]float64{
			"p50 ms": percentile(times, 0.5), "p99 ms": percentile(times, 0.99),
			"floor p50 ms": percentile(floorTimes, 0.5), "floor p99 ms": percentile(floorTimes, 0.99),
			"server CPU µs": got.cpuPerRequest(), "floor CPU µs": floor.cpuPerRequest(), "peak MiB": float64(mem.Peak) / (1 << 20),
			"events per block": perBlock,
		},
	}}, nil
}

// posters are connections that each send their next event when the answer to the one before is there.
type posters struct {
	pid          int // the server's
	each         []*poster
	acknowledged int // all events, warm-ups included
	counted      int
	took         time.Duration
	cpu          time.Duration // of the server, warm-ups included
}

type poster struct {
	conn         *wire.Conn
	requests     [][]byte
	m            sample.Marker
	milliseconds []float64
}

func (b *bench) newPosters(addr, token string, pid int) (*posters, error) {
	p := &posters{pid: pid}
	for i := range singleConns {
		conn, err := wire.Dial(addr, b.life())
		if err != nil {
			p.close()
			return nil, err
		}
		p.each = append(p.each, &poster{conn: conn, requests: b.seedRequests(addr, token, i), m: sample.Marker{Producer: uint32(i)}})
	}
	return p, nil
}

func (p *posters) close() {
	for _, one := range p.each {
		one.conn.Close()
	}
}

// run warms up and then counts for d. The first refusal ends it.
func (p *posters) run(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	before, err := server.CPU(p.pid)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(p.each))
	counted, all := make([]int, len(p.each)), make([]int, len(p.each))
	from := time.Now().Add(warmup)
	for i, one := range p.each {
		wg.Go(func() {
			if counted[i], all[i], errs[i] = one.run(ctx, from, from.Add(d)); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	after, err := server.CPU(p.pid)
	if err != nil {
		return err
	}
	p.cpu += after - before
	p.took += d
	for i := range p.each {
		p.counted += counted[i]
		p.acknowledged += all[i]
	}
	return ctx.Err()
}

func (p *poster) run(ctx context.Context, from, until time.Time) (counted, all int, err error) {
	for ctx.Err() == nil {
		p.m.N++
		request := p.requests[p.m.N%uint64(len(p.requests))]
		p.m.Append(wire.Body(request)[sample.SeedMarker():][:0])
		began := time.Now()
		status, body, err := p.conn.Do(request)
		if err != nil || status != 204 {
			return counted, all, fmt.Errorf("status %d: %s: %w", status, body, errors.Join(errRefused, err))
		}
		all++
		now := time.Now()
		if now.After(until) {
			break
		}
		if now.After(from) {
			counted++
			p.milliseconds = append(p.milliseconds, float64(now.Sub(began).Nanoseconds())/1e6)
		}
	}
	return counted, all, nil
}

func (p *posters) rate() float64 { return float64(p.counted) / p.took.Seconds() }

func (p *posters) cpuPerRequest() float64 {
	return float64(p.cpu.Microseconds()) / float64(p.acknowledged)
}

func (p *posters) times() []float64 {
	var all []float64
	for _, one := range p.each {
		all = append(all, one.milliseconds...)
	}
	return all
}

// seedRequests are prepared posts of one producer, of different people.
func (b *bench) seedRequests(addr, token string, producer int) [][]byte {
	g := sample.New(uint64(b.run*1000+producer), b.people)
	requests := make([][]byte, 64)
	for i := range requests {
		body := g.Seed(nil, sample.Marker{Producer: uint32(producer)})
		requests[i] = wire.Request("POST", "/event", addr, eventHeaders(token), body)
	}
	return requests
}
