// Package webhook sends the events of a stream to an HTTPS endpoint in signed batches. It hides how batches are formed and kept the same
// over retries, restarts and owners, how many are on the wire, what a receiver may do to us, and where a delivery may go.
//
// # The life of a batch
//
// Events are read through the shared tail, in the webhook's envelope and through its filter, and put into batches in their order. A batch
// is closed when it is full or a second old. It is posted; a 2xx status ends it. Otherwise it waits for the next time in the webhook's
// retry list (a Retry-After of 429 and 503 may make that later), and when the list is at its end, or the batch has been failing for
// Config.ParkAfter, its position goes to the dead letters and the next batch's turn comes. A batch that waits for long is forgotten but for
// its position and read again from the log when its time has come.
//
// What was opened before somebody of the stream was forgotten does not go out: such a batch is read again too, before its next attempt,
// and is then the same events under the same id with what is closed as ciphertext. Where the filter asks for what is closed now, those
// events are not in it any more.
//
// # Order
//
// fifo: one batch at a time, in the order of the stream. none: up to 64 on the wire, and one that fails waits while others go on. key: the
// events of a key link stay in order; key links are spread over 64 lanes, and each lane is a fifo of its own. Events without a key link
// share a lane.
//
// # What is kept
//
// The state of a subscription is a position and the batches that were begun and not ended, by their offsets: all that lies up to the
// position is delivered, parked, filtered out, or in one of these. So a restart sends again what was in hand, as the same batches under
// the same ids, and nothing else but what was delivered in the moments before the state was last written. Payloads are never stored.
//
// # Isolation
//
// Each webhook has its own goroutines, connections and memory, all bounded; what they share is the tail of their stream, where a slow
// reader costs nobody anything.
package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/delivery"
	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Kind is the kind of the subscriptions that webhooks are.
const Kind delivery.Kind = "webhook"

// Config is what webhooks can be told, and the parts they work with.
type Config struct {
	// AllowCIDRs opens addresses that are otherwise refused: addresses and ranges. Loopback ones are then reached by http:// too.
	AllowCIDRs []string
	// CAFile is a PEM file of certificates that are trusted beside the system's. Empty: none.
	CAFile string
	// Timeout is how long an attempt may take where the webhook does not say (default 15 s).
	Timeout time.Duration
	// ParkAfter is how long a batch may fail before it is parked, whatever is left of the retry list (default 30 h, more than the default
	// list takes, so that the list decides).
	ParkAfter time.Duration
	// Linger is how old an event may grow in a batch that is not full (default 1 s).
	Linger time.Duration
	// Version stands in the User-Agent.
	Version string

	Relay    *relay.Relay
	Engine   *engine.Engine
	Registry *registry.Registry
	Runner   *delivery.Runner

	Now     func() time.Time      // default time.Now
	Log     *slog.Logger          // default slog.Default()
	Metrics prometheus.Registerer // nil: none
}

const (
	defTimeout   = 15 * time.Second
	defParkAfter = 30 * time.Hour
	defLinger    = time.Second
)

// DefaultRetry are the pauses between the attempts of a webhook that names none.
func DefaultRetry() []time.Duration {
	return []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour}
}

// Validate reports all faults at once. The parts are not looked at.
func (c Config) Validate() error {
	_, err := newGate(c.AllowCIDRs)
	_, caErr := c.roots()
	var faults []error
	if c.Timeout < 0 || c.ParkAfter < 0 || c.Linger < 0 {
		faults = append(faults, errors.New("webhooks: a time may not be negative"))
	}
	return errors.Join(append(faults, err, caErr)...)
}

// roots are the certificates that are trusted; nil for the system's alone.
func (c Config) roots() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("setting webhooks.ca_file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("setting webhooks.ca_file: %s holds no certificate in PEM", c.CAFile)
	}
	return roots, nil
}

// Service runs the webhooks of a node. Safe for concurrent use.
type Service struct {
	cfg     Config
	gate    gate
	tls     *tls.Config
	log     *slog.Logger
	now     func() time.Time
	metrics *metrics
	recent  *recents
}

// New joins the parts. Nothing is sent before Run, but by Test.
func New(cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defTimeout
	}
	if cfg.ParkAfter == 0 {
		cfg.ParkAfter = defParkAfter
	}
	if cfg.Linger == 0 {
		cfg.Linger = defLinger
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	s := &Service{cfg: cfg, log: cfg.Log, now: cfg.Now, recent: newRecents()}
	s.gate, _ = newGate(cfg.AllowCIDRs) // Validate has read it
	roots, err := cfg.roots()
	if err != nil {
		return nil, err
	}
	s.tls = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(256)}
	if s.metrics, err = newMetrics(cfg.Metrics, s); err != nil {
		return nil, err
	}
	return s, nil
}

// DefaultTimeout is that of a webhook that names none.
func (s *Service) DefaultTimeout() time.Duration { return s.cfg.Timeout }

// Run tells the Runner which webhooks there are, at once and whenever that changes, until ctx ends. The Runner does the work.
func (s *Service) Run(ctx context.Context) error {
	for {
		changed := s.cfg.Registry.Changed()
		hooks := s.cfg.Registry.Snapshot().Webhooks(nil)
		subs := make([]delivery.Subscription, 0, len(hooks))
		for _, w := range hooks {
			sub := delivery.Subscription{ID: w.ID, Version: w.Version}
			if w.Enabled && w.Stream.Enabled {
				sub.Sink = &sink{service: s, hook: w}
			}
			subs = append(subs, sub)
		}
		s.cfg.Runner.Set(Kind, subs)
		s.recent.keep(hooks)
		s.metrics.keep(hooks)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// Resolve turns a position as users write it (see relay.ParsePosition) into the offset behind which a webhook on the stream begins. The
// errors are those of relay.ParsePosition and relay.OpenReader.
func (s *Service) Resolve(ctx context.Context, st *registry.Stream, position string) (engine.Offset, error) {
	from, err := relay.ParsePosition(position)
	if err != nil {
		return 0, err
	}
	rd, err := s.cfg.Relay.OpenReader(ctx, relay.Spec{Stream: st, From: from})
	if err != nil {
		return 0, err
	}
	defer rd.Close()
	at, _ := rd.Started()
	return at, nil
}
