package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/loadtest/wire"
)

// idleSettle is how long idle consumers stay before their memory is read: two keepalives and more.
const idleSettle = 5 * time.Second

// runIdle opens consumers of a quiet stream and divides what the server's memory grew by. At the end
// one event must reach all of them.
func runIdle(ctx context.Context, b *bench) ([]measure, error) {
	t, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer t.end()
	one, err := b.openConsumers(t.Addr, 1, getEvents(t.Addr, t.derived, t.readToken, "from=LATEST", false))
	if err != nil {
		return nil, err
	}
	defer closeAll(one)
	before, err := t.Memory()
	if err != nil {
		return nil, err
	}
	heapBefore, err := goMemory(ctx, t)
	if err != nil {
		return nil, err
	}
	conns, err := b.openConsumers(t.Addr, b.idle, getEvents(t.Addr, t.derived, t.readToken, "from=LATEST", false))
	if err != nil {
		return nil, err
	}
	defer closeAll(conns)
	got := make(chan error, len(conns))
	for _, s := range conns {
		go func() {
			err := wire.Lines(s, false, func([]byte) error { return errAll })
			if errors.Is(err, errAll) {
				err = nil
			}
			got <- err
		}()
	}
	select {
	case err := <-got:
		return nil, fmt.Errorf("an idle consumer ended: %w", err)
	case <-time.After(idleSettle):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	after, err := t.Memory()
	if err != nil {
		return nil, err
	}
	heapAfter, err := goMemory(ctx, t)
	if err != nil {
		return nil, err
	}
	f, err := b.newFeeder(t, 0)
	if err != nil {
		return nil, err
	}
	defer f.conn.Close()
	if err := f.send(); err != nil {
		return nil, err
	}
	for n := range conns {
		select {
		case err := <-got:
			if err != nil {
				return nil, fmt.Errorf("an idle consumer ended: %w", err)
			}
		case <-time.After(10 * time.Second):
			return nil, fmt.Errorf("only %d of %d idle consumers got an event", n, len(conns))
		}
	}
	perConn := func(bytes float64) float64 { return bytes / float64(b.idle) / 1024 }
	return []measure{{
		Name: "memory per idle consumer", Unit: "KiB", Value: perConn(float64(after.Resident - before.Resident)), Bound: atMost, Target: 16,
		Notes: map[string]float64{"heap and stacks in use KiB": perConn(heapAfter - heapBefore), "resident before MiB": float64(before.Resident) / (1 << 20)},
	}}, nil
}

// goMemory is what the server's runtime has in use.
func goMemory(ctx context.Context, t *target) (float64, error) {
	heap, err := t.Metric(ctx, "go_memstats_heap_inuse_bytes")
	if err != nil {
		return 0, err
	}
	stack, err := t.Metric(ctx, "go_memstats_stack_inuse_bytes")
	return heap + stack, err
}

// openAtOnce is how many consumers connect at the same time: below the backlog of a listening socket.
const openAtOnce = 64

// openConsumers opens n streams and returns when the head of each answer is there.
func (b *bench) openConsumers(addr string, n int, request []byte) ([]*wire.Stream, error) {
	streams, errs := make([]*wire.Stream, n), make([]error, n)
	var wg sync.WaitGroup
	slots := make(chan struct{}, openAtOnce)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			conn, err := wire.Dial(addr, b.life())
			if err == nil {
				streams[i], err = conn.Open(request)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		closeAll(streams)
		return nil, fmt.Errorf("open %d consumers: %w", n, firstOf(errs))
	}
	return streams, nil
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func closeAll(streams []*wire.Stream) {
	for _, s := range streams {
		if s != nil {
			s.Close()
		}
	}
}
