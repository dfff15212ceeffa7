package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/loadtest/server"
)

const (
	// hookBacklog is how many events a second are there to be delivered: more than a receiver on two cores takes.
	hookBacklog = 40_000
	// hookOpen is how many deliveries without an order may be under way while later ones are done.
	hookOpen  = 4096
	hookPause = 5 * time.Millisecond // between two looks at the receiver
	hookWait  = 30 * time.Second     // for the first delivery, and for an answer
)

// runWebhooks delivers events that are in the log, one in each delivery, to a receiver in a process of its own, in both orderings. The floor
// is a client that posts the very body a delivery had to the same receiver, as many at once.
func runWebhooks(ctx context.Context, b *bench) ([]measure, error) {
	var measures []measure
	for _, how := range []struct {
		ordering string
		atOnce   int
	}{{"none", 64}, {"fifo", 1}} {
		m, err := b.webhooks(ctx, how.ordering, how.atOnce)
		if err != nil {
			return nil, fmt.Errorf("ordering %s: %w", how.ordering, err)
		}
		measures = append(measures, m)
		if err := os.RemoveAll(filepath.Join(b.dir, "data")); err != nil {
			return nil, err
		}
	}
	return measures, nil
}

func (b *bench) webhooks(ctx context.Context, ordering string, atOnce int) (measure, error) {
	receiver, err := startFloor(ctx, "receive")
	if err != nil {
		return measure{}, err
	}
	defer receiver.end()
	t, err := b.start(ctx)
	if err != nil {
		return measure{}, err
	}
	defer t.end()
	backlog := int(b.duration().Seconds()*hookBacklog) + 10*bulkLines
	f, err := b.newFeeder(t, 0)
	if err != nil {
		return measure{}, err
	}
	defer f.conn.Close()
	for range backlog / bulkLines {
		if err := f.send(); err != nil {
			return measure{}, err
		}
	}
	hook, err := json.Marshal(map[string]any{
		"name": "bench", "stream": t.derived, "url": "http://" + receiver.addr + "/hook", "batchSize": 1, "ordering": ordering, "from": "EARLIEST",
	})
	if err != nil {
		return measure{}, err
	}
	status, answer, err := t.Call(ctx, http.MethodPost, "/v1/webhooks", hook)
	if err != nil || status != http.StatusCreated {
		return measure{}, fmt.Errorf("create the webhook: %d %s: %w", status, answer, errors.Join(errRefused, err))
	}
	wait := b.profileDuring(t, b.duration(), "-"+ordering)
	got, err := b.deliveries(ctx, t, receiver, f.m.N)
	if err := errors.Join(err, wait()); err != nil {
		return measure{}, err
	}
	if err := got.check(ordering); err != nil {
		return measure{}, err
	}
	memory, err := t.Memory()
	if err != nil {
		return measure{}, err
	}
	// A server that is still delivering would take the floor's cores.
	t.Kill()
	floor, err := b.posts(receiver.addr, got.last.Sampling, atOnce)
	if err != nil {
		return measure{}, fmt.Errorf("floor: %w", err)
	}
	return measure{
		Name: fmt.Sprintf("webhook deliveries, %s, %d at once", ordering, atOnce), Floor: "a fasthttp client posting the same bodies", Unit: "deliveries/s",
		Value: got.rate, Base: floor, Bound: atLeast, Target: 0.7,
		Notes: map[string]float64{"server CPU µs": got.cpu, "bytes of a body": float64(len(got.last.Sampling)), "peak MiB": float64(memory.Peak) / (1 << 20)},
	}, nil
}

// delivered is what deliveries came to.
type delivered struct {
	rate float64 // a second
	cpu  float64 // µs of the server for each
	last received
}

// deliveries counts what the receiver gets, after a warm-up, for the bench's duration or until all of it is there.
func (b *bench) deliveries(ctx context.Context, t *target, receiver *floorProcess, all uint64) (d delivered, err error) {
	look := func(until func(received) bool, within time.Duration) (got received, err error) {
		for end := time.Now().Add(within); time.Now().Before(end); {
			if got, err = receiver.look(); err != nil || until(got) {
				return got, err
			}
			select {
			case <-ctx.Done():
				return got, ctx.Err()
			case <-time.After(hookPause):
			}
		}
		return got, nil
	}
	first, err := look(func(r received) bool { return r.Events > 0 }, hookWait)
	if err != nil {
		return d, err
	}
	if first.Events == 0 {
		return d, errors.New("nothing is delivered")
	}
	if first, err = look(func(r received) bool { return r.Events == all }, warmup); err != nil {
		return d, err
	}
	began := time.Now()
	before, err := server.CPU(t.PID())
	if err != nil {
		return d, err
	}
	if d.last, err = look(func(r received) bool { return r.Events == all }, b.duration()); err != nil {
		return d, err
	}
	took := time.Since(began)
	after, err := server.CPU(t.PID())
	if err != nil {
		return d, err
	}
	n := float64(d.last.Events - first.Events)
	if n == 0 {
		return d, errors.New("everything was delivered before it was counted: give it more seconds")
	}
	d.rate, d.cpu = n/took.Seconds(), float64((after-before).Microseconds())/n
	return d, nil
}

// check holds what was received to its promise: nothing twice, nothing left out, and in order where there is one.
func (d delivered) check(ordering string) error {
	r := d.last
	missing := r.Newest - r.Events
	switch {
	case r.Again > 0 || r.Strange > 0:
		return fmt.Errorf("of %d events %d came twice, %d were none", r.Events, r.Again, r.Strange)
	case ordering == "fifo" && (r.Order > 0 || missing > 0):
		return fmt.Errorf("of %d events %d came out of order, %d are missing", r.Events, r.Order, missing)
	case missing > hookOpen:
		return fmt.Errorf("of %d events %d are missing", r.Events, missing)
	}
	return nil
}

// posts is the floor: a client that posts a body, so many at once, and gives how many a second were answered.
func (b *bench) posts(addr string, body []byte, atOnce int) (float64, error) {
	client := &fasthttp.HostClient{Addr: addr, MaxConns: atOnce, ReadTimeout: hookWait, WriteTimeout: hookWait}
	defer client.CloseIdleConnections()
	var answered atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, atOnce)
	from := time.Now().Add(warmup)
	until := from.Add(b.duration())
	for i := range atOnce {
		all.Go(func() {
			rq, rs := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
			defer fasthttp.ReleaseRequest(rq)
			defer fasthttp.ReleaseResponse(rs)
			rq.SetRequestURI("http://" + addr + "/floor")
			rq.Header.SetMethod(fasthttp.MethodPost)
			rq.Header.SetContentType("application/json; charset=UTF-8")
			rq.SetBodyRaw(body)
			for at := time.Now(); at.Before(until); at = time.Now() {
				if err := client.Do(rq, rs); err != nil || rs.StatusCode() != fasthttp.StatusOK {
					errs[i] = fmt.Errorf("status %d: %w", rs.StatusCode(), errors.Join(errRefused, err))
					return
				}
				if at.After(from) {
					answered.Add(1)
				}
			}
		})
	}
	all.Wait()
	return float64(answered.Load()) / b.duration().Seconds(), errors.Join(errs...)
}
