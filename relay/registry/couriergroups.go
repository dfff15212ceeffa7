package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/auth"
	"sluice/relay/engine"
)

// CourierGroup runs couriers on a schedule, together. Immutable.
type CourierGroup struct {
	ID       string // cg-…
	Project  *Project
	Name     string // unique in the project
	Couriers []*Courier
	// Schedule says when, as cron does, in UTC; empty: only by hand. Its form is for the caller to check.
	Schedule string
	// Offset is how long before the scheduled time the day lies that is loaded: with 24 hours all of it has landed.
	Offset  time.Duration
	Created time.Time
	Version string // another one whenever the schedule changed

	record *courierGroupRecord
}

// DefaultGroupOffset is the offset of a group that says nothing else.
const DefaultGroupOffset = 24 * time.Hour

// CourierGroupSpec says what group to make.
type CourierGroupSpec struct {
	Name     string
	Couriers []string // names or ids
	Schedule string
	Offset   time.Duration // whole hours
}

// CourierGroupPatch says what to change; nil leaves a member as it is.
type CourierGroupPatch struct {
	Couriers *[]string
	Schedule *string
	Offset   *time.Duration
}

const (
	kindCourierGroup = "couriergroup" // .<id>: courierGroupRecord

	maxGroups      = 200 // of a project
	maxGroupOffset = 30 * 24 * time.Hour
)

func courierGroupKey(id string) string { return cellKey(kindCourierGroup, id) }

type courierGroupRecord struct {
	Version  int      `json:"v"`
	ID       string   `json:"id"`
	Project  string   `json:"project"`
	Name     string   `json:"name"`
	Couriers []string `json:"couriers"` // ids
	Schedule string   `json:"schedule,omitempty"`
	OffsetH  int      `json:"offsetHours"`
	Created  int64    `json:"created"`
}

// courierGroupOf leaves out couriers that are not there (yet).
func courierGroupOf(r *courierGroupRecord, p *Project, couriers map[string]*Courier) *CourierGroup {
	g := &CourierGroup{
		ID: r.ID, Project: p, Name: r.Name, Schedule: r.Schedule, Offset: time.Duration(r.OffsetH) * time.Hour,
		Created: time.UnixMilli(r.Created), Version: fmt.Sprintf("%s|%d", r.Schedule, r.OffsetH), record: r,
	}
	for _, id := range r.Couriers {
		if c := couriers[id]; c != nil {
			g.Couriers = append(g.Couriers, c)
		}
	}
	return g
}

// CourierGroup gives the group of that id or name, nil if the project is nil or has none.
func (s *Snapshot) CourierGroup(p *Project, nameOrID string) *CourierGroup {
	for _, g := range s.CourierGroups(p) {
		if g.Name == nameOrID || g.ID == nameOrID {
			return g
		}
	}
	return nil
}

// CourierGroups gives a project's groups by name; the slice is shared, do not change it.
func (s *Snapshot) CourierGroups(p *Project) []*CourierGroup {
	if p == nil {
		return nil
	}
	return s.loads.groups[p.ID]
}

// AllCourierGroups gives those of all projects, in no order.
func (s *Snapshot) AllCourierGroups() []*CourierGroup {
	var all []*CourierGroup
	for _, of := range s.loads.groups {
		all = append(all, of...)
	}
	return all
}

// CreateCourierGroup makes a group. Errors: *Invalid, ErrExists where the name is taken, ErrNotFound where the project is gone.
func (r *Registry) CreateCourierGroup(ctx context.Context, p *Project, spec CourierGroupSpec) (*CourierGroup, error) {
	if p == nil {
		return nil, ErrNotFound
	}
	record := &courierGroupRecord{
		Version: recordVersion, ID: "cg-" + auth.NewSecret(courierIDLength), Project: p.ID, Name: spec.Name, Schedule: spec.Schedule,
		Created: r.now().UnixMilli(),
	}
	err := r.changeLoads(ctx, p, func(s *Snapshot, _ revisions) ([]engine.Write, error) {
		if err := checkName(spec.Name); err != nil {
			return nil, err
		}
		if err := record.set(s, p, spec.Couriers, spec.Offset); err != nil {
			return nil, err
		}
		switch {
		case s.CourierGroup(p, spec.Name) != nil:
			return nil, ErrExists
		case len(s.CourierGroups(p)) >= maxGroups:
			return nil, &Invalid{"name", fmt.Sprintf("a project has at most %d courier groups", maxGroups)}
		}
		return []engine.Write{{Key: courierGroupKey(record.ID), Value: encode(record)}}, nil
	})
	return made(err, func() *CourierGroup { return r.Snapshot().CourierGroup(p, record.ID) })
}

// UpdateCourierGroup changes a group. Errors: *Invalid, ErrNotFound.
func (r *Registry) UpdateCourierGroup(ctx context.Context, p *Project, nameOrID string, patch CourierGroupPatch) (*CourierGroup, error) {
	var id string
	err := r.changeLoads(ctx, p, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		g := s.CourierGroup(p, nameOrID)
		if g == nil {
			return nil, ErrNotFound
		}
		id = g.ID
		changed := *g.record
		assign(&changed.Schedule, patch.Schedule)
		couriers, offset := changed.Couriers, g.Offset
		assign(&couriers, patch.Couriers)
		assign(&offset, patch.Offset)
		if err := changed.set(s, p, couriers, offset); err != nil {
			return nil, err
		}
		return []engine.Write{{Key: courierGroupKey(g.ID), Value: encode(&changed), Revision: at[courierGroupKey(g.ID)]}}, nil
	})
	return made(err, func() *CourierGroup { return r.Snapshot().CourierGroup(p, id) })
}

// DeleteCourierGroup deletes a group and gives what went; its couriers stay. Errors: ErrNotFound.
func (r *Registry) DeleteCourierGroup(ctx context.Context, p *Project, nameOrID string) (*CourierGroup, error) {
	var gone *CourierGroup
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		if gone = s.CourierGroup(p, nameOrID); gone == nil {
			return nil, ErrNotFound
		}
		return erasing(at, courierGroupKey(gone.ID)), nil
	})
	return gone, err
}

// set holds couriers and offset to their rules and sets them.
func (g *courierGroupRecord) set(s *Snapshot, p *Project, couriers []string, offset time.Duration) error {
	if len(couriers) == 0 {
		return &Invalid{"couriers", "are missing: the names of those that run together"}
	}
	var ids []string
	for _, name := range couriers {
		c := s.Courier(p, name)
		switch {
		case c == nil:
			return &Invalid{"couriers", fmt.Sprintf("there is no courier %s", shownName(name))}
		case slices.Contains(ids, c.ID):
			return &Invalid{"couriers", fmt.Sprintf("%s is there twice", c.Name)}
		}
		ids = append(ids, c.ID)
	}
	if offset < 0 || offset > maxGroupOffset || offset%time.Hour != 0 {
		return &Invalid{"offsetHours", fmt.Sprintf("must be from 0 to %d whole hours", int(maxGroupOffset/time.Hour))}
	}
	g.Couriers, g.OffsetH = ids, int(offset/time.Hour)
	return nil
}
