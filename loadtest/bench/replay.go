package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/loadtest/wire"
)

const replayers = 10

// runReplay lets ten consumers read everything from a server that has just started, and takes the
// highest memory they drive it to.
func runReplay(ctx context.Context, b *bench) ([]measure, error) {
	t, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { t.end() }()
	f, err := b.newFeeder(t, 0)
	if err != nil {
		return nil, err
	}
	defer f.conn.Close()
	events := (b.replays + bulkLines - 1) / bulkLines * bulkLines
	for range events / bulkLines {
		if err := f.send(); err != nil {
			return nil, err
		}
	}
	t.Kill()
	if t.Process, err = t.Again(ctx); err != nil {
		return nil, err
	}
	if err := b.replayOnce(t, bulkLines); err != nil { // code and connections paged in
		return nil, err
	}
	before, err := t.Memory()
	if err != nil {
		return nil, err
	}
	if err := t.ResetPeak(); err != nil {
		return nil, err
	}
	wait := b.profileDuring(t, time.Second, "")
	began := time.Now()
	var wg sync.WaitGroup
	errs := make([]error, replayers)
	for i := range replayers {
		wg.Go(func() { errs[i] = b.replayOnce(t, events) })
	}
	wg.Wait()
	took := time.Since(began)
	if err := errors.Join(append(errs, wait(), ctx.Err())...); err != nil {
		return nil, err
	}
	after, err := t.Memory()
	if err != nil {
		return nil, err
	}
	return []measure{{
		Name: fmt.Sprintf("memory of %d replays of %d events", replayers, events), Unit: "MiB more",
		Value: float64(after.Peak-before.Resident) / (1 << 20), Bound: atMost, Target: 30,
		Notes: map[string]float64{"events/s": float64(replayers*events) / took.Seconds(), "resident before MiB": float64(before.Resident) / (1 << 20)},
	}}, nil
}

// replayOnce reads the first n events and holds them against their sequence.
func (b *bench) replayOnce(t *target, n int) error {
	conn, err := wire.Dial(t.Addr, time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	s, err := conn.Open(getEvents(t.Addr, t.derived, t.readToken, "from=EARLIEST", false))
	if err != nil {
		return err
	}
	var seq sequence
	got := 0
	err = wire.Lines(s, false, func(line []byte) error {
		if err := seq.check(line); err != nil {
			return err
		}
		if got++; got == n {
			return errAll
		}
		return nil
	})
	if !errors.Is(err, errAll) {
		return fmt.Errorf("%d of %d events: %w", got, n, err)
	}
	return nil
}
