package export_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/delivery/export"
	"sluice/relay/registry"
)

// mortal is a Store whose process dies at a step: from then on it does nothing any more, not even tidy up.
type mortal struct {
	export.Store
	at   string
	skip int // how often it survives the step

	mu   sync.Mutex
	dead bool
	die  func()
}

// step waits for the end of everything where the process dies.
func (m *mortal) step(ctx context.Context, at string) error {
	m.mu.Lock()
	switch {
	case m.dead:
	case at != m.at:
		m.mu.Unlock()
		return nil
	case m.skip > 0:
		m.skip--
		m.mu.Unlock()
		return nil
	default:
		m.dead = true
		m.die()
	}
	m.mu.Unlock()
	<-ctx.Done()
	return ctx.Err()
}

func (m *mortal) Look(ctx context.Context, name, upload string) (export.Found, error) {
	if err := m.step(ctx, "planned"); err != nil {
		return export.Unknown, err
	}
	return m.Store.Look(ctx, name, upload)
}

func (m *mortal) Create(ctx context.Context, name, upload string, size int64) (export.Object, error) {
	if err := m.step(ctx, "create"); err != nil {
		return nil, err
	}
	o, err := m.Store.Create(ctx, name, upload, size)
	return &mortalObject{Object: o, ctx: ctx, m: m}, err
}

func (m *mortal) Seal(ctx context.Context, upload string) error {
	if err := m.step(ctx, "committed"); err != nil {
		return err
	}
	return m.Store.Seal(ctx, upload)
}

type mortalObject struct {
	export.Object
	ctx context.Context
	m   *mortal
}

func (o *mortalObject) Write(p []byte) (int, error) {
	n, err := o.Object.Write(p)
	return n, errors.Join(err, o.m.step(o.ctx, "written"))
}

func (o *mortalObject) Commit() error {
	if err := o.m.step(o.ctx, "unseen"); err != nil {
		return err
	}
	return errors.Join(o.Object.Commit(), o.m.step(o.ctx, "uploaded"))
}

func (o *mortalObject) Abort() {
	o.m.mu.Lock()
	dead := o.m.dead
	o.m.mu.Unlock()
	if !dead {
		o.Object.Abort()
	}
}

// Killed at any step, and killed again, the objects together hold each event once, in order.
func TestKilledAtEveryStep(t *testing.T) {
	for kind, where := range map[string]func(*testing.T) place{"folder": folderPlace, "bucket": bucketPlace} {
		t.Run(kind, func(t *testing.T) {
			w, p := newWorld(t), where(t)
			st := w.numbers()
			w.sink("out")
			w.exporter(st, registry.ExporterSpec{PathPrefix: "p"})
			now := time.Duration(0)
			for _, step := range []string{"planned", "create", "written", "unseen", "uploaded", "committed"} {
				for _, skip := range []int{0, 1} {
					// Three objects of one window, and one of the next.
					w.at(now + 5*time.Second)
					w.send(st, 6)
					w.at(now + 15*time.Second)
					w.send(st, 1)
					now += 20 * time.Second
					w.at(now + time.Second)
					died := killAt(t, w, p, step, skip)
					if !died {
						t.Fatalf("it did not come to %s", step)
					}
				}
			}
			w.at(now + 15*time.Second)
			w.send(st, 1)
			w.at(now + 21*time.Second)
			defer w.exporting(export.Config{Open: p.open, MaxObject: 17})()
			until(t, "all events", func() bool { return len(numbersInOrder(t, p.objects())) >= w.sent })
			time.Sleep(50 * time.Millisecond)
			if got := numbersInOrder(t, p.objects()); !slices.Equal(got, upTo(w.sent)) {
				t.Errorf("the objects hold %v, want 1 to %d", got, w.sent)
			}
			for name := range p.objects() {
				if !strings.HasPrefix(name, "p/2030-01-01T12:") || !strings.HasSuffix(name, "}.jsonl") {
					t.Errorf("%s is there", name)
				}
			}
		})
	}
}

// killAt exports until the process dies at a step.
func killAt(t *testing.T, w *world, p place, step string, skip int) bool {
	t.Helper()
	return killed(t, func(die func()) func() {
		return w.exporting(export.Config{MaxObject: 17, Open: func(target export.Target) (export.Store, error) {
			s, err := p.open(target)
			return &mortal{Store: s, at: step, skip: skip, die: die}, err
		}})
	})
}

// killed runs what start starts until it calls die; false when it does not come to that.
func killed(t *testing.T, start func(die func()) (stop func())) bool {
	t.Helper()
	died := make(chan struct{})
	defer start(sync.OnceFunc(func() { close(died) }))()
	select {
	case <-died:
		return true
	case <-time.After(10 * time.Second):
		return false
	}
}

// What was planned under one rule and not made is shown by the rule of now, narrower or wider.
func TestViewChangesBetween(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	source := w.stream(registry.StreamSpec{Name: "people"})
	st := w.stream(registry.StreamSpec{DerivedFrom: source.Name, Levels: []int{3}, Name: "shown"})
	w.sink("out")
	w.exporter(st, registry.ExporterSpec{})
	w.bulk(source, example("ann", 3), 1)
	w.bulk(source, example("bob", 1), 1)
	w.at(11 * time.Second)
	killAt(t, w, p, "planned", 0)
	_, err := w.registry.UpdateStream(t.Context(), w.project(), st.Name, registry.StreamPatch{Levels: &[]int{1}})
	must(t, err)
	defer w.exporting(export.Config{Open: p.open})()
	until(t, "the object", func() bool { return len(p.objects()) == 1 })
	text := string(p.objects()[name("", st, 10*time.Second, 0)])
	if strings.Count(text, "\n") != 2 || !strings.Contains(text, `"uniqueIdentifier":"ann"`) || !strings.Contains(text, `"uniqueIdentifier":"bob"`) || strings.Contains(text, `"ann's secret"`) {
		t.Errorf("the object is %s", text)
	}
	// While it runs, too.
	_, err = w.registry.UpdateStream(t.Context(), w.project(), st.Name, registry.StreamPatch{Levels: &[]int{3}})
	must(t, err)
	w.bulk(source, example("ann", 3), 1)
	w.bulk(source, example("bob", 1), 1)
	time.Sleep(100 * time.Millisecond) // until the running exporter is another
	w.at(21 * time.Second)
	until(t, "the second object", func() bool { return len(p.objects()) == 2 })
	if text := string(p.objects()[name("", st, 20*time.Second, 0)]); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"ann's secret"`) {
		t.Errorf("the second object is %s", text)
	}
}

// weak is a Store that is down while it is told to be.
type weak struct {
	export.Store
	down func() bool
}

var errDown = errors.New("the store is down")

func (s weak) Look(ctx context.Context, name, upload string) (export.Found, error) {
	if s.down() {
		return export.Unknown, errDown
	}
	return s.Store.Look(ctx, name, upload)
}

// While a store is down its exporter is behind, and the metric says by how much; then everything is made up.
func TestStoreDown(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.numbers()
	w.sink("out")
	w.exporter(st, registry.ExporterSpec{Name: "ee"})
	var mu sync.Mutex
	down, asked := true, 0
	metrics := prometheus.NewRegistry()
	defer w.exporting(export.Config{Metrics: metrics, Open: func(target export.Target) (export.Store, error) {
		s, err := p.open(target)
		return weak{Store: s, down: func() bool {
			mu.Lock()
			defer mu.Unlock()
			asked++
			return down
		}}, err
	}})()
	lag := func(want string) func() bool {
		return func() bool {
			return testutil.GatherAndCompare(metrics, strings.NewReader(`
# HELP sluice_export_lag_seconds How long ago the oldest window ended whose events are not all in objects; 0: all are.
# TYPE sluice_export_lag_seconds gauge
sluice_export_lag_seconds{exporter="default/numbers/ee"} `+want+"\n"), "sluice_export_lag_seconds") == nil
		}
	}
	until(t, "no lag", lag("0"))
	w.send(st, 3)
	w.at(12 * time.Second)
	w.send(st, 3)
	until(t, "the store is asked", func() bool { mu.Lock(); defer mu.Unlock(); return asked > 0 })
	w.at(40 * time.Second)
	until(t, "a lag", lag("30"))
	mu.Lock()
	if asked > 3 {
		t.Errorf("a store that is down was asked %d times at once", asked)
	}
	down = false
	mu.Unlock()
	until(t, "both objects", func() bool { return len(p.objects()) == 2 })
	until(t, "no lag", lag("0"))
	until(t, "what it delivered is counted", func() bool {
		return testutil.GatherAndCompare(metrics, strings.NewReader(`
# HELP sluice_delivered_events_total Events written to consumers' connections, taken by webhooks' receivers, or in exported objects.
# TYPE sluice_delivered_events_total counter
sluice_delivered_events_total{kind="exporter",stream="numbers"} 6
`), "sluice_delivered_events_total") == nil
	})
	if got := numbersInOrder(t, p.objects()); !slices.Equal(got, upTo(6)) {
		t.Errorf("got %v", got)
	}
}

// A store that does not answer holds up its own exporters only, though there is room for five and it has eight.
func TestSlowStore(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.numbers()
	w.sink("slow")
	w.sink("fast")
	for _, n := range []string{"a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8"} {
		w.exporter(st, registry.ExporterSpec{Name: n, Sink: "slow", PathPrefix: n})
	}
	w.exporter(st, registry.ExporterSpec{Name: "zz", Sink: "fast", PathPrefix: "fast"})
	w.send(st, 3)
	w.at(11 * time.Second)
	stuck := make(chan struct{})
	die := sync.OnceFunc(func() { close(stuck) })
	defer w.exporting(export.Config{Memory: 5 * 3 * int64(len("{\"n\":1}\n")), Open: func(target export.Target) (export.Store, error) {
		s, err := p.open(target)
		if target.Bucket == "slow" {
			return &mortal{Store: s, at: "planned", die: die}, err
		}
		return s, err
	}})()
	<-stuck
	until(t, "the fast sink's object", func() bool { return len(p.objects()) == 1 })
	wantNumbers(t, p.objects(), map[string][]int{name("fast/", st, 10*time.Second, 0): {1, 2, 3}})
}
