package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/loadtest/server"
	"sluice/loadtest/wire"
	"sluice/relay/sample"
)

const (
	bulkConns = 4
	bulkLines = 1000
)

// runBulk posts bodies of a thousand lines as fast as answers come. Its floor is the work itself, with
// no server, no network and no disk, done by the libraries that everybody has: a floor of our own code
// would rise with every gain. With our own encryption it stands in the notes.
func runBulk(ctx context.Context, b *bench) ([]measure, error) {
	key, err := b.sealingKey(ctx)
	if err != nil {
		return nil, err
	}
	t, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer t.end()
	feeders := make([]*feeder, bulkConns)
	for i := range feeders {
		if feeders[i], err = b.newFeeder(t, uint32(i)); err != nil {
			return nil, err
		}
		defer feeders[i].conn.Close()
	}
	before, err := server.CPU(t.PID())
	if err != nil {
		return nil, err
	}
	wait := b.profileDuring(t, 2*b.duration(), "")
	var floor, rate float64
	for range turns {
		f, err := b.checkAndSeal(tinkSealer, b.duration()/turns)
		if err != nil {
			return nil, fmt.Errorf("floor: %w", err)
		}
		n, err := feedAll(ctx, feeders, b.duration()/turns)
		if err != nil {
			return nil, err
		}
		floor, rate = floor+f/turns, rate+float64(n)/b.duration().Seconds()
	}
	after, err := server.CPU(t.PID())
	if err := errors.Join(err, wait()); err != nil {
		return nil, err
	}
	var acknowledged uint64
	for _, f := range feeders {
		acknowledged += f.m.N
	}
	if err := b.checkLog(t, int(acknowledged)); err != nil {
		return nil, err
	}
	mem, err := t.Memory()
	if err != nil {
		return nil, err
	}
	own, err := b.checkAndSeal(ownSealer(key), b.duration()/turns)
	if err != nil {
		return nil, err
	}
	perBlock, err := t.eventsPerBlock(ctx)
	if err != nil {
		return nil, err
	}
	return []measure{{
		Name: "bulk ingest", Floor: "ValidBytes + Tink's AES-SIV on every core", Unit: "events/s", Value: rate, Base: floor, Bound: atLeast, Target: 0.5,
		Notes: map[string]float64{
			"peak MiB": float64(mem.Peak) / (1 << 20), "server CPU µs": float64((after - before).Microseconds()) / float64(acknowledged),
			"events per block": perBlock, "floor with our own AES-SIV": own,
		},
	}}, nil
}

// feedAll warms up, and gives the number of events accepted in the d after that.
func feedAll(ctx context.Context, feeders []*feeder, d time.Duration) (counted int, err error) {
	from := time.Now().Add(warmup)
	until := from.Add(d)
	var wg sync.WaitGroup
	errs, counts := make([]error, len(feeders)), make([]int, len(feeders))
	for i, f := range feeders {
		wg.Go(func() {
			for time.Now().Before(until) && ctx.Err() == nil {
				if errs[i] = f.send(); errs[i] != nil {
					return
				}
				if now := time.Now(); now.After(from) && now.Before(until) {
					counts[i] += bulkLines
				}
			}
		})
	}
	wg.Wait()
	for _, n := range counts {
		counted += n
	}
	return counted, errors.Join(append(errs, ctx.Err())...)
}

// feeder is a producer of bulk bodies, one connection. One goroutine.
type feeder struct {
	conn     *wire.Conn
	requests [][]byte
	lineLen  int
	next     int
	m        sample.Marker
}

func (b *bench) newFeeder(t *target, producer uint32) (*feeder, error) {
	conn, err := wire.Dial(t.Addr, b.life())
	if err != nil {
		return nil, err
	}
	f := &feeder{conn: conn, m: sample.Marker{Producer: producer}, requests: make([][]byte, 4)}
	g := sample.New(uint64(b.run)*1000+uint64(producer), b.people)
	for i := range f.requests {
		var body []byte
		for range bulkLines {
			body = append(g.SeedLine(body, sample.Marker{}), '\n')
		}
		f.lineLen = len(body) / bulkLines
		f.requests[i] = wire.Request("POST", "/v1/streams/"+t.stream+"/events", t.Addr, eventHeaders(t.write), body)
	}
	return f, nil
}

// send posts the next bulkLines events, of this producer's next numbers.
func (f *feeder) send() error {
	request := f.requests[f.next%len(f.requests)]
	f.next++
	body := wire.Body(request)
	for at := sample.SeedLineMarker(); at < len(body); at += f.lineLen {
		f.m.N++
		f.m.Append(body[at:at])
	}
	status, answer, err := f.conn.Do(request)
	if err != nil {
		return err
	}
	var verdict struct{ Accepted int }
	if status != 200 || json.Unmarshal(answer, &verdict) != nil || verdict.Accepted != bulkLines {
		return fmt.Errorf("status %d: %.200s: %w", status, answer, errRefused)
	}
	return nil
}
