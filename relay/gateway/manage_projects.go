package gateway

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/auth"
	"sluice/relay/registry"
)

// manageProject is a project as it is shown.
type manageProject struct {
	Name         string  `json:"name" example:"default"`
	ProjectID    string  `json:"projectId" format:"uuid"`
	Tenant       string  `json:"tenant" example:"default" doc:"What X-Amperity-Tenant names: the project's name."`
	BillingID    string  `json:"billingId" example:"default0123456789" doc:"What clients of 2021 name the project by."`
	AppKey       string  `json:"appKey" doc:"What X-UA-Appkey names."`
	EventStream  *string `json:"eventStream" doc:"The stream that /api/events/general reads."`
	MasterSecret string  `json:"masterSecret,omitempty" doc:"Shown once, when the project is made or its secret rotated."`
}

func manageShowProject(p *registry.Project, secret string) manageProject {
	return manageProject{
		Name: p.Name, ProjectID: p.ID, Tenant: p.Name, BillingID: p.BillingID, AppKey: p.AppKey,
		EventStream: manageOptional(p.EventStream), MasterSecret: secret,
	}
}

// ManageProjectName is a project in the path. It is exported because huma looks into embedded structs only if they are.
type ManageProjectName struct {
	Name string `path:"name" example:"default" doc:"The project's name."`
	// The command line tool names a project on every call.
	Project string `query:"project" hidden:"true"`
}

type manageProjectsIn struct {
	Project string `query:"project" hidden:"true"`
}

type manageNewProjectIn struct {
	Project string `query:"project" hidden:"true"`
	Body    struct {
		Name string `json:"name" example:"shop" doc:"Its name, which cannot be changed later."`
	} `nameHint:"NewProject"`
}

type managePatchProjectIn struct {
	ManageProjectName
	Body struct {
		EventStream        manageField[string] `json:"eventStream,omitempty" doc:"The stream that /api/events/general reads, or null for none."`
		RotateMasterSecret bool                `json:"rotateMasterSecret,omitempty" doc:"true: makes a new master secret, which the answer shows; the old one ends."`
	} `nameHint:"ProjectPatch"`
}

type manageProjectOut struct{ Body manageProject }

type manageProjectsOut struct {
	Body []manageProject `nullable:"false"`
}

func (m *manageAPI) registerProjects(api huma.API) {
	tags := []string{"projects"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-projects", Method: http.MethodGet, Path: "/v1/projects", Tags: tags,
		Summary: "List the projects the token can see",
	}, m.listProjects)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-project", Method: http.MethodPost, Path: "/v1/projects", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a project", Description: "Only the admin token may.",
	}, m.createProject)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-project", Method: http.MethodGet, Path: "/v1/projects/{name}", Tags: tags,
		Summary: "Get a project",
	}, m.getProject)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-project", Method: http.MethodPatch, Path: "/v1/projects/{name}", Tags: tags,
		Summary: "Change a project or rotate its master secret",
	}, m.updateProject)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-project", Method: http.MethodDelete, Path: "/v1/projects/{name}", Tags: tags,
		Summary: "Delete an empty project", Description: "Only the admin token may.",
	}, m.deleteProject)
}

func (m *manageAPI) listProjects(ctx context.Context, _ *manageProjectsIn) (*manageProjectsOut, error) {
	who := manageCaller(ctx)
	if !auth.May(who.Kind, auth.Manage) {
		return nil, manageForbidden(auth.Manage)
	}
	snap := m.reg.Snapshot()
	out := &manageProjectsOut{Body: []manageProject{}}
	for _, p := range snap.Projects() {
		if snap.AuthorizeProject(who, auth.Manage, p) == registry.Allowed {
			out.Body = append(out.Body, manageShowProject(p, ""))
		}
	}
	return out, nil
}

func (m *manageAPI) createProject(ctx context.Context, in *manageNewProjectIn) (*manageProjectOut, error) {
	if !auth.May(manageCaller(ctx).Kind, auth.Administer) {
		return nil, manageForbidden(auth.Administer)
	}
	p, secret, err := m.reg.CreateProject(ctx, in.Body.Name)
	if err != nil {
		return nil, manageTaken(err, "Project", in.Body.Name)
	}
	return &manageProjectOut{manageShowProject(p, secret)}, nil
}

func (m *manageAPI) getProject(ctx context.Context, in *ManageProjectName) (*manageProjectOut, error) {
	_, p, err := m.project(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return &manageProjectOut{manageShowProject(p, "")}, nil
}

func (m *manageAPI) updateProject(ctx context.Context, in *managePatchProjectIn) (*manageProjectOut, error) {
	_, p, err := m.project(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	p, secret, err := m.reg.UpdateProject(ctx, p.Name, registry.ProjectPatch{
		EventStream: in.Body.EventStream.pointer(""), RotateMasterSecret: in.Body.RotateMasterSecret,
	})
	if err != nil {
		return nil, err
	}
	return &manageProjectOut{manageShowProject(p, secret)}, nil
}

func (m *manageAPI) deleteProject(ctx context.Context, in *ManageProjectName) (*manageProjectOut, error) {
	snap := m.reg.Snapshot()
	p := snap.Project(in.Name)
	if err := manageVerdict(snap.AuthorizeProject(manageCaller(ctx), auth.Administer, p), auth.Administer, in.Name); err != nil {
		return nil, err
	}
	p, err := m.reg.DeleteProject(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	return &manageProjectOut{manageShowProject(p, "")}, nil
}
