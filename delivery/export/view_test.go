package export_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/delivery/export"
	"sluice/relay/registry"
	"sluice/relay/sample"
)

// example is an event of the demo contract, whose fields have levels 1, 2 and 3.
func example(person string, levels ...int) []byte {
	body, err := json.Marshal(map[string]any{
		"strmMeta":         map[string]any{"eventContractRef": sample.ExampleRef, "consentLevels": append([]int{}, levels...)},
		"uniqueIdentifier": person, "consistentValue": person + "'s session", "someSensitiveValue": person + "'s secret", "notSensitiveValue": "open",
	})
	if err != nil {
		panic(err)
	}
	return body
}

// A derived stream's objects hold what the people's consent allows; a forgotten person stays ciphertext in every window that is written
// after that, though accepted before.
func TestForgotten(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	source := w.stream(registry.StreamSpec{Name: "people"})
	st := w.stream(registry.StreamSpec{DerivedFrom: source.Name, Levels: []int{2}})
	w.sink("out")
	w.exporter(st, registry.ExporterSpec{})
	defer w.exporting(export.Config{Open: p.open})()
	for _, at := range []time.Duration{5 * time.Second, 15 * time.Second} {
		w.at(at)
		for _, event := range [][]byte{example("ann", 2), example("bob", 3), example("cyd", 1)} {
			w.bulk(source, event, 1)
		}
	}
	until(t, "the first object", func() bool { return len(p.objects()) == 1 })
	must(t, w.relay.Forget(t.Context(), "ann's session", source))
	w.at(21 * time.Second)
	until(t, "the second object", func() bool { return len(p.objects()) == 2 })

	for end, ann := range map[time.Duration]bool{10 * time.Second: true, 20 * time.Second: false} {
		text := string(p.objects()[name("", st, end, 0)])
		if strings.Count(text, "\n") != 2 || strings.Contains(text, "cyd") {
			t.Errorf("the object is %s", text)
		}
		if got := strings.Contains(text, `"uniqueIdentifier":"ann"`); got != ann {
			t.Errorf("ann is clear: %v, want %v, in %s", got, ann, text)
		}
		if !strings.Contains(text, `"uniqueIdentifier":"bob"`) || strings.Contains(text, "bob's secret") {
			t.Errorf("bob's fields are %s", text)
		}
	}
}

// What consent keeps back from an exporter is counted, once for each event, however often its object is tried, also where there is none.
func TestWithheld(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	source := w.stream(registry.StreamSpec{Name: "people"})
	st := w.stream(registry.StreamSpec{DerivedFrom: source.Name, Levels: []int{2}})
	w.sink("out")
	w.exporter(st, registry.ExporterSpec{})
	var away atomic.Bool
	away.Store(true)
	reg := prometheus.NewRegistry()
	defer w.exporting(export.Config{Metrics: reg, Retry: 5 * time.Millisecond, Open: func(to export.Target) (export.Store, error) {
		store, err := p.open(to)
		return &flaky{store, &away}, err
	}})()
	for _, event := range [][]byte{example("ann", 1), example("bob", 2), example("cyd", 0)} {
		w.bulk(source, event, 1)
	}
	w.at(11 * time.Second)
	until(t, "the object is tried three times", func() bool {
		return counted(t, reg, "sluice_export_objects_total", map[string]string{"exporter": "default/people-2/out-people-2", "result": "failed"}) > 2
	})
	away.Store(false)
	until(t, "the object", func() bool { return len(p.objects()) == 1 })
	w.bulk(source, example("dot", 1), 1)
	w.at(21 * time.Second)
	withheld := func() float64 {
		return counted(t, w.counts, "sluice_dropped_events_total", map[string]string{"stream": st.Name, "reason": "consent"})
	}
	until(t, "all is counted", func() bool { return withheld() >= 3 })
	w.bulk(source, example("eve", 2), 1)
	w.at(31 * time.Second)
	until(t, "the next object", func() bool { return len(p.objects()) == 2 })
	if n := withheld(); n != 3 {
		t.Errorf("%v events are counted as kept back, want 3", n)
	}
}

// A stream in which nobody gave consent has no objects, and does not read the same events again and again.
func TestNothingShown(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	source := w.stream(registry.StreamSpec{Name: "people"})
	st := w.stream(registry.StreamSpec{DerivedFrom: source.Name, Levels: []int{3}})
	w.sink("out")
	w.exporter(st, registry.ExporterSpec{})
	defer w.exporting(export.Config{Open: p.open})()
	for i := range 5 {
		w.at(time.Duration(i)*10*time.Second + 5*time.Second)
		w.bulk(source, example("ann", 1), 1)
	}
	w.at(55 * time.Second)
	w.bulk(source, example("ann", 3), 1)
	w.at(61 * time.Second)
	until(t, "the object", func() bool { return len(p.objects()) == 1 })
	if text := string(p.objects()[name("", st, 60*time.Second, 0)]); strings.Count(text, "\n") != 1 {
		t.Errorf("the objects are %v", p.objects())
	}
}

// A window is sent in parts: memory does not grow with it.
func TestFlatMemory(t *testing.T) {
	const event, events = 4 << 10, 12_000 // 48 MB
	var parts, bytes atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodHead:
			rw.WriteHeader(http.StatusNotFound)
		case r.URL.Query().Has("uploads"):
			_, _ = io.WriteString(rw, `<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>k</Key><UploadId>one</UploadId></InitiateMultipartUploadResult>`)
		case r.Method == http.MethodPut:
			parts.Add(1)
			bytes.Add(n)
			rw.Header().Set("ETag", `"x"`)
		default:
			_, _ = io.WriteString(rw, `<CompleteMultipartUploadResult><Bucket>bucket</Bucket><Key>k</Key><ETag>"x"</ETag></CompleteMultipartUploadResult>`)
		}
	}))
	defer server.Close()
	w := newWorld(t)
	st := w.numbers()
	w.sink("out")
	w.exporter(st, registry.ExporterSpec{})
	line := `{"n":"` + strings.Repeat("x", event-9) + "\"}\n"
	for range events / 1000 {
		w.bulk(st, []byte(strings.Repeat(line, 1000)), 1000)
	}
	debug.FreeOSMemory()
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	w.at(11 * time.Second)
	target := export.Target{Bucket: "bucket", Endpoint: server.URL, Region: "us-east-1", PathStyle: true, Credentials: []byte(keyFile)}
	defer w.exporting(export.Config{Open: func(export.Target) (export.Store, error) { return export.OpenS3(target) }})()
	var peak uint64
	until(t, "the window is there", func() bool {
		var now runtime.MemStats
		runtime.ReadMemStats(&now)
		peak = max(peak, now.HeapAlloc)
		return bytes.Load() >= event*events
	})
	if bytes.Load() != event*events || parts.Load() != 6 {
		t.Errorf("%d bytes in %d parts", bytes.Load(), parts.Load())
	}
	grown := int64(peak) - int64(before.HeapAlloc)
	t.Logf("%d MB of a window took %.1f MB of memory", event*events>>20, float64(grown)/(1<<20))
	if grown > 32<<20 {
		t.Errorf("a window of %d bytes took %d more of memory", event*events, grown)
	}
}
