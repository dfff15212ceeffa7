//go:build parts

package crash_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"sluice/loadtest/receiver"
	"sluice/loadtest/verify"
)

const (
	hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	// againWithin is how soon after a restart deliveries go on.
	againWithin = 5 * time.Second
	// unsaved is how old a delivery may be at a kill and still come again: how far the cursor in the log lags behind what was answered.
	unsaved = 200 * time.Millisecond
)

// hookOf makes a webhook on a stream to a receiver of its own.
func hookOf(t *testing.T, admin func(method, path string, body []byte) (int, []byte, error), d door, ordering string, cfg receiver.Config) *receiver.Receiver {
	t.Helper()
	cfg.Secret = hookSecret
	r, err := receiver.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	body, err := json.Marshal(map[string]any{
		"name": d.Name + "-" + ordering, "stream": d.Name, "url": r.URL, "secret": hookSecret, "ordering": ordering, "retry": []string{"100ms", "1s", "5s", "5s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if status, answer, err := admin(http.MethodPost, "/v1/webhooks", body); err != nil || status != http.StatusCreated {
		t.Fatalf("create a webhook: %d %s %v", status, answer, err)
	}
	return r
}

// The server is killed while events come in and webhooks deliver them. After each restart deliveries go on within seconds; no event is lost;
// what comes again is what was on the wire or was answered in the last moments before a kill, in the same batch under the same id; one at a
// time stays in order.
func TestKillNineWithWebhooks(t *testing.T) {
	rounds := scaled(3, 15)
	p := start(t, t.TempDir(), "SLUICE_WEBHOOKS_ALLOW_CIDRS=127.0.0.1/32")
	in := source(t, p, "hooked")
	open := cumulative(t, p, in, 2)
	ledger := verify.NewLedger()
	call := func(method, path string, body []byte) (int, []byte, error) {
		return p.Call(t.Context(), method, path, body)
	}

	fifo := verify.NewReader(ledger, open.Rule)
	loose := &arrivals{seen: map[uint64]bool{}}
	ordered := hookOf(t, call, open, "fifo", receiver.Config{Each: fifo.Event})
	unordered := hookOf(t, call, in, "none", receiver.Config{Each: loose.add, Delay: 2 * time.Millisecond})
	receivers := map[string]*receiver.Receiver{"fifo": ordered, "none": unordered}

	var slowest slowestAnswer
	var crowd sync.WaitGroup
	stop := make(chan struct{})
	for id := range uint32(8) {
		prod := newProducer(p.Addr, in, ledger, id, int(id%2)*bulkLines)
		prod.Answered = slowest.note
		crowd.Go(func() {
			defer prod.Close()
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rand.IntN(10)) * time.Millisecond):
				}
				if err := prod.Send(); err != nil {
					t.Errorf("a producer: %v", err)
					return
				}
			}
		})
	}
	var kills []time.Time
	for range rounds {
		time.Sleep(700*time.Millisecond + time.Duration(rand.IntN(600))*time.Millisecond)
		p.Kill()
		kills = append(kills, time.Now())
		began := time.Now()
		p = again(t, p)
		ready := time.Now() // what was on the wire at the kill is answered by now
		for name, r := range receivers {
			for !r.Newest().After(ready) {
				if time.Since(began) > againWithin {
					t.Fatalf("%s: nothing was delivered %s after the restart", name, againWithin)
				}
				time.Sleep(5 * time.Millisecond)
			}
			t.Logf("%s: deliveries go on %s after the restart", name, r.Newest().Sub(began).Round(time.Millisecond))
		}
	}
	close(stop)
	crowd.Wait()

	whole, all := audit(t, p, open, ledger), audit(t, p, in, ledger)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ordered.Counts().Events >= whole.Received() && unordered.Counts().Events >= all.Received() {
			break
		}
	}
	time.Sleep(300 * time.Millisecond) // in which nothing more may come
	ordered.Close()
	unordered.Close()
	stored, refused, unknown := ledger.Tally()
	t.Logf("%d kills, %d events acknowledged, %d refused, %d without an answer", rounds, stored, refused, unknown)
	for name, r := range map[string]*verify.Reader{"in the log": whole, "in the source's log": all, "delivered one at a time": fifo} {
		if err := r.Finish().Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := whole.Agrees(fifo); err != nil {
		t.Errorf("delivered one at a time: %v", err)
	}
	if got := ordered.Counts().Events; got != whole.Received() {
		t.Errorf("%d events were delivered one at a time, the stream shows %d", got, whole.Received())
	}
	if got := unordered.Counts().Events; got != all.Received() || len(loose.seen) != got {
		t.Errorf("%d events were delivered in any order, the stream shows %d", got, all.Received())
	}
	// A machine that stores late commits the cursor late: it waits for the commit under way, and then for its own.
	allowed := unsaved + 2*slowest.most()
	for name, r := range receivers {
		if err := r.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var oldest time.Duration
		var rebatched, uncalled, late int
		for _, a := range r.Again() {
			age := time.Duration(-1) // at the last kill before it came again
			for _, k := range kills {
				if k.Before(a.At) && k.After(a.First) {
					age = k.Sub(a.First)
					break
				}
			}
			oldest = max(oldest, age)
			switch {
			case !a.SameID:
				rebatched++
			case age < 0:
				uncalled++
			case age > allowed:
				late++
			}
		}
		if rebatched+uncalled+late > 0 {
			t.Errorf("%s: of %d events that came again %d came in another batch, %d without a kill in between, %d were answered more than %s before it",
				name, len(r.Again()), rebatched, uncalled, late, allowed)
		}
		c := r.Counts()
		t.Logf("%s: %+v, the oldest that came again was answered %s before the kill (allowed: %s)", name, c, oldest.Round(time.Millisecond), allowed.Round(time.Millisecond))
	}
}

// arrivals are the offsets that came. The receiver calls it under its lock.
type arrivals struct{ seen map[uint64]bool }

func (a *arrivals) add(offset uint64, _ []byte) { a.seen[offset] = true }

// slowestAnswer is how long the slowest acknowledgement took: what storing something takes on this machine now. Safe for concurrent use.
type slowestAnswer struct {
	mu   sync.Mutex
	took time.Duration
}

func (s *slowestAnswer) note(status int, took time.Duration) {
	if status != http.StatusNoContent && status != http.StatusOK {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took = max(s.took, took)
}

func (s *slowestAnswer) most() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.took
}
