package relay_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/relay"
	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// A node that hears nothing of the others shows nothing personal any more, not even what it had rendered before: its readers
// wait, and are told in time that there is nothing. Who sees ciphertext only reads on. What is to be sealed is refused.
func TestReadersOfACutOffNodeWait(t *testing.T) {
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	n := &node{t: t, dir: t.TempDir()}
	var err error
	if n.engine, err = engine.Open(t.Context(), engine.Config{Dir: n.dir + "/log", MinFree: 1 << 20, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	if n.vault, err = consent.Open(t.Context(), n.engine.Cells(), consent.Config{Dir: n.dir, Shared: true, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	if n.registry, err = registry.Open(t.Context(), n.engine, n.vault, registry.Config{PublicURL: "http://127.0.0.1", Log: quiet}); err != nil {
		t.Fatal(err)
	}
	n.Relay = relay.New(n.engine, n.vault, n.registry, relay.Config{Log: quiet})
	run := func(parts ...func(context.Context) error) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for _, part := range parts {
			wg.Go(func() {
				if err := part(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		return sync.OnceFunc(func() { cancel(); wg.Wait() })
	}
	stop, deafen := run(n.engine.Run, n.registry.Run, n.Relay.Run), run(n.vault.Run)
	t.Cleanup(func() {
		stop()
		deafen()
		if err := n.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Await(t.Context()); err != nil {
		t.Fatal(err)
	}

	src := n.stream(registry.StreamSpec{Name: "by-hand"})
	open := n.derived("by-hand", "CUMULATIVE", 3)
	live, behind, sealed := n.open(relay.Spec{Stream: open}), n.open(relay.Spec{Stream: open}), n.open(relay.Spec{Stream: src})
	for range 10 {
		n.accept(src, example("ada", "session-ada", "secret-ada", "1", 0, 1, 2, 3))
	}
	for _, line := range read(t, live, 10) {
		if !strings.Contains(line, "secret-ada") {
			t.Fatal(line)
		}
	}
	read(t, behind, 3) // the others are rendered

	deafen()
	for name, rd := range map[string]*relay.Reader{"who fell behind": behind, "who comes anew": n.open(relay.Spec{Stream: open, From: relay.Earliest()})} {
		for range 3 {
			if c, err := rd.Next(t.Context(), 10*time.Millisecond, 1); c != nil || err != nil {
				t.Errorf("%s is given %v, %v", name, c, err)
			}
			if c := rd.More(1); c != nil {
				t.Errorf("%s is given more", name)
			}
		}
	}
	if lines := read(t, sealed, 10); strings.Contains(strings.Join(lines, ""), "secret-ada") {
		t.Error("a source stream shows a field in clear")
	}
	err = n.Accept(t.Context(), src, relay.Event{Body: example("ada", "session-ada", "secret-ada", "1", 0)})
	if !errors.Is(err, consent.ErrCutOff) {
		t.Errorf("an event that was to be sealed: %v", err)
	}
}
