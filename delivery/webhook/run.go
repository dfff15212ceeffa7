package webhook

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/delivery"
	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

const (
	maxFlying   = 64                    // requests on the wire for one webhook
	maxHanded   = 4 * maxFlying         // batches that are handed out beside them
	maxOpen     = 1024                  // batches begun and not ended, beyond which nothing is read; the cell holds them
	fifoOpen    = 64                    // the same for one at a time, where more would only lie about
	maxChain    = 32                    // batches of a strict lane that are posted one after the other without asking the loop
	tellEvery   = 2 * time.Millisecond  // how long the results of a chain are kept together: to wake the loop for each costs
	maxMemory   = 16 << 20              // bytes of events in memory, beyond which nothing is read
	keepBodies  = 10 * time.Second      // a batch that waits for longer is read from the log again
	saveEvery   = 25 * time.Millisecond // how often the state is handed to the claim
	tidyEvery   = 5 * time.Second
	markEvery   = time.Minute
	idleRead    = time.Second // how often the position is asked for while nothing passes the filter
	gonePause   = time.Hour
	maxIdleTick = time.Minute
)

// sink is a webhook's work, as of one version of its settings.
type sink struct {
	service *Service
	hook    *registry.Webhook
}

// lane is an order within a webhook. In a strict one the head alone may be tried, and the others wait for it.
type lane struct {
	strict  bool
	forming *batch
	head    *batch
	queue   []*batch
}

// run is a webhook at work. All of it belongs to the goroutine of loop, but what a flying batch holds, which belongs to the goroutine that
// posts it until its result is there.
type run struct {
	*sink
	claim  *delivery.Claim
	more   context.Context // ends when nothing new is to be begun
	work   context.Context // ends when what is in hand is to be dropped
	poster *poster
	choice *choice  // what new batches are begun with
	former []choice // what stored ones were begun with, everything first
	format relay.Format
	most   int // batches begun at one time

	state   state // Position: how far was read
	lanes   []*lane
	again   *lane // the replay's
	open    map[*batch]struct{}
	ready   []*batch
	waiting waiting
	forming []*batch // by age; some are closed already
	memory  int64
	flying  int
	handed  chan *batch // without an order, for those that post: written by loop, read by them and by loop
	results chan told   // written by those that post, read by loop; as large as can fly
	others  sync.WaitGroup

	live   *feed
	held   *fed // what was read after the webhook had changed; nil: nothing
	replay *replay
	done   map[string]bool // replays that are ended; the registry may still name them

	// reached is the lowest offset that is not ended, less one. Written by the loop, read by a scrape.
	reached atomic.Uint64

	dirty        bool
	saved        time.Time
	tidied, mark time.Time
}

// Run implements delivery.Sink.
func (k *sink) Run(ctx context.Context, c *delivery.Claim) error {
	r := &run{
		sink: k, claim: c, more: ctx, work: c.Work(), open: map[*batch]struct{}{}, done: map[string]bool{},
		handed: make(chan *batch, maxHanded), results: make(chan told, maxFlying), most: maxOpen, again: &lane{strict: k.hook.Ordering != "none"},
	}
	var err error
	if r.poster, err = k.service.poster(k.hook); err != nil {
		return err
	}
	defer r.poster.close()
	if k.hook.Envelope == "airship" {
		r.format = relay.Airship
	}
	if r.state, err = decodeState(c.State(), k.hook.From); err != nil {
		return err
	}
	if err := r.choose(); err != nil {
		return err
	}
	lanes := 1
	switch k.hook.Ordering {
	case "key":
		lanes = keyLanes
	case "fifo":
		r.most = fifoOpen
	}
	for range lanes {
		r.lanes = append(r.lanes, &lane{strict: k.hook.Ordering != "none"})
	}
	now := k.service.now()
	slices.SortFunc(r.state.Open, func(a, b open) int { return int(int64(a.First) - int64(b.First)) })
	for _, o := range r.state.Open {
		r.admit(o.batch(r.chosen(o)), now)
	}
	r.reached.Store(uint64(r.state.reached()))
	defer r.others.Wait()
	if err := r.expire(ctx); err != nil {
		return err
	}
	if r.live, err = r.follow(ctx, r.state.Position); err != nil {
		return err
	}
	defer r.live.end()
	stop := k.service.metrics.watch(k.hook, r)
	defer stop()
	return r.loop(ctx)
}

// loop works until ctx ends and what flies has landed.
func (r *run) loop(ctx context.Context) error {
	defer r.endReplay()
	defer r.letGo()
	changed := r.service.cfg.Registry.Changed()
	if err := r.nextReplay(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	stopping := ctx.Done()
	for {
		now := r.service.now()
		r.closeOld(now)
		if stopping != nil {
			r.launch(now)
		} else if r.flying == 0 {
			r.save(now)
			r.tidy(now, true)
			return nil
		}
		if r.dirty && now.Sub(r.saved) >= saveEvery {
			r.save(now)
		}
		r.tidy(now, false)
		timer.Reset(r.nap(now))
		if r.held != nil && !r.stale() {
			f := *r.held
			r.held = nil
			if err := r.takeIn(ctx, f, now); err != nil {
				return r.landed(err)
			}
			continue
		}
		var live, again <-chan fed
		if stopping != nil && r.held == nil && len(r.open) < r.most && r.memory < maxMemory {
			live = r.live.out
		}
		if stopping != nil && r.held == nil && r.replay != nil && r.replay.feed != nil && r.again.room(r.most) && r.memory < maxMemory {
			again = r.replay.feed.out
		}
		select {
		case <-stopping:
			stopping = nil
		case f := <-live:
			if err := r.takeIn(ctx, f, now); err != nil {
				return r.landed(err)
			}
		case f := <-again:
			f.again = true
			if err := r.takeIn(ctx, f, now); err != nil {
				return r.landed(err)
			}
		case some := <-r.results:
			for more := true; more; {
				if err := r.settleAll(some); err != nil {
					return r.landed(err)
				}
				select {
				case some = <-r.results:
				default:
					more = false
				}
			}
		case <-changed:
			changed = r.service.cfg.Registry.Changed()
			if err := r.nextReplay(ctx); err != nil {
				return r.landed(err)
			}
		case <-timer.C:
		}
	}
}

// stale tells that the webhook, or what its stream shows, is not what this run was made of. The Runner ends it in a moment, and the next one
// goes on where it was: what happens after a change has been answered is not delivered as it was before.
func (r *run) stale() bool {
	now := r.service.cfg.Registry.Snapshot().WebhookByID(r.hook.ID)
	return now == nil || now.Version != r.hook.Version
}

// takeIn takes in what a feed brought. When the webhook has changed meanwhile it is kept, for everything may be changed back before the Runner
// has seen it.
func (r *run) takeIn(ctx context.Context, f fed, now time.Time) error {
	switch {
	case r.stale():
		r.held = &f
		return nil
	case f.again:
		return r.readAgain(ctx, f, now)
	}
	return r.read(f, now)
}

// letGo releases what was kept and will not be taken in.
func (r *run) letGo() {
	if r.held != nil && r.held.chunk != nil {
		r.held.chunk.Release()
	}
}

// landed ends the work because of an error, with what flies.
func (r *run) landed(err error) error {
	r.recall()
	for r.flying > 0 {
		if e := r.settleAll(<-r.results); e != nil && r.work.Err() == nil {
			err = errors.Join(err, e)
		}
	}
	r.save(r.service.now())
	return err
}

// nap is how long nothing has to be done by itself.
func (r *run) nap(now time.Time) time.Duration {
	next := now.Add(maxIdleTick)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if len(r.forming) > 0 {
		earlier(r.forming[0].began.Add(r.service.cfg.Linger))
	}
	if len(r.waiting) > 0 {
		earlier(r.waiting[0].due)
	}
	if r.dirty {
		earlier(r.saved.Add(saveEvery))
	}
	if r.service.recent.dirty(r.hook.ID) {
		earlier(r.tidied.Add(tidyEvery))
	}
	return max(next.Sub(now), 0)
}

// read takes in what the stream brought.
func (r *run) read(f fed, now time.Time) error {
	if f.err != nil {
		return f.err
	}
	if f.chunk != nil {
		airship := r.format == relay.Airship
		for i := range f.chunk.Events() {
			line, o := f.chunk.Line(i)
			code := 0
			if len(r.lanes) > 1 {
				code = laneOf(line, airship) + 1
			}
			r.take(r.lanes[max(code-1, 0)], code, line, o, f.erasures, now, nil)
		}
		f.chunk.Release()
	}
	if f.position > r.state.Position {
		r.state.Position = f.position
		r.dirty = true
	}
	return nil
}

// take puts an event into the batch that its lane is forming. erasures is when it was opened. A batch that is sent again
// as it was has as many as it had, whatever the size of new ones is by now.
func (r *run) take(l *lane, code int, line []byte, o engine.Offset, erasures uint64, now time.Time, p *replay) {
	whole, size := false, r.hook.BatchSize
	if p != nil && p.asked.Ranges[p.Range].Batch > 0 {
		whole, size = true, p.asked.Ranges[p.Range].Batch
	}
	b := l.forming
	if b == nil {
		b = &batch{lane: code, choice: r.choice, bare: r.hook.BatchSize == 1, erasures: erasures, began: now}
		if p != nil {
			b.replay, b.part, b.fresh = p.ID, p.Range, !whole
		}
		l.forming = b
		r.open[b] = struct{}{}
		if whole {
			b.bare = p.asked.Ranges[p.Range].Bare
		} else {
			r.forming = append(r.forming, b)
		}
	}
	b.add(line, o, size)
	if b.events >= size || !whole && len(b.body) >= maxBatch {
		r.closeBatch(l, now)
	}
}

// closeBatch ends the batch that a lane is forming.
func (r *run) closeBatch(l *lane, now time.Time) {
	b := l.forming
	if b == nil {
		return
	}
	l.forming = nil
	b.close()
	r.charge(b)
	r.admit(b, now)
}

// closeOld closes the batches that have been forming for long enough.
func (r *run) closeOld(now time.Time) {
	for len(r.forming) > 0 {
		b := r.forming[0]
		l := r.laneOf(b)
		if l.forming == b {
			if now.Sub(b.began) < r.service.cfg.Linger {
				return
			}
			r.closeBatch(l, now)
		}
		r.forming[0] = nil
		r.forming = r.forming[1:]
	}
}

func (r *run) laneOf(b *batch) *lane {
	switch {
	case b.replay != "":
		return r.again
	case len(r.lanes) > 1:
		return r.lanes[min(max(b.lane-1, 0), len(r.lanes)-1)]
	}
	return r.lanes[0]
}

// admit gives a closed batch its turn, or its place in the queue of its lane.
func (r *run) admit(b *batch, now time.Time) {
	r.open[b] = struct{}{}
	l := r.laneOf(b)
	if l.strict {
		if l.head != nil {
			if l.head.due.Sub(now) > keepBodies {
				r.drop(b)
			}
			l.queue = append(l.queue, b)
			return
		}
		l.head = b
	}
	r.turn(b, now)
}

func (r *run) turn(b *batch, now time.Time) {
	if b.due.After(now) {
		heap.Push(&r.waiting, b)
		return
	}
	r.ready = append(r.ready, b)
}

// room tells whether a replay may be read on: it has a bound of its own, so that it and the stream do not starve each other.
func (l *lane) room(most int) bool { return len(l.queue) < min(most, maxFlying) }

// finish ends a batch, and lets the next of its lane have its turn.
func (r *run) finish(b *batch, now time.Time) {
	r.drop(b)
	delete(r.open, b)
	l := r.laneOf(b)
	if l.head == b {
		l.head = nil
		if len(l.queue) > 0 {
			l.head = l.queue[0]
			l.queue[0] = nil
			l.queue = l.queue[1:]
			if !l.head.chained {
				r.turn(l.head, now)
			}
		}
	}
	if b.replay != "" {
		r.replayed(b.replay)
	}
}

// charge counts a batch's body, drop lets go of it.
func (r *run) charge(b *batch) {
	n := int64(cap(b.body))
	r.memory += n - b.charged
	b.charged = n
}

func (r *run) drop(b *batch) {
	b.body = nil
	r.charge(b)
}

// save hands the state to the claim.
func (r *run) save(now time.Time) {
	if !r.dirty {
		return
	}
	st := r.snapshot()
	r.reached.Store(uint64(st.reached()))
	r.claim.Save(st.encode())
	r.dirty, r.saved = false, now
}

// snapshot is the state as it has to be stored. Batches that were not tried yet are not stored where they follow each other in the log:
// they are formed again. In lanes they do not.
func (r *run) snapshot() state {
	st := r.state
	st.Open = make([]open, 0, len(r.open))
	if r.replay != nil {
		p := r.replay.replayState
		st.Replay = &p
	} else {
		st.Replay = nil
	}
	for b := range r.open {
		switch {
		case b.tried || b.lane > 0 && b.replay == "":
			st.keep(b)
		case b.replay != "":
			st.Replay.before(b)
		default:
			st.Position = min(st.Position, b.first-1)
		}
	}
	return st
}

// expire counts what has left the log before it could be read, and marks where the next count begins.
func (r *run) expire(ctx context.Context) error {
	e, log := r.service.cfg.Engine, r.hook.Stream.Log
	first, last, err := e.Bounds(ctx, log)
	if err != nil {
		return fmt.Errorf("bounds of the stream: %w", err)
	}
	at := min(max(r.state.Position, first), last)
	if at == r.state.Mark || first == last && r.state.Mark != 0 {
		return nil // a log that holds nothing of the stream knows of no number: with the next event it does
	}
	index, err := e.Index(ctx, log, at)
	if err != nil {
		return fmt.Errorf("count what is pending: %w", err)
	}
	if gone := index - r.state.Index; r.state.Mark != 0 && r.state.Position < first && index > r.state.Index {
		r.service.metrics.expired(r.hook, gone)
		r.service.log.Warn("events left the log before they could be delivered", "webhook", r.hook.ID, "events", gone)
	}
	r.state.Position = max(r.state.Position, at)
	r.state.Mark, r.state.Index, r.dirty = at, index, true
	return nil
}

// tidy does what need not be done often.
func (r *run) tidy(now time.Time, last bool) {
	if now.Sub(r.tidied) < tidyEvery && !last {
		return
	}
	r.tidied = now
	r.poster.prune(time.Now().Add(-idleFor))
	r.service.recent.store(r.work, r.service.cells(), r.hook.ID, r.service.log)
	if r.mark.IsZero() {
		r.mark = now
	}
	if now.Sub(r.mark) >= markEvery && !last {
		r.mark = now
		if err := r.expire(r.work); err != nil && r.work.Err() == nil {
			r.service.log.Warn("what is pending was not counted", "webhook", r.hook.ID, "error", err)
		}
	}
}
