package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay/engine"
	"sluice/relay/registry"
	"sluice/relay/usage"
)

// result is what became of an ingest request or of an event in it: a closed set.
type result uint8

const (
	resultNone result = iota // not an ingest request, or not over
	resultAccepted
	resultInvalid
	resultUnauthorized
	resultForbidden
	resultUnknown
	resultRate
	resultTooLarge
	resultBusy
	resultDiskFull
	resultUnconfirmed
	resultFailed
	results
)

var resultNames = [results]string{
	"", "accepted", "invalid", "unauthorized", "forbidden", "unknown_stream", "rate_limited", "too_large", "busy",
	"disk_full", "unconfirmed", "failed",
}

// api is a way in.
type api uint8

const (
	apiEvent api = iota
	apiBulk
	apiPayload
	apis
)

var apiNames = [apis]string{"event", "bulk", "payload"}

// ingest is what the edge knows of the streams events are sent to: their counters and their limits. Safe for
// concurrent use; looking a stream up takes no lock and no allocation.
type ingest struct {
	events  *prometheus.CounterVec
	seconds [apis]prometheus.Observer
	refused [apis][results]prometheus.Counter // of requests that name no stream there is
	usage   *usage.Meter                      // nil: months are not counted

	mu      sync.Mutex // held to replace streams
	streams atomic.Pointer[map[engine.StreamID]*inlet]
}

// inlet is one stream's part of ingest.
type inlet struct {
	name     string
	limits   limits
	counters [apis][results]prometheus.Counter
}

func newIngest(reg prometheus.Registerer, meter *usage.Meter) (*ingest, error) {
	in := &ingest{
		usage: meter,
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_ingest_events_total",
			Help: "Events sent to the gateway, by what became of them. A refused request counts as one.",
		}, []string{"api", "stream", "result"}),
	}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sluice_ingest_duration_seconds",
		Help:    "From the end of the request's header to its answer, storing included.",
		Buckets: []float64{.0005, .001, .002, .004, .008, .016, .032, .064, .125, .25, .5, 1, 2, 5, 10},
	}, []string{"api"})
	for _, c := range []prometheus.Collector{in.events, seconds} {
		if reg == nil {
			break
		}
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	for a := range apis {
		in.seconds[a] = seconds.WithLabelValues(apiNames[a])
		for r := resultInvalid; r < results; r++ {
			in.refused[a][r] = in.events.WithLabelValues(apiNames[a], "", resultNames[r])
		}
	}
	none := make(map[engine.StreamID]*inlet)
	in.streams.Store(&none)
	return in, nil
}

// of gives a stream's inlet, making it at the stream's first request.
func (in *ingest) of(snap *registry.Snapshot, st *registry.Stream) *inlet {
	if it := (*in.streams.Load())[st.Log.ID]; it != nil {
		return it
	}
	return in.add(snap, st)
}

// add also forgets the streams that are no more, so that there are never many more inlets than streams.
func (in *ingest) add(snap *registry.Snapshot, st *registry.Stream) *inlet {
	in.mu.Lock()
	defer in.mu.Unlock()
	old := *in.streams.Load()
	if it := old[st.Log.ID]; it != nil {
		return it
	}
	next := in.living(snap)
	it := &inlet{name: st.Name}
	if in.usage != nil {
		it.limits.month = in.usage.Of(st.Log.ID)
	}
	for a := range apis {
		for r := resultAccepted; r < results; r++ {
			it.counters[a][r] = in.events.WithLabelValues(apiNames[a], st.Name, resultNames[r])
		}
	}
	next[st.Log.ID] = it
	in.streams.Store(&next)
	return it
}

// living gives the inlets of the streams there are, and drops the series of the others. The caller holds the mutex.
func (in *ingest) living(snap *registry.Snapshot) map[engine.StreamID]*inlet {
	old := *in.streams.Load()
	next := make(map[engine.StreamID]*inlet, len(old)+1)
	live := make(map[engine.StreamID]bool, len(old)+1)
	names := make(map[string]bool, len(old)+1)
	for _, s := range snap.AllStreams() {
		live[s.Log.ID] = true
		names[s.Name] = true
	}
	for id, it := range old {
		if live[id] {
			next[id] = it
		} else if !names[it.name] {
			in.events.DeletePartialMatch(prometheus.Labels{"stream": it.name})
		}
	}
	return next
}

// keep forgets the streams that are not there any more.
func (in *ingest) keep(snap *registry.Snapshot) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if next := in.living(snap); len(next) < len(*in.streams.Load()) {
		in.streams.Store(&next)
	}
}

// count adds what became of n events; it is nil where the request named no stream.
func (in *ingest) count(it *inlet, a api, r result, n int) {
	switch {
	case r == resultNone || n == 0:
	case it != nil:
		it.counters[a][r].Add(float64(n))
	case in.refused[a][r] != nil:
		in.refused[a][r].Inc()
	}
}

func (in *ingest) took(a api, d time.Duration) { in.seconds[a].Observe(d.Seconds()) }
