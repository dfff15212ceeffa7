package export

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/delivery"
)

// Results of making an object, the label of sluice_export_objects_total.
const (
	resultWritten = "written" // it is in the store
	resultFound   = "found"   // an attempt before had written it already
	resultFailed  = "failed"  // the store did not take it; it is tried again
	resultForeign = "foreign" // the name belonged to another's object; the next one is taken
)

// reasonExpired is the one reason of sluice_export_undelivered_events_total: the events left the log before they were in an object.
const reasonExpired = "expired"

// metrics are this package's.
type metrics struct {
	objects   *prometheus.CounterVec
	lost      *prometheus.CounterVec
	delivered *prometheus.CounterVec
	lag       *prometheus.Desc
	now       func() time.Time

	mu      sync.Mutex
	due     map[string]*due     // by exporter
	streams map[series]struct{} // that have a series of what was delivered
}

// series is one of sluice_delivered_events_total.
type series struct {
	stream string
	kind   delivery.Kind
}

// took counts the events of an object that is there.
func (m *metrics) took(of series, events int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streams[of] = struct{}{}
	m.delivered.WithLabelValues(of.stream, string(of.kind)).Add(float64(events))
}

// keep drops what was counted for streams that have no exporter any more.
func (m *metrics) keep(there map[series]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for s := range m.streams {
		if !there[s] {
			delete(m.streams, s)
			m.delivered.DeleteLabelValues(s.stream, string(s.kind))
		}
	}
}

// due is when the oldest window that has no object yet ended, in Unix seconds; 0: there is none.
type due struct{ at atomic.Int64 }

func newMetrics(reg prometheus.Registerer, now func() time.Time) (*metrics, error) {
	m := &metrics{
		objects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_export_objects_total", Help: "Objects that exporters made or tried to, by exporter (project/stream/name; of the landing files of payloads project/stream) and result.",
		}, []string{"exporter", "result"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_export_undelivered_events_total", Help: "Events that no object has, before consent, by exporter (as in sluice_export_objects_total): expired, because they left the log first.",
		}, []string{"exporter", "reason"}),
		lag: prometheus.NewDesc("sluice_export_lag_seconds",
			"How long ago the oldest window ended whose events are not all in objects; 0: all are.", []string{"exporter"}, nil),
		now: now, due: map[string]*due{}, streams: map[series]struct{}{},
	}
	var err error
	if m.delivered, err = delivery.DeliveredEvents(reg); err != nil || reg == nil {
		return m, err
	}
	for _, c := range []prometheus.Collector{m.objects, m.lost, m} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Describe and Collect make the lag a metric that grows while nothing happens.
func (m *metrics) Describe(out chan<- *prometheus.Desc) { out <- m.lag }

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for name, d := range m.due {
		lag := 0.0
		if at := d.at.Load(); at != 0 {
			lag = max(0, now.Sub(time.Unix(at, 0)).Seconds())
		}
		out <- prometheus.MustNewConstMetric(m.lag, prometheus.GaugeValue, lag, name)
	}
}

// working begins to tell the lag of an exporter that this node owns, until end is called.
func (m *metrics) working(name string) (d *due, end func()) {
	d = &due{}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.due[name] = d
	return d, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.due[name] == d {
			delete(m.due, name)
		}
	}
}

// gone drops what was counted of an exporter that does not exist any more.
func (m *metrics) gone(name string) {
	m.objects.DeletePartialMatch(prometheus.Labels{"exporter": name})
	m.lost.DeletePartialMatch(prometheus.Labels{"exporter": name})
}
