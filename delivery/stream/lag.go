package stream

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay"
	"sluice/relay/engine"
)

// lagTime bounds what a scrape may spend on counting how far readers are behind.
const lagTime = 2 * time.Second

// lags tells how far live readers are behind. It keeps nothing but who is there, and counts when it is asked: of all readers of a
// stream and kind only the one that is furthest behind is counted, and a log whose readers have all kept up is not asked. Safe for
// concurrent use.
type lags struct {
	desc *prometheus.Desc

	mu       sync.Mutex
	sessions map[*session]Label
}

func newLags() *lags {
	return &lags{
		desc: prometheus.NewDesc("sluice_reader_lag_events",
			"Events of the stream's log, before consent and filter, that have not been written to the connection of the reader "+
				"furthest behind. Streams derived from one source count the source's events.", []string{"stream", "kind"}, nil),
		sessions: map[*session]Label{},
	}
}

func (l *lags) enter(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions[s] = s.Label
}

func (l *lags) leave(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.sessions, s)
}

// Describe implements prometheus.Collector.
func (l *lags) Describe(out chan<- *prometheus.Desc) { out <- l.desc }

// group is a stream of one log: projects may have streams of one name.
type group struct {
	Label
	log engine.StreamID
}

// last is the reader of a group that is furthest behind.
type last struct {
	standing *relay.Standing
	at       engine.Offset
}

// Collect implements prometheus.Collector.
func (l *lags) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), lagTime)
	defer cancel()
	most := map[Label]uint64{}
	for g, r := range l.furthest() {
		// A log that does not answer now says nothing about its readers.
		if n, err := r.standing.Behind(ctx, r.at); err == nil {
			most[g.Label] = max(most[g.Label], n)
		}
	}
	for label, n := range most {
		out <- prometheus.MustNewConstMetric(l.desc, prometheus.GaugeValue, float64(n), label.Stream, label.Kind)
	}
}

func (l *lags) furthest() map[group]last {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[group]last{}
	for s, label := range l.sessions {
		standing := s.Reader.Standing()
		at := s.written(standing)
		g := group{label, standing.Stream()}
		if r, ok := all[g]; !ok || at < r.at {
			all[g] = last{standing, at}
		}
	}
	return all
}

// written is the offset up to which everything that the client is to see is written to its connection.
func (s *session) written(standing *relay.Standing) engine.Offset {
	// Asked first: what is handed out between the two questions is missed by neither.
	at := standing.Position()
	if before := engine.Offset(s.writing.Load()); before != 0 {
		return min(at, before)
	}
	return at
}
