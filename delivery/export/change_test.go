package export_test

import (
	"sync/atomic"
	"testing"
	"time"

	"sluice/delivery/export"
	"sluice/relay/registry"
)

func (w *world) change(st *registry.Stream, ex *registry.Exporter, interval time.Duration, prefix string) {
	w.t.Helper()
	_, err := w.registry.UpdateExporter(w.t.Context(), st, ex.ID, registry.ExporterPatch{Interval: &interval, PathPrefix: &prefix})
	must(w.t, err)
}

// An exporter may be given windows of another length: they are aligned to it from the next on, and each event is in one object.
func TestIntervalChanges(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.numbers()
	w.sink("out")
	ex := w.exporter(st, registry.ExporterSpec{})
	defer w.exporting(export.Config{Open: p.open})()
	object := func(n int) { t.Helper(); until(t, "an object", func() bool { return len(p.objects()) == n }) }

	w.send(st, 2)
	w.at(11 * time.Second)
	object(1)
	w.change(st, ex, 30*time.Second, "")
	w.send(st, 1) // at 11 s: of the window that ends at 30
	w.at(29 * time.Second)
	w.send(st, 1)
	w.at(31 * time.Second)
	object(2)
	w.send(st, 1)
	w.at(61 * time.Second)
	object(3)
	w.change(st, ex, 10*time.Second, "")
	w.send(st, 1)
	w.at(71 * time.Second)
	object(4)
	wantNumbers(t, p.objects(), map[string][]int{
		name("", st, 10*time.Second, 0): {1, 2}, name("", st, 30*time.Second, 0): {3, 4}, name("", st, 60*time.Second, 0): {5},
		name("", st, 70*time.Second, 0): {6},
	})
}

// An object that is being made when the prefix changes keeps its name: it may be there already, and must not be there twice.
func TestPrefixChangesWhileAnObjectIsMade(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.numbers()
	w.sink("out")
	ex := w.exporter(st, registry.ExporterSpec{PathPrefix: "old"})
	var dying atomic.Bool
	dying.Store(true)
	died := make(chan struct{})
	stop := w.exporting(export.Config{Open: func(target export.Target) (export.Store, error) {
		s, err := p.open(target)
		if dying.Load() {
			return &mortal{Store: s, at: "uploaded", die: func() { close(died) }}, err
		}
		return s, err
	}})
	w.send(st, 3)
	w.at(11 * time.Second)
	<-died
	stop()
	dying.Store(false)
	w.change(st, ex, 10*time.Second, "new")
	w.send(st, 1)
	w.at(21 * time.Second)
	defer w.exporting(export.Config{Open: p.open})()
	until(t, "the next object", func() bool { return len(p.objects()) >= 2 })
	wantNumbers(t, p.objects(), map[string][]int{
		name("old/", st, 10*time.Second, 0): {1, 2, 3}, name("new/", st, 20*time.Second, 0): {4},
	})
}

// A sink whose credentials are changed is opened again by them at once, not only when the old ones fail.
func TestSinkChanges(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.numbers()
	sink := w.sink("out")
	w.exporter(st, registry.ExporterSpec{})
	var region atomic.Value
	defer w.exporting(export.Config{Open: func(target export.Target) (export.Store, error) {
		region.Store(target.Region + string(target.Credentials))
		return p.open(target)
	}})()
	until(t, "the sink is open", func() bool { return region.Load() != nil })
	to := "eu-west-1"
	changed, err := w.registry.UpdateSink(t.Context(), sink.ID, registry.SinkPatch{Region: &to, Credentials: []byte("-again")})
	must(t, err)
	if changed.Region != to || changed.Bucket != "out" || changed.Version() == sink.Version() {
		t.Errorf("changed to %+v", changed)
	}
	until(t, "it is opened again", func() bool { return region.Load() == "eu-west-1-again" })
	w.send(st, 2)
	w.at(11 * time.Second)
	until(t, "the object", func() bool { return len(p.objects()) == 1 })
}
