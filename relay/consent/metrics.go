package consent

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	forgotten prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{forgotten: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "sluice_forgotten_total",
		Help: "People forgotten, counted once for each stream.",
	})}
	if r != nil {
		if err := r.Register(m.forgotten); err != nil {
			return nil, fmt.Errorf("registering the metrics of keys: %w", err)
		}
	}
	return m, nil
}
