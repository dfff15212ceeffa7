package webhook

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/delivery"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Results of sluice_webhook_attempts_total beside the Fail… ones. parked and expired count events, for there was no attempt.
const resultDelivered = "delivered"

// pendingTime bounds what a scrape may spend on counting what is pending.
const pendingTime = 2 * time.Second

type metrics struct {
	attempts  *prometheus.CounterVec
	lost      *prometheus.CounterVec
	delivered *prometheus.CounterVec
	pending   *prometheus.Desc
	service   *Service

	mu      sync.Mutex
	runs    map[*run]*watched
	seen    map[string]struct{} // names of webhooks that have series
	streams map[string]struct{} // and of streams
}

// watched is a webhook that this node works on.
type watched struct {
	hook *registry.Webhook
	mu   sync.Mutex
	// what was counted last, so that an idle webhook costs a scrape one question
	position, last engine.Offset
	pending        uint64
}

func newMetrics(reg prometheus.Registerer, s *Service) (*metrics, error) {
	m := &metrics{
		service: s, runs: map[*run]*watched{}, seen: map[string]struct{}{}, streams: map[string]struct{}{},
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhook_attempts_total", Help: "Attempts to deliver a batch to a webhook, by what came of them.",
		}, []string{"webhook", "result"}),
		lost: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sluice_webhook_undelivered_events_total", Help: "Events that were given up: parked as dead letters, or expired because they left the log first.",
		}, []string{"webhook", "reason"}),
		pending: prometheus.NewDesc("sluice_webhook_pending_events", "Events of the stream behind the webhook's position, before its filter.", []string{"webhook"}, nil),
	}
	var err error
	if m.delivered, err = delivery.DeliveredEvents(reg); err != nil || reg == nil {
		return m, err
	}
	for _, c := range []prometheus.Collector{m.attempts, m.lost, m} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) attempt(w *registry.Webhook, result string) {
	m.attempts.WithLabelValues(w.Name, result).Inc()
}

func (m *metrics) took(w *registry.Webhook, n int) {
	m.attempt(w, resultDelivered)
	m.delivered.WithLabelValues(w.Stream.Name, string(Kind)).Add(float64(n))
}

func (m *metrics) expired(w *registry.Webhook, n uint64) {
	m.lost.WithLabelValues(w.Name, FailExpired).Add(float64(n))
}

func (m *metrics) parked(w *registry.Webhook, n uint64) {
	m.lost.WithLabelValues(w.Name, "parked").Add(float64(n))
}

// watch makes a run show its pending events until stop.
func (m *metrics) watch(w *registry.Webhook, r *run) (stop func()) {
	m.mu.Lock()
	m.runs[r] = &watched{hook: w}
	m.seen[w.Name], m.streams[w.Stream.Name] = struct{}{}, struct{}{}
	m.mu.Unlock()
	return func() {
		m.mu.Lock()
		delete(m.runs, r)
		m.mu.Unlock()
	}
}

// keep drops the series of webhooks that are not there any more. Work that is just being ended may make them anew; the next call, at the
// next change or scrape, drops them again.
func (m *metrics) keep(hooks []*registry.Webhook) {
	there, streams := make(map[string]bool, len(hooks)), map[string]bool{}
	for _, w := range hooks {
		there[w.Name], streams[w.Stream.Name] = true, true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.runs {
		there[w.hook.Name], streams[w.hook.Stream.Name] = true, true
	}
	for name := range m.streams {
		if !streams[name] {
			delete(m.streams, name)
			m.delivered.DeleteLabelValues(name, string(Kind))
		}
	}
	for name := range m.seen {
		if there[name] {
			continue
		}
		delete(m.seen, name)
		m.attempts.DeletePartialMatch(prometheus.Labels{"webhook": name})
		m.lost.DeletePartialMatch(prometheus.Labels{"webhook": name})
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) { out <- m.pending }

// Collect implements prometheus.Collector: what is pending is counted when somebody asks, so that idle webhooks cost nothing.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), pendingTime)
	defer cancel()
	m.keep(m.service.cfg.Registry.Snapshot().Webhooks(nil))
	m.mu.Lock()
	runs := make(map[*run]*watched, len(m.runs))
	for r, w := range m.runs {
		runs[r] = w
	}
	m.mu.Unlock()
	byName := map[string]uint64{} // projects may have webhooks of one name
	for r, w := range runs {
		if n, err := w.count(ctx, m.service.cfg.Engine, engine.Offset(r.reached.Load())); err == nil {
			byName[w.hook.Name] += n
		}
	}
	for name, n := range byName {
		out <- prometheus.MustNewConstMetric(m.pending, prometheus.GaugeValue, float64(n), name)
	}
}

func (w *watched) count(ctx context.Context, e *engine.Engine, position engine.Offset) (uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	log := w.hook.Stream.Log
	first, last, err := e.Bounds(ctx, log)
	if err != nil {
		return 0, err
	}
	position = min(max(position, first), last)
	if position == w.position && last == w.last {
		return w.pending, nil
	}
	to, err := e.Index(ctx, log, last)
	if err != nil {
		return 0, err
	}
	from, err := e.Index(ctx, log, position)
	if err != nil {
		return 0, err
	}
	w.position, w.last, w.pending = position, last, max(to, from)-from
	return w.pending, nil
}
