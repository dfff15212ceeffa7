package gateway

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/registry"
)

// manageConsentLevel is what a project calls a consent level.
type manageConsentLevel struct {
	ID   int    `json:"id" example:"2" doc:"The level, 0 to 63, as events and data contracts have it."`
	Name string `json:"name" example:"marketing" doc:"What the project calls it. The name is for people: the level means the same without one."`
}

// ManageConsentLevelID is a consent level in the path.
type ManageConsentLevelID struct {
	ManageScope
	Level int `path:"level" minimum:"0" maximum:"63" example:"2" doc:"The consent level."`
}

type manageNewConsentLevelIn struct {
	ManageScope
	Body manageConsentLevel
}

type managePatchConsentLevelIn struct {
	ManageConsentLevelID
	Body struct {
		Name string `json:"name"`
	} `nameHint:"ConsentLevelPatch"`
}

type manageConsentLevelOut struct{ Body manageConsentLevel }

type manageConsentLevelsOut struct {
	Body []manageConsentLevel `nullable:"false"`
}

func (m *manageAPI) registerConsentLevels(api huma.API) {
	const collection, one = "/v1/consent-levels", "/v1/consent-levels/{level}"
	tags := []string{"consent levels"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-consent-levels", Method: http.MethodGet, Path: collection, Tags: tags,
		Summary: "List the consent levels that a project has names for",
	}, m.listConsentLevels)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-consent-level", Method: http.MethodPost, Path: collection, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Name a consent level", Description: "409 where it has a name.",
	}, func(ctx context.Context, in *manageNewConsentLevelIn) (*manageConsentLevelOut, error) {
		return m.nameConsentLevel(ctx, in.Project, in.Body, true)
	})
	manageRegister(m, api, huma.Operation{
		OperationID: "put-consent-level", Method: http.MethodPut, Path: collection, Tags: tags,
		Summary: "Name a consent level, or name it anew, as clients of 2021 do",
	}, func(ctx context.Context, in *manageNewConsentLevelIn) (*manageConsentLevelOut, error) {
		return m.nameConsentLevel(ctx, in.Project, in.Body, false)
	})
	manageRegister(m, api, huma.Operation{
		OperationID: "get-consent-level", Method: http.MethodGet, Path: one, Tags: tags,
		Summary: "Get a consent level",
	}, m.getConsentLevel)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-consent-level", Method: http.MethodPatch, Path: one, Tags: tags,
		Summary: "Give a consent level another name",
	}, m.updateConsentLevel)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-consent-level", Method: http.MethodDelete, Path: one, Tags: tags,
		Summary: "Take a consent level's name away", Description: "Events, contracts and streams keep the level.",
	}, m.deleteConsentLevel)
}

func manageUnnamed(level int) error {
	return manageErrorf(http.StatusNotFound, "Consent level %d has no name", level)
}

func (m *manageAPI) listConsentLevels(ctx context.Context, in *ManageScope) (*manageConsentLevelsOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	out := &manageConsentLevelsOut{Body: []manageConsentLevel{}}
	for _, l := range p.ConsentLevels() {
		out.Body = append(out.Body, manageConsentLevel{l.Level, l.Name})
	}
	return out, nil
}

func (m *manageAPI) nameConsentLevel(ctx context.Context, project string, l manageConsentLevel, anew bool) (*manageConsentLevelOut, error) {
	_, p, err := m.project(ctx, project)
	if err != nil {
		return nil, err
	}
	if err := m.reg.NameConsentLevel(ctx, p, registry.ConsentLevel{Level: l.ID, Name: l.Name}, anew); err != nil {
		return nil, manageTaken(err, "A name of consent level", strconv.Itoa(l.ID))
	}
	return &manageConsentLevelOut{l}, nil
}

func (m *manageAPI) getConsentLevel(ctx context.Context, in *ManageConsentLevelID) (*manageConsentLevelOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	l, ok := p.ConsentLevel(in.Level)
	if !ok {
		return nil, manageUnnamed(in.Level)
	}
	return &manageConsentLevelOut{manageConsentLevel{l.Level, l.Name}}, nil
}

func (m *manageAPI) updateConsentLevel(ctx context.Context, in *managePatchConsentLevelIn) (*manageConsentLevelOut, error) {
	if _, err := m.getConsentLevel(ctx, &in.ManageConsentLevelID); err != nil {
		return nil, err
	}
	return m.nameConsentLevel(ctx, in.Project, manageConsentLevel{in.Level, in.Body.Name}, false)
}

func (m *manageAPI) deleteConsentLevel(ctx context.Context, in *ManageConsentLevelID) (*manageConsentLevelOut, error) {
	was, err := m.getConsentLevel(ctx, in)
	if err != nil {
		return nil, err
	}
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	if _, err := m.reg.UnnameConsentLevel(ctx, p, in.Level); err != nil {
		return nil, err
	}
	return was, nil
}
