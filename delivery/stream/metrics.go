package stream

import "github.com/prometheus/client_golang/prometheus"

// Label is what a response or websocket is counted under: the stream's name, and the kind of its connection, one of
// ndjson, airship, sse and websocket.
type Label struct{ Stream, Kind string }

// metrics count consumers and what they got. Labels never name a consumer.
type metrics struct {
	readers   *prometheus.GaugeVec
	delivered *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		readers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sluice_readers", Help: "Consumers connected now.",
		}, []string{"stream", "kind"}),
		delivered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_delivered_events_total", Help: "Events written to consumers' connections.",
		}, []string{"stream", "kind"}),
	}
	if reg != nil {
		reg.MustRegister(m.readers, m.delivered)
	}
	return m
}

// enter counts a consumer until leave is called, and gives the counter of what it gets.
func (m metrics) enter(l Label) (delivered prometheus.Counter, leave func()) {
	readers := m.readers.WithLabelValues(l.Stream, l.Kind)
	readers.Inc()
	return m.delivered.WithLabelValues(l.Stream, l.Kind), readers.Dec
}
