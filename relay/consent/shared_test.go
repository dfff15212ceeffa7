package consent_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// deaf is a vault of a cluster that hears nothing of the others: the log is shared, the folder is its
// own but for the master key.
func deaf(t *testing.T, h *house, name string) *house {
	t.Helper()
	return join(t, h, name, false)
}

func join(t *testing.T, h *house, name string, hears bool) *house {
	t.Helper()
	n := &house{t: t, dir: filepath.Join(h.dir, name), shared: true, hears: hears, log: h.log}
	n.clock.Store(noon.UnixNano())
	keys := filepath.Join(n.dir, "keys")
	if err := os.MkdirAll(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	if master, err := os.ReadFile(filepath.Join(h.dir, "master.key")); err == nil {
		if err := os.WriteFile(filepath.Join(keys, "master.key"), master, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.open()
	return n
}

// node is one that hears.
func node(t *testing.T, h *house, name string) *house {
	t.Helper()
	n := join(t, h, name, true)
	t.Cleanup(n.run())
	if err := n.vault.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// run runs the vault until stop.
func (h *house) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- h.vault.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			h.t.Error(err)
		}
	})
}

// cluster is two nodes on one log.
func cluster(t *testing.T) (a, b *house) {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	h.openLog()
	t.Cleanup(h.shut)
	a = node(t, h, "a")
	if err := os.Link(filepath.Join(a.dir, "keys", "master.key"), filepath.Join(h.dir, "master.key")); err != nil {
		t.Fatal(err)
	}
	return a, node(t, h, "b")
}

// What was begun by another node a moment ago is found before anybody announced it.
func TestWhatAnotherNodeBeganIsFound(t *testing.T) {
	a, _ := cluster(t)
	h := &house{t: t, dir: filepath.Dir(a.dir), log: a.log}
	b := deaf(t, h, "deaf")
	s := newStream()
	b.opens(a.seal(s, "jane", "session"))
	a.advance(60 * 24 * time.Hour)
	b.opens(a.seal(s, "jane", "session"))
	// It learns of a forgetting when it meets a tree part that is gone, or is told.
	other := newStream()
	e := a.seal(other, "john", "session")
	a.forget(other, "john")
	b.forgotten(e)
	b.opens(a.seal(other, "john", "session"))
}

// soon waits for another node's change to be noticed.
func soon(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

func TestNodesAgree(t *testing.T) {
	a, b := cluster(t)
	s := newStream()
	// Both begin the stream and its era at once.
	var wg sync.WaitGroup
	events := make([]event, 20)
	for i := range events {
		wg.Go(func() { events[i] = []*house{a, b}[i%2].seal(s, "jane", "session") })
	}
	wg.Wait()
	for _, e := range events {
		if e.link != events[0].link || string(e.text) != string(events[0].text) {
			t.Fatal("two nodes gave a person two keys")
		}
	}
	a.opens(events...)
	b.opens(events...)
	// An era that one has begun is found by the other when it first meets it.
	a.advance(60 * 24 * time.Hour)
	b.opens(a.seal(s, "jane", "session"))

	sealed, err := a.vault.SealSecret("x", []byte("y"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.vault.OpenSecret("x", sealed); err != nil || string(got) != "y" {
		t.Errorf("the other node opened %q, %v", got, err)
	}
	if files, err := filepath.Glob(filepath.Join(a.dir, "keys", "erase-*")); err != nil || len(files) != 0 {
		t.Errorf("a shared erase key lies in files: %v, %v", files, err)
	}
}

func TestForgetReachesTheOtherNode(t *testing.T) {
	a, b := cluster(t)
	s := newStream()
	e, other := a.seal(s, "jane", "session"), a.seal(s, "john", "session")
	b.opens(e, other)
	held, err := b.vault.KeyAt(context.Background(), s, e.link, e.at)
	if err != nil {
		t.Fatal(err)
	}
	a.forget(s, "jane")
	a.forgotten(e)
	soon(t, "the other node still opens", func() bool { return errors.Is(b.try(e), consent.ErrForgotten) })
	if _, err := held.Open(nil, e.text); !errors.Is(err, consent.ErrForgotten) {
		t.Errorf("a key held by the other node: %v", err)
	}
	b.opens(other)
	if x, y := a.seal(s, "jane", "session"), b.seal(s, "jane", "session"); x.link != y.link || x.at.Generation != 1 {
		t.Error("the nodes are in two generations of her")
	}
	b.forget(s, "john")
	soon(t, "the first node still opens", func() bool { return errors.Is(a.try(other), consent.ErrForgotten) })

	last := b.seal(s, "ann", "session")
	b.opens(last)
	if err := a.vault.DropStream(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	soon(t, "the other node still has the stream's keys", func() bool { return errors.Is(b.try(last), consent.ErrForgotten) })
}

// Both nodes forget in one stream, in one bucket and in others at once. Each change overtakes some of
// the others; none may be lost, and no key of those who stay.
func TestNodesForgetAtOnce(t *testing.T) {
	a, b := cluster(t)
	streams := []engine.StreamID{newStream(), newStream(), newStream()}
	streams[1][15] = streams[0][15]
	var gone, kept []event
	var wg sync.WaitGroup
	for i := range 12 {
		s, n := streams[i%3], []*house{a, b}[i%2]
		name := fmt.Sprint("person-", i)
		gone = append(gone, a.seal(s, name, "session"))
		kept = append(kept, a.seal(s, name+"-other", "session"))
		wg.Go(func() {
			if err := n.vault.Forget(context.Background(), s, name); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, n := range []*house{a, b} {
		soon(t, "a forgotten event still opens", func() bool {
			for _, e := range gone {
				if !errors.Is(n.try(e), consent.ErrForgotten) {
					return false
				}
			}
			return true
		})
		n.opens(kept...)
		n.vault.DropViews()
		n.vault.DropCaches()
		n.forgotten(gone...)
		n.opens(kept...)
	}
	keys, err := a.vault.KeptEraseKeys(context.Background())
	if err != nil || len(keys) != 1 {
		t.Errorf("%d erase keys are left, %v", len(keys), err)
	}
}

func TestAnotherMasterKeyIsRefused(t *testing.T) {
	a, _ := cluster(t)
	cfg := a.config()
	cfg.Dir = t.TempDir()
	if _, err := consent.Open(context.Background(), a.log.Cells(), cfg); !errors.Is(err, consent.ErrNoMaster) {
		t.Errorf("a node without a master key: %v", err)
	}
	cfg.Dir = newHouse(t).config().Dir
	if _, err := consent.Open(context.Background(), a.log.Cells(), cfg); !errors.Is(err, consent.ErrMaster) || !strings.Contains(err.Error(), cfg.Dir) {
		t.Errorf("a node with a master key of its own: %v", err)
	}
}

// Who keeps what a node has opened is told when another node's change may have closed it, after the vault has closed it.
func TestChangesOfOthersAreTold(t *testing.T) {
	a, b := cluster(t)
	s, other := newStream(), newStream()
	e := a.seal(s, "jane", "session")
	b.opens(e, a.seal(other, "jane", "session"))
	told := make(chan engine.StreamID, 100)
	closed := make(chan error, 100)
	stop := b.vault.OnChange(func(id engine.StreamID) {
		if id == s {
			closed <- b.try(e)
		}
		told <- id
	})
	a.forget(s, "jane")
	if err := <-closed; !errors.Is(err, consent.ErrForgotten) {
		t.Errorf("when the change was told, the vault still opened: %v", err)
	}
	if id := <-told; id != s {
		t.Errorf("stream %s was told of", id)
	}
	stop()
	stop()
	last := a.seal(other, "jane", "session")
	a.forget(other, "jane")
	soon(t, "the other node still opens", func() bool { return errors.Is(b.try(last), consent.ErrForgotten) })
	for len(told) > 0 { // what was told of s before stop may be among them
		if id := <-told; id == other {
			t.Error("told after stop")
		}
	}
}
