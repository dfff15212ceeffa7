package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"sluice/relay"
	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/registry"
	"sluice/relay/sample"
)

// TestServer makes up the lives of mobile users and shows them to everybody who comes with the public credentials
// sample_connection:sample_connection, at /api/events. The events are a stream like any other, in a project of its own,
// so that whoever reads it resumes, filters and falls behind as with real ones. A restart goes on where it ended.
type TestServer struct {
	Seed uint64 // the same seed makes the same events
	Rate int    // events a second, 1 to MaxTestRate; 0: DefaultTestRate
}

// The rates of a test server, in events a second.
const (
	DefaultTestRate = 10
	MaxTestRate     = 10_000
)

const (
	// TestProject and TestStream are where the test server's events are.
	TestProject = "test-server"
	TestStream  = "events"

	// What is made up need not be kept long; a day lets a client that was tried yesterday go on.
	testRetention      = 24 * time.Hour
	testRetentionBytes = 1 << 30

	// testRepeat is for how long an event that was made up cannot be made up again: the relay takes it for a copy.
	testRepeat = 10*time.Minute + time.Second

	// testTick is how often the feed looks whether events are due, testBatch how many it sends at once: fewer than fit one block.
	testTick  = 10 * time.Millisecond
	testBatch = 128
)

// testFeed sends made-up events into the test server's stream. One goroutine.
type testFeed struct {
	relay  *relay.Relay
	stream *registry.Stream
	lives  *sample.Lives
	rate   int
	log    *slog.Logger
}

// openTestServer finds or makes the stream, and the place where the events go on.
func openTestServer(ctx context.Context, e *engine.Engine, reg *registry.Registry, r *relay.Relay, t TestServer, log *slog.Logger) (*testFeed, error) {
	f := &testFeed{relay: r, lives: sample.NewLives(t.Seed), rate: t.Rate, log: log}
	if f.rate == 0 {
		f.rate = DefaultTestRate
	}
	var err error
	if f.stream, err = testStream(ctx, reg); err != nil {
		return nil, fmt.Errorf("stream of the test server: %w", err)
	}
	if err := resume(ctx, e, f.stream.Log, f.lives); err != nil {
		return nil, fmt.Errorf("last event of the test server: %w", err)
	}
	return f, nil
}

func testStream(ctx context.Context, reg *registry.Registry) (*registry.Stream, error) {
	p := reg.FindProject(ctx, TestProject)
	if p == nil {
		var err error
		if p, _, err = reg.CreateProject(ctx, TestProject); errors.Is(err, registry.ErrExists) {
			p = reg.FindProject(ctx, TestProject)
		} else if err != nil {
			return nil, err
		}
	}
	if st := reg.FindStream(ctx, p, TestStream); st != nil {
		return st, nil
	}
	_, _, err := reg.CreateStream(ctx, p, registry.StreamSpec{
		Name: TestStream, Description: "Made-up events of the test server", Contract: contract.AirshipRef,
	})
	if err != nil && !errors.Is(err, registry.ErrExists) {
		return nil, err
	}
	age, size := testRetention, int64(testRetentionBytes)
	return reg.UpdateStream(ctx, p, TestStream, registry.StreamPatch{Retention: &age, RetentionBytes: &size})
}

// resume puts the lives where their seed's events ended: behind the last event there is, or, where that one is of another
// seed, behind the last one that could not be made up again yet. Otherwise they begin anew.
func resume(ctx context.Context, e *engine.Engine, s engine.Stream, lives *sample.Lives) error {
	from, err := e.SeekBack(ctx, s, 1)
	if err != nil {
		return err
	}
	found, err := resumeBehind(ctx, e, s, from, lives)
	if found || err != nil {
		return err
	}
	if from, err = e.SeekTime(ctx, s, time.Now().Add(-testRepeat)); err != nil {
		return err
	}
	_, err = resumeBehind(ctx, e, s, from, lives)
	return err
}

// resumeBehind takes the last place of the lives' seed that the feed wrote down with an event behind an offset.
func resumeBehind(ctx context.Context, e *engine.Engine, s engine.Stream, from engine.Offset, lives *sample.Lives) (found bool, err error) {
	cursor := e.Read(s, from)
	defer cursor.Close()
	for {
		block, err := cursor.Next(ctx)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return false, err
		}
		err = block.Each(func(o engine.Offset, rec *engine.Record) bool {
			if o > from && lives.Resume(rec.RequestID) {
				found = true
			}
			return true
		})
		if err != nil {
			return false, err
		}
		block.Recycle()
	}
}

// Run sends events at the rate until ctx ends. What could not be stored is sent again, the same events.
func (f *testFeed) Run(ctx context.Context) error {
	tick := time.NewTicker(max(testTick, time.Second/time.Duration(f.rate)))
	defer tick.Stop()
	due, last := 0.0, time.Now()
	var body []byte
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		// After a standstill the rate goes on as it was: nobody waits for what did not happen.
		due = min(due+now.Sub(last).Seconds()*float64(f.rate), testBatch)
		last = now
		if len(body) == 0 {
			for ; due >= 1; due-- {
				body = append(f.lives.Next(body, now), '\n')
			}
		}
		if len(body) == 0 {
			continue
		}
		res, err := f.relay.AcceptBulk(ctx, f.stream, relay.Bulk{
			Ref: []byte(contract.AirshipRef), Body: body, RequestID: f.lives.Place(), Atomic: true,
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, engine.ErrStream), errors.Is(err, engine.ErrClosed):
			f.log.Warn("the test server's stream is gone; nothing is made up any more", slog.Any("error", err))
			<-ctx.Done()
			return nil
		case err != nil:
			f.log.Warn("made-up events were not stored and are sent again", slog.Any("error", err))
			continue
		case res.Rejected > 0:
			return fmt.Errorf("%d of %d made-up events were refused: %s", res.Rejected, bytes.Count(body, []byte{'\n'}), res.Errors[0].Message)
		}
		body = body[:0]
	}
}
