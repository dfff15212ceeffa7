package load

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay/registry"
)

// metrics are this package's.
type metrics struct {
	runs *prometheus.CounterVec
	rows *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_courier_runs_total", Help: "Runs that ended, by courier (project/name) and state.",
		}, []string{"courier", "state"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_courier_rows_total", Help: "Rows that couriers put into tables, or set aside because they did not fit.",
		}, []string{"courier", "result"}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.runs, m.rows} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func label(c *registry.Courier) string { return c.Project.Name + "/" + c.Name }

func (m *metrics) ended(c *registry.Courier, s State) {
	m.runs.WithLabelValues(label(c), string(s)).Inc()
}

func (m *metrics) loaded(c *registry.Courier, rows, failed int64) {
	m.rows.WithLabelValues(label(c), "loaded").Add(float64(rows))
	m.rows.WithLabelValues(label(c), "failed").Add(float64(failed))
}

// gone drops what was counted of a courier that does not exist any more.
func (m *metrics) gone(courier string) {
	m.runs.DeletePartialMatch(prometheus.Labels{"courier": courier})
	m.rows.DeletePartialMatch(prometheus.Labels{"courier": courier})
}
