// Package storetest is what every export.Store has to pass.
package storetest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"sluice/delivery/export"
)

// Place is an empty place that stores can be opened on.
type Place struct {
	// Open opens one more store on the place, as another process would.
	Open func(t *testing.T) export.Store
	// Objects gives all that a consumer of the place sees, by name.
	Objects func(t *testing.T) map[string][]byte
	// Foreign puts an object there that no upload made.
	Foreign func(t *testing.T, name string, content []byte)
}

// Run holds the stores that place opens to the laws of export.Store. place is called once for each test.
func Run(t *testing.T, place func(t *testing.T) Place) {
	for name, test := range map[string]func(*testing.T, Place){
		"Whole": whole, "Large": large, "Nothing": nothing, "Taken": taken, "TakenLarge": takenLarge, "Repeat": repeat, "Broken": broken,
		"List": list, "Race": race, "Probe": probe, "Names": names,
	} {
		t.Run(name, func(t *testing.T) {
			p := place(t)
			test(t, p)
			for name := range p.Objects(t) {
				if strings.Contains(name, "strm_upload") || strings.Contains(name, "strm_test") {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
}

func open(t *testing.T, p Place) export.Store {
	t.Helper()
	s := p.Open(t)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func look(t *testing.T, s export.Store, name, upload string, want export.Found) {
	t.Helper()
	if got, err := s.Look(t.Context(), name, upload); err != nil || got != want {
		t.Errorf("looking for %s gives %v, %v; want %v", name, got, err, want)
	}
}

func begin(t *testing.T, s export.Store, name, upload string, pieces ...[]byte) export.Object {
	t.Helper()
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	o, err := s.Create(t.Context(), name, upload, int64(size))
	must(t, err)
	for _, p := range pieces {
		n, err := o.Write(p)
		must(t, err)
		if n != len(p) {
			t.Fatalf("wrote %d of %d bytes", n, len(p))
		}
	}
	return o
}

func has(t *testing.T, p Place, want map[string][]byte) {
	t.Helper()
	got := p.Objects(t)
	for name, content := range want {
		if !bytes.Equal(got[name], content) {
			t.Errorf("%s has %d bytes, want %d", name, len(got[name]), len(content))
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is there", name)
	}
}

func whole(t *testing.T, p Place) {
	s, id := open(t, p), uuid.NewString()
	look(t, s, "a/b{0}.jsonl", id, export.Absent)
	o := begin(t, s, "a/b{0}.jsonl", id, []byte("one\n"), []byte("two\n"))
	has(t, p, nil)
	must(t, o.Commit())
	has(t, p, map[string][]byte{"a/b{0}.jsonl": []byte("one\ntwo\n")})
	look(t, s, "a/b{0}.jsonl", id, export.Own)
	look(t, s, "a/b{0}.jsonl", uuid.NewString(), export.Foreign)
	// Another process knows it too, and sweeping and sealing do no harm.
	other := open(t, p)
	look(t, other, "a/b{0}.jsonl", id, export.Own)
	must(t, other.Sweep(t.Context(), "a/b{0}.jsonl", id))
	look(t, other, "a/b{0}.jsonl", id, export.Own)
	must(t, other.Seal(t.Context(), id))
	must(t, other.Seal(t.Context(), id))
	has(t, p, map[string][]byte{"a/b{0}.jsonl": []byte("one\ntwo\n")})
}

// pieces are about n bytes in pieces that do not divide a part.
func pieces(n int) (all [][]byte, joined []byte) {
	for i := 0; len(joined) < n; i++ {
		piece := bytes.Repeat([]byte{byte('a' + i%26)}, 70_001)
		all, joined = append(all, piece), append(joined, piece...)
	}
	return all, joined
}

func large(t *testing.T, p Place) {
	s, id := open(t, p), uuid.NewString()
	parts, joined := pieces(2*export.PartBytes + 1)
	o := begin(t, s, "large", id, parts...)
	has(t, p, nil)
	must(t, o.Commit())
	has(t, p, map[string][]byte{"large": joined})
	look(t, s, "large", id, export.Own)
	must(t, s.Seal(t.Context(), id))
}

func nothing(t *testing.T, p Place) {
	s, id := open(t, p), uuid.NewString()
	must(t, begin(t, s, "empty", id).Commit())
	has(t, p, map[string][]byte{"empty": {}})
	must(t, s.Seal(t.Context(), id))
}

func taken(t *testing.T, p Place) {
	p.Foreign(t, "x/y", []byte("mine"))
	s, id := open(t, p), uuid.NewString()
	look(t, s, "x/y", id, export.Foreign)
	if err := begin(t, s, "x/y", id, []byte("yours")).Commit(); !errors.Is(err, export.ErrTaken) {
		t.Errorf("writing over another's object gives %v", err)
	}
	has(t, p, map[string][]byte{"x/y": []byte("mine")})
}

func takenLarge(t *testing.T, p Place) {
	p.Foreign(t, "x", []byte("mine"))
	s, id := open(t, p), uuid.NewString()
	parts, _ := pieces(export.PartBytes + 1)
	if err := begin(t, s, "x", id, parts...).Commit(); !errors.Is(err, export.ErrTaken) {
		t.Errorf("writing over another's object gives %v", err)
	}
	has(t, p, map[string][]byte{"x": []byte("mine")})
}

// A repeat of what was stored already is refused, and known.
func repeat(t *testing.T, p Place) {
	id := uuid.NewString()
	must(t, begin(t, open(t, p), "r", id, []byte("same")).Commit())
	s := open(t, p)
	if err := begin(t, s, "r", id, []byte("same")).Commit(); !errors.Is(err, export.ErrTaken) {
		t.Errorf("a repeat gives %v", err)
	}
	look(t, s, "r", id, export.Own)
	has(t, p, map[string][]byte{"r": []byte("same")})
	must(t, s.Seal(t.Context(), id))
}

// An attempt that broke off leaves nothing to see, and the next one succeeds.
func broken(t *testing.T, p Place) {
	id := uuid.NewString()
	parts, joined := pieces(export.PartBytes + 100_000)
	dead := open(t, p)
	begin(t, dead, "b", id, parts...) // and its process dies
	has(t, p, nil)
	s := open(t, p)
	look(t, s, "b", id, export.Absent)
	must(t, s.Sweep(t.Context(), "b", id))
	begin(t, s, "b", id, parts[:3]...).Abort()
	has(t, p, nil)
	must(t, begin(t, s, "b", id, parts...).Commit())
	has(t, p, map[string][]byte{"b": joined})
	must(t, s.Seal(t.Context(), id))
}

// Of many who make one object one succeeds, and what is there is whole.
func race(t *testing.T, p Place) {
	id := uuid.NewString()
	var (
		wait sync.WaitGroup
		mu   sync.Mutex
		made int
	)
	for range 8 {
		s := open(t, p)
		o := begin(t, s, "n", id, []byte("all the same"))
		wait.Go(func() {
			err := o.Commit()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case !errors.Is(err, export.ErrTaken):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if made != 1 {
		t.Errorf("%d have made it", made)
	}
	has(t, p, map[string][]byte{"n": []byte("all the same")})
	must(t, open(t, p).Seal(t.Context(), id))
}

func probe(t *testing.T, p Place) {
	s := open(t, p)
	must(t, s.Probe(t.Context(), ""))
	must(t, s.Probe(t.Context(), "deep/er"))
	has(t, p, nil)
}

// Names hold what windows and prefixes bring.
func names(t *testing.T, p Place) {
	s := open(t, p)
	want := map[string][]byte{}
	for _, name := range []string{"2021-01-15T09:52:30-stream-c8f38550{0}.jsonl", "a b/ü+%25&=/日本.jsonl"} {
		id := uuid.NewString()
		must(t, begin(t, s, name, id, []byte(name)).Commit())
		look(t, s, name, id, export.Own)
		must(t, s.Seal(t.Context(), id))
		want[name] = []byte(name)
	}
	has(t, p, want)
}
