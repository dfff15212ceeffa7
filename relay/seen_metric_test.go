package relay_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay"
	"sluice/relay/contract"
	"sluice/relay/registry"
)

// A copy is answered as accepted; that it was not stored is seen in the metrics.
func TestDuplicatesAreCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	n := start(t, t.TempDir(), relay.Config{Metrics: reg})
	st := n.stream(registry.StreamSpec{Name: "app", Contract: contract.AirshipRef})
	n.send(st, 4, relay.Bulk{Body: lines("a", "b", "a", "c")})
	n.send(st, 2, relay.Bulk{Body: lines("c", "d")})
	n.accept(st, opened("d"))
	n.accept(st, opened("e"))
	if got := droppedBy(t, reg); got["app duplicate"] != 3 || len(got) != 1 {
		t.Errorf("%v", got)
	}
	if got := len(n.ids(st)); got != 5 {
		t.Errorf("%d events are there", got)
	}
}
