package relay

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay/consent"
	"sluice/relay/registry"
)

// reason is why an event is not shown, or not stored again: a closed set.
type reason uint8

const (
	droppedConsent    reason = iota // the person's consent does not reach the stream
	droppedFilter                   // the consumer asked for other events
	droppedSubset                   // it is in another consumer's part of the stream
	droppedUnparsable               // it is XML that cannot be read
	droppedDuplicate                // an event of its id was stored within the last ten minutes
	reasons
)

var reasonNames = [reasons]string{"consent", "filter", "subset", "unparsable", "duplicate"}

// drops counts what is not shown, by stream. A decision is counted where it is made: once for all who follow a stream live with the
// same filter and format, and again by each reader that reads the log alone. To count per reader would cost an atomic addition for each
// reader and block, and say nothing that sluice_readers does not. Safe for concurrent use.
type drops struct {
	desc *prometheus.Desc
	live func() map[string]bool // names of the streams there are

	mu      sync.Mutex
	streams map[string]*dropCounts
}

// dropCounts are one stream's, by reason.
type dropCounts [reasons]atomic.Uint64

func newDrops(reg prometheus.Registerer, live func() map[string]bool) *drops {
	d := &drops{
		live: live, streams: map[string]*dropCounts{},
		desc: prometheus.NewDesc("sluice_dropped_events_total",
			"Events that readers of a stream were not shown, by reason: consent, filter, subset or unparsable. Each decision counts once: "+
				"one for all who follow the stream live with the same filter and format, one more for each that reads the log alone, exporters among them. "+
				"Reason duplicate: events that were accepted and not stored again, for their ids were.",
			[]string{"stream", "reason"}, nil),
	}
	if reg != nil {
		reg.MustRegister(d)
	}
	return d
}

// of gives a stream's counts.
func (d *drops) of(stream string) *dropCounts {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.streams[stream]
	if c == nil {
		c = &dropCounts{}
		d.streams[stream] = c
	}
	return c
}

// Describe implements prometheus.Collector.
func (d *drops) Describe(out chan<- *prometheus.Desc) { out <- d.desc }

// Collect implements prometheus.Collector. A stream that is gone takes its counts along.
func (d *drops) Collect(out chan<- prometheus.Metric) {
	live := d.live()
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, counts := range d.streams {
		if !live[name] {
			delete(d.streams, name)
			continue
		}
		for r := range reasons {
			out <- prometheus.MustNewConstMetric(d.desc, prometheus.CounterValue, float64(counts[r].Load()), name, reasonNames[r])
		}
	}
}

// streamNames are the names of the streams there are.
func (r *Relay) streamNames() map[string]bool {
	all := r.registry.Snapshot().AllStreams()
	names := make(map[string]bool, len(all))
	for _, st := range all {
		names[st.Name] = true
	}
	return names
}

// add counts n decisions.
func (c *dropCounts) add(why reason, n int) {
	if n > 0 {
		c[why].Add(uint64(n))
	}
}

// audience is who shares a view or a rendering: streams of one rule, by name, with their number of readers. The hub's mutex guards it.
type audience map[string]*listeners

type listeners struct {
	readers int
	counts  *dropCounts
}

func (a audience) join(stream string, d *drops) {
	l := a[stream]
	if l == nil {
		l = &listeners{counts: d.of(stream)}
		a[stream] = l
	}
	l.readers++
}

func (a audience) leave(stream string) {
	if l := a[stream]; l != nil {
		if l.readers--; l.readers == 0 {
			delete(a, stream)
		}
	}
}

func (a audience) dropped(why reason, n int) {
	if n == 0 {
		return
	}
	for _, l := range a {
		l.counts.add(why, n)
	}
}

// dropReason is why the view shows an event not at all: a source stream's rule forbids none.
func (v *view) dropReason() reason {
	if v.rule.Type == consent.Source {
		return droppedUnparsable
	}
	return droppedConsent
}

// Withheld counts events that a stream's consent rule kept from somebody who reads the log by other means than a Reader: an exporter, which
// decides by itself which events are its. Each decision is to be told once, however often what came of it is repeated.
func (r *Relay) Withheld(st *registry.Stream, events int) {
	if events > 0 {
		r.drops.of(st.Name).add(droppedConsent, events)
	}
}

// takeDropped is how many events the view did not show since it was asked last.
func (v *view) takeDropped() int {
	n := v.dropped
	v.dropped = 0
	return n
}

// takeDropped is how many events the consumer had not asked for since it was asked last, by reason.
func (r *renderer) takeDropped() [reasons]int {
	n := r.dropped
	r.dropped = [reasons]int{}
	return n
}
