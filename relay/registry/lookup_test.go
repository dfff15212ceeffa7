package registry

import (
	"fmt"
	"testing"
	"time"
)

// TestAskingIsBounded: what a stranger sends decides how often the store is asked; from inside, for the
// store does not tell how often it was.
func TestAskingIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	a := newAsker(func() time.Time { return now })
	allowed := func(n int, key func(i int) string) (count int) {
		for i := range n {
			if a.allowed(key(i)) {
				count++
			}
		}
		return count
	}
	client := func(i int) string { return clientKey(fmt.Sprint("c", i)) }
	if got := allowed(10_000, client); got != askRate {
		t.Errorf("%d clients asked for in a second", got)
	}
	if got := allowed(10, func(i int) string { return nameKey("p", fmt.Sprint(i)) }); got != 10 {
		t.Errorf("who hammers with client ids keeps %d of 10 from finding a stream", 10-got)
	}
	now = now.Add(time.Second)
	if got := allowed(10_000, client); got != askRate {
		t.Errorf("%d clients asked for in the next second", got)
	}

	now = now.Add(time.Second)
	a.inVain(client(1))
	if a.allowed(client(1)) {
		t.Error("asked again for what was asked for in vain")
	}
	if !a.allowed(client(2)) {
		t.Error("another was refused")
	}
	now = now.Add(missingFor)
	if !a.allowed(client(1)) {
		t.Error("never asked again for what was asked for in vain")
	}

	for i := range maxMissing + 200 {
		a.inVain(client(i))
	}
	if len(a.missing) > maxMissing {
		t.Errorf("%d names are remembered", len(a.missing))
	}
	now = now.Add(missingFor)
	a.inVain(client(-1))
	if len(a.missing) != 1 {
		t.Errorf("%d names are remembered that count no more", len(a.missing)-1)
	}
}
