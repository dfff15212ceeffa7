//go:build parts

package consent_test

import (
	"fmt"
	"testing"
	"time"

	"sluice/relay/consent"
)

// Ten thousand people of one era are forgotten: what it takes in storage and time, and that it is nothing to anybody else. The
// times are told, not judged; what is stored is held to its bound.
func TestForgetTenThousand(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	var names []string
	var gone []event
	for i := range 10_000 {
		names = append(names, fmt.Sprint("person-", i))
		gone = append(gone, h.seal(s, names[i], "session"))
	}
	var kept []event
	for i := range 1000 {
		kept = append(kept, h.seal(s, fmt.Sprint("other-", i), "session"))
	}
	// cold is what one key takes that no cache has.
	cold := func() time.Duration {
		h.vault.DropCaches()
		h.opens(kept[0]) // the tree's parts are there
		began := time.Now()
		h.opens(kept...)
		return time.Since(began) / time.Duration(len(kept))
	}
	before := cold()
	began := time.Now()
	h.forget(s, names...)
	took := time.Since(began)
	after := cold()
	h.forgotten(gone...)
	cells, err := h.log.Cells().List(t.Context(), consent.PartPrefix(s))
	if err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for _, c := range cells {
		bytes += len(c.Value)
	}
	t.Logf("forgetting 10,000 people took %v; it stores %d bytes in %d cells, %d a person; another's key took %v before and %v after",
		took, bytes, len(cells), bytes/10_000, before, after)
	if bytes > 20<<20 {
		t.Errorf("%d bytes are stored", bytes)
	}
	h.reopen()
	h.forgotten(gone[:100]...)
	h.opens(kept...)
}
