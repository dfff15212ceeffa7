package engine_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/relay/engine"
)

// BenchmarkAppend is many producers with one event of about 500 bytes each at a time.
func BenchmarkAppend(b *testing.B) {
	for _, durability := range []string{"disk", "os"} {
		b.Run(durability, func(b *testing.B) {
			e := open(b, b.TempDir(), func(c *engine.Config) { c.Durability = durability })
			s := newStream(b, e)
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					var batch engine.Batch
					r := record("event", 380)
					for left.Add(-1) >= 0 {
						batch.Reset()
						batch.Add(r)
						if _, err := e.Append(context.Background(), s, &batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkAppendAtRest is the latency of one event alone.
func BenchmarkAppendAtRest(b *testing.B) {
	e := open(b, b.TempDir())
	s := newStream(b, e)
	batch := batch(record("event", 380))
	for b.Loop() {
		if _, err := e.Append(context.Background(), s, batch); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendBulk is one producer with batches of 1,000 events.
func BenchmarkAppendBulk(b *testing.B) {
	e := open(b, b.TempDir())
	s := newStream(b, e)
	var bulk engine.Batch
	for range 1000 {
		bulk.Add(record("event", 380))
	}
	b.SetBytes(int64(bulk.Bytes()))
	for b.Loop() {
		if _, err := e.Append(context.Background(), s, &bulk); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkRead replays full blocks.
func BenchmarkRead(b *testing.B) {
	e := open(b, b.TempDir(), func(c *engine.Config) { c.Durability = "os" })
	s := newStream(b, e)
	var bulk engine.Batch
	for range 2000 {
		bulk.Add(record("event", 380))
	}
	for range 50 {
		if _, err := e.Append(context.Background(), s, &bulk); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(bulk.Bytes() * 50))
	events := 0
	for b.Loop() {
		c := e.Read(s, 0)
		for {
			block, err := c.Next(context.Background())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if err := block.Each(func(engine.Offset, *engine.Record) bool { events++; return true }); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkFollow is the time from a durable event to its follower, beside the commit itself.
func BenchmarkFollow(b *testing.B) {
	e := open(b, b.TempDir())
	s := newStream(b, e)
	seen := make(chan time.Time, 16)
	_, stop, err := e.Follow(context.Background(), s, func(*engine.Block) { seen <- time.Now() })
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	batch := batch(record("event", 380))
	var late time.Duration
	for b.Loop() {
		if _, err := e.Append(context.Background(), s, batch); err != nil {
			b.Fatal(err)
		}
		done := time.Now()
		late += (<-seen).Sub(done)
	}
	b.ReportMetric(float64(late.Nanoseconds())/float64(b.N), "ns-behind-ack")
}
