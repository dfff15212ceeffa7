//go:build parts

package cluster_test

import (
	"bytes"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"sluice/loadtest/drive"
	"sluice/loadtest/server"
	"sluice/loadtest/verify"
	"sluice/relay/sample"
)

const (
	forgotten = "person to forget"
	kept      = "person to keep"
	perPerson = 500
)

// shown counts, in the first events of a stream as a node shows them now, those that show a person.
func shown(t *testing.T, d drive.Door, p *server.Process, person string, events int) (n int) {
	t.Helper()
	query := url.Values{"from": {"EARLIEST"}, "limit": {fmt.Sprint(events)}, "timeout": {"5s"}}
	read := 0
	_, err := d.Follower(p.Base).Read(t.Context(), query, func(_ uint64, body []byte) error {
		if read++; bytes.Contains(body, []byte(person)) {
			n++
		}
		return nil
	})
	if err != nil || read != events {
		t.Fatalf("%d of %d events, %v", read, events, err)
	}
	return n
}

// Who is forgotten at one node is closed at the other as soon as it hears of it, also in what it has opened before for those
// who read along; everybody else stays open, and the person's later events open again, at both.
func TestForgottenAtTheOtherNode(t *testing.T) {
	w := newWorld(t)
	in := source(t, w.a.Admin, "forget")
	out := cumulative(t, w.b.Admin, in, 1)
	l := verify.NewLedger()
	live := follow(t, out, w.b, l) // so that b keeps what it opened in its ring
	send := func(id uint32, at *server.Process, person string, lines int) {
		t.Helper()
		p := &drive.Producer{Door: in, Ledger: l, ID: id, Addrs: []string{at.Addr}, Lines: lines,
			Next: func(dst []byte, m sample.Marker) []byte { return drive.Click(dst, m, person) }}
		defer p.Close()
		if err := p.Send(); err != nil {
			t.Fatal(err)
		}
	}
	send(0, w.a, forgotten, perPerson)
	send(1, w.b, kept, perPerson)
	for _, p := range []*server.Process{w.a, w.b} {
		soon(t, visible, "the person is not shown before", func() bool {
			return shown(t, out, p, forgotten, 2*perPerson) == perPerson && shown(t, out, p, kept, 2*perPerson) == perPerson
		})
	}

	// Readers keep asking b while the person is forgotten at a.
	done := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var last time.Time // when b was last asked and showed the person
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				began := time.Now()
				if shown(t, out, w.b, forgotten, 2*perPerson) > 0 {
					mu.Lock()
					if began.After(last) {
						last = began
					}
					mu.Unlock()
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	began := time.Now()
	if err := w.a.Forget(t.Context(), forgotten, "forget"); err != nil {
		t.Error(err)
	}
	took := time.Since(began)
	ended := began.Add(took)
	time.Sleep(visible)
	close(done)
	wg.Wait()
	late := max(0, last.Sub(ended))
	t.Logf("forgetting took %s; b was last seen to show the person %s after it", took, late)
	if last.IsZero() || late > visible/2 {
		t.Errorf("b showed the person up to %s after a had forgotten them", late)
	}
	for _, p := range []*server.Process{w.a, w.b} {
		if n := shown(t, out, p, forgotten, 2*perPerson); n > 0 {
			t.Errorf("%d events show the person", n)
		}
		if n := shown(t, out, p, kept, 2*perPerson); n != perPerson {
			t.Errorf("%d events show the person who was kept", n)
		}
	}
	// The person comes back, through both nodes.
	send(2, w.a, forgotten, 10)
	send(3, w.b, forgotten, 10)
	for _, p := range []*server.Process{w.a, w.b} {
		if n := shown(t, out, p, forgotten, 2*perPerson+20); n != 20 {
			t.Errorf("%d of 20 later events show the person", n)
		}
	}
	if _, err := live.tail.End(); err != nil {
		t.Error(err)
	}
	w.b.Kill()
	again(t, w.b)
	if n := shown(t, out, w.b, forgotten, 2*perPerson); n > 0 {
		t.Errorf("after a restart %d events show the person", n)
	}
}
