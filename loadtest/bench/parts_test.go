//go:build parts

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every row runs against the real server, small and short: that figures come out and that the rows'
// own checks of what arrived hold. It asserts no time.
func TestEveryRowRuns(t *testing.T) {
	out := t.TempDir()
	var table, progress bytes.Buffer
	args := []string{"--runs", "1", "--seconds", "0.5", "--readers", "50", "--idle", "100", "--filtered", "300", "--events", "5000", "--out", out}
	if err := run(t.Context(), args, &table, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	t.Log(table.String())
	for _, name := range []string{"single POST", "bulk ingest", "fan-out to 50, plain", "fan-out to 50, gzip", "fan-out to 50, websocket", "server CPU, 300 readers, 200 filters", "webhook deliveries, none, 64 at once", "webhook deliveries, fifo, 1 at once", "latency p50", "latency p99", "memory per idle consumer", "10 replays of 5000 events"} {
		if !strings.Contains(table.String(), name) {
			t.Errorf("no row %q", name)
		}
	}
	kept, err := filepath.Glob(filepath.Join(out, "*"))
	if err != nil || len(kept) != 2 {
		t.Errorf("kept %v, %v", kept, err)
	}
	for _, file := range kept {
		if text, err := os.ReadFile(file); err != nil || !bytes.Contains(text, []byte("bulk ingest")) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
