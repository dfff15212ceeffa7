//go:build parts

package cluster_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/loadtest/drive"
	"sluice/loadtest/server"
	"sluice/loadtest/verify"
)

// figures are what a producer sees of a node.
type figures struct {
	atRest time.Duration // median of one producer who waits for each answer
	rate   float64       // events/s of 64 of them
}

const crowdSize = 64

func measure(t *testing.T, a server.Admin, addrs ...string) (f figures) {
	t.Helper()
	in := source(t, a, "measured")
	l := verify.NewLedger()
	var mu sync.Mutex
	var took []time.Duration
	answered := func(_ int, d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		took = append(took, d)
	}
	alone := &drive.Producer{Door: in, Ledger: l, ID: 900, Addrs: addrs, Answered: answered}
	for range 200 {
		if err := alone.Send(); err != nil {
			t.Fatal(err)
		}
	}
	alone.Close()
	slices.Sort(took)
	f.atRest = took[len(took)/2]

	took = took[:0]
	var list []*drive.Producer
	for id := range uint32(crowdSize) {
		list = append(list, &drive.Producer{Door: in, Ledger: l, ID: id, Addrs: []string{addrs[int(id)%len(addrs)]}, Answered: answered})
	}
	span := scaled(2*time.Second, 10*time.Second)
	crowd := drive.Start(0, list...)
	time.Sleep(span)
	if err := crowd.Stop(); err != nil {
		t.Error(err)
	}
	f.rate = float64(len(took)) / span.Seconds()
	return f
}

// TestFigures tells what a cluster costs against one node with its embedded log, on the same machine in the same run. It bounds
// nothing but nonsense: three servers and two nodes on a few cores are no measure of a cluster.
func TestFigures(t *testing.T) {
	single := serve(t, "single", "engine:\n  shards: 2\n")
	one := measure(t, single.Admin, single.Addr)
	single.Kill()
	w := newWorld(t)
	via := measure(t, w.a.Admin, w.a.Addr)
	if code, text, err := w.a.Call(t.Context(), "DELETE", "/v1/streams/measured", nil); err != nil || code != 200 {
		t.Fatal(code, string(text), err)
	}
	both := measure(t, w.a.Admin, w.a.Addr, w.b.Addr)
	t.Logf("at rest: embedded %s, cluster %s: %.1f times", one.atRest, via.atRest, float64(via.atRest)/float64(one.atRest))
	t.Logf("%d producers: embedded %.0f events/s, one node of the cluster %.0f: %.2f times, both nodes %.0f: %.2f times",
		crowdSize, one.rate, via.rate, via.rate/one.rate, both.rate, both.rate/one.rate)
	if via.atRest > time.Second || via.rate < 100 || both.rate < 100 {
		t.Errorf("a cluster that slow is broken: %+v, %+v", via, both)
	}
}
