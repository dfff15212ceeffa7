package relay_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/relay"
	"sluice/relay/registry"
)

// TestEveryReaderSeesEverythingOnce writes while readers of every kind come, stop, fall behind and go on, with a
// ring too small for any of them to be safe, and checks each one's sequence.
func TestEveryReaderSeesEverythingOnce(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{RingBytes: 1})
	src := n.stream(registry.StreamSpec{Name: "by-hand"})
	streams := []*registry.Stream{src, n.derived("by-hand", "CUMULATIVE", 2), n.derived("by-hand", "GRANULAR", 0, 1)}
	const total, readers = 30_000, 12
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	follow := func(name string, st *registry.Stream, format relay.Format, slow time.Duration) {
		rd, err := n.OpenReader(ctx, relay.Spec{Stream: st, From: relay.Earliest(), Format: format})
		if err != nil {
			t.Error(err)
			return
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer rd.Close()
			for next := 0; next < total; {
				c, err := rd.Next(ctx, 20*time.Second, 0)
				if err != nil || c == nil {
					t.Errorf("%s stopped before event %d: %v", name, next, err)
					return
				}
				for line := range strings.Lines(string(c.Bytes())) {
					if !strings.Contains(line, fmt.Sprintf(`"notSensitiveValue":"n%d"`, next)) {
						t.Errorf("%s: event %d expected, got %s", name, next, line)
						return
					}
					next++
				}
				if slow > 0 {
					time.Sleep(slow)
				}
				c.Release()
			}
		}()
	}
	for i := range readers {
		follow(fmt.Sprintf("reader %d from the start", i), streams[i%3], relay.Format(i%3), time.Duration(i%4)*3*time.Millisecond)
	}
	for i := 0; i < total; i += 500 {
		n.bulk(src, i, i+500, 0, 1, 2)
		if i == total/2 {
			follow("a reader that came late", streams[1], relay.Airship, 0)
		}
	}
	wg.Wait()
}

// TestReaderThatStopsCostsNothing stops reading for good under load and then goes on.
func TestReaderThatStopsCostsNothing(t *testing.T) {
	const ring = 256 << 10
	n := start(t, t.TempDir(), relay.Config{RingBytes: ring})
	src := n.stream(registry.StreamSpec{Name: "by-hand"})
	rd := n.open(relay.Spec{Stream: src})
	n.bulk(src, 0, 100)
	held, err := rd.Next(t.Context(), 5*time.Second, 0)
	if err != nil || held == nil {
		t.Fatal(err)
	}
	seen := held.Events()
	quick := n.open(relay.Spec{Stream: src})
	const total = 20_000
	for i := 100; i < total; i += 1000 {
		n.bulk(src, i, min(i+1000, total))
	}
	read(t, quick, total-100)
	if used := n.RingUsed(); used > ring+4*64<<10 {
		t.Errorf("with one reader stopped the rings hold %d bytes, %d are allowed", used, ring)
	}
	held.Release()
	got := read(t, rd, total-seen)
	for i, line := range got {
		if want := fmt.Sprintf(`"n%d"`, seen+i); !strings.Contains(line, want) {
			t.Fatalf("event %d is %s", seen+i, line)
		}
	}
	nothing(t, rd)
}

// TestForgetWhileReadersRun forgets one person of two while a live reader, a reader that is behind and a replay look
// on, and asks again after a restart.
func TestForgetWhileReadersRun(t *testing.T) {
	dir := t.TempDir()
	n := start(t, dir, relay.Config{})
	src := n.stream(registry.StreamSpec{Name: "by-hand"})
	open := n.derived("by-hand", "CUMULATIVE", 3)
	ada := func(i int) []byte { return example("ada", "session-ada", "secret-ada", fmt.Sprint(i), 0, 1, 2, 3) }
	bob := func(i int) []byte { return example("bob", "session-bob", "secret-bob", fmt.Sprint(i), 0, 1, 2, 3) }
	live := n.open(relay.Spec{Stream: open})
	behind := n.open(relay.Spec{Stream: open})
	for i := range 100 {
		n.accept(src, ada(i))
		n.accept(src, bob(i))
	}
	for _, line := range read(t, live, 200) {
		if e := parse(t, line); e.Secret != "secret-ada" && e.Secret != "secret-bob" {
			t.Fatalf("before anybody is forgotten: %s", line)
		}
	}
	if got := read(t, behind, 10); !strings.Contains(got[0], "secret-ada") {
		t.Fatal(got[0])
	}
	// The demo contract names no data subject, so the key field stands for the person.
	if err := n.Forget(t.Context(), "session-ada", src, open); err != nil {
		t.Fatal(err)
	}
	check := func(who string, rd *relay.Reader, want int) {
		t.Helper()
		for _, line := range read(t, rd, want) {
			e := parse(t, line)
			gone := strings.HasPrefix(e.Person, "A") && strings.HasPrefix(e.Session, "A") && strings.HasPrefix(e.Secret, "A")
			if clear := e.Secret == "secret-bob" && e.Person == "bob"; gone == clear {
				t.Fatalf("%s: %s", who, line)
			}
			if strings.Contains(line, `"ada"`) || strings.Contains(line, "session-ada") || strings.Contains(line, "secret-ada") {
				t.Fatalf("%s shows the forgotten person: %s", who, line)
			}
		}
	}
	check("a reader behind", behind, 190)
	replay := n.open(relay.Spec{Stream: open, From: relay.Earliest()})
	check("a replay", replay, 200)
	n.accept(src, ada(100))
	if got := read(t, live, 1); parse(t, got[0]).Secret != "secret-ada" {
		t.Fatalf("a later event of the forgotten person stays closed: %s", got[0])
	}
	for _, rd := range []*relay.Reader{live, behind, replay} {
		rd.Close()
	}
	n.stop()
	n = start(t, dir, relay.Config{})
	open = n.registry.Snapshot().Stream(n.project(), open.Name)
	rd := n.open(relay.Spec{Stream: open, From: relay.Earliest()})
	check("a replay after a restart", rd, 200)
	if got := read(t, rd, 1); parse(t, got[0]).Secret != "secret-ada" {
		t.Fatalf("after a restart: %s", got[0])
	}
}
