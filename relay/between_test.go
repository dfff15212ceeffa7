package relay_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Between shows exactly what lies behind one offset up to another, whatever blocks it lies in.
func TestBetween(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	st := n.stream(registry.StreamSpec{Name: "web", Payload: "json"})
	const blocks, each = 5, 4
	for b := range blocks {
		var body strings.Builder
		for i := range each {
			fmt.Fprintf(&body, "{\"n\":%d}\n", b*each+i)
		}
		if _, err := n.AcceptBulk(t.Context(), st, relay.Bulk{Body: []byte(body.String())}); err != nil {
			t.Fatal(err)
		}
	}
	var offsets []engine.Offset
	cursor := n.engine.Read(st.Log, 0)
	for len(offsets) < blocks*each {
		block, err := cursor.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := block.Each(func(o engine.Offset, _ *engine.Record) bool { offsets = append(offsets, o); return true }); err != nil {
			t.Fatal(err)
		}
	}
	cursor.Close()
	at := func(i int) engine.Offset {
		if i < 0 {
			return 0
		}
		return offsets[i]
	}
	for from := -1; from < len(offsets); from++ {
		for to := from; to < len(offsets); to++ {
			var got, want []string
			for i := from + 1; i <= to; i++ {
				want = append(want, fmt.Sprintf("{\"n\":%d}\n", i))
			}
			err := n.Between(t.Context(), st, at(from), at(to), func(lines []byte) error {
				got = append(got, slices.Collect(strings.Lines(string(lines)))...)
				return nil
			})
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("behind %d up to %d it shows %q, %v", from, to, got, err)
			}
		}
	}
	stop := errors.New("enough")
	if err := n.Between(t.Context(), st, 0, at(3), func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("what its function says becomes %v", err)
	}
}
