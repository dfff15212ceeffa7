package export_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/delivery/export"
	"sluice/relay/registry"
)

func click(customer, session string) string {
	return fmt.Sprintf(`{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0]},"producerSessionId":%q,"url":"https://example.com",`+
		`"eventType":"click","referrer":"","userAgent":"curl","conversion":0,"customer":{"id":%q},"abTests":[]}`, session, customer)
}

func (w *world) clicks(st *registry.Stream, events ...string) {
	w.t.Helper()
	w.bulk(st, []byte(strings.Join(events, "\n")), len(events))
}

// keysName is what the object of the keys of a window is called.
func keysName(st *registry.Stream, end time.Duration) string {
	return strings.Replace(strings.TrimSuffix(name("k/", st, end, 0), ".jsonl"), "-stream-", "-keys-", 1) + ".csv"
}

// The keys of each window open the events of that window, by nothing but the files; who was forgotten is not among them.
func TestExportedKeys(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.stream(registry.StreamSpec{Name: "clicks"})
	w.sink("out")
	w.exporter(st, registry.ExporterSpec{PathPrefix: "k"})
	keys := w.exporter(st, registry.ExporterSpec{PathPrefix: "k", Keys: true})
	if keys.Name != "out-clicks-keys" {
		t.Errorf("it is called %s", keys.Name)
	}
	w.clicks(st, click("anna", "s1"), click(`jörg "17", x`, "s2"), click("anna", "s1"), click("anna", "s3"))
	w.at(12 * time.Second)
	w.clicks(st, click("anna", "s1"), click("gone", "s4"))
	must(t, w.relay.Forget(t.Context(), "gone", st))
	w.at(25 * time.Second)
	w.clicks(st, click("gone", "s4"))
	w.at(41 * time.Second)
	stop := w.exporting(export.Config{Open: p.open})
	defer stop()
	until(t, "the windows are exported", func() bool { return len(p.objects()) >= 6 })
	all := p.objects()
	open := func(end time.Duration) ([]string, map[string]string) {
		t.Helper()
		customers, expires, err := openExported(all[keysName(st, end)], all[name("k/", st, end, 0)])
		must(t, err)
		return customers, expires
	}
	first, expires := open(10 * time.Second)
	if !slices.Equal(first, []string{"anna", `jörg "17", x`, "anna", "anna"}) || len(expires) != 3 {
		t.Errorf("the first window has %v under %d keys", first, len(expires))
	}
	for link, at := range expires {
		ms, err := strconv.ParseInt(at, 10, 64)
		must(t, err)
		if left := time.UnixMilli(ms).Sub(began); left <= 0 || left > 24*time.Hour {
			t.Errorf("key %s ends in %v", link, left)
		}
	}
	second, _ := open(20 * time.Second)
	if len(second) != 2 || second[0] != "anna" || !strings.HasPrefix(second[1], "A") {
		t.Errorf("the second window has %v", second)
	}
	if third, _ := open(30 * time.Second); !slices.Equal(third, []string{"gone"}) {
		t.Errorf("the third window has %v", third)
	}
}

// A killed exporter of keys leaves each object there once, and whole.
func TestKilledKeys(t *testing.T) {
	for _, step := range []string{"planned", "written", "uploaded", "committed"} {
		t.Run(step, func(t *testing.T) {
			w, p := newWorld(t), folderPlace(t)
			st := w.stream(registry.StreamSpec{Name: "clicks"})
			w.sink("out")
			w.exporter(st, registry.ExporterSpec{PathPrefix: "k", Keys: true})
			w.clicks(st, click("anna", "s1"), click("bert", "s2"))
			w.at(12 * time.Second)
			if !killAt(t, w, p, step, 0) {
				t.Fatalf("it did not come to %s", step)
			}
			defer w.exporting(export.Config{Open: p.open, MaxObject: 17})() // an object for each event
			until(t, "the keys are there", func() bool { return len(p.objects()) >= 2 })
			for name, text := range p.objects() {
				if !strings.HasPrefix(name, "k/2030-01-01T12:00:10-keys-"+st.UUID+"{") || strings.Count(string(text), "\n") != 2 {
					t.Errorf("%s holds %d lines", name, strings.Count(string(text), "\n"))
				}
			}
			if n := len(p.objects()); n != 2 {
				t.Errorf("%d objects", n)
			}
		})
	}
}

func TestKeysOfWhat(t *testing.T) {
	w := newWorld(t)
	st := w.stream(registry.StreamSpec{Name: "clicks"})
	derived := w.stream(registry.StreamSpec{DerivedFrom: "clicks", Levels: []int{0}})
	w.sink("out")
	for st, says := range map[*registry.Stream]string{derived: "those of its source clicks", w.numbers(): "takes payloads"} {
		_, err := w.registry.CreateExporter(t.Context(), st, registry.ExporterSpec{Keys: true})
		var invalid *registry.Invalid
		if !errors.As(err, &invalid) || !strings.Contains(invalid.Reason, says) {
			t.Errorf("keys of %s: %v", st.Name, err)
		}
	}
	w.exporter(st, registry.ExporterSpec{Name: "a", Keys: true})
	if _, err := w.registry.CreateExporter(t.Context(), st, registry.ExporterSpec{Name: "b", Keys: true, Interval: time.Minute}); err == nil {
		t.Error("two exporters of keys write to the same place")
	}
	w.exporter(st, registry.ExporterSpec{Name: "s"})
}
