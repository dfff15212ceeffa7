package demo

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"sync"
	"time"

	"sluice/loadtest/verify"
)

const (
	// perRound is how many events are sent before the books are balanced and begun anew: the ledger remembers every event, some 20 MB
	// in all, and a demo may run for days.
	perRound = 20_000
	// roundTime ends a round whose events come slowly: the token they are sent with lives for an hour.
	roundTime = 10 * time.Minute
	// patience is how long consumers may take for what was accepted before it counts as lost: a window of the export and the linger of the
	// webhook, many times over, for a busy machine.
	patience = time.Minute
)

// books are what was sent and what arrived, of the round that runs and in total of those before. Safe for concurrent use.
type books struct {
	pages []*page

	mu                           sync.Mutex
	ledger                       *verify.Ledger
	accepted, refused, unsettled int // of closed rounds
}

// page is one consumer's part of the books.
type page struct {
	consumer

	mu     sync.Mutex
	audit  *verify.Reader
	others int           // events that are not ours
	units  int           // files or batches
	wrong  int           // deliveries that were not signed
	total  verify.Report // of closed rounds
	closed bool
	last   chan struct{} // closed when the round's last event has arrived
}

func newBooks(consumers []consumer) *books {
	b := &books{}
	for _, c := range consumers {
		b.pages = append(b.pages, &page{consumer: c, total: verify.Report{Counts: map[verify.Kind]int{}}})
	}
	return b
}

// open begins a round.
func (b *books) open() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ledger = verify.NewLedger()
	for _, p := range b.pages {
		p.mu.Lock()
		p.audit, p.closed, p.last = verify.NewReader(b.ledger, p.rule), false, make(chan struct{})
		p.mu.Unlock()
	}
}

// round is the ledger of the round that runs.
func (b *books) round() *verify.Ledger {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ledger
}

// close ends a round: what is missing now is lost.
func (b *books) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	stored, refused, unknown := b.ledger.Tally()
	b.accepted, b.refused, b.unsettled = b.accepted+stored, b.refused+refused, b.unsettled+unknown
	for _, p := range b.pages {
		p.mu.Lock()
		r := p.audit.Finish()
		p.total.Received += r.Received
		p.total.Dropped += r.Dropped
		for kind, n := range r.Counts {
			p.total.Counts[kind] += n
		}
		if len(p.total.Examples) == 0 {
			p.total.Examples = r.Examples
		}
		p.audit = verify.NewReader(verify.NewLedger(), p.rule) // what still comes was never sent
		p.mu.Unlock()
	}
}

// counted counts a file or a batch.
func (p *page) counted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.units++
}

// refused counts a delivery that was not signed as it has to be.
func (p *page) refused() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong++
}

// await returns when every consumer has the round's last event. The stream's order makes it enough: what was sent before has arrived by
// then, or never will. After a while it gives up, and the books say what is lost; the error is that nothing can come any more.
func (b *books) await(readCtx context.Context) error {
	deadline := time.After(patience)
	for _, p := range b.pages {
		select {
		case <-p.last:
		case <-deadline:
			return nil
		case <-readCtx.Done():
			return fmt.Errorf("%s: %w", p.label, context.Cause(readCtx))
		}
	}
	return nil
}

// counts gives what was accepted and what each reader received, until now.
func (b *books) counts() (accepted int, received []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stored, _, _ := b.ledger.Tally()
	for _, p := range b.pages {
		p.mu.Lock()
		received = append(received, p.total.Received+p.audit.Received())
		p.mu.Unlock()
	}
	return b.accepted + stored, received
}

var ours = regexp.MustCompile(`"p\d{3}-\d{10}"`)

// received books one event. Events without our marker come from commands that somebody pasted.
func (p *page) received(offset uint64, event []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !ours.Match(event) {
		p.others++
		return
	}
	p.audit.Event(offset, event)
	if !p.closed && bytes.Contains(event, []byte(closingMark)) {
		p.closed = true
		close(p.last)
	}
}
