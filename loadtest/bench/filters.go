package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sluice/loadtest/filters"
)

const (
	filtersDifferent = 200
	filtersRate      = 5000 // events a second
	filtersCounted   = 8    // connections without a filter that unpack and count; with filters that is one of each
)

// runFilters divides the server's CPU for connections of /api/events with many different filters by what the same
// number without filters takes, at the same rate. Without, everybody is sent a hundred times as much.
func runFilters(ctx context.Context, b *bench) ([]measure, error) {
	var texts []string
	for i := range min(filtersDifferent, b.filtered) {
		texts = append(texts, filters.Filter(i))
	}
	with, err := b.filters(ctx, texts, len(texts))
	if err != nil {
		return nil, fmt.Errorf("with filters: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(b.dir, "data")); err != nil {
		return nil, err
	}
	without, err := b.filters(ctx, nil, min(filtersCounted, b.filtered))
	if err != nil {
		return nil, fmt.Errorf("without filters: %w", err)
	}
	perEvent := func(r filters.Result) float64 { return float64(r.CPU.Microseconds()) / float64(len(r.Sent)) }
	rate := func(r filters.Result) float64 { return float64(len(r.Sent)) / r.Took.Seconds() }
	passed, behind := 0, time.Duration(0)
	for _, got := range with.Readers[:len(texts)] {
		passed += got.Events
		behind = max(behind, got.Behind)
	}
	return []measure{{
		Name: fmt.Sprintf("server CPU, %d readers, %d filters", b.filtered, len(texts)), Floor: "the same readers without filters", Unit: "µs/event",
		Value: perEvent(with), Base: perEvent(without), Bound: atMost, Target: 1,
		Notes: map[string]float64{
			"events/s": rate(with), "events/s without": rate(without), "% of the events pass": 100 * float64(passed) / float64(len(texts)*len(with.Sent)),
			"behind at most ms": float64(behind.Milliseconds()), "peak MiB": float64(with.Memory.Peak) / (1 << 20), "peak MiB without": float64(without.Memory.Peak) / (1 << 20),
		},
	}}, nil
}

// filters runs one server. Of the connections the first few count events; the run fails when one of them that has no
// filter misses any.
func (b *bench) filters(ctx context.Context, texts []string, counted int) (filters.Result, error) {
	t, err := b.start(ctx)
	if err != nil {
		return filters.Result{}, err
	}
	defer t.end()
	stream, err := t.CreateStream(ctx, "filters")
	if err != nil {
		return filters.Result{}, err
	}
	suffix := "-with"
	if texts == nil {
		suffix = "-without"
	}
	wait := b.profileDuring(t, b.duration(), suffix)
	l := filters.Load{Server: t.Process, Stream: stream, Filters: texts, Readers: b.filtered, Rate: filtersRate, For: b.duration(), Counted: counted}
	r, err := l.Run(ctx, func(_ int, sent []time.Time) int {
		if texts == nil {
			return len(sent) - filters.Locations(len(sent))
		}
		return 0 // what passes a filter is held to an oracle by the package's own test
	})
	if err != nil {
		return r, err
	}
	return r, wait()
}
