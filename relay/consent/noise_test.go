package consent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// everything is every revision of every key cell that was ever stored, as block files and backups
// would hold them.
type everything struct {
	h     *house
	cells []engine.Cell
	seen  map[uint64]bool
}

func (e *everything) collect() {
	e.h.t.Helper()
	cells, err := e.h.log.Cells().List(context.Background(), "consent")
	if err != nil {
		e.h.t.Fatal(err)
	}
	for _, c := range cells {
		if !e.seen[c.Revision] {
			e.seen[c.Revision] = true
			e.cells = append(e.cells, c)
		}
	}
}

// gives tells whether the key at a locator can be derived by one who has all those cells and keys.
func gives(keys []consent.EraseKey, heap []engine.Cell, e event) bool {
	for _, n := range consent.Opens(keys, heap, e.stream) {
		if n.Gives(e.at) {
			return true
		}
	}
	return false
}

// The law of erasing: with every revision of every cell and the present erase key, the keys of a
// forgotten person cannot be derived, and those of all others can.
func TestOldRevisionsAreNoise(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	s := newStream()
	all := &everything{h: h, seen: map[uint64]bool{}}
	people := []string{"ann", "bob", "cid", "dot"}
	var events []event
	for _, p := range people {
		events = append(events, h.seal(s, p, "session"))
	}
	all.collect()
	for i := range people[:3] {
		former, err := h.vault.KeptEraseKeys(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !gives(former, all.cells, events[i]) {
			t.Fatal("the test does not find a key that is there")
		}
		h.forget(s, people[i])
		all.collect()
		now, err := h.vault.KeptEraseKeys(ctx)
		if err != nil || len(now) != 1 {
			t.Fatalf("%d erase keys, %v", len(now), err)
		}
		for j := range people {
			if got, want := gives(now, all.cells, events[j]), j > i; got != want {
				t.Errorf("%d forgotten: the key of %s can be derived: %v", i+1, people[j], got)
			}
		}
		// It is the destroyed key alone that stands between the old revisions and the person.
		if !gives(former, all.cells, events[i]) {
			t.Error("the old revisions are not what they were")
		}
	}
	// An era that ends and a stream that is dropped go the same way.
	h.advance(100 * 24 * time.Hour)
	if err := h.vault.Expire(ctx, s, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	again := h.seal(s, "dot", "session")
	all.collect()
	now, _ := h.vault.KeptEraseKeys(ctx)
	if gives(now, all.cells, events[3]) || !gives(now, all.cells, again) {
		t.Error("an ended era can be derived, or the next cannot")
	}
	if err := h.vault.DropStream(ctx, s); err != nil {
		t.Fatal(err)
	}
	all.collect()
	now, _ = h.vault.KeptEraseKeys(ctx)
	if gives(now, all.cells, again) || len(consent.Opens(now, all.cells, s)) > 0 {
		t.Error("a dropped stream can be derived")
	}
}

// A copy of the store from before a Forget, with the erase key from after it, opens nothing.
func TestACopyOfTheStoreDoesNotBringBack(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	jane, john := h.seal(s, "jane", "session"), h.seal(s, "john", "session")
	h.shut()
	stolen := filepath.Join(h.dir, "stolen")
	if err := os.CopyFS(stolen, os.DirFS(filepath.Join(h.dir, "log"))); err != nil {
		t.Fatal(err)
	}
	withKeys := filepath.Join(h.dir, "stolen-with-keys")
	if err := os.CopyFS(withKeys, os.DirFS(filepath.Join(h.dir, "log"))); err != nil {
		t.Fatal(err)
	}
	oldKeys := filepath.Join(h.dir, "old-keys")
	copyKeys(t, filepath.Join(h.dir, "keys"), oldKeys)
	h.open()
	h.forget(s, "jane")
	h.shut()

	openOver := func(log, keys string) (*house, error) {
		o := &house{t: t, dir: filepath.Join(h.dir, "thief-"+filepath.Base(log))}
		o.clock.Store(noon.UnixNano())
		if err := os.MkdirAll(o.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(log, filepath.Join(o.dir, "log")); err != nil {
			t.Fatal(err)
		}
		copyKeys(t, keys, filepath.Join(o.dir, "keys"))
		o.openLog()
		t.Cleanup(o.shut)
		v, err := consent.Open(context.Background(), o.log.Cells(), o.config())
		o.vault = v
		return o, err
	}
	// That the copy is whole is seen with the keys of that time.
	o, err := openOver(withKeys, oldKeys)
	if err != nil {
		t.Fatal(err)
	}
	o.opens(jane, john)
	if _, err := openOver(stolen, filepath.Join(h.dir, "keys")); !errors.Is(err, consent.ErrEraseKey) {
		t.Errorf("the old store opened with the new erase key: %v", err)
	}
	h.open()
	h.forgotten(jane)
	h.opens(john)
}

func copyKeys(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
