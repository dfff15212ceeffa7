package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/delivery/load"
	"sluice/relay/registry"
)

// manageCourierGroup is a courier group.
type manageCourierGroup struct {
	ID          string    `json:"id" example:"cg-AbCDefGH"`
	Name        string    `json:"name" example:"nightly"`
	Couriers    []string  `json:"couriers" nullable:"false" doc:"Their names."`
	Schedule    string    `json:"schedule" example:"0 2 * * *"`
	OffsetHours int       `json:"offsetHours" example:"24"`
	CreatedAt   time.Time `json:"createdAt"`
}

type manageNewCourierGroup struct {
	Name        string   `json:"name" doc:"Unique in the project."`
	Couriers    []string `json:"couriers" nullable:"false" maxItems:"500" doc:"The names or ids of those that run together."`
	Schedule    string   `json:"schedule,omitempty" doc:"Five fields as cron has them, UTC, or a tag like @daily; left out, it runs by hand only."`
	OffsetHours *int     `json:"offsetHours,omitempty" doc:"How long before the scheduled time the day lies that is loaded; left out, 24, so that all of it has landed."`
}

type manageCourierGroupPatch struct {
	Couriers    manageField[[]string] `json:"couriers,omitempty" maxItems:"500"`
	Schedule    manageField[string]   `json:"schedule,omitempty" doc:"null: by hand only."`
	OffsetHours manageField[int]      `json:"offsetHours,omitempty" doc:"null: 24."`
}

// ManageCourierGroupName is a courier group in the path.
type ManageCourierGroupName struct {
	ManageScope
	Group string `path:"group" example:"nightly" doc:"The group's name or id."`
}

type manageNewCourierGroupIn struct {
	ManageScope
	Body manageNewCourierGroup
}

type managePatchCourierGroupIn struct {
	ManageCourierGroupName
	Body manageCourierGroupPatch
}

type manageRunGroupIn struct {
	ManageCourierGroupName
	Body *manageRunDate
}

type manageCourierGroupOut struct{ Body manageCourierGroup }

type manageCourierGroupsOut struct {
	Body []manageCourierGroup `nullable:"false"`
}

func (m *manageAPI) registerCourierGroups(api huma.API) {
	const all, one = "/v1/courier-groups", "/v1/courier-groups/{group}"
	tags := []string{"courier groups"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-courier-groups", Method: http.MethodGet, Path: all, Tags: tags, Summary: "List the courier groups of a project, by name",
	}, m.listCourierGroups)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-courier-group", Method: http.MethodPost, Path: all, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a courier group, which runs its couriers on a schedule",
	}, m.createCourierGroup)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-courier-group", Method: http.MethodGet, Path: one, Tags: tags, Summary: "Get a courier group",
	}, m.getCourierGroup)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-courier-group", Method: http.MethodPatch, Path: one, Tags: tags, Summary: "Change a courier group (merge patch)",
	}, m.updateCourierGroup)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-courier-group", Method: http.MethodDelete, Path: one, Tags: tags, Summary: "Delete a courier group; its couriers stay",
	}, m.deleteCourierGroup)
	manageRegister(m, api, huma.Operation{
		OperationID: "run-courier-group", Method: http.MethodPost, Path: one + "/run", Tags: tags, DefaultStatus: http.StatusAccepted,
		Summary: "Load the files of a day with each of a group's couriers",
	}, m.runCourierGroup)
}

func manageShowCourierGroup(g *registry.CourierGroup) manageCourierGroup {
	out := manageCourierGroup{
		ID: g.ID, Name: g.Name, Couriers: []string{}, Schedule: g.Schedule, OffsetHours: int(g.Offset / time.Hour), CreatedAt: g.Created.UTC(),
	}
	for _, c := range g.Couriers {
		out.Couriers = append(out.Couriers, c.Name)
	}
	return out
}

func manageCheckSchedule(schedule string) error {
	if schedule == "" {
		return nil
	}
	if err := load.CheckSchedule(schedule); err != nil {
		return &registry.Invalid{Field: "schedule", Reason: err.Error()}
	}
	return nil
}

// manageOffset keeps any whole number of hours from becoming another one.
func manageOffset(hours int) time.Duration {
	const most = 1 << 20
	return time.Duration(max(-most, min(hours, most))) * time.Hour
}

func (m *manageAPI) listCourierGroups(ctx context.Context, in *ManageScope) (*manageCourierGroupsOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	out := &manageCourierGroupsOut{Body: []manageCourierGroup{}}
	for _, g := range snap.CourierGroups(p) {
		out.Body = append(out.Body, manageShowCourierGroup(g))
	}
	return out, nil
}

func (m *manageAPI) createCourierGroup(ctx context.Context, in *manageNewCourierGroupIn) (*manageCourierGroupOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	if err := manageCheckSchedule(b.Schedule); err != nil {
		return nil, err
	}
	spec := registry.CourierGroupSpec{Name: b.Name, Couriers: b.Couriers, Schedule: b.Schedule, Offset: registry.DefaultGroupOffset}
	if b.OffsetHours != nil {
		spec.Offset = manageOffset(*b.OffsetHours)
	}
	g, err := m.reg.CreateCourierGroup(ctx, p, spec)
	if err != nil {
		return nil, manageTaken(err, "Courier group", b.Name)
	}
	return &manageCourierGroupOut{manageShowCourierGroup(g)}, nil
}

func (m *manageAPI) getCourierGroup(ctx context.Context, in *ManageCourierGroupName) (*manageCourierGroupOut, error) {
	g, err := m.courierGroup(ctx, in)
	if err != nil {
		return nil, err
	}
	return &manageCourierGroupOut{manageShowCourierGroup(g)}, nil
}

// courierGroup finds a group by its name or id.
func (m *manageAPI) courierGroup(ctx context.Context, in *ManageCourierGroupName) (*registry.CourierGroup, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	g := m.reg.FindCourierGroup(ctx, p, in.Group)
	if g == nil {
		return nil, manageNotFound("Courier group", in.Group)
	}
	return g, nil
}

func (m *manageAPI) updateCourierGroup(ctx context.Context, in *managePatchCourierGroupIn) (*manageCourierGroupOut, error) {
	g, err := m.courierGroup(ctx, &in.ManageCourierGroupName)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	if err := manageCheckSchedule(b.Schedule.Value); err != nil {
		return nil, err
	}
	patch := registry.CourierGroupPatch{Couriers: b.Couriers.pointer(nil), Schedule: b.Schedule.pointer("")}
	if b.OffsetHours.Set {
		offset := registry.DefaultGroupOffset
		if !b.OffsetHours.Null {
			offset = manageOffset(b.OffsetHours.Value)
		}
		patch.Offset = &offset
	}
	if g, err = m.reg.UpdateCourierGroup(ctx, g.Project, g.ID, patch); err != nil {
		return nil, err
	}
	return &manageCourierGroupOut{manageShowCourierGroup(g)}, nil
}

func (m *manageAPI) deleteCourierGroup(ctx context.Context, in *ManageCourierGroupName) (*manageCourierGroupOut, error) {
	g, err := m.courierGroup(ctx, in)
	if err != nil {
		return nil, err
	}
	if g, err = m.reg.DeleteCourierGroup(ctx, g.Project, g.ID); err != nil {
		return nil, err
	}
	return &manageCourierGroupOut{manageShowCourierGroup(g)}, nil
}

func (m *manageAPI) runCourierGroup(ctx context.Context, in *manageRunGroupIn) (*manageRunsOut, error) {
	g, err := m.courierGroup(ctx, &in.ManageCourierGroupName)
	if err != nil {
		return nil, err
	}
	runs, err := m.couriers.StartGroup(ctx, g, in.Body.day())
	if err != nil {
		return nil, manageUnready(err)
	}
	out := &manageRunsOut{Body: []manageRun{}}
	for _, r := range runs {
		out.Body = append(out.Body, manageShowRun(r))
	}
	return out, nil
}
