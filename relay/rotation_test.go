package relay_test

import (
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// A session's key turns over every 24 hours and at no other time, as the exported keys say; what was sealed before it
// stays open.
func TestKeyTurnsOver(t *testing.T) {
	var clock atomic.Int64
	begin := time.Date(2030, 5, 1, 12, 34, 0, 0, time.UTC)
	clock.Store(begin.UnixNano())
	n := start(t, t.TempDir(), relay.Config{Now: func() time.Time { return time.Unix(0, clock.Load()).UTC() }, Retention: 30 * 24 * time.Hour})
	st := n.stream(registry.StreamSpec{Name: "web"})
	n.derived("web", "CUMULATIVE", 3)
	const hours = 4 * 24
	for i := range hours {
		clock.Store(begin.Add(time.Duration(i) * time.Hour).UnixNano())
		n.accept(st, example("jane", "session-1", "secret", "n"+strconv.Itoa(i), 0, 1, 2, 3))
	}
	type shown struct {
		Meta struct {
			KeyLink   string `json:"keyLink"`
			Timestamp int64  `json:"timestamp"`
		} `json:"strmMeta"`
		Person string `json:"uniqueIdentifier"`
	}
	parse := func(name string) (all []shown) {
		from := n.registry.Snapshot().Stream(n.project(), name)
		for _, line := range read(t, n.open(relay.Spec{Stream: from, From: relay.Earliest()}), hours) {
			var e shown
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	var file strings.Builder
	_, last, err := n.engine.Bounds(t.Context(), st.Log)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Keys(t.Context(), st, engine.AfterBlock(st.Log.Since), last, func(lines []byte) error {
		file.Write(lines)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(file.String())).ReadAll()
	if err != nil || len(rows) < 5 || len(rows) > 6 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	ends := map[string]int64{}
	for i, row := range rows[1:] {
		if ends[row[0]], err = strconv.ParseInt(row[3], 10, 64); err != nil {
			t.Fatal(err)
		}
		if i > 0 && ends[row[0]]-ends[rows[i][0]] != (24*time.Hour).Milliseconds() {
			t.Errorf("a key ends %v after the one before it", time.Duration(ends[row[0]]-ends[rows[i][0]])*time.Millisecond)
		}
	}
	source := parse("web")
	for i, e := range source {
		end := ends[e.Meta.KeyLink]
		if e.Meta.Timestamp >= end || end-e.Meta.Timestamp > (24*time.Hour).Milliseconds() {
			t.Errorf("event %d at %d has a key that ends at %d", i, e.Meta.Timestamp, end)
		}
		if i == 0 {
			continue
		}
		before := source[i-1]
		over := e.Meta.Timestamp >= ends[before.Meta.KeyLink]
		if same := e.Meta.KeyLink == before.Meta.KeyLink; same == over {
			t.Errorf("event %d: the same key %t, the former one over %t", i, same, over)
		}
		if same := e.Person == before.Person; same == over {
			t.Errorf("event %d: the same ciphertext %t, the former key over %t", i, same, over)
		}
	}
	for i, e := range parse("web-3") {
		if e.Person != "jane" {
			t.Errorf("event %d shows %q", i, e.Person)
		}
	}
}
