package webhook

import (
	"container/heap"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// result is what became of a batch that was given to a goroutine to be posted.
type result struct {
	batch   *batch
	outcome outcome
	err     error // not the receiver's fault, and not for this webhook to go on with
	skipped bool  // it was not tried, for one before it in its chain failed, or the work is to stop
}

// told is what a goroutine that posts tells the loop.
type told struct {
	results []result
	ended   bool // it posts nothing more
}

// launch posts what is ready.
func (r *run) launch(now time.Time) {
	for len(r.waiting) > 0 && !r.waiting[0].due.After(now) {
		r.ready = append(r.ready, heap.Pop(&r.waiting).(*batch))
	}
	for r.flying < maxFlying {
		b := r.nextReady()
		if b == nil {
			return
		}
		r.flying++
		go r.fly(r.chain(b, now))
	}
	// All fly: what has no order is laid where each of them finds its next when it is done. To come back to the loop in
	// between costs a good part of a delivery, and a goroutine that waits for a slow receiver keeps nothing from the others.
	for len(r.ready) > 0 && len(r.handed) < cap(r.handed) && !r.laneOf(r.ready[0]).strict {
		b := r.popReady()
		r.touch(b)
		r.handed <- b // there is room, for nobody else fills it
	}
}

// nextReady takes the batch that has been ready for longest; nil when there is none.
func (r *run) nextReady() *batch {
	select {
	case b := <-r.handed:
		return b
	default:
	}
	if len(r.ready) == 0 {
		return nil
	}
	return r.popReady()
}

func (r *run) popReady() *batch {
	b := r.ready[0]
	r.ready[0] = nil
	r.ready = r.ready[1:]
	return b
}

// recall takes back what was handed out and is not on its way.
func (r *run) recall() {
	for {
		select {
		case b := <-r.handed:
			r.ready = append(r.ready, b)
		default:
			return
		}
	}
}

// touch notes that a batch is about to be on the wire. From then on it stays as it is.
func (r *run) touch(b *batch) {
	if !b.tried {
		b.tried, r.dirty = true, true
	}
}

// chain is a batch that is ready and those that wait behind it in a strict lane. They are posted by one goroutine, each when the one before
// is delivered: to come back to the loop in between costs more than a delivery on a fast connection takes.
func (r *run) chain(b *batch, now time.Time) []*batch {
	all := []*batch{b}
	if l := r.laneOf(b); l.strict {
		for _, q := range l.queue[:min(len(l.queue), maxChain-1)] {
			if q.chained || q.due.After(now) || q.body == nil {
				break
			}
			q.chained = true
			all = append(all, q)
		}
	}
	for _, c := range all {
		r.touch(c)
	}
	return all
}

// fly makes one attempt at each batch of a chain, up to the first that fails, and at what is handed out.
func (r *run) fly(chain []*batch) {
	broken := false
	var some []result
	began := time.Now()
	try := func(b *batch, skip bool) {
		res := result{batch: b, skipped: skip}
		if !skip {
			res.outcome, res.err = r.attempt(b)
			broken = res.err != nil || res.outcome.failure != ""
		}
		some = append(some, res)
		if time.Since(began) > tellEvery {
			r.results <- told{results: some}
			some, began = nil, time.Now()
		}
	}
	for i, b := range chain {
		try(b, broken || i > 0 && r.more.Err() != nil)
	}
	for r.more.Err() == nil {
		select {
		case b := <-r.handed:
			try(b, false)
			continue
		default:
		}
		break
	}
	r.results <- told{results: some, ended: true}
}

// attempt makes one attempt at a batch.
func (r *run) attempt(b *batch) (o outcome, err error) {
	core := r.service.cfg.Relay
	if err := core.Await(r.work); err != nil {
		return o, err
	}
	// Somebody may have been forgotten since it was opened, and again while it was read.
	for b.body == nil || b.erasures != core.Erasures(r.hook.Stream) {
		b.erasures = core.Erasures(r.hook.Stream)
		var kept int
		if b.body, kept, err = r.fetch(r.work, b); err != nil {
			return o, err
		}
		if kept == 0 {
			return outcome{failure: FailExpired, at: r.service.now()}, nil
		}
	}
	if err := r.claim.Alive(); err != nil {
		return o, err
	}
	return r.poster.post(r.work, message{id: b.id(r.hook.ID), body: b.body}), nil
}

func (r *run) settleAll(t told) error {
	var first error
	if t.ended {
		r.flying--
	}
	for _, res := range t.results {
		if err := r.settle(res); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// settle draws the consequence of an attempt.
func (r *run) settle(res result) error {
	b, o := res.batch, res.outcome
	now := r.service.now()
	if b.chained = false; res.skipped {
		if r.laneOf(b).head == b {
			r.turn(b, now) // the one before it was delivered after all
		}
		return nil
	}
	r.charge(b)
	if res.err != nil || r.work.Err() != nil && o.failure != "" {
		// Nobody refused it: it is as if it had not been tried.
		r.ready = append(r.ready, b)
		if res.err != nil {
			return res.err
		}
		return nil
	}
	r.dirty = true
	a := Attempt{ID: b.id(r.hook.ID), At: o.at, First: b.first, Last: b.last, Events: b.events, Number: b.attempts + 1, Status: o.status,
		Failure: o.failure, Took: o.took, Replay: b.replay}
	defer func() { r.service.recent.add(r.hook.ID, a) }()
	switch o.failure {
	case "":
		r.service.metrics.took(r.hook, b.events)
		r.finish(b, now)
		return nil
	case FailExpired:
		r.service.metrics.expired(r.hook, uint64(b.events))
		r.finish(b, now)
		return nil
	}
	r.service.metrics.attempt(r.hook, o.failure)
	b.attempts++
	if b.since.IsZero() {
		b.since = now
	}
	pause := after(r.hook.Retry, b.attempts).NextBackOff()
	switch {
	case o.failure == FailGone:
		r.service.switchOff(r.work, &r.others, r.hook)
		pause, b.gone = gonePause, true
	case pause == backoff.Stop || now.Sub(b.since) >= r.service.cfg.ParkAfter:
		if err := r.service.park(r.work, r.hook, b, a); err != nil {
			return err
		}
		r.service.metrics.parked(r.hook, uint64(b.events))
		a.Parked = true
		r.finish(b, now)
		return nil
	}
	pause = max(pause, o.retryAfter)
	b.due = now.Add(pause)
	a.Next = b.due
	if pause > keepBodies || r.memory > maxMemory/2 {
		r.drop(b)
	}
	if l := r.laneOf(b); l.strict && pause > keepBodies {
		for _, q := range l.queue {
			if !q.chained {
				r.drop(q)
			}
		}
	}
	heap.Push(&r.waiting, b)
	return nil
}
