package registry

import (
	"bytes"
	"log/slog"

	"sluice/relay/engine"
)

// state is what the cells said so far, and what has changed since the last Snapshot was made of it. It is
// guarded by Registry.mu.
//
// Cells come in the order they were written, but a record may be there before the one it points to (a
// derived stream whose source is in the next batch of the watch), so it is held, and built into the
// Snapshot when the other arrives.
type state struct {
	log       *slog.Logger
	revisions map[string]uint64 // of every cell below root that exists
	values    map[string][]byte // of projects, streams and sinks, to see that nothing changed but the revision

	projects  map[string]*projectRecord
	streams   map[string]*streamRecord
	contracts map[string]*contractRecord // by escaped ref
	webhooks  map[string]*webhookRecord
	dropping  map[string]*droppingRecord
	lines     map[string]*lineRecord
	admin     *adminRecord
	signing   *signingRecord
	override  *adminToken // the admin token of this run, where the configuration has one

	members  map[string]set // project uuid → its streams' uuids
	children map[string]set // stream uuid → the uuids of those derived from it
	hooked   map[string]set // stream uuid → its webhooks' ids
	owned    map[string]set // project uuid → its contracts' refs

	exporting exporting
	loading   loading
	holders   holders

	changed changes
}

type set map[string]struct{}

type changes struct {
	projects, streams, contracts, webhooks set
	admin                                  bool
}

func newState(log *slog.Logger) *state {
	return &state{
		log: log, revisions: map[string]uint64{}, values: map[string][]byte{},
		projects: map[string]*projectRecord{}, streams: map[string]*streamRecord{}, contracts: map[string]*contractRecord{},
		dropping: map[string]*droppingRecord{}, lines: map[string]*lineRecord{},
		members: map[string]set{}, children: map[string]set{}, owned: map[string]set{},
		webhooks: map[string]*webhookRecord{}, hooked: map[string]set{},
		exporting: newExporting(), loading: newLoading(), holders: newHolders(),
		changed: newChanges(),
	}
}

func newChanges() changes {
	return changes{projects: set{}, streams: set{}, contracts: set{}, webhooks: set{}}
}

func put(m map[string]set, at, member string) {
	if m[at] == nil {
		m[at] = set{}
	}
	m[at][member] = struct{}{}
}

func drop(m map[string]set, at, member string) {
	delete(m[at], member)
	if len(m[at]) == 0 {
		delete(m, at)
	}
}

// apply takes in one cell; it may come twice, and an older revision after a newer one is passed over.
func (st *state) apply(c engine.Cell) {
	if c.Revision <= st.revisions[c.Key] {
		return
	}
	if c.Gone {
		if _, ok := st.revisions[c.Key]; !ok {
			return
		}
		delete(st.revisions, c.Key)
		c.Value = nil
	} else {
		st.revisions[c.Key] = c.Revision
	}
	kind, id := splitKey(c.Key)
	switch kind {
	case kindProject:
		if st.same(c) {
			return
		}
		st.changed.projects[id] = struct{}{}
		take(st, st.projects, id, c)
	case kindStream:
		if st.same(c) {
			return
		}
		st.applyStream(id, c)
	case kindContract:
		st.applyContract(id, c)
	case kindWebhook:
		st.applyWebhook(id, c)
	case kindSink:
		if st.same(c) {
			return
		}
		st.applySink(id, c)
	case kindExporter:
		st.applyExporter(id, c)
	case kindAPIKey, kindUser, kindIntegration:
		st.applyHolder(kind, id, c)
	case kindFeed, kindCourier, kindCourierGroup:
		st.applyLoad(kind, id, c)
	case kindDropping:
		take(st, st.dropping, id, c)
	case kindLine:
		take(st, st.lines, c.Key, c)
	case kindAdmin:
		st.changed.admin = true
		st.admin = takeOne[adminRecord](st, c)
	case kindSigning:
		st.signing = takeOne[signingRecord](st, c)
	}
}

// same tells that a cell holds what it held before. A record is written again unchanged to be a fence for
// something that depends on it; to build everything anew that points to it would make a thousand derived
// streams cost a million.
func (st *state) same(c engine.Cell) bool {
	if c.Gone {
		delete(st.values, c.Key)
		return false
	}
	if bytes.Equal(st.values[c.Key], c.Value) {
		return true
	}
	st.values[c.Key] = c.Value
	return false
}

// take keeps the record of a cell in m, or removes it when the cell is gone or not to be read.
func take[R any](st *state, m map[string]*R, id string, c engine.Cell) {
	if record := takeOne[R](st, c); record != nil {
		m[id] = record
	} else {
		delete(m, id)
	}
}

func takeOne[R any](st *state, c engine.Cell) *R {
	if c.Gone {
		return nil
	}
	record, err := decode[R](c.Value)
	if err != nil {
		st.log.Error("a record of the control plane cannot be read and is left out", "key", c.Key, "error", err)
		return nil
	}
	return record
}

func (st *state) applyStream(id string, c engine.Cell) {
	if old := st.streams[id]; old != nil {
		drop(st.members, old.Project, id)
		drop(st.children, old.Source, id)
	}
	take(st, st.streams, id, c)
	if record := st.streams[id]; record != nil {
		put(st.members, record.Project, id)
		if record.Source != "" {
			put(st.children, record.Source, id)
		}
	}
	st.changed.streams[id] = struct{}{}
}

func (st *state) applyWebhook(id string, c engine.Cell) {
	if old := st.webhooks[id]; old != nil {
		drop(st.hooked, old.Stream, id)
	}
	take(st, st.webhooks, id, c)
	if record := st.webhooks[id]; record != nil {
		put(st.hooked, record.Stream, id)
	}
	st.changed.webhooks[id] = struct{}{}
}

func (st *state) applyContract(id string, c engine.Cell) {
	if old := st.contracts[id]; old != nil {
		drop(st.owned, old.Project, old.Definition.Ref)
		st.changed.contracts[old.Definition.Ref] = struct{}{}
	}
	take(st, st.contracts, id, c)
	if record := st.contracts[id]; record != nil {
		put(st.owned, record.Project, record.Definition.Ref)
		st.changed.contracts[record.Definition.Ref] = struct{}{}
	}
}

// missing gives what a complete listing did not have, as gone: it went while nobody watched.
func (st *state) missing(listed map[string]struct{}) []engine.Cell {
	var gone []engine.Cell
	for key, revision := range st.revisions {
		if _, ok := listed[key]; !ok {
			gone = append(gone, engine.Cell{Key: key, Gone: true, Revision: revision + 1})
		}
	}
	return gone
}
