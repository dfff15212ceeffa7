package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one engine. Without a Registerer they count for nobody.
type metrics struct {
	reg prometheus.Registerer
	all []prometheus.Collector

	blockEvents   prometheus.Histogram
	fsyncSeconds  prometheus.Histogram
	storedBytes   prometheus.Counter
	refusedTotal  *prometheus.CounterVec
	retries       prometheus.Counter
	refusedReason map[error]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, e *Engine) (*metrics, error) {
	m := &metrics{
		blockEvents: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sluice_append_block_events", Help: "Events in a block when it was committed.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		fsyncSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "sluice_append_fsync_seconds", Help: "Seconds from handing a commit to the log until it was durable.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 13),
		}),
		storedBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_append_stored_bytes_total", Help: "Bytes of blocks stored by this node.",
		}),
		refusedTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_append_refused_total", Help: "Batches that were not confirmed, by reason.",
		}, []string{"reason"}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sluice_append_retries_total", Help: "Commits that had to be tried again.",
		}),
	}
	m.refusedReason = map[error]prometheus.Counter{}
	for err, reason := range map[error]string{
		ErrBusy: "busy", ErrDiskFull: "disk_full", ErrUnconfirmed: "unconfirmed", ErrClosed: "closed", ErrTooLarge: "too_large", ErrRecord: "record",
	} {
		m.refusedReason[err] = m.refusedTotal.WithLabelValues(reason)
	}
	queue := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_append_queue_bytes", Help: "Bytes of records that wait for their commit.",
	}, func() float64 { return float64(e.queued.Load()) })
	free := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sluice_disk_free_bytes", Help: "Free bytes where the embedded log lies.",
	}, func() float64 { return float64(e.disk.free.Load()) })
	if reg == nil {
		return m, nil
	}
	m.reg = reg
	for _, c := range []prometheus.Collector{m.blockEvents, m.fsyncSeconds, m.storedBytes, m.refusedTotal, m.retries, queue, free} {
		if err := reg.Register(c); err != nil {
			m.unregister()
			return nil, fmt.Errorf("metrics of the engine: %w", err)
		}
		m.all = append(m.all, c)
	}
	return m, nil
}

// unregister makes room for the metrics of an engine opened after this one.
func (m *metrics) unregister() {
	if m == nil {
		return
	}
	for _, c := range m.all {
		m.reg.Unregister(c)
	}
}

func (m *metrics) committed(blocks []*pending, took time.Duration) {
	m.fsyncSeconds.Observe(took.Seconds())
	for _, p := range blocks {
		m.blockEvents.Observe(float64(p.count))
		m.storedBytes.Add(float64(len(p.stored)))
	}
}

func (m *metrics) refused(err error) {
	for known, c := range m.refusedReason {
		if errors.Is(err, known) {
			c.Inc()
		}
	}
}
