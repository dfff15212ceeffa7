package export_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/delivery/export"
	"sluice/relay/registry"
)

// Windows are aligned in UTC, hold their beginning and not their end, and have an object where they have events.
func TestWindows(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.numbers()
	w.sink("out")
	w.send(st, 3) // before the exporter
	w.exporter(st, registry.ExporterSpec{PathPrefix: "level01"})
	defer w.exporting(export.Config{Open: p.open})()

	w.at(2 * time.Second)
	w.send(st, 2) // 4, 5
	w.at(10*time.Second - time.Millisecond)
	w.send(st, 1) // 6
	w.at(10 * time.Second)
	w.send(st, 1) // 7 is the next window's
	w.at(10*time.Second + 999*time.Millisecond)
	time.Sleep(50 * time.Millisecond)
	if got := p.objects(); len(got) != 0 {
		t.Errorf("%d objects before the window is settled", len(got))
	}
	w.at(11 * time.Second)
	until(t, "the first object", func() bool { return len(p.objects()) == 1 })
	w.at(35 * time.Second) // a window without events ends, and another
	until(t, "the second object", func() bool { return len(p.objects()) == 2 })
	w.send(st, 1) // 8
	w.at(41 * time.Second)
	until(t, "the third object", func() bool { return len(p.objects()) == 3 })
	wantNumbers(t, p.objects(), map[string][]int{
		name("level01/", st, 10*time.Second, 0): {4, 5, 6}, name("level01/", st, 20*time.Second, 0): {7}, name("level01/", st, 40*time.Second, 0): {8},
	})
}

// What was accepted before the end of a window and reaches the log behind what was accepted after it is the next window's: no object
// changes, nothing is lost. A clock that goes back makes no name come again.
func TestLateEvents(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.numbers()
	w.sink("out")
	w.exporter(st, registry.ExporterSpec{})
	w.at(9 * time.Second)
	w.send(st, 1)
	w.at(10 * time.Second)
	w.send(st, 1)
	w.at(9900 * time.Millisecond)
	w.send(st, 1)
	w.at(11 * time.Second)
	defer w.exporting(export.Config{Open: p.open})()
	until(t, "the first object", func() bool { return len(p.objects()) == 1 })
	w.at(5 * time.Second)
	w.send(st, 1)
	w.at(21 * time.Second)
	until(t, "the second object", func() bool { return len(p.objects()) == 2 })
	wantNumbers(t, p.objects(), map[string][]int{name("", st, 10*time.Second, 0): {1}, name("", st, 20*time.Second, 0): {2, 3, 4}})
	w.at(12 * time.Second) // back into a window that has its object
	w.send(st, 1)
	w.at(31 * time.Second)
	until(t, "the third object", func() bool { return len(p.objects()) == 3 })
	wantNumbers(t, p.objects(), map[string][]int{
		name("", st, 10*time.Second, 0): {1}, name("", st, 20*time.Second, 0): {2, 3, 4}, name("", st, 30*time.Second, 0): {5},
	})
}

// An exporter that was stopped makes up every window it missed, and one that begins with existing events all there are.
func TestCatchUp(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.numbers()
	w.sink("out")
	w.send(st, 2)
	w.exporter(st, registry.ExporterSpec{Name: "all", PathPrefix: "all", Existing: true})
	w.exporter(st, registry.ExporterSpec{Name: "new", PathPrefix: "new"})
	want := map[string][]int{name("all/", st, 10*time.Second, 0): {1, 2}}
	stop := w.exporting(export.Config{Open: p.open})
	w.at(12 * time.Second)
	w.send(st, 1)
	until(t, "the first object", func() bool { return len(p.objects()) == 1 })
	stop()
	for i := 3; i < 8; i++ {
		w.at(time.Duration(i) * 10 * time.Second)
		w.send(st, 2)
		want[name("all/", st, time.Duration(i+1)*10*time.Second, 0)] = []int{w.sent - 1, w.sent}
		want[name("new/", st, time.Duration(i+1)*10*time.Second, 0)] = []int{w.sent - 1, w.sent}
	}
	want[name("all/", st, 20*time.Second, 0)], want[name("new/", st, 20*time.Second, 0)] = []int{3}, []int{3}
	w.at(95 * time.Second)
	defer w.exporting(export.Config{Open: p.open})()
	until(t, "all objects", func() bool { return len(p.objects()) == len(want) })
	wantNumbers(t, p.objects(), want)
}

// A window that is too large is several objects of whole events, a single event that is larger has one alone.
func TestCut(t *testing.T) {
	for kind, where := range map[string]func(*testing.T) place{"folder": folderPlace, "bucket": bucketPlace} {
		t.Run(kind, func(t *testing.T) {
			w, p := newWorld(t), where(t)
			st := w.numbers()
			w.sink("out")
			w.exporter(st, registry.ExporterSpec{PathPrefix: "p"})
			w.send(st, 9) // 8 bytes each, with the line feed
			w.bulk(st, []byte(`{"n":0000000`[:5]+strings.Repeat("1", 15)+"}"), 1)
			w.send(st, 1)
			w.at(11 * time.Second)
			defer w.exporting(export.Config{Open: p.open, MaxObject: 17})()
			until(t, "all objects", func() bool { return len(p.objects()) == 7 })
			wantNumbers(t, p.objects(), map[string][]int{
				name("p/", st, 10*time.Second, 0): {1, 2}, name("p/", st, 10*time.Second, 1): {3, 4}, name("p/", st, 10*time.Second, 2): {5, 6},
				name("p/", st, 10*time.Second, 3): {7, 8}, name("p/", st, 10*time.Second, 4): {9}, name("p/", st, 10*time.Second, 5): {111111111111111},
				name("p/", st, 10*time.Second, 6): {10},
			})
		})
	}
}

// A name that another's object has is left alone.
func TestForeignObject(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	st := w.numbers()
	w.sink("out")
	first := w.exporter(st, registry.ExporterSpec{Name: "first"})
	w.send(st, 2)
	w.at(11 * time.Second)
	open := func(export.Target) (export.Store, error) { return export.OpenFolder(dir) }
	metrics := prometheus.NewRegistry()
	defer w.exporting(export.Config{Open: open, Metrics: metrics})()
	until(t, "the first object", func() bool { return len(files(t, dir)) == 1 })
	_, err := w.registry.DeleteExporter(t.Context(), st, first.Name)
	must(t, err)
	w.exporter(st, registry.ExporterSpec{Name: "second", Existing: true})
	until(t, "the second object", func() bool { return len(files(t, dir)) == 2 })
	wantNumbers(t, files(t, dir), map[string][]int{name("", st, 10*time.Second, 0): {1, 2}, name("", st, 10*time.Second, 1): {1, 2}})
	until(t, "both are counted, and what was counted of the first is gone", func() bool {
		return testutil.GatherAndCompare(metrics, strings.NewReader(`
# HELP sluice_export_objects_total Objects that exporters made or tried to, by exporter (project/stream/name; of the landing files of payloads project/stream) and result.
# TYPE sluice_export_objects_total counter
sluice_export_objects_total{exporter="default/numbers/second",result="foreign"} 1
sluice_export_objects_total{exporter="default/numbers/second",result="written"} 1
`), "sluice_export_objects_total") == nil
	})
}

// A disabled stream is not exported; enabled again, its windows are made up.
func TestDisabled(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.numbers()
	w.sink("out")
	w.exporter(st, registry.ExporterSpec{})
	w.send(st, 1)
	no, yes := false, true
	_, err := w.registry.UpdateStream(t.Context(), w.project(), st.Name, registry.StreamPatch{Enabled: &no})
	must(t, err)
	w.at(11 * time.Second)
	defer w.exporting(export.Config{Open: p.open})()
	time.Sleep(100 * time.Millisecond)
	if got := p.objects(); len(got) != 0 {
		t.Errorf("%d objects of a disabled stream", len(got))
	}
	_, err = w.registry.UpdateStream(t.Context(), w.project(), st.Name, registry.StreamPatch{Enabled: &yes})
	must(t, err)
	until(t, "the object", func() bool { return len(p.objects()) == 1 })
}

// Who may write to a bucket but not look gets everything once, too, as long as nothing breaks off.
func TestWriteOnlyBucket(t *testing.T) {
	w, b := newWorld(t), newBucket(t, writeOnly)
	st := w.numbers()
	w.sink("out")
	w.exporter(st, registry.ExporterSpec{})
	w.send(st, 2)
	w.at(11 * time.Second)
	w.send(st, 2)
	w.at(22 * time.Second)
	defer w.exporting(export.Config{Open: func(export.Target) (export.Store, error) { return export.OpenS3(b.target) }})()
	until(t, "both objects", func() bool { return len(b.objects(t)) == 2 })
	if got := numbersInOrder(t, b.objects(t)); !slices.Equal(got, upTo(4)) {
		t.Errorf("got %v", got)
	}
}
