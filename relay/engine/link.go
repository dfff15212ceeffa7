package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// link is one connection to the log, which mends itself for ever.
type link struct {
	nc *nats.Conn

	mu    sync.Mutex
	epoch context.Context // ends when the connection that is there now is lost
	drop  context.CancelFunc
}

// lost is closed when the connection that is there now is lost. What the server remembered of it is then gone.
func (l *link) lost() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch.Done()
}

// begin starts an epoch and ends the one before.
func (l *link) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drop != nil {
		l.drop()
	}
	l.epoch, l.drop = context.WithCancel(context.Background())
}

// bounded is ctx for one question to the log: it ends after requestTimeout where ctx has no deadline, and when the
// connection is lost, for then no answer will come.
func (l *link) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	l.mu.Lock()
	epoch := l.epoch
	l.mu.Unlock()
	ctx, lost := context.WithCancelCause(ctx)
	stop := context.AfterFunc(epoch, func() { lost(errLost) })
	cancel := func() {}
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
	}
	return ctx, func() {
		stop()
		cancel()
		lost(nil)
	}
}

// request asks the log and waits for one answer. ctx must come from bounded.
func (l *link) request(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	m, err := l.nc.RequestWithContext(ctx, subject, body)
	return m, l.why(ctx, err)
}

// why names the cause of an error where the client does not.
func (l *link) why(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(context.Cause(ctx), errLost):
		return errLost
	}
	return err
}

var errLost = errors.New("the connection to the log was lost")

// connect fills l with a connection of that name.
func (e *Engine) connect(l *link, name string) (err error) {
	l.begin()
	opts := []nats.Option{
		nats.Name("sluice " + name),
		nats.MaxReconnects(-1),
		// Without a connection a publish fails at once: buffered, it would be sent at a time when the writer has
		// already decided something else.
		nats.ReconnectBufSize(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.Timeout(requestTimeout),
		nats.PingInterval(5 * time.Second), // a peer that vanished without a word is found out after two
		nats.NoEcho(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			l.begin()
			if !e.closing.Load() && err != nil {
				e.log.Warn("connection to the log lost", slog.String("connection", name), slog.Any("error", err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) {
			e.log.Info("connected to the log again", slog.String("connection", name))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			e.log.Warn("connection to the log", slog.String("connection", name), slog.Any("error", err))
		}),
	}
	if e.srv.Load() != nil {
		opts = append(opts, nats.InProcessServer(embedded{e}))
	}
	if l.nc, err = nats.Connect(e.cfg.URL, opts...); err != nil {
		return fmt.Errorf("connecting to the log: %w", err)
	}
	return nil
}
