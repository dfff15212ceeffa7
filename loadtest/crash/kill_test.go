//go:build parts

package crash_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"sluice/loadtest/verify"
)

const (
	singleProducers = 80
	bulkProducers   = 20
	bulkLines       = 10
)

// A hundred producers are in the middle of their requests whenever the server is killed; readers go on
// behind the last offset they got. Everything acknowledged is in the log exactly once, in offset order;
// no reader misses or repeats anything, and an offset means the same event before and after.
func TestKillNineLosesAndDoublesNothing(t *testing.T) {
	rounds := scaled(4, 20)
	p := start(t, t.TempDir())
	in := source(t, p, "killed")
	doors := []door{in, cumulative(t, p, in, 2), granular(t, p, in, 0, 1)}

	ledger := verify.NewLedger()
	var tails []*tail
	var readers []*verify.Reader
	for i, d := range doors {
		readers = append(readers, verify.NewReader(ledger, d.Rule))
		tails = append(tails, follow(t.Context(), follower(d, p, i%2 == 1), readers[i].Event))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	faults := make(chan error, singleProducers+bulkProducers)
	for id := range uint32(singleProducers + bulkProducers) {
		lines := 0
		if id >= singleProducers {
			lines = bulkLines
		}
		prod := newProducer(p.Addr, in, ledger, id, lines)
		wg.Go(func() {
			defer prod.Close()
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rand.IntN(40)) * time.Millisecond):
				}
				if err := prod.Send(); err != nil {
					faults <- err
					return
				}
			}
		})
	}

	var slowest time.Duration
	for range rounds {
		time.Sleep(300*time.Millisecond + time.Duration(rand.IntN(700))*time.Millisecond)
		p.Kill()
		began := time.Now()
		p = again(t, p)
		slowest = max(slowest, time.Since(began))
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	wg.Wait()
	close(faults)
	for err := range faults {
		t.Errorf("a producer: %v", err)
	}

	stored, refused, unknown := ledger.Tally()
	t.Logf("%d kills, %d events acknowledged, %d refused, %d without an answer; slowest start %s", rounds, stored, refused, unknown, slowest)
	if stored < 100*rounds || unknown == 0 {
		t.Errorf("too little happened: the kills did not hit requests under way")
	}
	for i, d := range doors {
		whole := audit(t, p, d, ledger)
		end, _ := whole.Last()
		if err := tails[i].Reach(end, 30*time.Second); err != nil {
			t.Error(err)
		}
		resumed, err := tails[i].End()
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		live := readers[i]
		if err := whole.Finish().Err(); err != nil {
			t.Errorf("%s, read afterwards: %v", d.Name, err)
		}
		if err := live.Finish().Err(); err != nil {
			t.Errorf("%s, read across kills: %v", d.Name, err)
		}
		if err := whole.Agrees(live); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		if whole.Received() != live.Received() {
			t.Errorf("%s: %d events read across kills, %d afterwards", d.Name, live.Received(), whole.Received())
		}
		if resumed < rounds {
			t.Errorf("%s: the reader was cut %d times in %d kills", d.Name, resumed, rounds)
		}
	}
}

// SIGTERM finishes what was accepted, ends streams in order, and exits 0.
func TestDrainFinishesWhatWasAccepted(t *testing.T) {
	p := start(t, t.TempDir())
	in := source(t, p, "drained")
	ledger := verify.NewLedger()
	reader := verify.NewReader(ledger, in.Rule)
	live := follow(t.Context(), follower(in, p, true), reader.Event)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for id := range uint32(20) {
		prod := newProducer(p.Addr, in, ledger, id, int(id%2)*bulkLines)
		wg.Go(func() {
			defer prod.Close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := prod.Send(); err != nil {
					t.Errorf("a producer: %v", err)
					return
				}
			}
		})
	}
	time.Sleep(scaled(500*time.Millisecond, 5*time.Second))
	code, err := p.Stop(20 * time.Second)
	close(stop)
	wg.Wait()
	if code != 0 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	p = again(t, p)
	whole := audit(t, p, in, ledger)
	end, _ := whole.Last()
	if err := live.Reach(end, 30*time.Second); err != nil {
		t.Error(err)
	}
	if _, err := live.End(); err != nil {
		t.Error(err)
	}
	for name, r := range map[string]*verify.Reader{"afterwards": whole, "across the stop": reader} {
		if err := r.Finish().Err(); err != nil {
			t.Errorf("read %s: %v", name, err)
		}
	}
}
