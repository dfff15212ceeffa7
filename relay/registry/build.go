package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"slices"
	"time"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// build gives the Snapshot that follows prev, with all that changed since.
func (st *state) build(prev *Snapshot) *Snapshot {
	next := *prev
	ch := st.changed
	st.changed = newChanges()
	st.buildProjects(&next, ch)
	for id := range ch.projects {
		for stream := range st.members[id] {
			ch.streams[stream] = struct{}{}
		}
		for ref := range st.owned[id] {
			ch.contracts[ref] = struct{}{}
		}
	}
	for id := range ch.streams {
		for child := range st.children[id] {
			ch.streams[child] = struct{}{}
		}
	}
	st.buildStreams(&next, ch.streams)
	st.buildExports(&next, ch.projects, ch.streams)
	st.buildLoads(&next, len(ch.projects)+len(ch.streams) > 0)
	st.buildHolders(&next, ch.projects, ch.streams)
	for id := range ch.streams {
		for hook := range st.hooked[id] {
			ch.webhooks[hook] = struct{}{}
		}
	}
	st.buildWebhooks(&next, ch.webhooks)
	st.buildContracts(&next, ch.contracts)
	if ch.admin || st.override != nil {
		next.admin = st.adminToken()
	}
	return &next
}

func (st *state) buildProjects(next *Snapshot, ch changes) {
	byID, byName, byKey := next.projects.edit(), next.tenants.edit(), next.apps.edit()
	for id := range ch.projects {
		if old := byID.get(id); old != nil {
			byID.remove(id)
			byName.remove(old.Name)
			byKey.remove(old.AppKey)
		}
	}
	for id := range ch.projects {
		if r := st.projects[id]; r != nil {
			p := &Project{
				Name: r.Name, ID: r.ID, BillingID: r.BillingID, AppKey: r.AppKey, EventStream: r.EventStream,
				Created: time.UnixMilli(r.Created), record: r,
			}
			byID.set(id, p)
			byName.set(p.Name, p)
			byKey.set(p.AppKey, p)
		}
	}
	next.projects, next.tenants, next.apps = byID.done(), byName.done(), byKey.done()
}

func (st *state) buildStreams(next *Snapshot, changed set) {
	b := streamBuilder{
		projects: next.projects, byID: next.streams.edit(), named: next.named.edit(),
		clients: next.clients.edit(), public: next.public.edit(), derived: next.derived.edit(), payloads: next.payloads.edit(),
	}
	for id := range changed {
		b.remove(id)
	}
	// Sources first, for a derived stream points to its source.
	for _, wantDerived := range []bool{false, true} {
		for id := range changed {
			if r := st.streams[id]; r != nil && (r.Source != "") == wantDerived {
				b.add(r)
			}
		}
	}
	next.streams, next.named, next.clients = b.byID.done(), b.named.done(), b.clients.done()
	next.public, next.derived, next.payloads = b.public.done(), b.derived.done(), b.payloads.done()
}

type streamBuilder struct {
	projects        index[string, *Project]
	byID            *edit[string, *Stream]
	named           *edit[scoped, *Stream]
	clients, public *edit[string, *Stream]
	derived         *edit[string, []*Stream]
	payloads        *edit[string, *Stream]
}

func (b *streamBuilder) remove(id string) {
	old := b.byID.get(id)
	if old == nil {
		return
	}
	b.byID.remove(id)
	if old.Payload != "" {
		b.payloads.remove(id)
	}
	b.named.remove(scoped{old.Project.ID, old.Name})
	b.clients.remove(old.ClientID)
	if old.PublicID != "" {
		b.public.remove(old.PublicID)
	}
	if old.Source == nil {
		return
	}
	source := old.Source.UUID
	if left := without(b.derived.get(source), func(s *Stream) bool { return s.UUID == id }); len(left) > 0 {
		b.derived.set(source, left)
	} else {
		b.derived.remove(source)
	}
}

// add leaves out a stream whose project or source is not there (yet).
func (b *streamBuilder) add(r *streamRecord) {
	project := b.projects.get(r.Project)
	id, err := parseStreamID(r.ID)
	if project == nil || err != nil {
		return
	}
	s := &Stream{
		Project: project, Name: r.Name, PublicID: r.PublicID, UUID: r.ID,
		Description: r.Description, Tags: r.Tags, Enabled: !r.Disabled,
		Contract: r.Contract, Payload: r.Payload, SinkID: r.Sink, SinkName: r.SinkName, Gzip: r.Gzip, EventRate: r.EventRate, EventCount: r.EventCount,
		Retention: time.Duration(r.RetentionMS) * time.Millisecond, RetentionBytes: r.RetentionBytes,
		ClientID: r.ClientID, Created: time.UnixMilli(r.Created), record: r,
		Log: engine.Stream{ID: id, Shard: r.Shard, Since: r.Since},
	}
	if r.Source != "" {
		if s.Source = b.byID.get(r.Source); s.Source == nil {
			return
		}
		s.Log = s.Source.Log
		if r.Mask != nil {
			s.Mask = &Mask{Fields: r.Mask.Fields}
		}
		s.Rule.Levels = r.Levels
		if s.Rule.Type, err = consent.ParseType(r.LevelType); err != nil {
			return
		}
		list := append(slices.Clone(b.derived.get(r.Source)), s)
		slices.SortFunc(list, byName)
		b.derived.set(r.Source, list)
	}
	b.byID.set(s.UUID, s)
	if s.Payload != "" {
		b.payloads.set(s.UUID, s)
	}
	b.named.set(scoped{project.ID, s.Name}, s)
	b.clients.set(s.ClientID, s)
	if s.PublicID != "" {
		b.public.set(s.PublicID, s)
	}
}

// buildWebhooks leaves out a webhook whose stream is not there (yet).
func (st *state) buildWebhooks(next *Snapshot, changed set) {
	byID, named, of := next.hooks.edit(), next.hooksNamed.edit(), next.hooksOf.edit()
	for id := range changed {
		old := byID.get(id)
		if old == nil {
			continue
		}
		byID.remove(id)
		named.remove(scoped{old.Project.ID, old.Name})
		if left := without(of.get(old.Stream.UUID), func(w *Webhook) bool { return w.ID == id }); len(left) > 0 {
			of.set(old.Stream.UUID, left)
		} else {
			of.remove(old.Stream.UUID)
		}
	}
	for id := range changed {
		r := st.webhooks[id]
		if r == nil {
			continue
		}
		w := webhookOf(r, next.projects.get(r.Project), next.streams.get(r.Stream))
		if w == nil {
			continue
		}
		byID.set(id, w)
		named.set(scoped{w.Project.ID, w.Name}, w)
		list := append(slices.Clone(of.get(w.Stream.UUID)), w)
		slices.SortFunc(list, webhooksByName)
		of.set(w.Stream.UUID, list)
	}
	next.hooks, next.hooksNamed, next.hooksOf = byID.done(), named.done(), of.done()
}

func (st *state) buildContracts(next *Snapshot, changed set) {
	byRef, byShort := next.contracts.edit(), next.short.edit()
	for ref := range changed {
		old := byRef.get(ref)
		if old != nil && old.Builtin {
			continue
		}
		if old != nil {
			byRef.remove(ref)
			removeShort(byShort, old)
		}
		r := st.contracts[escaped(ref)]
		if r == nil {
			continue
		}
		project := next.projects.get(r.Project)
		if project == nil {
			continue
		}
		e := &entry{
			ContractEntry: ContractEntry{Definition: r.Definition, State: r.State, Public: r.Public, Project: project},
			record:        r,
		}
		// Mostly it is the state that changed: what was compiled stays good.
		if old != nil && reflect.DeepEqual(old.Definition, r.Definition) {
			e.compiled = old.compiled
		} else {
			e.compiled = &compiled{log: st.log}
		}
		byRef.set(ref, e)
		addShort(byShort, e)
	}
	next.contracts, next.short = byRef.done(), byShort.done()
}

func addShort(byShort *edit[string, []*entry], e *entry) {
	if e.ShortID == "" {
		return
	}
	list := append(slices.Clone(byShort.get(e.ShortID)), e)
	slices.SortFunc(list, preferred)
	byShort.set(e.ShortID, list)
}

func removeShort(byShort *edit[string, []*entry], e *entry) {
	if e.ShortID == "" {
		return
	}
	if left := without(byShort.get(e.ShortID), func(o *entry) bool { return o.Ref == e.Ref }); len(left) > 0 {
		byShort.set(e.ShortID, left)
	} else {
		byShort.remove(e.ShortID)
	}
}

// first is the Snapshot of an empty control plane: the built-in contracts and nothing else.
func (st *state) first() *Snapshot {
	s := &Snapshot{loads: &loads{}, admin: st.adminToken()}
	byRef, byShort := s.contracts.edit(), s.short.edit()
	for _, e := range builtins(st.log) {
		byRef.set(e.Ref, e)
		addShort(byShort, e)
	}
	s.contracts, s.short = byRef.done(), byShort.done()
	return s
}

func (st *state) adminToken() *adminToken {
	if st.override != nil {
		return st.override
	}
	if st.admin == nil {
		return nil
	}
	hash, err := hex.DecodeString(st.admin.Hash)
	if err != nil || len(hash) != sha256.Size {
		st.log.Error("the stored hash of the admin token is none")
		return nil
	}
	return &adminToken{hash: [sha256.Size]byte(hash), id: st.admin.Hash}
}
