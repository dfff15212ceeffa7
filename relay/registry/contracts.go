package registry

import (
	"context"
	"fmt"
	"slices"

	"sluice/relay/contract"
	"sluice/relay/engine"
)

// maxContract bounds a stored data contract in bytes: a schema of the largest size, escaped, and as much again
// for all else.
const maxContract = 3 * contract.MaxSchemaBytes

// CreateContract stores a data contract as a draft: it takes no events until it is activated. A public one
// can then be used by all projects. Errors: *Invalid, also for one that does not compile; ErrExists; ErrNotFound.
func (r *Registry) CreateContract(ctx context.Context, p *Project, d contract.Definition, public bool) (ContractEntry, error) {
	if p == nil {
		return ContractEntry{}, ErrNotFound
	}
	line, version, err := checkNewRef(d.Ref)
	if err != nil {
		return ContractEntry{}, err
	}
	if d, err = contract.Resolve(d); err != nil {
		return ContractEntry{}, invalidContract(err)
	}
	if _, err := contract.Compile(d); err != nil {
		return ContractEntry{}, invalidContract(err)
	}
	value, err := encodeContract(&contractRecord{
		Version: recordVersion, Project: p.ID, State: Draft, Public: public, Created: r.now().UnixMilli(), Definition: d,
	})
	if err != nil {
		return ContractEntry{}, err
	}
	err = r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		project := s.ProjectByID(p.ID)
		if project == nil {
			return nil, ErrNotFound
		}
		next, err := r.state.line(line).with(p.ID, d, version)
		if err != nil {
			return nil, err
		}
		return []engine.Write{
			{Key: contractKey(d.Ref), Value: value},
			{Key: lineKey(line), Value: encode(next), Revision: at[lineKey(line)]},
			// As it is: the project may not be deleted meanwhile.
			{Key: projectKey(p.ID), Value: encode(project.record), Revision: at[projectKey(p.ID)]},
		}, nil
	})
	if err != nil {
		return ContractEntry{}, err
	}
	return r.ownContract(p, d.Ref)
}

// line gives the versions of a handle/name, nil for none. Under Registry.mu.
func (st *state) line(line string) *lineRecord { return st.lines[lineKey(line)] }

// with gives the line with one more version. Versions ascend, so that the newest is the last that was made.
func (l *lineRecord) with(project string, d contract.Definition, version string) (*lineRecord, error) {
	if l == nil {
		return &lineRecord{Version: recordVersion, Project: project, SchemaType: d.SchemaType, Versions: []string{version}}, nil
	}
	last := l.Versions[len(l.Versions)-1]
	switch {
	case l.Project != project, slices.Contains(l.Versions, version):
		return nil, ErrExists
	case compareVersions(version, last) <= 0:
		return nil, &Invalid{"ref", fmt.Sprintf("version %s is not above %s, the newest there is", version, last)}
	case l.SchemaType != d.SchemaType:
		return nil, &Invalid{"schemaType", fmt.Sprintf("the versions before are of type %s, and it may not change", l.SchemaType)}
	}
	next := *l
	next.Versions = append(slices.Clone(l.Versions), version)
	return &next, nil
}

// ownContract gives a project's own contract.
func (r *Registry) ownContract(p *Project, ref string) (ContractEntry, error) {
	e, err := r.Snapshot().own(p, ref)
	if err != nil {
		return ContractEntry{}, err
	}
	return e.ContractEntry, nil
}

// own gives the entry of a contract that the project may change. What another project made public is
// NotFound like what it kept to itself: it can be used, not managed.
func (s *Snapshot) own(p *Project, ref string) (*entry, error) {
	e := s.contracts.get(ref)
	switch {
	case e == nil || !e.Builtin && !e.owned(p):
		return nil, ErrNotFound
	case e.Builtin:
		return nil, &InUse{fmt.Sprintf("Data contract %s is built in: it cannot be changed or deleted", ref)}
	}
	return e, nil
}

// SetContractState activates or archives a contract. A draft can be activated, an active contract archived,
// an archived one activated again. Errors: ErrNotFound, *Invalid, *InUse for a built-in one and for
// one whose short id another active contract of the project has.
func (r *Registry) SetContractState(ctx context.Context, p *Project, ref string, to ContractState) (ContractEntry, error) {
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		e, err := s.own(p, ref)
		if err != nil {
			return nil, err
		}
		switch {
		case to != Draft && to != Active && to != Archived:
			return nil, &Invalid{"state", "must be ACTIVE or ARCHIVED"}
		case e.State == to:
			return nil, nil
		case to == Draft:
			return nil, &Invalid{"state", fmt.Sprintf("data contract %s was active and cannot become a draft again; make a new version", ref)}
		case to == Archived && e.State == Draft:
			return nil, &Invalid{"state", fmt.Sprintf("data contract %s is a draft; delete it, or activate it first", ref)}
		}
		changed := *e.record
		changed.State = to
		key := contractKey(ref)
		writes := []engine.Write{{Key: key, Value: encode(&changed), Revision: at[key]}}
		if to != Active || e.ShortID == "" {
			return writes, nil
		}
		if other := s.sharing(e); other != nil {
			return nil, &InUse{fmt.Sprintf("Cannot activate data contract %s: its shortId '%s' is that of %s, which is active. Archive that one first, or make a version with another shortId",
				ref, e.ShortID, other.Ref)}
		}
		// As it is: two that share a short id may not become active at once on two nodes.
		project := projectKey(e.Project.ID)
		return append(writes, engine.Write{Key: project, Value: encode(e.Project.record), Revision: at[project]}), nil
	})
	if err != nil {
		return ContractEntry{}, err
	}
	return r.ownContract(p, ref)
}

// sharing gives an active contract of the same project that has the same short id and is not another version of the same
// contract: events that name the short id could mean either. Of versions they mean the newest.
func (s *Snapshot) sharing(e *entry) *entry {
	line, _, err := parseRef(e.Ref)
	if err != nil {
		return nil
	}
	for _, o := range s.short.get(e.ShortID) {
		if o.State != Active || o.Builtin || !o.owned(e.Project) {
			continue
		}
		if other, _, err := parseRef(o.Ref); err == nil && other != line {
			return o
		}
	}
	return nil
}

// DeleteContract deletes a private contract that is a draft or archived. Errors: ErrNotFound, and *InUse for one
// that is active, that others may rely on because it is public, that a stream has as its default, or that is built in.
func (r *Registry) DeleteContract(ctx context.Context, p *Project, ref string) (ContractEntry, error) {
	var deleted ContractEntry
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		e, err := s.own(p, ref)
		if err != nil {
			return nil, err
		}
		if err := deletable(s, e); err != nil {
			return nil, err
		}
		deleted = e.ContractEntry
		line, version, err := parseRef(ref)
		if err != nil {
			return nil, err
		}
		writes := []engine.Write{{Key: contractKey(ref), Revision: at[contractKey(ref)]}}
		rest := engine.Write{Key: lineKey(line), Revision: at[lineKey(line)]}
		if l := r.state.line(line); l != nil {
			left := *l
			left.Versions = without(l.Versions, func(v string) bool { return v == version })
			if len(left.Versions) > 0 {
				rest.Value = encode(&left)
			}
			writes = append(writes, rest)
		}
		return writes, nil
	})
	if err != nil {
		return ContractEntry{}, err
	}
	return deleted, nil
}

func deletable(s *Snapshot, e *entry) error {
	cannot := func(why string) error {
		return &InUse{fmt.Sprintf("Cannot delete data contract %s: %s", e.Ref, why)}
	}
	switch {
	case e.State == Active:
		return cannot("it is active. Archive it first")
	case e.Public && e.State == Draft:
		return cannot("it is public. Make it private first, which a draft can be")
	case e.Public:
		return cannot("it is public and others may rely on it. Leave it archived")
	}
	for _, st := range s.AllStreams() {
		if st.Contract != e.Ref {
			continue
		}
		if st.Project.ID != e.Project.ID {
			return cannot("a stream of another project still has it as its default")
		}
		return cannot(fmt.Sprintf("stream %s still has it as its default. Change the stream first", st.Name))
	}
	return nil
}
