package export_test

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/delivery/export"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// A sink that is away for longer than the stream keeps its events: what is lost is counted while it is away, each event once, also what was
// planned; what is not lost is exported.
func TestExpired(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st, reg := w.numbers(), prometheus.NewRegistry()
	ex := w.exporter(st, registry.ExporterSpec{Name: "lines", Sink: w.sink("files").Name})
	var away atomic.Bool
	open := func(to export.Target) (export.Store, error) {
		store, err := p.open(to)
		return &flaky{store, &away}, err
	}
	x := w.exports(export.Config{Open: open, Landing: "landing", Metrics: reg, Retry: 5 * time.Millisecond})
	lost := func(exporter string) float64 {
		return counted(t, reg, "sluice_export_undelivered_events_total", map[string]string{"exporter": exporter, "reason": "expired"})
	}

	w.send(st, 3)
	w.at(61 * time.Second)
	until(t, "the first minute", func() bool { return len(p.objects()) == 3 })
	away.Store(true)
	w.send(st, 4)
	w.at(121 * time.Second)
	for _, e := range []string{"default/numbers/lines", "default/numbers"} {
		until(t, "an object of "+e+" is planned", func() bool {
			return counted(t, reg, "sluice_export_objects_total", map[string]string{"exporter": e, "result": "failed"}) > 0
		})
	}
	must(t, w.engine.Trim(t.Context(), st.Log, engine.Keep{Age: time.Nanosecond}))
	until(t, "what was lost is counted when nothing is left", func() bool { return lost("default/numbers/lines") == 4 && lost("default/numbers") == 4 })
	w.send(st, 5)
	must(t, w.engine.Trim(t.Context(), st.Log, engine.Keep{Age: time.Nanosecond}))
	w.send(st, 2)
	until(t, "what the exporter lost is counted", func() bool { return lost("default/numbers/lines") == 9 })
	until(t, "what the landing lost is counted", func() bool { return lost("default/numbers") == 9 })
	away.Store(false)
	w.at(181 * time.Second)
	until(t, "what was left is exported", func() bool { return len(p.objects()) == 6 })
	if n, m := lost("default/numbers/lines"), lost("default/numbers"); n != 9 || m != 9 {
		t.Errorf("%v and %v events are counted as lost, want 9", n, m)
	}
	for end, got := time.Now().Add(15*time.Second), (export.Progress{}); got.Expired != 9; time.Sleep(2 * time.Millisecond) {
		var err error
		got, err = x.Reached(t.Context(), ex)
		must(t, err)
		if time.Now().After(end) {
			t.Fatalf("the exporter says %+v", got)
		}
	}
	landing, ok, err := x.ReachedLanding(t.Context(), st)
	must(t, err)
	if !ok || landing.Expired != 9 {
		t.Errorf("the landing says %+v", landing)
	}
}

// flaky is a store that is away from time to time.
type flaky struct {
	export.Store
	away *atomic.Bool
}

func (f *flaky) Look(ctx context.Context, name, upload string) (export.Found, error) {
	if f.away.Load() {
		return export.Unknown, errors.New("the store is away")
	}
	return f.Store.Look(ctx, name, upload)
}

// counted is the value of a counter; 0 where it has none.
func counted(t *testing.T, reg *prometheus.Registry, name string, labels map[string]string) float64 {
	t.Helper()
	all, err := reg.Gather()
	must(t, err)
	for _, family := range all {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.Metric {
			have := map[string]string{}
			for _, l := range m.Label {
				have[l.GetName()] = l.GetValue()
			}
			if maps.Equal(have, labels) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}
