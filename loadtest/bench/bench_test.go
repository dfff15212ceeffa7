package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/loadtest/server"
	"sluice/loadtest/wire"
	"sluice/relay/sample"
)

// A floor is this test binary started again.
func TestMain(m *testing.M) {
	if os.Getenv(floorEnv) != "" {
		if err := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func small(t *testing.T) *bench {
	t.Helper()
	o, err := parse([]string{"--seconds", "0.05", "--readers", "20", "--people", "10"}, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{options: o, name: "test", dir: t.TempDir()}
}

func TestPostFloorAnswers(t *testing.T) {
	b := small(t)
	f, err := startFloor(t.Context(), "post")
	if err != nil {
		t.Fatal(err)
	}
	defer f.end()
	p, err := b.newPosters(f.addr, "none", f.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for range 2 {
		if err := p.run(t.Context(), b.duration()); err != nil {
			t.Fatal(err)
		}
	}
	times := p.times()
	if p.rate() < 100 || p.acknowledged < singleConns || len(times) != p.counted || percentile(times, 0.5) <= 0 || p.took != 2*b.duration() || p.cpu <= 0 {
		t.Errorf("%v requests/s, %d acknowledged, %d counted, %d times, CPU %s", p.rate(), p.acknowledged, p.counted, len(times), p.cpu)
	}
}

func TestPostStopsAtTheFirstRefusal(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no such thing", http.StatusBadRequest)
	}))
	defer srv.Close()
	p, err := small(t).newPosters(strings.TrimPrefix(srv.URL, "http://"), "none", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.run(t.Context(), time.Minute); err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("%v", err)
	}
}

// recorded is what a consumer got: events 1 to n of one producer, all but the one left out.
func recorded(n, leftOut uint64, gz bool) []byte {
	var out bytes.Buffer
	chunks := httputil.NewChunkedWriter(&out)
	z := gzip.NewWriter(chunks)
	g := sample.New(1, 10)
	for i := uint64(1); i <= n; i++ {
		if i == leftOut {
			continue
		}
		line := append(g.SeedLine(nil, sample.Marker{Producer: 3, N: i}), '\n')
		if gz {
			z.Write(line)
			z.Flush()
		} else {
			chunks.Write(line)
		}
	}
	return out.Bytes()
}

func TestStreamFloorGivesEveryConsumerTheRecording(t *testing.T) {
	const events = 2000
	for _, tt := range []struct {
		name    string
		gzip    bool
		leftOut uint64
	}{{"plain", false, 0}, {"gzip", true, 0}, {"one event missing", true, 1000}} {
		t.Run(tt.name, func(t *testing.T) {
			b := small(t)
			content := recorded(events, tt.leftOut, tt.gzip)
			file := filepath.Join(b.dir, map[bool]string{false: "r", true: "r.gz"}[tt.gzip])
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := startFloor(t.Context(), floorArgs(file, b.readers)...)
			if err != nil {
				t.Fatal(err)
			}
			defer f.end()
			got, recording, err := b.consume(f.addr, openFloorStreams(f.addr), tt.gzip, func(*progress) (uint64, error) { return events, f.begin() })
			if tt.leftOut > 0 {
				if err == nil || !strings.Contains(err.Error(), "event 1001 of producer 3 came after 999") {
					t.Fatalf("a gap was not seen: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(recording, content) || got.bytes != uint64(b.readers*len(content)) || got.evenness != 100 || got.rate() <= 0 {
				t.Errorf("%+v, recorded %d of %d bytes", got, len(recording), len(content))
			}
		})
	}
}

func TestFeederCountsUpAndWantsAllAccepted(t *testing.T) {
	var seq sequence
	var lines atomic.Int64
	accept := bulkLines
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		body.ReadFrom(r.Body)
		for line := range bytes.Lines(body.Bytes()) {
			lines.Add(1)
			if err := seq.check(line); err != nil || !json.Valid(line) {
				t.Errorf("%v in %s", err, line)
			}
		}
		answer, _ := json.Marshal(map[string]int{"accepted": accept})
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		w.Write(answer)
	}))
	defer srv.Close()
	b := small(t)
	tg := &target{Process: &server.Process{Addr: strings.TrimPrefix(srv.URL, "http://")}, stream: "s"}
	f, err := b.newFeeder(tg, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer f.conn.Close()
	for range 6 {
		if err := f.send(); err != nil {
			t.Fatal(err)
		}
	}
	if lines.Load() != 6*bulkLines || seq.last[7] != 6*bulkLines {
		t.Errorf("%d lines, last %d", lines.Load(), seq.last[7])
	}
	accept--
	if err := f.send(); err == nil {
		t.Error("a rejected line passed")
	}
}

func TestPaceKeepsTheRate(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer srv.Close()
	b, addr := small(t), strings.TrimPrefix(srv.URL, "http://")
	conn, err := wire.Dial(addr, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent, began := make([]atomic.Int64, 11), time.Now()
	answers, err := pace(t.Context(), conn, b.seedRequests(addr, "none", 2), 2, began, sent)
	if err != nil || len(answers) != 10 || slices.Min(answers) <= 0 {
		t.Fatalf("answers after %v µs, %v", answers, err)
	}
	// Connection 2 of 16 is due 2 ms after the start and then each 16 ms, and never earlier.
	for n := 1; n < len(sent); n++ {
		due := 2*time.Millisecond + time.Duration(n-1)*16*time.Millisecond
		if at := time.Duration(sent[n].Load()); at < due {
			t.Errorf("event %d went out %v after the start, it was due at %v", n, at, due)
		}
	}
}

func TestFloorsInProcess(t *testing.T) {
	b := small(t)
	key, err := b.sealingKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, newSeal := range []func() sealer{ownSealer(key), tinkSealer} {
		rate, err := b.checkAndSeal(newSeal, 50*time.Millisecond)
		if err != nil || rate < 1000 {
			t.Errorf("%v events/s, %v", rate, err)
		}
	}
	times, err := b.syncFloor(20 * time.Millisecond)
	if err != nil || len(times) == 0 || times[0] <= 0 {
		t.Errorf("%d syncs, %v", len(times), err)
	}
}

func TestMarkersAreFound(t *testing.T) {
	line := sample.New(1, 1).SeedLine(nil, sample.Marker{Producer: 42, N: 1234567890})
	if p, n, ok := markerIn(line); p != 42 || n != 1234567890 || !ok {
		t.Errorf("%d %d %v", p, n, ok)
	}
	for _, line := range []string{``, `{}`, `{"userAgent":"p00`, `{"userAgent":"Mozilla/5.0 (X11; Linux)"}`} {
		if _, _, ok := markerIn([]byte(line)); ok {
			t.Errorf("a marker in %s", line)
		}
	}
}

func TestResultsShowMediansAndVerdicts(t *testing.T) {
	o, _ := parse([]string{"--only", "single,idle"}, os.Stderr)
	r := newResults(t.Context(), o)
	for _, v := range []float64{500, 700, 200} {
		r.add([]measure{
			{Name: "a", Floor: "f", Unit: "x/s", Value: v, Base: 1000, Bound: atLeast, Target: 0.6, Notes: map[string]float64{"n": v}},
			{Name: "b", Unit: "KiB", Value: v, Bound: atMost, Target: 600},
		})
	}
	table := r.markdown()
	for _, want := range []string{
		"| a | 500 x/s | 1000 x/s (f) | 0.50 | 0.20 – 0.70 | ≥ 0.60 | **short** |",
		"| b | 500 KiB | – | – | 200 – 700 | ≤ 600 | met |",
		"- a: n 500\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	path, err := r.save(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(strings.TrimSuffix(path, ".md") + ".json")
	var back results
	if err != nil || json.Unmarshal(text, &back) != nil || len(back.Rows) != 2 || len(back.Rows[0].Runs) != 3 || back.Machine.Cores == 0 {
		t.Errorf("%s: %s", path, text)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"--only", "nothing"}, {"--runs", "0"}, {"--seconds", "-1"}, {"extra"}, {"--nonsense"}} {
		if _, err := parse(args, &bytes.Buffer{}); err == nil {
			t.Errorf("%v passed", args)
		}
	}
}
