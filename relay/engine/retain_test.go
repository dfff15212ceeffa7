package engine_test

import (
	"fmt"
	"testing"
	"time"

	"sluice/relay/engine"
)

func TestBounds(t *testing.T) {
	e := open(t, t.TempDir(), func(c *engine.Config) { c.Shards, c.Durability = 1, "os" })
	put(t, e, newStream(t, e), "another stream's")
	s := newStream(t, e)
	if s.Since == 0 {
		t.Fatal("the stream does not know where it begins")
	}
	first, last, err := e.Bounds(t.Context(), s)
	if err != nil || first != engine.AfterBlock(s.Since) || last != first {
		t.Fatalf("empty: %v to %v, %v", first, last, err)
	}
	a := put(t, e, s, "1", "2")
	b := put(t, e, s, "3")
	first, last, err = e.Bounds(t.Context(), s)
	if err != nil || first >= a.First || first < engine.AfterBlock(s.Since) || last != b.Last {
		t.Fatalf("%v to %v, %v", first, last, err)
	}
	if err := e.Drop(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	first, last, err = e.Bounds(t.Context(), s)
	if err != nil || first != last || last < b.Last {
		t.Fatalf("emptied: %v to %v, but %v was given out; %v", first, last, b.Last, err)
	}
	c := put(t, e, s, "4")
	if c.First <= last {
		t.Fatalf("%v is not behind %v", c.First, last)
	}
	if got := readAll(t, e, s, last); len(got) != 1 {
		t.Fatalf("%d events behind the bound of the emptied stream", len(got))
	}
}

// TestSeekBack: for every n, resuming at the answer reads the last n events.
func TestSeekBack(t *testing.T) {
	dir := t.TempDir()
	one := func(c *engine.Config) { c.Shards, c.Durability = 1, "os" }
	e := open(t, dir, one)
	s, other := newStream(t, e), newStream(t, e)
	total := 0
	for i := range 12 {
		if i == 6 { // totals go on after a restart
			e.Close()
			e = open(t, dir, one)
		}
		var ids []string
		for n := range 1 + i%4 {
			ids = append(ids, fmt.Sprint(i, "-", n))
		}
		total += len(ids)
		put(t, e, s, ids...)
		put(t, e, other, "x", "y")
	}
	check := func(total int) {
		t.Helper()
		all := readAll(t, e, s, 0)
		if len(all) != total {
			t.Fatalf("%d events, want %d", len(all), total)
		}
		for n := 0; n <= total+2; n++ {
			o, err := e.SeekBack(t.Context(), s, n)
			if err != nil {
				t.Fatal(err)
			}
			got := readAll(t, e, s, o)
			if want := min(n, total); len(got) != want {
				t.Fatalf("the last %d of %d: %d events from %v", n, total, len(got), o)
			}
		}
	}
	check(total)
	all := readAll(t, e, s, 0)
	if err := e.Trim(t.Context(), s, engine.Keep{Bytes: 3000}); err != nil {
		t.Fatal(err)
	}
	kept := readAll(t, e, s, 0)
	if len(kept) == 0 || len(kept) >= len(all) || kept[0] != all[len(all)-len(kept)] {
		t.Fatalf("trimmed from %d to %d events", len(all), len(kept))
	}
	check(len(kept))
	if err := e.Drop(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if o, err := e.SeekBack(t.Context(), s, 5); err != nil || len(readAll(t, e, s, o)) != 0 {
		t.Fatalf("empty: %v, %v", o, err)
	}
}

func TestSeekTimeAndTrimByAge(t *testing.T) {
	e := open(t, t.TempDir())
	s := newStream(t, e)
	put(t, e, s, "1")
	put(t, e, s, "2")
	time.Sleep(30 * time.Millisecond)
	cut := time.Now()
	time.Sleep(10 * time.Millisecond)
	b := &engine.Batch{}
	old := record("3", 100) // queued before the moment, committed after it
	old.Processed = cut.UnixMilli() - 5
	b.Add(old)
	b.Add(record("4", 100))
	if _, err := e.Append(t.Context(), s, b); err != nil {
		t.Fatal(err)
	}
	last := put(t, e, s, "5")
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{cut, "[4 5]"}, {cut.Add(-time.Hour), "[1 2 3 4 5]"}, {time.Now().Add(time.Hour), "[]"},
	} {
		o, err := e.SeekTime(t.Context(), s, c.at)
		if err != nil {
			t.Fatal(err)
		}
		ids := []string{}
		for _, ev := range readAll(t, e, s, o) {
			ids = append(ids, ev.id)
		}
		if fmt.Sprint(ids) != c.want {
			t.Errorf("from %v: %v, want %v", c.at, ids, c.want)
		}
	}
	if err := e.Trim(t.Context(), s, engine.Keep{Age: time.Hour, Bytes: 1 << 30}); err != nil || len(readAll(t, e, s, 0)) != 5 {
		t.Fatalf("nothing is too old or too much: %v", err)
	}
	if err := e.Trim(t.Context(), s, engine.Keep{Age: time.Since(cut)}); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, e, s, 0); len(got) != 3 || got[0].id != "3" {
		t.Fatalf("left by age: %v", got)
	}
	for _, keep := range []engine.Keep{{Age: time.Hour, Bytes: 1, Least: time.Hour}, {Age: time.Nanosecond, Least: time.Hour}} {
		if err := e.Trim(t.Context(), s, keep); err != nil || len(readAll(t, e, s, 0)) != 3 {
			t.Fatalf("%+v: %d are left, %v", keep, len(readAll(t, e, s, 0)), err)
		}
	}
	if err := e.Trim(t.Context(), s, engine.Keep{Age: time.Hour, Bytes: 1, Least: time.Nanosecond}); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, e, s, 0); len(got) != 0 {
		t.Fatalf("left of one byte: %v", got)
	}
	if r := put(t, e, s, "6"); r.First <= last.Last {
		t.Fatalf("offset %v after %v", r.First, last.Last)
	}
}
