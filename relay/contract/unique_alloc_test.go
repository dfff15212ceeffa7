//go:build !race

package contract_test

import (
	"testing"

	"sluice/relay/contract"
)

// The race detector makes pools forget.
func TestUniqueNamesAllocates(t *testing.T) {
	body := []byte(`{"a":{"b":[{"c":1,"d":"\u0041"},{"c":2}]},"e":1,"\u0066":2}`)
	if n := testing.AllocsPerRun(200, func() {
		if err := contract.UniqueNames(body); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%.1f allocations", n)
	}
}
