package load_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/delivery"
	"sluice/delivery/load"
	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

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

// began is when worlds begin.
var began = time.Date(2026, 11, 21, 1, 59, 30, 0, time.UTC)

// world is a control plane on a real log, with a folder of landed files and a clock of its own.
type world struct {
	t        *testing.T
	clock    *clock
	dir      string
	engine   *engine.Engine
	registry *registry.Registry
	service  *load.Service
	stop     func()

	mu     sync.Mutex
	opened map[string]int // how often each file was
	hold   func(name string) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{now: began}, dir: t.TempDir(), opened: map[string]int{}}
	var err error
	w.engine, err = engine.Open(t.Context(), engine.Config{Dir: filepath.Join(w.dir, "log"), Durability: "os", MinFree: 1 << 20, Log: quiet})
	must(t, err)
	vault, err := consent.Open(t.Context(), w.engine.Cells(), consent.Config{Dir: w.dir, Log: quiet})
	must(t, err)
	w.registry, err = registry.Open(t.Context(), w.engine, vault, registry.Config{Log: quiet})
	must(t, err)
	stop := run(t, w.engine.Run, vault.Run, w.registry.Run)
	t.Cleanup(func() {
		if w.stop != nil {
			w.stop()
		}
		stop()
		if err := w.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	until(t, "the control plane is heard", func() bool { return w.registry.Ready() == nil })
	w.start()
	return w
}

// start starts the couriers, as after a restart.
func (w *world) start() {
	w.t.Helper()
	runner := delivery.New(w.engine.Cells(), delivery.Config{Alone: true, Log: quiet})
	var err error
	w.service, err = load.New(load.Config{
		Dir: filepath.Join(w.dir, "feeds"), List: w.list, Open: w.open, Cells: w.engine.Cells(), Registry: w.registry, Runner: runner,
		Poll: 2 * time.Millisecond, Now: w.clock.Now, Log: quiet,
	})
	must(w.t, err)
	stopService, stopRunner := run(w.t, w.service.Run), run(w.t, runner.Run)
	w.stop = func() {
		stopRunner()
		stopService()
		w.stop = nil
	}
}

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
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func (w *world) list(_ context.Context, st *registry.Stream, day time.Time) ([]load.Landed, error) {
	found, err := os.ReadDir(filepath.Join(w.dir, "landing", st.PublicID, day.Format(time.DateOnly)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []load.Landed
	for _, f := range found {
		info, err := f.Info()
		if err != nil {
			return nil, err
		}
		all = append(all, load.Landed{Name: path.Join(st.PublicID, day.Format(time.DateOnly), f.Name()), Size: info.Size()})
	}
	return all, err
}

func (w *world) open(_ context.Context, _ *registry.Stream, name string) (io.ReadCloser, error) {
	w.mu.Lock()
	w.opened[path.Base(name)]++
	hold := w.hold
	w.mu.Unlock()
	if hold != nil {
		if err := hold(path.Base(name)); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(filepath.Join(w.dir, "landing", name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, load.ErrNoFile
	}
	return f, err
}

// land puts a file where the landed ones are; one whose name ends in .gz is packed.
func (w *world) land(st *registry.Stream, day, name, text string) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "landing", st.PublicID, day)
	must(w.t, os.MkdirAll(dir, 0o700))
	if path.Ext(name) == ".gz" {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, err := z.Write([]byte(text))
		must(w.t, errors.Join(err, z.Close()))
		text = packed.String()
	}
	must(w.t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

func (w *world) project() *registry.Project { return w.registry.Snapshot().Project("default") }

func (w *world) stream(payload string) *registry.Stream {
	w.t.Helper()
	st, _, err := w.registry.CreateStream(w.t.Context(), w.project(), registry.StreamSpec{Name: "web", Payload: payload})
	must(w.t, err)
	return st
}

func (w *world) feed(spec registry.FeedSpec) *registry.Feed {
	w.t.Helper()
	f, err := w.registry.CreateFeed(w.t.Context(), w.project(), spec)
	must(w.t, err)
	return f
}

// orders is a feed of a name and an amount by number.
func (w *world) orders() *registry.Feed {
	return w.feed(registry.FeedSpec{Name: "orders", PrimaryKey: []string{"id"}, Columns: []registry.FeedColumn{
		{Name: "id", Path: "id"}, {Name: "name", Path: "customer.name"}, {Name: "amount", Path: "amount"},
	}})
}

func (w *world) courier(st *registry.Stream, spec registry.CourierSpec) *registry.Courier {
	w.t.Helper()
	spec.Name, spec.Stream, spec.FileTag = "daily", st.PublicID, "streaming"
	if spec.FileFormat == "" {
		spec.FileFormat = registry.FormatNDJSON
	}
	c, err := w.registry.CreateCourier(w.t.Context(), w.project(), spec)
	must(w.t, err)
	return c
}

// loading are the load operations of feeds; with truncate they are emptied first.
func loading(truncate bool, feeds ...*registry.Feed) map[string][]registry.LoadOperation {
	all := map[string][]registry.LoadOperation{}
	for _, f := range feeds {
		if truncate {
			all[f.ID] = append(all[f.ID], registry.LoadOperation{Type: "truncate"})
		}
		all[f.ID] = append(all[f.ID], registry.LoadOperation{Type: "load", File: "streaming"})
	}
	return all
}

// run runs a courier to its end.
func (w *world) run(c *registry.Courier, date string) load.RunState {
	w.t.Helper()
	asked, err := w.service.Start(w.t.Context(), c, date)
	must(w.t, err)
	return w.ended(c, asked.ID)
}

func (w *world) ended(c *registry.Courier, id string) load.RunState {
	w.t.Helper()
	var got load.RunState
	until(w.t, "the run ends", func() bool {
		now := w.registry.Snapshot().Courier(w.project(), c.ID)
		var err error
		got, err = w.service.Look(w.t.Context(), now, id)
		must(w.t, err)
		return (got.State == load.Completed || got.State == load.Failed) && len(now.Asked) == 0
	})
	return got
}

// rows gives what a query says, a line for each row.
func (w *world) rows(query string) (all []string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "feeds", "default.sqlite")+"?mode=ro")
	must(w.t, err)
	defer db.Close()
	found, err := db.Query(query)
	must(w.t, err)
	defer found.Close()
	columns, err := found.Columns()
	must(w.t, err)
	for found.Next() {
		values := make([]any, len(columns))
		at := make([]any, len(columns))
		for i := range values {
			at[i] = &values[i]
		}
		must(w.t, found.Scan(at...))
		line := ""
		for i, v := range values {
			if i > 0 {
				line += "|"
			}
			line += fmt.Sprintf("%v", v)
		}
		all = append(all, line)
	}
	must(w.t, found.Err())
	return all
}
