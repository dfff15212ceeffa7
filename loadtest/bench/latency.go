package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/loadtest/wire"
	"sluice/relay/sample"
)

const (
	latencyRate  = 1000 // events a second
	latencyConns = 16
)

// runLatency sends single events at a fixed rate and takes the time from the first byte of the request
// to the event's arrival at a consumer.
func runLatency(ctx context.Context, b *bench) ([]measure, error) {
	syncs, err := b.syncFloor(time.Second)
	if err != nil {
		return nil, err
	}
	t, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer t.end()
	perConn := int(latencyRate*b.duration().Seconds()) / latencyConns
	sent := make([][]atomic.Int64, latencyConns) // nanoseconds since began
	for i := range sent {
		sent[i] = make([]atomic.Int64, perConn+1)
	}
	began := time.Now()

	reader, err := wire.Dial(t.Addr, b.life())
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	s, err := reader.Open(getEvents(t.Addr, t.derived, t.readToken, "from=LATEST", false))
	if err != nil {
		return nil, err
	}
	var times []float64 // microseconds
	received := make(chan error, 1)
	go func() {
		var seq sequence
		received <- wire.Lines(s, false, func(line []byte) error {
			now := time.Since(began)
			if err := seq.check(line); err != nil {
				return err
			}
			p, n, _ := markerIn(line)
			times = append(times, float64(int64(now)-sent[p][n].Load())/1e3)
			if len(times) == perConn*latencyConns {
				return errAll
			}
			return nil
		})
	}()

	wait := b.profileDuring(t, b.duration(), "")
	var wg sync.WaitGroup
	errs, answers := make([]error, latencyConns), make([][]float64, latencyConns)
	for i := range latencyConns {
		conn, err := wire.Dial(t.Addr, b.life())
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		requests := b.seedRequests(t.Addr, t.write, i)
		wg.Go(func() { answers[i], errs[i] = pace(ctx, conn, requests, i, began, sent[i]) })
	}
	wg.Wait()
	if err := errors.Join(append(errs, wait())...); err != nil {
		return nil, err
	}
	select {
	case err := <-received:
		if !errors.Is(err, errAll) {
			return nil, fmt.Errorf("the consumer ended: %w", err)
		}
	case <-time.After(5 * time.Second):
		return nil, errors.New("the consumer did not get every event")
	}
	after, err := b.syncFloor(500 * time.Millisecond)
	if err != nil {
		return nil, err
	}
	syncs = append(syncs, after...)
	fsync := percentile(syncs, 0.5)
	posts := slices.Concat(answers...)
	notes := map[string]float64{"until the 204, p50 µs": percentile(posts, 0.5), "until the 204, p99 µs": percentile(posts, 0.99), "fsync p99 µs": percentile(syncs, 0.99), "p90 µs": percentile(times, 0.9)}
	return []measure{
		{Name: "latency p50", Floor: "one fsync", Unit: "µs", Value: percentile(times, 0.5), Base: fsync, Bound: atMost, Target: 3, Notes: notes},
		{Name: "latency p99", Floor: "one fsync", Unit: "µs", Value: percentile(times, 0.99), Base: fsync, Bound: atMost, Target: 10},
	}, nil
}

// pace sends one connection's share of the rate, one event each latencyConns milliseconds, shifted
// against the other connections. An event that waited because the answer before it was late counts
// from the time it was due. It gives the times until each answer, in microseconds.
func pace(ctx context.Context, conn *wire.Conn, requests [][]byte, i int, began time.Time, sent []atomic.Int64) (answers []float64, err error) {
	interval := latencyConns * time.Second / latencyRate
	first := time.Since(began) + interval*time.Duration(i)/latencyConns
	m := sample.Marker{Producer: uint32(i)}
	var answered time.Duration
	for n := 1; n < len(sent); n++ {
		due := first + time.Duration(n-1)*interval
		if pause := due - time.Since(began); pause > 0 {
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(pause):
			}
		}
		m.N = uint64(n)
		request := requests[n%len(requests)]
		m.Append(wire.Body(request)[sample.SeedMarker():][:0])
		at := time.Since(began)
		if answered > due {
			at = due
		}
		sent[n].Store(int64(at))
		status, body, err := conn.Do(request)
		if err != nil || status != 204 {
			return nil, fmt.Errorf("status %d: %s: %w", status, body, errors.Join(errRefused, err))
		}
		answered = time.Since(began)
		answers = append(answers, float64(answered-at)/1e3)
	}
	return answers, nil
}
