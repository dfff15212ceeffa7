package storetest

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/google/uuid"

	"sluice/delivery/export"
)

// list holds a store to telling of finished objects only, in order, and to giving them back.
func list(t *testing.T, p Place) {
	s := open(t, p)
	listed := func(prefix string) (names []string) {
		t.Helper()
		must(t, s.List(t.Context(), prefix, func(o export.Stored) error {
			names = append(names, o.Name)
			if o.Size != int64(len(o.Name)) {
				t.Errorf("%s has %d bytes", o.Name, o.Size)
			}
			return nil
		}))
		return names
	}
	if got := listed("a/"); len(got) != 0 {
		t.Errorf("an empty store lists %v", got)
	}
	all := []string{"a/b-1", "a/b/1", "a/b/2", "a/b2", "a/c/d/e", "é/1"}
	for _, name := range []string{"a/c/d/e", "a/b2", "a/b/2", "é/1", "a/b/1", "a/b-1"} {
		id := uuid.NewString()
		must(t, begin(t, s, name, id, []byte(name)).Commit())
		must(t, s.Seal(t.Context(), id))
	}
	unfinished := begin(t, s, "a/b/3", uuid.NewString(), []byte("x"))
	for prefix, want := range map[string][]string{
		"": all, "a/": all[:5], "a/b": all[:4], "a/b/": all[1:3], "a/b/2": all[2:3], "a/c/": all[4:5], "é/": all[5:], "b": nil, "a/b/3": nil, "nowhere/at/all": nil,
	} {
		if got := listed(prefix); !slices.Equal(got, want) {
			t.Errorf("below %q are %v, want %v", prefix, got, want)
		}
	}
	unfinished.Abort()
	stop, seen := errors.New("enough"), 0
	err := s.List(t.Context(), "", func(export.Stored) error { seen++; return stop })
	if !errors.Is(err, stop) || seen != 1 {
		t.Errorf("a listing that is ended goes on: %d, %v", seen, err)
	}
	body, err := s.Open(t.Context(), "a/c/d/e")
	must(t, err)
	text, err := io.ReadAll(body)
	must(t, errors.Join(err, body.Close()))
	if string(text) != "a/c/d/e" {
		t.Errorf("it reads %q", text)
	}
	for _, name := range []string{"a/b/3", "a", "nowhere", "a/c/d/e/f"} {
		if body, err := s.Open(t.Context(), name); !errors.Is(err, export.ErrAbsent) {
			t.Errorf("opening %s gives %v, %v", name, body, err)
		}
	}
}
