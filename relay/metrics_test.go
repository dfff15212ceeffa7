package relay_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay"
	"sluice/relay/filter"
	"sluice/relay/registry"
)

// droppedBy gives the samples of sluice_dropped_events_total that are not 0, by stream and reason.
func droppedBy(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "sluice_dropped_events_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if v := m.GetCounter().GetValue(); v > 0 {
				all[labels["stream"]+" "+labels["reason"]] = v
			}
		}
	}
	return all
}

// Each event that is not shown is counted once for all who follow live, once more for who reads the log alone, under the name of the
// stream that is read; and the counts of a stream go with it.
func TestDroppedEventsAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	n := start(t, t.TempDir(), relay.Config{Metrics: reg})
	src := n.stream(registry.StreamSpec{Name: "by-hand"})
	open := n.derived("by-hand", "CUMULATIVE", 2)
	none, err := filter.New([]string{"OPEN"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	whole := n.open(relay.Spec{Stream: src})
	twins := []*relay.Reader{n.open(relay.Spec{Stream: open}), n.open(relay.Spec{Stream: open})}
	picky := n.open(relay.Spec{Stream: open, Filter: none})
	// Each asks once, and so follows live from here on.
	for _, rd := range append(twins, whole, picky) {
		nothing(t, rd)
	}
	n.bulk(src, 0, 30, 0, 1)
	n.bulk(src, 30, 50, 0, 1, 2)
	for _, rd := range twins {
		read(t, rd, 20)
	}
	read(t, whole, 50)
	nothing(t, picky)
	want := map[string]float64{"by-hand-2 consent": 30, "by-hand-2 filter": 20}
	same := func(when string) {
		t.Helper()
		got := droppedBy(t, reg)
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s is %v, want %v", when, k, got[k], v)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %v", when, got)
		}
	}
	same("live")
	read(t, n.open(relay.Spec{Stream: open, From: relay.Earliest()}), 20)
	same("after a replay of what is still shared")
	read(t, n.open(relay.Spec{Stream: open, From: relay.Earliest(), Format: relay.Offsets}), 20)
	want["by-hand-2 consent"] = 60
	same("after a replay")
	if _, err := n.registry.DeleteStream(t.Context(), n.project(), open.Name, false); err != nil {
		t.Fatal(err)
	}
	want = map[string]float64{}
	same("after the stream is gone")
}

// What lies behind a reader is counted in events, of its own stream alone, and is nothing once it has caught up.
func TestReaderStanding(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	src, other := n.stream(registry.StreamSpec{Name: "by-hand"}), n.stream(registry.StreamSpec{Name: "other"})
	open := n.derived("by-hand", "CUMULATIVE", 2)
	behind := func(rd *relay.Reader, want uint64) {
		t.Helper()
		s := rd.Standing()
		got := uint64(0)
		// The tail brings what is stored a moment later.
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			var err error
			if got, err = s.Behind(t.Context(), s.Position()); err != nil {
				t.Fatal(err)
			}
			if got == want {
				return
			}
		}
		t.Errorf("%d events are behind the reader, want %d", got, want)
	}
	live, narrow := n.open(relay.Spec{Stream: src}), n.open(relay.Spec{Stream: open})
	behind(live, 0)
	for i := range 10 {
		n.bulk(src, i*10, i*10+10, 0)
		n.bulk(other, i*10, i*10+10, 0)
	}
	behind(live, 100)
	read(t, live, 37)
	behind(live, 63)
	behind(n.open(relay.Spec{Stream: src, From: relay.Earliest()}), 100)
	read(t, live, 63)
	behind(live, 0)
	nothing(t, narrow)
	behind(narrow, 0) // everything was considered for it, nothing shown
	s := narrow.Standing()
	narrow.Close()
	if _, err := s.Behind(t.Context(), s.Position()); err != nil {
		t.Errorf("of a closed reader: %v", err)
	}
}
