package registry

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"sluice/relay/contract"
	"sluice/relay/engine"
)

// unwatched is a Registry whose watch a test speaks for: what a watch that broke off says afterwards cannot be
// had from a log that never breaks.
func unwatched(t *testing.T, log *slog.Logger) (r *Registry, say func(...heard)) {
	t.Helper()
	r = &Registry{log: log, now: time.Now, state: newState(log), waiters: map[*waiter]struct{}{}, watching: make(chan struct{})}
	r.snapshot.Store(r.state.first())
	ctx, cancel := context.WithCancel(context.Background())
	said, ended := make(chan heard), make(chan error, 1)
	go func() { ended <- r.follow(ctx, said) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r, func(words ...heard) {
		for _, h := range words {
			said <- h
		}
		// Whoever is heard after the last one has been published it: follow takes the next only then.
		said <- heard{cell: engine.Cell{Key: root + ".nothing", Gone: true, Revision: 1}}
	}
}

func projectCell(id, name string, revision uint64) heard {
	return heard{cell: engine.Cell{Key: projectKey(id), Revision: revision,
		Value: encode(&projectRecord{Version: recordVersion, ID: id, Name: name, AppKey: name})}}
}

// TestWatchBeginsAnew: what was erased while the watch was off, and whose mark is gone, is not listed any more.
func TestWatchBeginsAnew(t *testing.T) {
	r, say := unwatched(t, slog.New(slog.DiscardHandler))
	one, two, three := uuid.NewString(), uuid.NewString(), uuid.NewString()
	say(heard{start: true}, projectCell(one, "one", 1), projectCell(two, "two", 2), heard{ready: true})
	complete := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.complete
	}
	if n := len(r.Snapshot().Projects()); n != 2 || !complete() {
		t.Fatalf("%d projects, complete %v", n, complete())
	}
	gone := &waiter{want: map[string]uint64{projectKey(two): 2}, done: make(chan struct{})}
	r.mu.Lock()
	r.waiters[gone] = struct{}{}
	r.mu.Unlock()

	say(heard{start: true}, projectCell(one, "one", 1))
	if r.Snapshot().Project("two") == nil {
		t.Error("removed before the listing was complete")
	}
	if complete() {
		t.Error("complete while listing")
	}
	say(projectCell(three, "three", 4), heard{ready: true})
	s := r.Snapshot()
	if s.Project("one") == nil || s.Project("two") != nil || s.Project("three") == nil {
		t.Errorf("projects %v", s.Projects())
	}
	select {
	case <-gone.done:
	case <-time.After(5 * time.Second):
		t.Error("who waited for the erasing was not told")
	}
}

// TestWaiting: a waiter is told when all it waits for is in the Snapshot, and not before.
func TestWaiting(t *testing.T) {
	r, say := unwatched(t, slog.New(slog.DiscardHandler))
	one, two := uuid.NewString(), uuid.NewString()
	w := r.expect(map[string]uint64{projectKey(one): 5, projectKey(two): 0})
	told := func() bool {
		select {
		case <-w.done:
			return true
		default:
			return false
		}
	}
	say(projectCell(one, "one", 5), projectCell(two, "two", 6))
	if told() {
		t.Error("told of a revision that was there before")
	}
	say(projectCell(one, "other", 7))
	if !told() {
		t.Error("not told")
	}
	if r.Snapshot().Project("other") == nil {
		t.Error("told before the Snapshot has it")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiters) != 0 {
		t.Errorf("%d waiters are kept", len(r.waiters))
	}
}

// TestContractThatNoLongerCompiles: it is unknown, the log says so once, and the others are served.
func TestContractThatNoLongerCompiles(t *testing.T) {
	var log bytes.Buffer
	r, say := unwatched(t, slog.New(slog.NewTextHandler(&log, nil)))
	id := uuid.NewString()
	d := contract.Definition{Ref: "acme/broken/1.0.0", ShortID: "broken", SchemaType: "AVRO", Schema: "{", KeyField: "a"}
	say(projectCell(id, "one", 1), heard{cell: engine.Cell{Key: contractKey(d.Ref), Revision: 2,
		Value: encode(&contractRecord{Version: recordVersion, Project: id, State: Active, Definition: d})}})
	s := r.Snapshot()
	p := s.Project("one")
	for range 3 {
		if c, _ := s.Contract(p, []byte(d.Ref)); c != nil {
			t.Error("it is served")
		}
	}
	if c, active := s.Contract(p, []byte("clickstream")); c == nil || !active {
		t.Error("another is not served")
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), d.Ref) {
		t.Errorf("%d errors logged: %s", n, log.String())
	}
	if all := s.Contracts(p); len(all) == 0 || all[0].Ref != d.Ref {
		t.Error("it cannot be seen, and so not be archived")
	}
}

// TestRunEndsUnderAChange: who waits for the watch when Run ends looks for himself and does not wait for ever.
func TestRunEndsUnderAChange(t *testing.T) {
	watching := make(chan struct{})
	r := &Registry{state: newState(slog.New(slog.DiscardHandler)), waiters: map[*waiter]struct{}{}, watching: watching}
	r.snapshot.Store(r.state.first())
	w := r.expect(map[string]uint64{"never told": 0})
	settled := make(chan error, 1)
	go func() { settled <- r.settle(context.Background(), w, nil) }()
	select {
	case err := <-settled:
		t.Fatalf("settled while nothing was told: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	r.mu.Lock()
	r.watching = nil
	close(watching)
	r.mu.Unlock()
	select {
	case err := <-settled:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("still waiting for a watch that has ended")
	}
	r.unexpect(w)
	if len(r.waiters) != 0 {
		t.Error("the waiter is kept")
	}
}
