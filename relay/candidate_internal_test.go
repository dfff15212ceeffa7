package relay

import (
	"testing"
	"time"

	"sluice/relay/consent"
	"sluice/relay/filter"
)

// What filters are asked of an event is the event, whatever was asked before, and costs no allocation.
func TestCandidate(t *testing.T) {
	r, st, w, _ := prepared(t)
	want := func(body string) renderer {
		q, err := filter.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return renderer{stream: st.Log.ID, format: Airship, filter: q.Filter, subset: q.Subset}
	}
	renderers := []renderer{
		want(`{"filters":{"predicates":{"scope":["body","customer"],"key":"id","value":{"is_present":true}}}}`),
		want(`{"filters":{"predicates":{"scope":["body","customer"],"key":"id","value":{"is_present":false}}}}`),
		want(`{"filters":{"types":["CUSTOM"],"predicates":{"scope":"body","key":"conversion","value":{"at_least":0}}},"subset":{"type":"PARTITION","count":1,"selection":0}}`),
	}
	v := view{vault: r.vault, stream: st.Log.ID, rule: consent.Rule{Type: consent.Source}}
	now := time.Now()
	var c candidate
	var other shown
	empty := []byte(`{}`)
	ask := func() {
		e, err := v.open(t.Context(), 4096, &w.record)
		if err != nil || e == nil {
			t.Fatal(err)
		}
		c.next()
		for i, pass := range []bool{true, false, true} {
			if renderers[i].passes(e, &c, now) != pass {
				t.Errorf("renderer %d: %t", i, !pass)
			}
		}
		other = *e
		other.json = empty
		c.next()
		for i, pass := range []bool{false, true, false} {
			if renderers[i].passes(&other, &c, now) != pass {
				t.Errorf("renderer %d of the next event: %t", i, !pass)
			}
		}
	}
	ask()
	if got := testing.AllocsPerRun(1000, ask); got > allowed(0) {
		t.Errorf("%v allocations", got)
	}
}
