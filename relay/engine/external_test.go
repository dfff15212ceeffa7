package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"sluice/relay/engine"
)

// startLog is a log server of its own, as an operator would run it. Port 0 takes a free one.
func startLog(t *testing.T, dir string, port, maxPayload int) (*server.Server, int) {
	t.Helper()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, MaxPayload: int32(maxPayload),
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the log server does not start")
	}
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	var p int
	fmt.Sscanf(srv.Addr().String(), "127.0.0.1:%d", &p)
	return srv, p
}

func external(port int) func(*engine.Config) {
	return func(c *engine.Config) {
		c.URL, c.Replicas, c.Shards = fmt.Sprintf("nats://127.0.0.1:%d", port), 1, 2
	}
}

// TestExternalLog: two nodes share a log, its events and its cells, and both go on after the log was away.
func TestExternalLog(t *testing.T) {
	store := t.TempDir()
	srv, port := startLog(t, store, 0, 8<<20)
	a, b := open(t, t.TempDir(), external(port)), open(t, "", external(port))
	s := newStream(t, a)
	put(t, a, s, "a1", "a2")
	put(t, b, s, "b1")
	put(t, a, s, "a3")
	if got := readAll(t, b, s, 0); len(got) != 4 || got[2].id != "b1" {
		t.Fatalf("%v", got)
	}
	for n := range 6 {
		o, err := b.SeekBack(t.Context(), s, n)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, a, s, o); len(got) != min(n, 4) {
			t.Fatalf("the last %d under two nodes' names: %v", n, got)
		}
	}

	followed := make(chan string, 16)
	_, stop, err := b.Follow(t.Context(), s, func(block *engine.Block) {
		block.Each(func(_ engine.Offset, r *engine.Record) bool { followed <- string(r.ID); return true })
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	watched := make(chan string, 16)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Cells().Watch(ctx, "", func(c engine.Cell) { watched <- fmt.Sprint(c.Key, c.Gone) }, func() { watched <- "ready" })
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	expect := func(ch chan string, want string) {
		t.Helper()
		select {
		case got := <-ch:
			if got != want {
				t.Fatalf("%q, want %q", got, want)
			}
		case <-time.After(15 * time.Second):
			t.Fatalf("no %q", want)
		}
	}
	expect(watched, "ready")
	put(t, a, s, "a4")
	expect(followed, "a4")
	rev, err := a.Cells().Put(t.Context(), "k", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	expect(watched, "kfalse")
	if list, err := b.Cells().List(t.Context(), ""); err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}

	srv.Shutdown()
	srv.WaitForShutdown()
	deadline, cancelDeadline := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancelDeadline()
	if _, err := a.Append(deadline, s, batch(record("given up", 100))); !errors.Is(err, engine.ErrUnconfirmed) {
		t.Fatalf("without a log: %v", err)
	}
	if err := a.Ready(); err == nil {
		t.Fatal("ready without a log")
	}
	if _, err := a.Read(s, 0).Next(t.Context()); !errors.Is(err, engine.ErrNoLog) {
		t.Errorf("read without a log: %v", err)
	}
	if _, err := a.SeekBack(t.Context(), s, 1); !errors.Is(err, engine.ErrNoLog) {
		t.Errorf("looked back without a log: %v", err)
	}
	if _, err := a.Cells().Get(t.Context(), "k"); !errors.Is(err, engine.ErrNoLog) {
		t.Errorf("asked for a cell without a log: %v", err)
	}
	startLog(t, store, port, 8<<20)
	put(t, a, s, "a5") // waits until the log is back
	if err := a.Cells().Erase(t.Context(), "k", rev); err != nil {
		t.Fatal(err)
	}
	expect(followed, "given up") // its caller left, but it was in the queue before a5
	expect(followed, "a5")
	expect(watched, "ktrue")
	if got := readAll(t, b, s, 0); len(got) != 7 {
		t.Fatalf("%v", got)
	}
}

func TestExternalLogWithTooSmallMessages(t *testing.T) {
	_, port := startLog(t, t.TempDir(), 0, 1<<20)
	_, err := tryOpen(t, "", external(port))
	if err == nil || !strings.Contains(err.Error(), "max_payload") || !strings.Contains(err.Error(), "ingest.max_event_bytes") {
		t.Fatalf("the refusal does not name both settings: %v", err)
	}
}

// A server that is alone keeps one copy of the log. Who asks for more is told which settings do not go together.
func TestReplicasOnOneServer(t *testing.T) {
	_, port := startLog(t, t.TempDir(), 0, 8<<20)
	_, err := tryOpen(t, "", external(port), func(c *engine.Config) { c.Replicas = 3 })
	if err == nil || !strings.Contains(err.Error(), "engine.replicas") || !strings.Contains(err.Error(), "engine.url") {
		t.Fatalf("the refusal does not name both settings: %v", err)
	}
}

// TestExternalLogComesUpLater: a node that is started before the log waits for it; one whose start is cut short says why.
func TestExternalLogComesUpLater(t *testing.T) {
	store := t.TempDir()
	first, port := startLog(t, store, 0, 8<<20) // takes the port
	first.Shutdown()
	first.WaitForShutdown()
	type opened struct {
		e   *engine.Engine
		err error
	}
	opening := make(chan opened, 1)
	go func() {
		e, err := tryOpen(t, "", external(port))
		opening <- opened{e, err}
	}()
	time.Sleep(300 * time.Millisecond) // as long as the log is away; opening tries at once and would have failed
	second, _ := startLog(t, store, port, 8<<20)
	o := <-opening
	if o.err != nil {
		t.Fatalf("it did not wait for the log: %v", o.err)
	}
	put(t, o.e, newStream(t, o.e), "a")
	if err := o.e.Close(); err != nil {
		t.Error(err)
	}
	second.Shutdown()
	second.WaitForShutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	cfg := engine.Config{Log: slog.New(slog.DiscardHandler)}
	external(port)(&cfg)
	began := time.Now()
	if e, err := engine.Open(ctx, cfg); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("without a log, after %s: %v", time.Since(began), err)
		if err == nil {
			e.Close()
		}
	}
}

// TestReplicasOfAnExistingLog: settings do not change them, but whoever believes in three copies is told of the one.
func TestReplicasOfAnExistingLog(t *testing.T) {
	_, port := startLog(t, t.TempDir(), 0, 8<<20)
	for _, replicas := range []int{1, 3} { // the first makes it
		var said bytes.Buffer
		cfg := engine.Config{Log: slog.New(slog.NewTextHandler(&said, nil))}
		external(port)(&cfg)
		cfg.Replicas = replicas
		e, err := engine.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(said.String(), "another number of replicas"); got != (replicas == 3) {
			t.Errorf("%d replicas: warned %v: %s", replicas, got, said.String())
		}
	}
}
