package engine

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// openPatience is how long Open waits for a cluster that is coming up: after a power cut its servers and this process
	// start together, and its streams elect their leaders within 10 s of the last server.
	openPatience = 30 * time.Second
	openPause    = 250 * time.Millisecond
)

// patiently repeats one step of the opening until the cluster is up to it. The embedded log is there or never.
func (e *Engine) patiently(ctx context.Context, step func() error) error {
	for end, told := time.Now().Add(openPatience), false; ; {
		err := step()
		if err == nil || e.srv.Load() != nil || !comingUp(err) || time.Now().After(end) {
			return err
		}
		if !told {
			told = true
			e.log.Warn("waiting for the log to come up", slog.Duration("patience", openPatience), slog.Any("error", err))
		}
		select {
		case <-time.After(openPause):
		case <-ctx.Done():
			return err
		}
	}
}

const codeNoPeers = 10005 // fewer servers than replicas are there

// comingUp tells errors of a cluster that is not complete yet from those that time does not mend.
func comingUp(err error) bool {
	var refused *jetstream.APIError
	if errors.As(err, &refused) {
		return refused.Code == 503 || refused.ErrorCode == codeNoPeers
	}
	var told *apiError
	if errors.As(err, &told) {
		return told.Code == 503 // servers that have no leader among them say so
	}
	for _, passing := range []error{nats.ErrNoServers, nats.ErrNoResponders, nats.ErrTimeout, jetstream.ErrNoStreamResponse, context.DeadlineExceeded, errLost} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return errors.Is(err, context.Canceled) // the step's own context, ended by the loss of the connection
}
