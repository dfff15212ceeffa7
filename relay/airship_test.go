package relay_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"sluice/relay"
	"sluice/relay/contract"
	"sluice/relay/filter"
	"sluice/relay/registry"
)

func request(t *testing.T, body string) filter.Request {
	t.Helper()
	want, err := filter.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// Equal requests share one rendering, however they are written; each other one has its own.
func TestEqualFiltersAreRenderedOnce(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	st := n.stream(registry.StreamSpec{Name: "app", Contract: contract.AirshipRef})
	var readers []*relay.Reader
	for i, row := range []struct {
		body  string
		scope filter.Scope
		want  int
	}{
		{`{"filters":[{"types":["OPEN","CLOSE"],"latency":60000}]}`, filter.Scope{}, 1},
		{`{"filters": {"latency":60000, "types":["CLOSE","OPEN","CLOSE"]}, "start":"EARLIEST"}`, filter.Scope{}, 1},
		{`{"filters":[{"types":["OPEN","CLOSE"],"latency":60001}]}`, filter.Scope{}, 2},
		{`{}`, filter.Scope{}, 3},
		{`{"filters":[{}]}`, filter.Scope{}, 3},
		{`{}`, filter.Scope{Without: []string{"LOCATION"}}, 4},
		{`{"filters":[{}]}`, filter.Scope{Without: []string{"LOCATION"}}, 4},
		{`{}`, filter.Scope{Types: []string{"OPEN", "CLOSE"}}, 5},
		{`{}`, filter.Scope{Types: []string{"CLOSE", "OPEN"}}, 5},
		{`{"subset":{"type":"PARTITION","count":2,"selection":0}}`, filter.Scope{}, 6},
		{`{"subset":{"selection":0,"count":2,"type":"PARTITION"}}`, filter.Scope{}, 6},
	} {
		want := request(t, row.body)
		readers = append(readers, n.open(relay.Spec{Stream: st, Format: relay.Airship, Filter: want.Filter.Within(row.scope), Subset: want.Subset}))
		if got := relay.Renderings(n.Relay, st.Log.ID); got != row.want {
			t.Errorf("%d readers, with %s: %d renderings, want %d", i+1, row.body, got, row.want)
		}
	}
	n.accept(st, opened("a"))
	for i, rd := range readers[:9] {
		if got := read(t, rd, 1); len(got) != 1 {
			t.Errorf("reader %d: %q", i, got)
		}
	}
	for _, rd := range readers {
		rd.Close()
	}
	if got := relay.Renderings(n.Relay, st.Log.ID); got != 0 {
		t.Errorf("%d renderings nobody reads", got)
	}
}

// Duplicates, which a client must expect however rare, are always in the same partition, and every event is in exactly one.
func TestDuplicatesStayInTheirPartition(t *testing.T) {
	ahead := new(atomic.Int64)
	n := start(t, t.TempDir(), relay.Config{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }})
	st := n.stream(registry.StreamSpec{Name: "app", Contract: contract.AirshipRef})
	const events, parts = 60, 7
	var ids []string
	for i := range events {
		ids = append(ids, fmt.Sprintf("e%d", i))
	}
	n.send(st, events, relay.Bulk{Body: lines(ids...)})
	ahead.Store(int64(11 * time.Minute))
	n.send(st, events, relay.Bulk{Body: lines(ids...)})
	partition := map[string]int{}
	copies, used := map[string]int{}, 0
	for k := range parts {
		want := request(t, fmt.Sprintf(`{"subset":{"type":"PARTITION","count":%d,"selection":%d}}`, parts, k))
		rd := n.open(relay.Spec{Stream: st, From: relay.Earliest(), Format: relay.Airship, Subset: want.Subset})
		offsets := map[string]string{}
		for {
			c, err := rd.Next(t.Context(), 20*time.Millisecond, 1)
			if err != nil {
				t.Fatal(err)
			}
			if c == nil {
				break
			}
			var e struct{ ID, Offset string }
			if err := json.Unmarshal(c.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			c.Release()
			if was, ok := partition[e.ID]; ok && was != k {
				t.Errorf("%s is in partitions %d and %d", e.ID, was, k)
			}
			if offsets[e.ID] == e.Offset {
				t.Errorf("two copies of %s have one offset", e.ID)
			}
			partition[e.ID], offsets[e.ID] = k, e.Offset
			copies[e.ID]++
		}
		if len(offsets) > 0 {
			used++
		}
	}
	for _, id := range ids {
		if copies[id] != 2 {
			t.Errorf("%s came %d times", id, copies[id])
		}
	}
	if used < parts-2 {
		t.Errorf("only %d of %d partitions have events", used, parts)
	}
}
