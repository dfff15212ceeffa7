package webhook

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// schedule is a webhook's retry list as a back-off: each pause, made up to a tenth longer so that many batches that failed together do not
// come back together, and then backoff.Stop.
type schedule struct {
	pauses []time.Duration
	next   int
}

var _ backoff.BackOff = (*schedule)(nil)

// after is the schedule of a batch that has failed so many times.
func after(pauses []time.Duration, attempts int) *schedule {
	return &schedule{pauses: pauses, next: attempts - 1}
}

// NextBackOff gives the pause before the next attempt.
func (s *schedule) NextBackOff() time.Duration {
	if s.next >= len(s.pauses) {
		return backoff.Stop
	}
	d := s.pauses[s.next]
	s.next++
	return d + rand.N(d/10+1)
}

// Reset begins the list anew.
func (s *schedule) Reset() { s.next = 0 }
