package stream

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/delivery"
)

// Label is what a response or websocket is counted under: the stream's name, and the kind of its connection, one of
// ndjson, airship, sse and websocket.
type Label struct{ Stream, Kind string }

// metrics count consumers and what they got. Labels never name a consumer. Safe for concurrent use.
type metrics struct {
	readers   *prometheus.GaugeVec
	delivered *prometheus.CounterVec
	lags      *lags

	mu      sync.Mutex
	streams map[string]int // readers by stream, those without any included as long as they have series
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		readers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sluice_readers", Help: "Consumers connected now.",
		}, []string{"stream", "kind"}),
		lags: newLags(), streams: map[string]int{},
	}
	var err error
	if m.delivered, err = delivery.DeliveredEvents(reg); err != nil {
		panic(err) // of what is registered twice, as below
	}
	if reg != nil {
		reg.MustRegister(m.readers, m.lags)
	}
	return m
}

// enter counts a session until leave is called, and gives the counter of what it gets.
func (m *metrics) enter(s *session) (delivered prometheus.Counter, leave func()) {
	l := s.Label
	m.mu.Lock()
	m.streams[l.Stream]++
	readers := m.readers.WithLabelValues(l.Stream, l.Kind)
	readers.Inc()
	delivered = m.delivered.WithLabelValues(l.Stream, l.Kind)
	m.mu.Unlock()
	m.lags.enter(s)
	return delivered, func() {
		m.lags.leave(s)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.streams[l.Stream]--
		readers.Dec()
	}
}

// keep drops the series of streams that are not there any more; one that still has readers, which are about to be told, keeps its own
// until the next call.
func (m *metrics) keep(there func(stream string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, readers := range m.streams {
		if readers > 0 || there(name) {
			continue
		}
		delete(m.streams, name)
		m.readers.DeletePartialMatch(prometheus.Labels{"stream": name})
		m.delivered.DeletePartialMatch(prometheus.Labels{"stream": name})
	}
}
