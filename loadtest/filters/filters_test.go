package filters_test

import (
	"encoding/json"
	"testing"
	"time"

	"sluice/loadtest/filters"
	"sluice/relay/filter"
)

const different = 200

// The filters are what the load test says they are: different, and one event of a hundred passes one of them.
func TestFilters(t *testing.T) {
	const events = 4000
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	keys := map[string]int{}
	passed, idle := 0, 0
	decoded := make([]map[string]any, events)
	for n := range decoded {
		if err := json.Unmarshal(filters.Event(nil, n, at), &decoded[n]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range different {
		r, err := filter.Parse([]byte(`{"filters":` + filters.Filter(i) + `}`))
		if err != nil {
			t.Fatalf("filter %d: %v", i, err)
		}
		if other, ok := keys[r.Filter.Key()]; ok {
			t.Errorf("filters %d and %d are the same", other, i)
		}
		keys[r.Filter.Key()] = i
		o, before := filters.NewOracle(filters.Filter(i)), passed
		for _, e := range decoded {
			if o.Passes(e, at) {
				passed++
			}
		}
		if passed == before {
			idle++
		}
	}
	share := float64(passed) / different / events
	t.Logf("%.2f %% pass a filter on average, %d filters passed nothing", 100*share, idle)
	if share < 0.007 || share > 0.013 || idle > different/10 {
		t.Errorf("a share of %v, and %d filters that pass nothing", share, idle)
	}
}
