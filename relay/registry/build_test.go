package registry

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"sluice/relay/engine"
)

// TestPublishingStaysFlat publishes ten thousand streams one by one, as nodes see them that are made one by
// one. From inside, for to make them takes a fsync each.
func TestPublishingStaysFlat(t *testing.T) {
	st := newState(slog.New(slog.NewTextHandler(io.Discard, nil)))
	snap := st.first()
	project := projectRecord{Version: recordVersion, ID: uuid.NewString(), Name: "p1", AppKey: "k"}
	revision := uint64(1)
	say := func(key string, record any) {
		revision++
		st.apply(engine.Cell{Key: key, Value: encode(record), Revision: revision})
	}
	say(projectKey(project.ID), &project)
	snap = st.build(snap)
	const n, part = 10_000, 1000
	var cost []time.Duration
	for i := range n {
		if i%part == 0 {
			cost = append(cost, 0)
		}
		id := uuid.NewString()
		at := time.Now()
		// The fence first, as a creation has it, then the stream.
		say(projectKey(project.ID), &project)
		say(streamKey(id), &streamRecord{Version: recordVersion, ID: id, Project: project.ID, Name: fmt.Sprint("s", i), ClientID: "c" + id, PublicID: "is-" + id})
		snap = st.build(snap)
		cost[len(cost)-1] += time.Since(at)
	}
	p := snap.ProjectByID(project.ID)
	if got := len(snap.Streams(p)); got != n {
		t.Fatalf("%d streams", got)
	}
	first, last := cost[0]/part, cost[len(cost)-1]/part
	t.Logf("a change costs %v with a thousand streams and %v with ten thousand", first, last)
	if last > 8*first+200*time.Microsecond {
		t.Errorf("a change costs %v with a thousand streams and %v with ten thousand", first, last)
	}
	// A change of the project reaches all its streams.
	project.EventStream = "s1"
	say(projectKey(project.ID), &project)
	snap = st.build(snap)
	for _, s := range snap.AllStreams() {
		if s.Project.EventStream != "s1" {
			t.Fatal("a stream holds the project as it was")
		}
	}
}

// TestRecordsInAnyOrder: what a record points to may come later, in another Snapshot.
func TestRecordsInAnyOrder(t *testing.T) {
	source, derived, project := uuid.NewString(), uuid.NewString(), uuid.NewString()
	type cell struct {
		key    string
		record any
	}
	cells := []cell{
		{projectKey(project), &projectRecord{Version: recordVersion, ID: project, Name: "p1", AppKey: "k"}},
		{streamKey(source), &streamRecord{Version: recordVersion, ID: source, Project: project, Name: "s1", ClientID: "c1", PublicID: "is-1"}},
		{streamKey(derived), &streamRecord{Version: recordVersion, ID: derived, Project: project, Name: "d1", ClientID: "c2", Source: source, LevelType: "GRANULAR", Levels: 5}},
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		st := newState(slog.New(slog.NewTextHandler(io.Discard, nil)))
		snap := st.first()
		for revision, i := range order {
			st.apply(engine.Cell{Key: cells[i].key, Value: encode(cells[i].record), Revision: uint64(revision + 1)})
			snap = st.build(snap)
			for _, s := range snap.AllStreams() {
				if s.Project == nil || s.Name == "d1" && s.Source == nil {
					t.Fatalf("order %v: a stream without what it belongs to", order)
				}
			}
		}
		p := snap.Project("p1")
		s, d := snap.Stream(p, "s1"), snap.Stream(p, "d1")
		if s == nil || d == nil || d.Source != s || len(snap.Derived(s)) != 1 || snap.StreamByClient("c2") != d {
			t.Fatalf("order %v: %v, %v", order, s, d)
		}
		// And away again, the source first.
		st.apply(engine.Cell{Key: streamKey(source), Gone: true, Revision: 10})
		snap = st.build(snap)
		if snap.Stream(p, "d1") != nil || snap.StreamByClient("c2") != nil {
			t.Fatalf("order %v: a derived stream is there without its source", order)
		}
	}
}

// TestOlderRevisionsArePassedOver: a listing and the watch may tell the same cell twice and out of step.
func TestOlderRevisionsArePassedOver(t *testing.T) {
	st := newState(slog.New(slog.NewTextHandler(io.Discard, nil)))
	id := uuid.NewString()
	say := func(revision uint64, name string) {
		st.apply(engine.Cell{Key: projectKey(id), Value: encode(&projectRecord{Version: recordVersion, ID: id, Name: name}), Revision: revision})
	}
	say(5, "new")
	say(4, "old")
	snap := st.build(st.first())
	if snap.Project("new") == nil || snap.Project("old") != nil {
		t.Error("an older record replaced a newer one")
	}
	st.apply(engine.Cell{Key: projectKey(id), Gone: true, Revision: 4})
	if snap = st.build(snap); snap.Project("new") == nil {
		t.Error("an older erasure removed a newer record")
	}
	st.apply(engine.Cell{Key: projectKey(id), Value: []byte(`{"v":2,"id":"x","name":"from a later Sluice"}`), Revision: 6})
	if snap = st.build(snap); snap.Project("new") != nil || len(snap.Projects()) != 0 {
		t.Error("a record of a later version is served")
	}
	st.apply(engine.Cell{Key: projectKey(id), Value: []byte(`{`), Revision: 7})
	if snap = st.build(snap); len(snap.Projects()) != 0 || st.revisions[projectKey(id)] != 7 {
		t.Error("a broken record is served, or its revision is lost")
	}
}

// TestIndexIsImmutable: a successor shows its changes, what it came from does not.
func TestIndexIsImmutable(t *testing.T) {
	var empty index[string, int]
	e := empty.edit()
	for i := range 1000 {
		e.set(fmt.Sprint(i), i)
	}
	one := e.done()
	e = one.edit()
	e.set("1", -1)
	e.remove("2")
	e.set("new", 7)
	if e.get("1") != -1 || e.get("2") != 0 || e.get("3") != 3 {
		t.Error("an edit does not show its own changes")
	}
	two := e.done()
	if one.get("1") != 1 || one.get("2") != 2 || one.get("new") != 0 || empty.get("1") != 0 {
		t.Error("an index changed")
	}
	if two.get("1") != -1 || two.get("2") != 0 || two.get("new") != 7 || two.get("999") != 999 {
		t.Error("the successor is wrong")
	}
	count := map[*index[string, int]]int{&empty: 0, &one: 1000, &two: 1000}
	for x, want := range count {
		n := 0
		for range x.all() {
			n++
		}
		if n != want {
			t.Errorf("%d entries, want %d", n, want)
		}
	}
	if again := two.edit().done(); again.parts != two.parts {
		t.Error("an edit without a change copies")
	}
}
