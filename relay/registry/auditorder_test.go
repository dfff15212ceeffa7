package registry_test

import (
	"fmt"
	"testing"
	"time"

	"sluice/auth"
	"sluice/relay/registry"
)

// Calls that fit into one millisecond are listed in the order they were made in, the newest first.
func TestAuditOrderWithinAMillisecond(t *testing.T) {
	c := newClock()
	r := node(t, openStore(t, t.TempDir()), registry.Config{Now: c.now})
	p := defaultProject(t, r)
	const n = 20
	for i := range n {
		c.advance(7 * time.Microsecond)
		a := &registry.Audit{By: auth.Principal{Kind: auth.Admin}, Project: p.ID, Event: "stream/updated", Entity: fmt.Sprint(i)}
		if err := r.TakeDown(t.Context(), a, 200); err != nil {
			t.Fatal(err)
		}
	}
	got := entries(t, r, false, registry.AuditFilter{})
	if len(got) != n {
		t.Fatalf("%d entries", len(got))
	}
	for i, e := range got {
		if want := fmt.Sprint(n - 1 - i); e.Entity != want {
			t.Errorf("entry %d is %s, want %s", i, e.Entity, want)
		}
	}
}
