package consent_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// The other node has closed a person before Forget returns: not soon after, and not for those only who ask anew.
func TestForgetReturnsWhenAllHaveClosed(t *testing.T) {
	a, b := cluster(t)
	s := newStream()
	for i := range 6 {
		name := fmt.Sprint("person-", i)
		e, other := a.seal(s, name, "session"), a.seal(s, name+"-other", "session")
		b.opens(e, other)
		held, err := b.vault.KeyAt(t.Context(), s, e.link, e.at)
		if err != nil {
			t.Fatal(err)
		}
		var returned atomic.Bool
		var wg sync.WaitGroup
		done := make(chan struct{})
		for range 2 {
			wg.Go(func() {
				for {
					late := returned.Load()
					if err := b.try(e); late && !errors.Is(err, consent.ErrForgotten) {
						t.Error("the other node opened after Forget had returned:", err)
						return
					}
					select {
					case <-done:
						return
					case <-time.After(100 * time.Microsecond):
					}
				}
			})
		}
		a.forget(s, name)
		returned.Store(true)
		if _, err := held.Open(nil, e.text); !errors.Is(err, consent.ErrForgotten) {
			t.Error("a key that the other node held:", err)
		}
		b.forgotten(e)
		close(done)
		wg.Wait()
		b.opens(other)
	}
}

// A node that is silent is waited for until it has ended to act by itself, and no longer; one that took its leave is not.
func TestForgetWaitsForTheSilent(t *testing.T) {
	t.Parallel()
	a, b := cluster(t)
	s := newStream()
	e := a.seal(s, "jane", "session")
	cells := a.log.Cells()
	name := consent.NodePrefix + ".somebody"
	rev, err := cells.Put(t.Context(), name, []byte("1 0"), 0)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a.forget(s, "jane")
	if took := time.Since(began); took < 4500*time.Millisecond {
		t.Errorf("a silent node was waited for %v only", took)
	}
	b.forgotten(e)

	other := a.seal(s, "john", "session")
	if rev, err = cells.Put(t.Context(), name, []byte("2 0"), rev); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.vault.Forget(context.Background(), s, "john") }()
	soon(t, "the person is not closed while the silent node is waited for", func() bool {
		return errors.Is(a.try(other), consent.ErrForgotten) && errors.Is(b.try(other), consent.ErrForgotten)
	})
	select {
	case err := <-ended:
		t.Fatal("Forget did not wait:", err)
	default:
	}
	if err := cells.Erase(t.Context(), name, rev); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Who gives up waiting has forgotten nobody, and the person is open again at both nodes.
func TestForgetGivenUp(t *testing.T) {
	a, b := cluster(t)
	s := newStream()
	e := a.seal(s, "jane", "session")
	b.opens(e)
	if _, err := a.log.Cells().Put(t.Context(), consent.NodePrefix+".somebody", []byte("1 0"), 0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := a.vault.Forget(ctx, s, "jane"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("Forget:", err)
	}
	for _, n := range []*house{a, b} {
		soon(t, "the person stays closed", func() bool { return n.try(e) == nil })
		if again := n.seal(s, "jane", "session"); again.link != e.link {
			t.Error("a new key for who was not forgotten")
		}
	}
}

// A node that hears nothing of the others opens and seals nothing, whatever it has in its caches, until it hears again.
func TestCutOffNodeActsNoMore(t *testing.T) {
	a, b := cluster(t)
	s := newStream()
	e := a.seal(s, "jane", "session")
	b.opens(e)
	held, err := b.vault.KeyAt(t.Context(), s, e.link, e.at)
	if err != nil {
		t.Fatal(err)
	}
	b.vault.CutOff()
	again := b.vault.Withheld()
	for what, err := range map[string]error{
		"Ready":      b.vault.Ready(),
		"KeyAt":      b.try(e),
		"a held key": func() error { _, err := held.Open(nil, e.text); return err }(),
		"KeyFor": func() error {
			_, _, _, err := b.vault.KeyFor(t.Context(), s, []byte("jane"), []byte("session"), b.now())
			return err
		}(),
	} {
		// It may hear again in between.
		if again != nil && err != nil && !errors.Is(err, consent.ErrCutOff) {
			t.Errorf("%s of a node that is cut off: %v", what, err)
		}
	}
	if err := b.vault.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.opens(e)

	// For good, when it does not run.
	c := join(t, &house{t: t, dir: filepath.Dir(a.dir), log: a.log}, "c", true)
	if err := c.vault.Ready(); !errors.Is(err, consent.ErrCutOff) {
		t.Error("a node that never heard of the others:", err)
	}
	if c.vault.Withheld() == nil {
		t.Error("nothing to wait for")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.vault.Await(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error("it hears all the same:", err)
	}
}

// What a node said that died before it made it true is taken back by another.
func TestWordOfADeadNode(t *testing.T) {
	h := &house{t: t, dir: t.TempDir()}
	h.openLog()
	t.Cleanup(h.shut)
	a := join(t, h, "a", true)
	stop := a.run()
	if err := a.vault.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := node(t, &house{t: t, dir: a.dir + "/keys", log: h.log}, "b") // where the master key lies
	s := newStream()
	e := a.seal(s, "jane", "session")
	b.opens(e)

	var word engine.Cell
	a.vault.SetFault(func(step string) (err error) {
		if step == "batch under way" {
			if word, err = h.log.Cells().Get(context.Background(), a.vault.WordCell(s)); err == nil {
				err = errors.New("the end")
			}
		}
		return err
	})
	if err := a.vault.Forget(t.Context(), s, "jane"); err == nil || word.Key == "" {
		t.Fatal("Forget:", err)
	}
	soon(t, "a word that was taken back is kept", func() bool { return b.try(e) == nil })
	// As if it had been killed before it could take it back: the word is there, and the node is not.
	word.Revision = 0
	if _, err := h.log.Cells().Put(t.Context(), word.Key, word.Value, 0); err != nil {
		t.Fatal(err)
	}
	soon(t, "a word is not heard", func() bool { return errors.Is(b.try(e), consent.ErrForgotten) })
	// Who writes for the person waits.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, _, err := b.vault.KeyFor(ctx, s, []byte("jane"), []byte("session"), b.now()); !errors.Is(err, context.DeadlineExceeded) {
		t.Error("a key for who is going:", err)
	}
	b.opens(a.seal(s, "john", "session"))
	stop()
	soon(t, "the word of a dead node stands", func() bool { return b.try(e) == nil })
	if again := b.seal(s, "jane", "session"); again.link != e.link {
		t.Error("a new key for who was not forgotten")
	}
	b.forget(s, "jane")
	b.forgotten(e)
}
