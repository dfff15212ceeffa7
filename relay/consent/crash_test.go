package consent_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

var errCrash = errors.New("the process died")

// Forget dies after each of its steps. What a restart finds is either all as before or all done, and
// never a loss for anybody else.
func TestForgetInterrupted(t *testing.T) {
	for _, c := range []struct {
		step string
		done bool
	}{
		{"next erase key stored", false},
		{"cells replaced", true},
		{"former erase key destroyed", true},
	} {
		for _, again := range []bool{false, true} { // was somebody forgotten before?
			t.Run(fmt.Sprint(c.step, again), func(t *testing.T) {
				h := newHouse(t)
				ctx := context.Background()
				s, other := newStream(), newStream()
				other[15] = s[15]
				jane := h.seal(s, "jane", "session")
				others := []event{h.seal(s, "john", "session"), h.seal(other, "jane", "session"), h.seal(newStream(), "jane", "session")}
				if again {
					h.forget(s, "somebody")
				}
				h.vault.SetFault(func(step string) error {
					if step == c.step {
						return errCrash
					}
					return nil
				})
				if err := h.vault.Forget(ctx, s, "jane"); !errors.Is(err, errCrash) {
					t.Fatalf("Forget: %v", err)
				}
				// The process itself may live on.
				h.vault.SetFault(nil)
				h.opens(others...)

				h.reopen()
				h.opens(others...)
				if c.done {
					h.forgotten(jane)
				} else {
					h.opens(jane)
				}
				keys, err := h.vault.KeptEraseKeys(ctx)
				if err != nil || len(keys) != 1 {
					t.Errorf("%d erase keys after the restart, %v", len(keys), err)
				}
				h.forget(s, "jane")
				h.forgotten(jane)
				h.opens(others...)
				h.opens(h.seal(s, "jane", "session"))
				h.reopen()
				h.forgotten(jane)
				h.opens(others...)
			})
		}
	}
}

// The same, but the process lives on and forgets again without a restart.
func TestForgetAgainAfterAnError(t *testing.T) {
	for _, stepName := range []string{"next erase key stored", "cells replaced", "former erase key destroyed"} {
		h := newHouse(t)
		s := newStream()
		jane, john := h.seal(s, "jane", "session"), h.seal(s, "john", "session")
		h.vault.SetFault(func(step string) error {
			if step == stepName {
				return errCrash
			}
			return nil
		})
		if err := h.vault.Forget(context.Background(), s, "jane"); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		h.vault.SetFault(nil)
		meanwhile := h.seal(s, "jane", "session")
		h.opens(meanwhile, john)
		h.forget(s, "jane")
		h.forgotten(jane, meanwhile)
		h.opens(john)
		keys, err := h.vault.KeptEraseKeys(context.Background())
		if err != nil || len(keys) != 1 {
			t.Errorf("after %q: %d erase keys, %v", stepName, len(keys), err)
		}
		h.shut()
	}
}

// The log does not answer the batch that replaces the cells. Either way Forget finds out what became
// of it before it says anything.
func TestForgetUnanswered(t *testing.T) {
	for _, c := range []struct {
		step string
		want error
	}{
		{"batch under way", engine.ErrUnconfirmed}, // it never came to be
		{"batch answered", nil},                    // it was done
	} {
		h := newHouse(t)
		s := newStream()
		jane, john := h.seal(s, "jane", "session"), h.seal(s, "john", "session")
		h.vault.SetFault(func(step string) error {
			if step == c.step {
				return engine.ErrUnconfirmed
			}
			return nil
		})
		before, err := h.log.Cells().Get(context.Background(), "consent.top")
		if err != nil {
			t.Fatal(err)
		}
		if err := h.vault.Forget(context.Background(), s, "jane"); !errors.Is(err, c.want) {
			t.Fatalf("%s: %v", c.step, err)
		}
		h.vault.SetFault(nil)
		if c.want == nil {
			h.forgotten(jane)
		} else {
			h.opens(jane)
		}
		// The batch may be late, not lost: the top must have moved on, so that it is refused.
		if c, err := h.log.Cells().Get(context.Background(), "consent.top"); err != nil || c.Revision == before.Revision {
			t.Errorf("the top cell is at its former revision, %v", err)
		}
		h.opens(john)
		if keys, err := h.vault.KeptEraseKeys(context.Background()); err != nil || len(keys) != 1 {
			t.Errorf("%s: %d erase keys, %v", c.step, len(keys), err)
		}
		h.forget(s, "jane")
		h.reopen()
		h.forgotten(jane)
		h.opens(john)
		h.shut()
	}
}

func TestFirstStartInterrupted(t *testing.T) {
	h := &house{t: t, dir: t.TempDir()}
	h.clock.Store(noon.UnixNano())
	h.openLog()
	t.Cleanup(h.shut)
	// A first start that died between the erase key and the top cell leaves an erase key alone: as if
	// the store were new and the key files were not.
	h.open()
	first, err := h.vault.KeptEraseKeys(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	top, err := h.log.Cells().Get(context.Background(), "consent.top")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.log.Cells().Erase(context.Background(), top.Key, top.Revision); err != nil {
		t.Fatal(err)
	}
	h.open()
	second, err := h.vault.KeptEraseKeys(context.Background())
	if err != nil || len(second) != 1 || second[0] != first[0] {
		t.Errorf("the erase key that was there was not taken, %v", err)
	}
	h.opens(h.seal(newStream(), "jane", "session"))
}

func TestADamagedCellIsAnError(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	s := newStream()
	e := h.seal(s, "jane", "session")
	h.forget(s, "john")
	for _, prefix := range []string{consent.PartPrefix(s), "consent.era", "consent.stream", "consent.bucket", "consent.top"} {
		cells, err := h.log.Cells().List(ctx, prefix)
		if err != nil || len(cells) == 0 {
			t.Fatalf("%s: %d cells, %v", prefix, len(cells), err)
		}
		for i := range cells {
			v := append([]byte{}, cells[i].Value...)
			v[len(v)-1] ^= 1
			if cells[i].Revision, err = h.log.Cells().Put(ctx, cells[i].Key, v, cells[i].Revision); err != nil {
				t.Fatal(err)
			}
		}
		h.vault.DropViews()
		h.vault.DropCaches()
		if prefix == consent.PartPrefix(s) {
			err = h.vault.Forget(ctx, s, "john") // his shard is the damaged one
		} else {
			err = h.try(e)
		}
		if !errors.Is(err, consent.ErrDamaged) {
			t.Errorf("%s: %v, want ErrDamaged", prefix, err)
		}
		for _, c := range cells {
			if _, err := h.log.Cells().Put(ctx, c.Key, c.Value, c.Revision); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.vault.DropViews()
	h.opens(e)
}
