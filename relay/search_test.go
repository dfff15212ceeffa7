package relay_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/relay"
	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/filter"
	"sluice/relay/registry"
)

// slow is a filter that no event passes and each keeps busy.
func slow(t *testing.T) *filter.Filter {
	t.Helper()
	var all []string
	for i := range 400 {
		all = append(all, fmt.Sprintf(`{"scope":["body","context"],"key":"k%d","value":{"equals":"%d"}}`, i, i))
	}
	return request(t, `{"filters":{"predicates":[`+strings.Join(all, ",")+`]}}`).Filter
}

// A reader that searches a long log for what is not there says so from time to time, with the place it has come to:
// its client, who gives up on a silent connection and begins anew, hears of it. Others have their turn meanwhile.
func TestSearchIsNotSilent(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	st := n.stream(registry.StreamSpec{Name: "app", Contract: contract.AirshipRef})
	const perBlock, blocks = 100, 40
	for k := range blocks {
		var body strings.Builder
		for i := range perBlock {
			fmt.Fprintf(&body, `{"id":"e%d-%d","type":"CUSTOM","occurred":%q,"body":{"name":"n","context":{%s"z":1}}}`+"\n",
				k, i, time.Now().UTC().Format(time.RFC3339Nano), strings.Repeat(`"some":"thing",`, 40))
		}
		n.send(st, perBlock, relay.Bulk{Body: []byte(body.String())})
	}
	_, end, err := n.engine.Bounds(t.Context(), st.Log)
	if err != nil {
		t.Fatal(err)
	}
	// More of them than may read at once, so that some wait for their turn.
	type told struct {
		signs int
		took  time.Duration
		last  engine.Offset
		err   error
	}
	heard := make(chan told)
	const readers = 5
	for i := range readers {
		rd := n.open(relay.Spec{Stream: st, From: relay.Earliest(), Format: relay.Airship, Filter: slow(t)})
		go func() {
			var h told
			began := time.Now()
			for h.err == nil && h.last < end {
				c, err := rd.Next(t.Context(), time.Millisecond, 0)
				if c != nil {
					err = fmt.Errorf("reader %d was shown %s", i, c.Bytes())
				}
				if p := rd.Position(); p < h.last {
					err = fmt.Errorf("reader %d went back from %s to %s", i, h.last, p)
				} else if p < end {
					h.signs++
					h.last = p
				} else {
					h.last = p
				}
				h.err = err
			}
			h.took = time.Since(began)
			heard <- h
		}()
	}
	for range readers {
		h := <-heard
		if h.err != nil {
			t.Fatal(h.err)
		}
		// A machine that searches all of it in no time has nothing to say on the way.
		if h.signs == 0 && h.took > 600*time.Millisecond {
			t.Errorf("no sign of life in %v on the way to %s", h.took, h.last)
		}
	}
}
