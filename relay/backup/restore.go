package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// markFile marks a data folder in which a restore has not come to its end.
const markFile = "restoring"

// Into is where a backup is restored to.
type Into struct {
	// Data is the folder that the mark is put in.
	Data string
	// Engine and Keys are what the node will be started with. Their folders hold nothing yet, but that the master key, and a list of
	// the forgotten, may lie in that of Keys already.
	Engine engine.Config
	Keys   consent.Config
	// Masters are files that may hold the master key, tried in this order where it is not in place yet; then the backup's own.
	Masters []string
	// Lists are files of lists of the forgotten that are replayed beside the backup's own and the one in place.
	Lists []string
	// Progress, if not nil, is told how many of the bytes are done, now and then.
	Progress func(what string, done, of int64)
	Log      *slog.Logger // nil: slog.Default()
}

// Restored is what a restore has done.
type Restored struct {
	Manifest
	Cells     int
	Forgotten int // notes that were replayed
}

// Pending is ErrUnfinished when a restore into a data folder did not come to its end: no node may start on it.
func Pending(data string) error {
	if _, err := os.Stat(filepath.Join(data, markFile)); err == nil {
		return fmt.Errorf("%w: %s", ErrUnfinished, data)
	}
	return nil
}

// Restore makes a store of a backup, which it reads to its end before it changes anything. The store is on the disk when it returns
// nil. After an error it may be run again.
//
// ErrDamaged; ErrNoMaster, consent.ErrMaster: the key given is another one; ErrNotEmpty; ErrInUse, engine.ErrLocked.
func (f *Folder) Restore(ctx context.Context, to Into) (done Restored, err error) {
	if to.Progress == nil {
		to.Progress = func(string, int64, int64) {}
	}
	if to.Log == nil {
		to.Log = slog.Default()
	}
	done.Manifest = f.Manifest
	of := f.Bytes()
	if err := f.Verify(ctx, func(n int64) { to.Progress("checking", n, of) }); err != nil {
		return done, err
	}
	key, err := f.eraseKey()
	if err != nil {
		return done, err
	}
	master, err := f.master(to, key)
	if err != nil {
		return done, err
	}
	lists, err := f.lists(to)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, lists.Close()) }()

	release, err := begin(to)
	if err != nil {
		return done, err
	}
	defer release()
	if err := f.fill(ctx, to); err != nil {
		if errors.Is(err, engine.ErrNotEmpty) {
			// Nothing was changed. In a folder it cannot be: begin has looked.
			err = errors.Join(fmt.Errorf("%w: the log servers hold one, delete its streams SLUICE-… first", err), os.Remove(filepath.Join(to.Data, markFile)))
		}
		return done, err
	}
	// One sync at the end stands for one after each write.
	log := to.Engine
	log.Durability = "os"
	log.Log, to.Keys.Log = to.Log, to.Log
	e, err := engine.Open(ctx, log)
	if err != nil {
		return done, err
	}
	defer func() {
		if e != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if done.Cells, err = f.putCells(ctx, e.Cells()); err != nil {
		return done, fmt.Errorf("restoring the cells: %w", err)
	}
	if err := consent.PutMaster(to.Keys, master); err != nil && !errors.Is(err, fs.ErrExist) {
		return done, fmt.Errorf("master key: %w", err)
	}
	if err := os.MkdirAll(to.Keys.Dir, 0o700); err != nil {
		return done, fmt.Errorf("folder of the key files: %w", err)
	}
	if err := consent.PutEraseKey(ctx, e.Cells(), to.Keys, key); err != nil {
		return done, err
	}
	vault, err := consent.Open(ctx, e.Cells(), to.Keys)
	if err != nil {
		return done, err
	}
	if done.Forgotten, err = vault.Replay(ctx, lists.notes()); err != nil {
		return done, err
	}
	closing := e
	e = nil
	if err := closing.Close(); err != nil {
		return done, err
	}
	for _, dir := range []string{to.Engine.Dir, to.Keys.Dir} {
		if err := engine.Sync(dir); err != nil {
			return done, err
		}
	}
	if err := os.Remove(filepath.Join(to.Data, markFile)); err != nil {
		return done, err
	}
	return done, syncDir(to.Data)
}

// begin marks the data folder, or takes up what a former restore has left there. release lets another one work on it.
func begin(to Into) (release func(), err error) {
	if err := os.MkdirAll(to.Data, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	path := filepath.Join(to.Data, markFile)
	_, again := os.Stat(path)
	if again != nil {
		if err := unused(to); err != nil {
			return nil, err
		}
	}
	mark, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	release = func() { _ = mark.Close() } // the lock goes with it
	if err := unix.Flock(int(mark.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		release()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, to.Data)
		}
		return nil, fmt.Errorf("data folder: %w", err)
	}
	err = syncDir(to.Data)
	if again == nil {
		err = errors.Join(err, os.RemoveAll(to.Engine.Dir))
		for _, name := range keyFiles(to.Keys.Dir) {
			err = errors.Join(err, os.Remove(filepath.Join(to.Keys.Dir, name)))
		}
	}
	if err != nil {
		release()
		return nil, fmt.Errorf("data folder: %w", err)
	}
	return release, nil
}

// unused is ErrNotEmpty when there is a store, or keys of one.
func unused(to Into) error {
	if _, err := os.Stat(to.Engine.Dir); err == nil {
		return fmt.Errorf("%w: there is a store in %s already", ErrNotEmpty, to.Data)
	}
	if list := keyFiles(to.Keys.Dir); len(list) > 0 {
		return fmt.Errorf("%w: %s holds keys of another store", ErrNotEmpty, to.Keys.Dir)
	}
	return nil
}

// keyFiles are the files in a folder of keys that belong to one store: all but the master key and the list of the forgotten.
func keyFiles(dir string) (list []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it is not there yet; who wants to write to it will see
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "erase-") {
			list = append(list, e.Name())
		}
	}
	return list
}

// master is the content of the master key's file.
func (f *Folder) master(to Into, key consent.WrappedKey) ([]byte, error) {
	place, err := consent.MasterFile(to.Keys)
	if err != nil {
		return nil, err
	}
	tried := append([]string{place}, to.Masters...)
	if f.MasterKey {
		tried = append(tried, f.path(masterFile))
	}
	for _, name := range tried {
		content, err := consent.ReadMaster(name)
		if errors.Is(err, fs.ErrNotExist) && (name == place || name == f.path(masterFile)) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("master key: %w", err)
		}
		if err := key.Matches(content); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return content, nil
	}
	return nil, fmt.Errorf("%w: put the one that the server ran with at %s", ErrNoMaster, place)
}

// fill makes the log.
func (f *Folder) fill(ctx context.Context, to Into) error {
	extents, err := f.extents()
	if err != nil {
		return err
	}
	var done int64
	of := f.Bytes()
	log := to.Engine
	log.Log = to.Log
	return engine.Fill(ctx, log, engine.Copied{
		Shards: extents,
		Node:   f.Node,
		Blocks: func(shard int) iter.Seq2[engine.Raw, error] {
			return func(yield func(engine.Raw, error) bool) {
				for b, err := range f.blocks(ctx, shard) {
					if !yield(b, err) {
						return
					}
					done += int64(blockHead + len(b.Subject) + len(b.Data))
					to.Progress("restoring", done, of)
				}
			}
		},
	})
}

const (
	// cellsAtOnce and bytesAtOnce bound what is written in one batch.
	cellsAtOnce = 500
	bytesAtOnce = 2 << 20
)

// putCells writes the cells into a store that has none, and tells how many there are then.
func (f *Folder) putCells(ctx context.Context, cells *engine.Cells) (int, error) {
	revs := map[string]uint64{}
	batch, in, size := []engine.Write{}, map[string]struct{}{}, 0
	flush := func() error {
		err := cells.Batch(ctx, batch)
		for _, w := range batch {
			if revs[w.Key] = w.Revision; w.Value == nil {
				delete(revs, w.Key)
			}
		}
		batch, size = batch[:0], 0
		clear(in)
		return err
	}
	for c, err := range f.cells() {
		if err != nil {
			return 0, err
		}
		if _, twice := in[c.Key]; twice || len(batch) == cellsAtOnce || size > bytesAtOnce {
			if err := flush(); err != nil {
				return 0, err
			}
		}
		rev, known := revs[c.Key]
		if c.Gone && !known {
			continue
		}
		w := engine.Write{Key: c.Key, Revision: rev}
		if !c.Gone {
			w.Value = append([]byte{}, c.Value...) // an empty one is a value
		}
		batch, size = append(batch, w), size+len(c.Value)
		in[c.Key] = struct{}{}
	}
	err := flush()
	return len(revs), err
}

// lists are the lists of the forgotten that are to be replayed, opened.
type lists struct{ open []io.ReadCloser }

func (f *Folder) lists(to Into) (l lists, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	own, err := f.forgotten()
	if err != nil {
		return l, err
	}
	l.open = append(l.open, own)
	inPlace := filepath.Join(to.Keys.Dir, consent.ForgottenFile)
	for _, name := range append([]string{inPlace}, to.Lists...) {
		from, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) && name == inPlace {
			continue
		}
		if err != nil {
			return l, fmt.Errorf("list of the forgotten: %w", err)
		}
		l.open = append(l.open, from)
	}
	return l, nil
}

// notes gives what all lists tell.
func (l lists) notes() iter.Seq2[consent.Forgotten, error] {
	return func(yield func(consent.Forgotten, error) bool) {
		for _, from := range l.open {
			for note, err := range consent.ReadForgotten(from) {
				if !yield(note, err) || err != nil {
					return
				}
			}
		}
	}
}

func (l lists) Close() (err error) {
	for _, from := range l.open {
		err = errors.Join(err, from.Close())
	}
	return err
}
