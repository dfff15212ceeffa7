package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	ballastName = "ballast"
	mostBallast = 64 << 20
	// ballastPart: the ballast is so small a part of what has to stay free, so that to keep it never costs a write.
	ballastPart = 8
)

// ballast is a file that holds room on the disk for the janitor. Writes end while there is still some room, but others may
// write to the same disk, and to delete from the log writes a little before it frees much. So when the disk is all but full the
// ballast makes way for a deletion, and it is put back when there is room again. Safe for concurrent use.
//
// A crash leaves it or not, or in part, which counts as not: it is looked at before it is relied on.
type ballast struct {
	path string
	size int64

	mu   sync.Mutex
	held bool // it is there, in full
}

// keep has the ballast there, if it is not yet. The caller has made sure that there is room.
func (b *ballast) keep() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held || b.whole() {
		b.held = true
		return nil
	}
	if err := b.fill(); err != nil {
		_ = os.Remove(b.path) // what is there of it is tried again, or in the way of nobody
		return fmt.Errorf("ballast: %w", err)
	}
	b.held = true
	return nil
}

// whole says whether the file has all its blocks on the disk. A copy may have none: to many tools a file of zeros is a hole.
func (b *ballast) whole() bool {
	var st unix.Stat_t
	return unix.Stat(b.path, &st) == nil && st.Size == b.size && st.Blocks*512 >= b.size
}

func (b *ballast) fill() error {
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err = allocate(f, b.size); errors.Is(err, errors.ErrUnsupported) {
		err = noise(f, b.size)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// noise writes what no file system makes smaller.
func noise(f *os.File, size int64) error {
	buf := make([]byte, 64<<10)
	for done := int64(0); done < size; {
		rand.Read(buf)
		n, err := f.Write(buf[:min(int64(len(buf)), size-done)])
		if err != nil {
			return err
		}
		done += int64(n)
	}
	return nil
}

// release gives the room free; false when there was none to give.
func (b *ballast) release() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = false
	err := os.Remove(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ballast: %w", err)
	}
	return true, nil
}

// balance keeps the ballast where there is room for it beside what has to stay free.
func (g *diskGuard) balance(log *slog.Logger) {
	if !g.active || g.free.Load()-g.ballast.size < g.floor.Load() {
		return
	}
	if err := g.ballast.keep(); err != nil && !g.unkept {
		g.unkept = true
		log.Warn("no room could be set aside for deleting on a full disk", slog.Any("error", err))
	}
}

// makeRoom gives the ballast to a deletion that is about to begin, if the disk is all but full.
func (g *diskGuard) makeRoom(log *slog.Logger) {
	if !g.active {
		return
	}
	if _, err := g.check(); err != nil || g.free.Load() >= g.ballast.size {
		return
	}
	gave, err := g.ballast.release()
	switch {
	case err != nil:
		log.Warn("room to delete in could not be made", slog.Any("error", err))
	case gave:
		log.Warn("the disk is full: the ballast makes way for deleting", slog.Int64("bytes", g.ballast.size))
	}
}

func ballastOf(dir string, floor int64) ballast {
	return ballast{path: filepath.Join(dir, ballastName), size: max(min(mostBallast, floor/ballastPart), 1)}
}
