package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"
)

const (
	// failingFor is how long everything that was handed to the embedded log must have failed for it to be taken for
	// unable to write, when its disk was seen low at that time.
	failingFor = 3 * time.Second
	// failingTimes is for how many times Config.Timeout it must have failed otherwise: a disk that is only slow is
	// not helped by a restart.
	failingTimes = 3
	// failingLeast is how many attempts that must have been.
	failingLeast = 3
	// restartEvery is how long it is waited for a restart to help before the next.
	restartEvery = 5 * time.Second
)

var errRestarting = errors.New("the embedded log server is being restarted")

// attempts is how often storing failed since it last worked. Safe for concurrent use.
type attempts struct {
	count atomic.Int64
	since atomic.Int64 // Unix nanoseconds of the first of them
}

func (a *attempts) worked() {
	if a.count.Load() != 0 {
		a.count.Store(0)
	}
}

func (a *attempts) failed() {
	if a.count.Add(1) == 1 {
		a.since.Store(time.Now().UnixNano())
	}
}

// tooMany says that all failed for long enough. low is when the disk was last seen low, timeout is Config.Timeout.
func (a *attempts) tooMany(now, low time.Time, timeout time.Duration) bool {
	if a.count.Load() < failingLeast {
		return false
	}
	since := time.Unix(0, a.since.Load())
	if low.After(since.Add(-failingFor)) {
		return now.Sub(since) >= failingFor
	}
	return now.Sub(since) >= max(failingFor, failingTimes*timeout)
}

// noWrite says that an error is of a log that did not store what it was given, for a reason of its own.
func noWrite(err error) bool {
	var refused *apiError
	if errors.As(err, &refused) {
		return refused.Code >= 500
	}
	return errors.Is(err, errNoAnswer) || errors.Is(err, context.DeadlineExceeded)
}

// embedded is how connections reach the embedded server that is there now.
type embedded struct{ e *Engine }

// InProcessConn implements nats.InProcessConnProvider.
func (c embedded) InProcessConn() (net.Conn, error) { return c.e.srv.Load().InProcessConn() }

// stopped says that the embedded server has ended by itself.
func (e *Engine) stopped() bool {
	srv := e.srv.Load()
	return srv != nil && !e.restarting.Load() && !srv.Running()
}

// watchLog restarts an embedded log that can no longer write although there is room. That is how a full disk leaves it: the
// error of one write stays for all that come after it, also when there is room again, until its files are opened anew.
func (e *Engine) watchLog(ctx context.Context) error {
	if e.srv.Load() == nil {
		return nil
	}
	tick := time.NewTicker(diskInterval)
	defer tick.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := time.Now()
		if e.disk.low.Load() || now.Sub(last) < restartEvery || e.closing.Load() || !e.failing(now) {
			continue
		}
		last = now
		e.log.Warn("the log takes nothing though there is room on its disk: it is restarted", slog.Int64("free_bytes", e.disk.free.Load()))
		if err := e.restart(ctx); err != nil {
			return err
		}
		e.log.Info("the log was restarted", slog.Duration("took", time.Since(now)))
	}
}

func (e *Engine) failing(now time.Time) bool {
	low := time.Unix(0, e.disk.lowAt.Load())
	if e.cells.tried.tooMany(now, low, e.cfg.Timeout) {
		return true
	}
	for _, w := range e.writers {
		if w.tried.tooMany(now, low, e.cfg.Timeout) {
			return true
		}
	}
	return false
}

// restart replaces the embedded server. To those who work with the log that is a connection that was lost and is there again:
// what was stored is what had been synced, blocks of unknown fate are looked for and stored again only where they are not,
// tails and watches go on behind the last that they delivered, and readers ask again. Nothing is lost or doubled by it, as
// nothing is by a crash. An error is that the log cannot be opened any more; the process then has to end.
func (e *Engine) restart(ctx context.Context) error {
	e.restarting.Store(true)
	defer e.restarting.Store(false)
	old := e.srv.Load()
	old.Shutdown()
	old.WaitForShutdown()
	srv, err := startServer(ctx, &e.cfg)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("restarting the log: %w", err)
	}
	e.srv.Store(srv)
	for _, w := range e.writers {
		w.tried.worked()
	}
	e.cells.tried.worked()
	return nil
}
