//go:build linux

package engine_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/relay/engine"
)

const fullChild = "SLUICE_ENGINE_TEST_FULL"

// ownMounts runs the calling test again in a process of its own, which may mount where the machine allows it, and which may
// limit itself where it does not. It is true in that process.
func ownMounts(t *testing.T) bool {
	t.Helper()
	if os.Getenv(fullChild) != "" {
		return true
	}
	run := func(attr *syscall.SysProcAttr) ([]byte, error) {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), fullChild+"=1")
		cmd.SysProcAttr = attr
		return cmd.CombinedOutput()
	}
	me := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
	ways := []*syscall.SysProcAttr{
		{Unshareflags: unix.CLONE_NEWNS},
		{Cloneflags: unix.CLONE_NEWUSER, Unshareflags: unix.CLONE_NEWNS, UidMappings: me(os.Getuid()), GidMappings: me(os.Getgid())},
		nil,
	}
	for _, attr := range ways {
		out, err := run(attr)
		var ended *exec.ExitError
		if err != nil && !errors.As(err, &ended) {
			continue // it could not be started so
		}
		t.Logf("%s", out)
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Error(err)
		}
		return false
	}
	t.Error("the test cannot be run in a process of its own")
	return false
}

// smallDisk is a folder in which writes can be made to fail, and to work again: a file system of its own, filled by somebody
// else; or, where nothing can be mounted, a limit on how long the process's files may become.
type smallDisk struct {
	t     *testing.T
	dir   string
	mount bool
	was   unix.Rlimit
}

const smallDiskBytes = 64 << 20

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	d := &smallDisk{t: t, dir: t.TempDir()}
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", 0, "size="+strconv.Itoa(smallDiskBytes)); err == nil {
		d.mount = true
		t.Cleanup(func() { _ = unix.Unmount(d.dir, unix.MNT_DETACH) }) // it ends with the process
		return d
	}
	signal.Ignore(unix.SIGXFSZ)
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &d.was); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *smallDisk) hog() string { return filepath.Join(d.dir, "hog") }

func (d *smallDisk) fill() {
	d.t.Helper()
	if !d.mount {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: d.was.Max}); err != nil {
			d.t.Fatal(err)
		}
		return
	}
	f, err := os.Create(d.hog())
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for buf := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(buf)
	}
	if !errors.Is(err, unix.ENOSPC) {
		d.t.Fatal(err)
	}
}

func (d *smallDisk) free() {
	d.t.Helper()
	err := error(nil)
	if d.mount {
		err = os.Remove(d.hog())
	} else {
		err = unix.Setrlimit(unix.RLIMIT_FSIZE, &d.was)
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// sender appends records one after the other and keeps what was answered.
type sender struct {
	stream          engine.Stream
	acked, unknown  []string
	stored, refused atomic.Int64
}

func (s *sender) run(e *engine.Engine, name int, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		id := fmt.Sprintf("%d-%08d", name, n)
		_, err := e.Append(context.Background(), s.stream, batch(record(id, 1000)))
		switch {
		case err == nil:
			s.acked = append(s.acked, id)
			s.stored.Add(1)
			time.Sleep(time.Millisecond) // so that the disk lasts
			continue
		case errors.Is(err, engine.ErrUnconfirmed):
			s.unknown = append(s.unknown, id)
		}
		s.refused.Add(1)
		time.Sleep(5 * time.Millisecond)
	}
}

// A log whose disk was full under load takes events again by itself when there is room. What was answered is there, once and in
// order, for those who read and for those who followed all along; cells too.
func TestFullDisk(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	disk := newSmallDisk(t)
	e := open(t, disk.dir, func(c *engine.Config) { c.MinFree, c.Shards, c.Timeout = 64<<10, 2, time.Second })
	var senders [4]sender
	var followed [4][]event
	var mu sync.Mutex
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range senders {
		s := &senders[i]
		s.stream = newStream(t, e)
		_, end, err := e.Follow(t.Context(), s.stream, func(b *engine.Block) {
			mu.Lock()
			defer mu.Unlock()
			if err := b.Each(func(o engine.Offset, r *engine.Record) bool {
				followed[i] = append(followed[i], event{o, string(r.ID)})
				return true
			}); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer end()
		wg.Go(func() { s.run(e, i, stop) })
	}
	var value atomic.Int64 // of the cell, as acknowledged
	wg.Go(func() {
		var rev uint64
		for n := int64(1); ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			next, err := e.Cells().Put(context.Background(), "full.cell", strconv.AppendInt(nil, n, 10), rev)
			if err != nil {
				if cell, err := e.Cells().Get(context.Background(), "full.cell"); err == nil {
					rev = cell.Revision
				}
				continue
			}
			rev = next
			value.Store(n)
		}
	})
	total := func() (stored, refused int64) {
		for i := range senders {
			stored += senders[i].stored.Load()
			refused += senders[i].refused.Load()
		}
		return stored, refused
	}
	for round := range 2 {
		before, _ := total()
		eventually(t, "nothing is taken", func() bool { n, _ := total(); return n > before+200 })
		disk.fill()
		_, refused := total()
		eventually(t, "a full disk refuses nothing", func() bool { _, n := total(); return n > refused+20 })
		eventually(t, "a full disk is ready", func() bool { return e.Ready() != nil })
		// Long enough for the log to have run into it.
		time.Sleep(1500 * time.Millisecond)
		disk.free()
		freed := time.Now()
		before, _ = total()
		cell := value.Load()
		eventually(t, "nothing is taken again", func() bool { n, _ := total(); return n > before+50 })
		eventually(t, "no cell is written again", func() bool { return value.Load() > cell })
		eventually(t, "it is not ready again", func() bool { return e.Ready() == nil })
		t.Logf("round %d: events are taken again %v after there was room (own disk: %v)", round, time.Since(freed).Round(time.Millisecond), disk.mount)
	}
	close(stop)
	wg.Wait()

	for i := range senders {
		s := &senders[i]
		all := readAll(t, e, s.stream, 0)
		var ids []string
		for _, ev := range all {
			ids = append(ids, ev.id)
		}
		if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("stream %d: out of order, or doubled", i)
		}
		for _, id := range s.acked {
			if _, there := slices.BinarySearch(ids, id); !there {
				t.Errorf("%s was acknowledged and is lost", id)
			}
		}
		if most := len(s.acked) + len(s.unknown); len(ids) > most {
			t.Errorf("%d events where at most %d can be", len(ids), most)
		}
		eventually(t, "who followed did not hear of all", func() bool { mu.Lock(); defer mu.Unlock(); return len(followed[i]) >= len(all) })
		if mu.Lock(); !slices.Equal(followed[i], all) {
			t.Errorf("stream %d: who followed has heard of %d events, the log has %d", i, len(followed[i]), len(all))
		}
		mu.Unlock()
	}
	cell, err := e.Cells().Get(t.Context(), "full.cell")
	if n, _ := strconv.ParseInt(string(cell.Value), 10, 64); err != nil || n < value.Load() {
		t.Errorf("the cell is %s, %d was acknowledged: %v", cell.Value, value.Load(), err)
	}
}

// The ballast is of real blocks, makes way when something must be deleted on a full disk, and comes back.
func TestBallast(t *testing.T) {
	if !ownMounts(t) {
		return
	}
	disk := newSmallDisk(t)
	e := open(t, disk.dir, func(c *engine.Config) { c.MinFree, c.Shards = 8<<20, 1 })
	ballast := func() (blocks int64) {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(disk.dir, "ballast"), &st) != nil {
			return 0
		}
		return st.Blocks * 512
	}
	eventually(t, "there is no ballast", func() bool { return ballast() == 1<<20 })
	s := newStream(t, e)
	for i := range 200 {
		put(t, e, s, strconv.Itoa(i))
	}
	if !disk.mount {
		return // nothing here can be made full
	}
	disk.fill()
	eventually(t, "a full disk is not low", func() bool { return errors.Is(e.Ready(), engine.ErrDiskFull) })
	if ballast() == 0 {
		t.Error("the ballast went before it was needed")
	}
	if err := e.Trim(t.Context(), s, engine.Keep{Age: time.Nanosecond}); err != nil {
		t.Error("the janitor on a full disk:", err)
	}
	if n := ballast(); n != 0 {
		t.Errorf("the ballast has kept %d bytes from the janitor", n)
	}
	if left := readAll(t, e, s, 0); len(left) > 0 {
		t.Errorf("%d events are left", len(left))
	}
	disk.free()
	eventually(t, "the ballast does not come back", func() bool { return ballast() == 1<<20 })
	eventually(t, "it is not ready again", func() bool { return e.Ready() == nil })
	put(t, e, s, "again")
}
