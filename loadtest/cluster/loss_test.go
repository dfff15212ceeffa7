//go:build parts

package cluster_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"sluice/loadtest/drive"
	"sluice/loadtest/server"
	"sluice/loadtest/verify"
)

// acks notes when acknowledgements came, for the longest time without one.
type acks struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
	worst   time.Duration // a producer waited for an acknowledgement
	answers map[int]int   // by status
}

func (a *acks) answered(status int, took time.Duration) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answers == nil {
		a.answers = map[int]int{}
	}
	a.answers[status]++
	if status >= http.StatusBadRequest {
		return
	}
	if !a.last.IsZero() {
		a.longest = max(a.longest, now.Sub(a.last))
	}
	a.last, a.worst = now, max(a.worst, took)
}

// since gives the longest time without an acknowledgement since it was last asked.
func (a *acks) since() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	longest := max(a.longest, time.Since(a.last))
	a.longest = 0
	return longest
}

// street is a world with streams, producers and consumers at both nodes, all at work.
type street struct {
	*world
	ledger  *verify.Ledger
	in, out drive.Door
	readers []*reader
	crowd   *drive.Crowd
	acks    acks
}

func newStreet(t *testing.T) *street {
	t.Helper()
	s := &street{world: newWorld(t), ledger: verify.NewLedger()}
	s.in = source(t, s.a.Admin, "killed")
	s.out = cumulative(t, s.b.Admin, s.in, 1)
	s.readers = []*reader{follow(t, s.in, s.a, s.ledger), follow(t, s.out, s.b, s.ledger)}
	list := s.producers(s.in, s.ledger, 24, 8)
	for _, p := range list {
		p.Answered = s.acks.answered
	}
	s.crowd = drive.Start(40*time.Millisecond, list...)
	return s
}

func (s *street) finish(t *testing.T, least int) {
	t.Helper()
	if err := s.crowd.Stop(); err != nil {
		t.Error(err)
	}
	stored, refused, unknown := s.ledger.Tally()
	t.Logf("%d events acknowledged, %d refused, %d without an answer; answers by status %v, the slowest after %s", stored, refused, unknown, s.acks.answers, s.acks.worst)
	if stored < least {
		t.Errorf("only %d events were acknowledged", stored)
	}
	s.settle(t, s.ledger, s.readers...)
}

// A node that is killed takes nothing with it: the other goes on, and the killed one has everything when it is back.
func TestKilledNode(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newStreet(t)
	time.Sleep(time.Second)
	for range scaled(1, 10) {
		s.acks.since()
		s.b.Kill()
		time.Sleep(time.Second)
		if idle := s.acks.since(); idle > 500*time.Millisecond {
			t.Errorf("when a node was killed the other took nothing for %s", idle)
		}
		began := time.Now()
		s.b = again(t, s.b)
		t.Logf("the node was ready %s after its start", time.Since(began))
		time.Sleep(500 * time.Millisecond)
		s.a, s.b = s.b, s.a // the other one's turn
	}
	s.finish(t, 500)
}

// elected is how long servers may take to agree on a leader, with time for a vote or two that nobody wins.
const elected = 30 * time.Second

// The server that leads a log is killed under load. Writes stop until another one leads, and go on by themselves: nothing that
// was acknowledged is lost, nothing doubled, and the order stays.
func TestKilledLogServer(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newStreet(t)
	time.Sleep(time.Second)
	for _, stream := range scaled([]string{busiest(t, s.logs)}, []string{busiest(t, s.logs), "SLUICE-CELLS"}) {
		leader := leaderOf(t, s.logs, stream)
		s.acks.since()
		leader.kill()
		time.Sleep(500 * time.Millisecond)
		// Two of three servers are enough, once they have agreed on who leads.
		stored, _, _ := s.ledger.Tally()
		away := soon(t, elected, "nothing is taken since a log server was killed", func() bool {
			now, _, _ := s.ledger.Tally()
			return now > stored+100
		})
		for _, p := range []*server.Process{s.a, s.b} {
			soon(t, elected, "a node is not ready", func() bool {
				code, _, err := p.Call(t.Context(), "GET", "/ready", nil)
				return err == nil && code == http.StatusOK
			})
			made := 0
			soon(t, elected, "no stream can be made since a log server was killed", func() bool {
				made++
				body := fmt.Appendf(nil, `{"name":"without-%s-%s-%d"}`, leader.name, p.Addr[len("127.0.0.1:"):], made)
				code, _, err := p.Call(t.Context(), "POST", "/v1/streams", body)
				return err == nil && code == http.StatusCreated
			})
		}
		t.Logf("the leader of %s was killed: %s until writes went on, at most %s without an acknowledgement", stream, away, s.acks.since())
		leader.run()
		leader.ready()
	}
	s.finish(t, 500)
}

// Everything is killed at once, gateways and log servers. What was acknowledged is there afterwards, once, at its offset.
func TestEverythingKilled(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newStreet(t)
	for range scaled(1, 5) {
		time.Sleep(time.Second)
		for _, l := range s.logs {
			l.kill()
		}
		s.a.Kill()
		s.b.Kill()
		for _, l := range s.logs {
			l.run()
		}
		for _, l := range s.logs {
			l.ready()
		}
		s.a, s.b = again(t, s.a), again(t, s.b)
	}
	time.Sleep(time.Second)
	s.finish(t, 500)
}
