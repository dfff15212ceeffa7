package export_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/delivery"
	"sluice/delivery/export"
	"sluice/relay"
	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// clock is a time that moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// world is a core on a real log, with a clock of its own, that exports when it is told to.
type world struct {
	t        *testing.T
	clock    *clock
	engine   *engine.Engine
	relay    *relay.Relay
	registry *registry.Registry
	counts   *prometheus.Registry // of the relay
	sent     int
}

// began is when worlds begin, half a second into a window of ten.
var began = time.Date(2030, 1, 1, 12, 0, 0, 500e6, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: began}, counts: prometheus.NewRegistry()}
	dir := t.TempDir()
	var err error
	w.engine, err = engine.Open(t.Context(), engine.Config{Dir: filepath.Join(dir, "log"), Durability: "os", MinFree: 1 << 20, Log: quiet})
	must(t, err)
	vault, err := consent.Open(t.Context(), w.engine.Cells(), consent.Config{Dir: dir, Now: w.clock.Now, Log: quiet})
	must(t, err)
	w.registry, err = registry.Open(t.Context(), w.engine, vault, registry.Config{MinInterval: time.Second, Log: quiet})
	must(t, err)
	w.relay = relay.New(w.engine, vault, w.registry, relay.Config{Now: w.clock.Now, Log: quiet, Metrics: w.counts})
	stop := run(t, w.engine.Run, vault.Run, w.registry.Run, w.relay.Run)
	t.Cleanup(func() {
		stop()
		if err := w.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	until(t, "the control plane is heard", func() bool { return w.registry.Ready() == nil })
	return w
}

// run runs parts until stop is called.
func run(t *testing.T, parts ...func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for _, part := range parts {
		wait.Go(func() {
			if err := part(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return func() {
		cancel()
		wait.Wait()
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func (w *world) project() *registry.Project { return w.registry.Snapshot().Project("default") }

func (w *world) stream(spec registry.StreamSpec) *registry.Stream {
	w.t.Helper()
	st, _, err := w.registry.CreateStream(w.t.Context(), w.project(), spec)
	must(w.t, err)
	return st
}

// numbers is a stream of events that are only numbered.
func (w *world) numbers() *registry.Stream {
	return w.stream(registry.StreamSpec{Name: "numbers", Payload: "json"})
}

func (w *world) sink(name string) *registry.Sink {
	w.t.Helper()
	s, err := w.registry.CreateSink(w.t.Context(), w.project(), registry.SinkSpec{Name: name, Type: export.TypeFolder, Bucket: name})
	must(w.t, err)
	return s
}

func (w *world) exporter(st *registry.Stream, spec registry.ExporterSpec) *registry.Exporter {
	w.t.Helper()
	if spec.Interval == 0 {
		spec.Interval = 10 * time.Second
	}
	e, err := w.registry.CreateExporter(w.t.Context(), st, spec)
	must(w.t, err)
	return e
}

// at sets the clock to so long after the beginning of the first window.
func (w *world) at(d time.Duration) { w.clock.set(began.Truncate(time.Second).Add(d)) }

// send accepts so many numbered events.
func (w *world) send(st *registry.Stream, n int) {
	w.t.Helper()
	var body bytes.Buffer
	for range n {
		w.sent++
		fmt.Fprintf(&body, "{\"n\":%d}\n", w.sent)
	}
	w.bulk(st, body.Bytes(), n)
}

func (w *world) bulk(st *registry.Stream, body []byte, n int) {
	w.t.Helper()
	got, err := w.relay.AcceptBulk(w.t.Context(), st, relay.Bulk{Body: body})
	must(w.t, err)
	if got.Accepted != n {
		w.t.Fatalf("%d of %d were accepted: %v", got.Accepted, n, got.Errors)
	}
}

// exporting runs all exporters of the world, as a node would, until stop is called; what is in hand then is cut.
func (w *world) exporting(cfg export.Config) (stop func()) {
	w.t.Helper()
	_, stop = w.begin(cfg)
	return stop
}

// exports is exporting whose Exports can be asked; it runs until the test ends.
func (w *world) exports(cfg export.Config) *export.Exports {
	w.t.Helper()
	x, stop := w.begin(cfg)
	w.t.Cleanup(stop)
	return x
}

func (w *world) begin(cfg export.Config) (x *export.Exports, stop func()) {
	w.t.Helper()
	runner := delivery.New(w.engine.Cells(), delivery.Config{Alone: true, Grace: time.Millisecond, Log: quiet})
	cfg.Engine, cfg.Relay, cfg.Registry, cfg.Runner = w.engine, w.relay, w.registry, runner
	cfg.Now, cfg.Poll, cfg.Log = w.clock.Now, 2*time.Millisecond, quiet
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	x, err := export.New(cfg)
	must(w.t, err)
	return x, sync.OnceFunc(run(w.t, runner.Run, x.Run))
}

// place is where a test exports to.
type place struct {
	open    func(export.Target) (export.Store, error)
	objects func() map[string][]byte
}

func folderPlace(t *testing.T) place {
	dir := t.TempDir()
	return place{
		open:    func(export.Target) (export.Store, error) { return export.OpenFolder(dir) },
		objects: func() map[string][]byte { return files(t, dir) },
	}
}

func bucketPlace(t *testing.T) place {
	b := newBucket(t, nil)
	return place{
		open:    func(export.Target) (export.Store, error) { return export.OpenS3(b.target) },
		objects: func() map[string][]byte { return b.objects(t) },
	}
}

// name is what the object of the window that ends so long after the beginning of the first is called.
func name(prefix string, st *registry.Stream, end time.Duration, n int) string {
	t := began.Truncate(time.Second).Add(end).Format("2006-01-02T15:04:05")
	return fmt.Sprintf("%s%s-stream-%s{%d}.jsonl", prefix, t, st.UUID, n)
}

// wantNumbers holds objects to the numbers each must have; nothing else may be there.
func wantNumbers(t *testing.T, got map[string][]byte, want map[string][]int) {
	t.Helper()
	for at, numbers := range want {
		if have := numbersOf(t, got[at]); !slices.Equal(have, numbers) {
			t.Errorf("%s has %v, want %v", at, have, numbers)
		}
	}
	for at := range got {
		if want[at] == nil {
			t.Errorf("%s is there, with %s", at, got[at])
		}
	}
}

func numbersOf(t *testing.T, object []byte) []int {
	t.Helper()
	var all []int
	for line := range strings.Lines(string(object)) {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(line, `{"n":`), "}\n"))
		if err != nil {
			t.Fatalf("a line is %q", line)
		}
		all = append(all, n)
	}
	return all
}

// numbersInOrder are those of all objects, in the order of their names' windows and numbers.
func numbersInOrder(t *testing.T, objects map[string][]byte) []int {
	t.Helper()
	key := func(name string) string {
		at, index, _ := strings.Cut(strings.TrimSuffix(name, "}.jsonl"), "{")
		return at + fmt.Sprintf("%9s", index)
	}
	var all []int
	for _, name := range slices.SortedFunc(maps.Keys(objects), func(a, b string) int { return strings.Compare(key(a), key(b)) }) {
		all = append(all, numbersOf(t, objects[name])...)
	}
	return all
}

// upTo is 1 to n.
func upTo(n int) []int { return span(1, n) }

func span(from, to int) []int {
	all := make([]int, 0, to-from+1)
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}
