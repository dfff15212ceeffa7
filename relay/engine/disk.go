package engine

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// diskGuard watches the free space where the log lies. A full disk leaves JetStream unable to write until it is
// restarted, so writes end before.
type diskGuard struct {
	dir     string
	active  bool // the log is on this machine
	minFree int64

	low   atomic.Bool
	free  atomic.Int64 // bytes, as of the last look; 0 when unknown
	floor atomic.Int64 // bytes below which it is low, as of the last look
	lowAt atomic.Int64 // Unix nanoseconds of the last look that found it low

	ballast ballast
	unkept  bool // the guard's goroutine's own: that the ballast could not be kept was told
}

const diskInterval = time.Second

func (g *diskGuard) start(dir string, embedded bool, minFree int64) {
	g.dir, g.active, g.minFree = dir, embedded, minFree
}

// check looks once.
func (g *diskGuard) check() (changed bool, err error) {
	if !g.active {
		return false, nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(g.dir, &st); err != nil {
		return false, err
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	floor := g.minFree
	if floor == 0 {
		floor = max(1_000_000_000, int64(st.Blocks)*int64(st.Bsize)/20)
	}
	g.free.Store(free)
	g.floor.Store(floor)
	low := free < floor
	if low {
		g.lowAt.Store(time.Now().UnixNano())
	}
	return g.low.Swap(low) != low, nil
}

// watchDisk looks until ctx ends.
func (e *Engine) watchDisk(ctx context.Context) error {
	tick := time.NewTicker(diskInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		changed, err := e.disk.check()
		if err == nil {
			e.disk.balance(e.log)
		}
		switch {
		case err != nil:
			e.log.Warn("free disk space is unknown", slog.Any("error", err))
		case changed && e.disk.low.Load():
			e.log.Error("the disk is nearly full: no writes are taken", slog.Int64("free_bytes", e.disk.free.Load()))
		case changed:
			e.log.Info("there is disk space again: writes are taken", slog.Int64("free_bytes", e.disk.free.Load()))
		}
	}
}
