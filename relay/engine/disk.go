package engine

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// diskGuard watches the free space where the log lies. A full disk leaves JetStream unable to write until it is
// restarted, so writes end before: events first, and cells, which are small, where only a part of what has to stay free
// is left. Between the two what makes room goes on, such as deleting a stream, and so does whoever still reads and
// keeps a cursor.
type diskGuard struct {
	dir     string
	active  bool // the log is on this machine
	minFree int64

	low   atomic.Bool  // events are refused
	tight atomic.Bool  // cells are, too
	free  atomic.Int64 // bytes, as of the last look; 0 when unknown
	floor atomic.Int64 // bytes below which it is low, as of the last look
	lowAt atomic.Int64 // Unix nanoseconds of the last look that found it low

	ballast ballast
	unkept  bool // the guard's goroutine's own: that the ballast could not be kept was told
}

const (
	diskInterval = time.Second
	// tightPart: cells are refused below so small a part of what has to stay free.
	tightPart = 4
)

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
	g.tight.Store(free < floor/tightPart)
	return g.low.Swap(low) != low, nil
}

// full is ErrDiskFull with how full.
func (g *diskGuard) full() error {
	const mega = 1_000_000
	return fmt.Errorf("%w: %d MB are free, %d MB have to be", ErrDiskFull, g.free.Load()/mega, g.floor.Load()/mega)
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
			e.log.Error("the disk is nearly full: no events are taken", slog.Int64("free_bytes", e.disk.free.Load()), slog.Int64("needed_bytes", e.disk.floor.Load()))
		case changed:
			e.log.Info("there is disk space again: events are taken", slog.Int64("free_bytes", e.disk.free.Load()))
		}
	}
}
