package delivery

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// DeliveredEvents is the counter of the events that consumers took, by stream and kind of consumer: the kinds of connections, and the Kinds
// of subscriptions. It is one for all packages that deliver: whoever asks first registers it. A nil reg: nobody sees it.
func DeliveredEvents(reg prometheus.Registerer) (*prometheus.CounterVec, error) {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sluice_delivered_events_total", Help: "Events written to consumers' connections, taken by webhooks' receivers, or in exported objects.",
	}, []string{"stream", "kind"})
	if reg == nil {
		return counter, nil
	}
	err := reg.Register(counter)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if shared, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
			return shared, nil
		}
	}
	return counter, err
}
