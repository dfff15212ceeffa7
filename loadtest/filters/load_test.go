//go:build parts

package filters_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/loadtest/filters"
	"sluice/loadtest/server"
)

func scaled[T any](short, long T) T {
	if os.Getenv("LOADTEST_FULL") != "" { // asked for here, so that a cached result is one of the same length
		return long
	}
	return short
}

// start runs a server with one stream.
func start(t *testing.T) (*server.Process, server.Stream) {
	t.Helper()
	dir := t.TempDir()
	binary := os.Getenv("LOADTEST_BINARY")
	if binary == "" {
		var err error
		if binary, err = server.Build(t.Context(), dir, false); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the server's log ends:\n%s", text[max(0, len(text)-4000):])
		}
	})
	p, err := server.Start(t.Context(), server.Config{Binary: binary, Data: filepath.Join(dir, "data"), Stderr: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	s, err := p.CreateStream(t.Context(), "filters")
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

// verdicts are, for each of the filters, the numbers of the events that pass it by the oracle, and the events' texts.
func verdicts(t *testing.T, texts []string, sent []time.Time) (passes [][]int, bodies []string) {
	passes, bodies = make([][]int, len(texts)), make([]string, len(sent))
	parts := runtime.GOMAXPROCS(0)
	found := make([][][]int, parts)
	var wg sync.WaitGroup
	for part := range parts {
		wg.Go(func() {
			oracles := make([]filters.Oracle, len(texts))
			for i, text := range texts {
				oracles[i] = filters.NewOracle(text)
			}
			mine := make([][]int, len(texts))
			for n := part * len(sent) / parts; n < (part+1)*len(sent)/parts; n++ {
				text := filters.Event(nil, n, sent[n])
				bodies[n] = string(text)
				var event map[string]any
				if err := json.Unmarshal(text, &event); err != nil {
					t.Error(err)
					return
				}
				for i, o := range oracles {
					if o.Passes(event, sent[n]) {
						mine[i] = append(mine[i], n)
					}
				}
			}
			found[part] = mine
		})
	}
	wg.Wait()
	for _, mine := range found {
		for i := range mine {
			passes[i] = append(passes[i], mine[i]...)
		}
	}
	return passes, bodies
}

// Many connections with different filters get exactly what theirs passes, in order, soon, and the server does not
// grow: one connection of each filter is checked event by event, the others by count.
func TestManyFilters(t *testing.T) {
	p, stream := start(t)
	texts := make([]string, different)
	for i := range texts {
		texts[i] = filters.Filter(i)
	}
	l := filters.Load{
		Server: p, Stream: stream, Filters: texts, Readers: scaled(400, 2000), Rate: scaled(1500, 5000), For: scaled(4*time.Second, time.Minute),
		Checked: different,
	}
	l.Counted = l.Readers - l.Checked
	var passes [][]int
	var bodies []string
	r, err := l.Run(t.Context(), func(reader int, sent []time.Time) int {
		if passes == nil {
			passes, bodies = verdicts(t, texts, sent)
		}
		return len(passes[reader%different])
	})
	if err != nil {
		t.Fatal(err)
	}
	behind, delivered := time.Duration(0), 0
	for i, got := range r.Readers {
		want := passes[i%different]
		delivered += got.Events
		behind = max(behind, got.Behind)
		if got.Events != len(want) {
			t.Errorf("connection %d got %d events, not %d", i, got.Events, len(want))
		}
		if i < different {
			same(t, i, got.Kept, want, bodies)
		}
	}
	t.Logf("%d events in %s, %.2f %% of them to each of %d connections; the slowest was %s behind; the server used %s of CPU, %d MiB with all connections open and at most %d MiB",
		len(r.Sent), r.Took.Round(time.Millisecond), 100*float64(delivered)/float64(len(r.Sent)*l.Readers), l.Readers, behind.Round(time.Millisecond),
		r.CPU.Round(10*time.Millisecond), r.Opened.Resident>>20, r.Memory.Peak>>20)
	if most := scaled(30*time.Second, time.Second); behind > most {
		t.Errorf("a connection was %s behind", behind)
	}
	if took := r.Took - l.For; took > scaled(30*time.Second, time.Second) {
		t.Errorf("to send took %s longer than it should", took)
	}
	// What renderings may hold together is 64 MiB; as much again is garbage that waits for its collection, and the log's own buffers.
	if grown := r.Memory.Peak - r.Opened.Resident; grown > 256<<20 {
		t.Errorf("the server grew by %d MiB", grown>>20)
	}
}

// same holds what a connection got against what passes.
func same(t *testing.T, connection int, got []filters.Kept, want []int, bodies []string) {
	t.Helper()
	if len(got) != len(want) {
		return // told already
	}
	for i, n := range want {
		if got[i].Number != n {
			t.Errorf("connection %d got event %d in place of %d", connection, got[i].Number, n)
			return
		}
		// An event ends as it was sent, with all that its producer said beside id, type and time.
		if !strings.HasSuffix(bodies[n], `Z",`+got[i].Rest) {
			t.Errorf("connection %d got event %d as %s\nof %s", connection, n, got[i].Rest, bodies[n])
			return
		}
	}
}
