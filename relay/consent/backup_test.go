package consent_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// keysCopy is a copy of a house's keys, as a backup has it.
type keysCopy struct {
	cells  map[string][]byte
	key    consent.WrappedKey
	master []byte
}

func (h *house) copyKeys() keysCopy {
	h.t.Helper()
	c := keysCopy{cells: map[string][]byte{}}
	var came uint64
	key, err := h.vault.CopyKeys(context.Background(), func(ctx context.Context) (_ uint64, err error) {
		came, err = h.log.Cells().Journal(ctx, consent.CellPrefix, came, func(cell engine.Cell) error {
			switch {
			case cell.Gone:
				delete(c.cells, cell.Key)
			case consent.InBackup(cell.Key):
				c.cells[cell.Key] = cell.Value
			}
			return nil
		})
		return came, err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if c.key = key; len(key.Wrapped) == 0 {
		h.t.Fatal("no erase key")
	}
	if c.master, err = h.vault.MasterKey(); err != nil {
		h.t.Fatal(err)
	}
	return c
}

// restored is a new house with the keys of a copy.
func restored(t *testing.T, from *house, c keysCopy, shared bool) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), shared: shared}
	h.clock.Store(from.clock.Load())
	h.openLog()
	t.Cleanup(h.shut)
	for key, value := range c.cells {
		if _, err := h.log.Cells().Put(context.Background(), key, value, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := consent.PutEraseKey(context.Background(), h.log.Cells(), h.config(), c.key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a master key: %v", err)
	}
	if err := consent.PutMaster(h.config(), c.master); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := consent.PutEraseKey(context.Background(), h.log.Cells(), h.config(), c.key); err != nil {
			t.Fatal(err)
		}
	}
	h.open()
	return h
}

// list is what a house has noted of the forgotten.
func (h *house) list() string {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join(h.dir, "keys", consent.ForgottenFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Fatal(err)
	}
	return string(b)
}

// Who was forgotten after a backup opens in what is restored from it until the list is replayed, and never again after that.
func TestReplay(t *testing.T) {
	for name, shared := range map[string]bool{"into a folder": false, "into a shared log": true} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			s, other := newStream(), newStream()
			before := h.seal(s, "anna", "session-1")
			h.forget(s, "anna")
			jane := []event{h.seal(s, "jane", "session-1"), h.seal(other, "jane", "session-1")}
			john := []event{h.seal(s, "john", "session-1"), h.seal(other, "john", "session-1")}
			c := h.copyKeys()
			h.forget(s, "jane")
			late := h.seal(s, "jane", "session-1")
			h.forget(s, "jane") // of her next generation too
			h.forget(other, "jane")
			h.forget(newStream(), "jane")

			list := h.list()
			if strings.Contains(list, "jane") || strings.Count(list, "\n") < 5 {
				t.Errorf("the list is %q", list)
			}
			r := restored(t, h, c, shared)
			r.opens(jane...) // it is a true copy
			r.opens(john...)
			r.forgotten(before)
			n, err := r.vault.Replay(context.Background(), consent.ReadForgotten(strings.NewReader(list+list)))
			if err != nil || n < 4 {
				t.Fatalf("%d notes, %v", n, err)
			}
			r.forgotten(append(jane, before, late)...)
			r.opens(john...)
			r.reopen()
			r.forgotten(append(jane, before, late)...)
			r.opens(john...)
			// A further Forget goes to the same list, and a restore of the first copy knows of both.
			r.forget(s, "john")
			twice := restored(t, h, c, false)
			if _, err := twice.vault.Replay(context.Background(), consent.ReadForgotten(strings.NewReader(r.list()))); err != nil {
				t.Fatal(err)
			}
			twice.forgotten(append(jane, john[0])...)
			twice.opens(john[1])
		})
	}
}

// The copy holds keys and erase key of one state, however many are forgotten while it is taken, and nothing that opens who was
// forgotten before its end.
func TestCopyKeysWhilePeopleAreForgotten(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	john := h.seal(s, "john", "session")
	people := map[string]event{}
	var names []string
	for _, name := range strings.Fields("ada bea cleo dora eve fay gwen hope") {
		people[name], names = h.seal(s, name, "session"), append(names, name)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, name := range names {
			if err := h.vault.Forget(context.Background(), s, name); err != nil {
				t.Error(err)
			}
		}
	}()
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		c := h.copyKeys()
		r := restored(t, h, c, false)
		r.opens(john)
		if finished {
			for _, name := range names {
				r.forgotten(people[name])
			}
		}
		r.shut()
	}
}

func TestWrappedKeyMatches(t *testing.T) {
	h, stranger := newHouse(t), newHouse(t)
	c := h.copyKeys()
	if err := c.key.Matches(c.master); err != nil {
		t.Error(err)
	}
	foreign, err := stranger.vault.MasterKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.key.Matches(foreign); !errors.Is(err, consent.ErrMaster) {
		t.Errorf("another master key: %v", err)
	}
	if err := c.key.Matches([]byte("no key")); err == nil {
		t.Error("a file that is no key matches")
	}
	if err := consent.PutMaster(h.config(), foreign); !errors.Is(err, fs.ErrExist) {
		t.Errorf("replacing a master key: %v", err)
	}
}

// What a crash leaves of a line is no note, and the next one does not run into it; what is past its reach leaves at a start.
func TestForgottenList(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	h.seal(s, "jane", "session")
	h.forget(s, "jane")
	file := filepath.Join(h.dir, "keys", consent.ForgottenFile)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	first := h.list()
	if err := os.WriteFile(file, []byte(first+first[len(first)-30:len(first)-1]), 0o600); err != nil {
		t.Fatal(err)
	}
	h.forget(s, "john")
	if list := h.list(); !strings.HasPrefix(list, first) || strings.Count(list, "\n") != strings.Count(first, "\n")+1 {
		t.Errorf("after a torn line the list is\n%s", list)
	}
	h.reopen()
	if h.list() == "" || strings.Count(h.list(), "\n") != 3 {
		t.Errorf("after a restart the list is %q", h.list())
	}
	h.advance(consent.ForgottenReach + 62*24*3600e9)
	h.reopen()
	if list := h.list(); strings.Count(list, "\n") != 1 || list[0] != '#' {
		t.Errorf("past its reach the list is %q", list)
	}
}

func FuzzReadForgotten(f *testing.F) {
	f.Add([]byte("# head\n0123456789abcdef0123456789abcdef 12 20000 00000000000000ff\n"))
	f.Add([]byte("0123456789abcdef0123456789abcdef 12 20000 00000000000000ff"))
	f.Add(bytes.Repeat([]byte("a"), 5000))
	f.Fuzz(func(t *testing.T, b []byte) {
		for note, err := range consent.ReadForgotten(bytes.NewReader(b)) {
			if err != nil {
				if !errors.Is(err, consent.ErrDamaged) {
					t.Fatal(err)
				}
				return
			}
			_ = note
		}
	})
}
