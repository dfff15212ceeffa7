package registry

import (
	"context"
	"fmt"

	"sluice/auth"
	"sluice/relay/engine"
)

// CreateProject makes a project and its master secret, which is shown this once. Errors: *Invalid, ErrExists.
func (r *Registry) CreateProject(ctx context.Context, name string) (*Project, string, error) {
	if err := checkProjectName(name); err != nil {
		return nil, "", err
	}
	master := auth.NewSecret(secretLength)
	record := r.newProject(name, master)
	err := r.change(ctx, func(_ *Snapshot, at revisions) ([]engine.Write, error) {
		if at[projectNameKey(name)] != 0 {
			return nil, ErrExists
		}
		return projectWrites(record), nil
	})
	if err != nil {
		return nil, "", err
	}
	p := r.Snapshot().ProjectByID(record.ID)
	if p == nil { // somebody deleted it while we looked
		return nil, "", ErrNotFound
	}
	return p, master, nil
}

func projectWrites(record *projectRecord) []engine.Write {
	return []engine.Write{
		{Key: projectKey(record.ID), Value: encode(record)},
		{Key: projectNameKey(record.Name), Value: encode(&pointer{Version: recordVersion, ID: record.ID})},
	}
}

// UpdateProject changes a project; the string is the new master secret where one was asked for, shown this
// once, and the one before is refused from then on. Errors: *Invalid, ErrNotFound.
func (r *Registry) UpdateProject(ctx context.Context, name string, patch ProjectPatch) (*Project, string, error) {
	var id, master string
	if patch.RotateMasterSecret {
		master = auth.NewSecret(secretLength)
	}
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		p := s.Project(name)
		if p == nil {
			return nil, ErrNotFound
		}
		id = p.ID
		changed := *p.record
		if patch.EventStream != nil {
			if *patch.EventStream != "" && s.Stream(p, *patch.EventStream) == nil {
				return nil, &Invalid{"eventStream", fmt.Sprintf("there is no stream %s", *patch.EventStream)}
			}
			changed.EventStream = *patch.EventStream
		}
		if master != "" {
			changed.MasterHash = auth.Hash(master)
		}
		key := projectKey(id)
		return []engine.Write{{Key: key, Value: encode(&changed), Revision: at[key]}}, nil
	})
	if err != nil {
		return nil, "", err
	}
	p := r.Snapshot().ProjectByID(id)
	if p == nil {
		return nil, "", ErrNotFound
	}
	return p, master, nil
}

// DeleteProject deletes a project that has no streams, sinks and contracts any more. Errors: ErrNotFound, *InUse.
// Its ids are never given out again, so a token of the project before does not open one made anew under its name.
func (r *Registry) DeleteProject(ctx context.Context, name string) (*Project, error) {
	var deleted *Project
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		p := s.Project(name)
		if p == nil {
			return nil, ErrNotFound
		}
		var holds []string
		for _, st := range s.Streams(p) {
			holds = append(holds, "stream "+st.Name)
		}
		for _, sink := range s.Sinks(p) {
			holds = append(holds, "sink "+sink.Name)
		}
		for _, f := range s.Feeds(p) {
			holds = append(holds, "feed "+f.Name)
		}
		for _, g := range s.CourierGroups(p) {
			holds = append(holds, "courier group "+g.Name)
		}
		for _, k := range s.APIKeys(p) {
			holds = append(holds, "API key "+k.Name)
		}
		if users := s.Users(p); len(users) == 1 { // not named: an address is a person's
			holds = append(holds, "1 user")
		} else if len(users) > 1 {
			holds = append(holds, fmt.Sprintf("%d users", len(users)))
		}
		for _, c := range s.Contracts(p) {
			if c.Project != nil && c.Project.ID == p.ID {
				holds = append(holds, "data contract "+c.Ref)
			}
		}
		if len(holds) > 0 {
			return nil, &InUse{fmt.Sprintf("Cannot delete project %s: it still has %s. Delete what it has first", name, listed(holds))}
		}
		deleted = p
		project, pointer := projectKey(p.ID), projectNameKey(name)
		return []engine.Write{{Key: project, Revision: at[project]}, {Key: pointer, Revision: at[pointer]}}, nil
	})
	if err != nil {
		return nil, err
	}
	return deleted, nil
}
