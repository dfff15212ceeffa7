package registry

import (
	"context"
	"slices"
	"strings"

	"sluice/relay/engine"
)

// loads is what a Snapshot has of feeds, couriers and their groups, by the uuid of the project, ordered by name. It is built anew whenever one
// of them or a stream changes: they are few, and no request for an event asks for them.
type loads struct {
	feeds    map[string][]*Feed
	couriers map[string][]*Courier
	groups   map[string][]*CourierGroup
}

// loading is the part of a state that holds their records. Guarded as the state is.
type loading struct {
	feeds    map[string]*feedRecord
	couriers map[string]*courierRecord
	groups   map[string]*courierGroupRecord
	changed  bool
}

func newLoading() loading {
	return loading{feeds: map[string]*feedRecord{}, couriers: map[string]*courierRecord{}, groups: map[string]*courierGroupRecord{}}
}

// applyLoad takes in a cell of one of the three kinds.
func (st *state) applyLoad(kind, id string, c engine.Cell) {
	l := &st.loading
	l.changed = true
	switch kind {
	case kindFeed:
		take(st, l.feeds, id, c)
	case kindCourier:
		take(st, l.couriers, id, c)
	case kindCourierGroup:
		take(st, l.groups, id, c)
	}
}

// buildLoads leaves out what points to a project or a stream that is not there (yet). Projects and streams are built.
func (st *state) buildLoads(next *Snapshot, others bool) {
	l := &st.loading
	if !l.changed && !(others && len(l.feeds)+len(l.couriers) > 0) {
		return
	}
	l.changed = false
	made := &loads{feeds: map[string][]*Feed{}, couriers: map[string][]*Courier{}, groups: map[string][]*CourierGroup{}}
	for _, r := range l.feeds {
		if p := next.projects.get(r.Project); p != nil {
			made.feeds[p.ID] = append(made.feeds[p.ID], feedOf(r, p))
		}
	}
	couriers := map[string]*Courier{}
	for _, r := range l.couriers {
		p, stream := next.projects.get(r.Project), next.streams.get(r.Stream)
		if p == nil || stream == nil {
			continue
		}
		c := courierOf(r, p, stream)
		couriers[c.ID] = c
		made.couriers[p.ID] = append(made.couriers[p.ID], c)
	}
	for _, r := range l.groups {
		if p := next.projects.get(r.Project); p != nil {
			made.groups[p.ID] = append(made.groups[p.ID], courierGroupOf(r, p, couriers))
		}
	}
	for _, list := range made.feeds {
		slices.SortFunc(list, func(a, b *Feed) int { return strings.Compare(a.Name, b.Name) })
	}
	for _, list := range made.couriers {
		slices.SortFunc(list, func(a, b *Courier) int { return strings.Compare(a.Name, b.Name) })
	}
	for _, list := range made.groups {
		slices.SortFunc(list, func(a, b *CourierGroup) int { return strings.Compare(a.Name, b.Name) })
	}
	next.loads = made
}

// changeLoads is change with a fence: of two changes of a project's feeds, couriers and groups at once, which may contradict each other, one
// is planned again.
func (r *Registry) changeLoads(ctx context.Context, p *Project, plan func(s *Snapshot, at revisions) ([]engine.Write, error)) error {
	return r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		project := s.ProjectByID(p.ID)
		if project == nil {
			return nil, ErrNotFound
		}
		writes, err := plan(s, at)
		if err != nil || len(writes) == 0 {
			return nil, err
		}
		key := projectKey(p.ID)
		return append(writes, engine.Write{Key: key, Value: encode(project.record), Revision: at[key]}), nil
	})
}

// made gives what a change made, as the Snapshot shows it now.
func made[E any](err error, find func() *E) (*E, error) {
	if err != nil {
		return nil, err
	}
	if e := find(); e != nil {
		return e, nil
	}
	return nil, ErrNotFound // somebody deleted it while we looked
}

// FindFeed, FindCourier and FindCourierGroup are those of a Snapshot that ask the store before they say that there is none. What makes one of
// them writes the project's record too, so it is that which is asked for.

// FindFeed finds a feed by its id or name.
func (r *Registry) FindFeed(ctx context.Context, p *Project, nameOrID string) *Feed {
	return find(ctx, r, p, func(s *Snapshot) *Feed { return s.Feed(p, nameOrID) })
}

// FindCourier finds a courier by its id or name.
func (r *Registry) FindCourier(ctx context.Context, p *Project, nameOrID string) *Courier {
	return find(ctx, r, p, func(s *Snapshot) *Courier { return s.Courier(p, nameOrID) })
}

// FindCourierGroup finds a courier group by its id or name.
func (r *Registry) FindCourierGroup(ctx context.Context, p *Project, nameOrID string) *CourierGroup {
	return find(ctx, r, p, func(s *Snapshot) *CourierGroup { return s.CourierGroup(p, nameOrID) })
}

func find[E any](ctx context.Context, r *Registry, p *Project, in func(*Snapshot) *E) *E {
	if e := in(r.Snapshot()); e != nil || p == nil {
		return e
	}
	r.lookUp(ctx, projectKey(p.ID))
	return in(r.Snapshot())
}
