package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/registry"
)

// manageIntegration is a direct integration as it is shown.
type manageIntegration struct {
	ID                 string                   `json:"id" example:"in-3p5hau1zunky"`
	Name               string                   `json:"name" example:"warehouse"`
	Description        string                   `json:"description"`
	Stream             string                   `json:"stream" example:"by-hand"`
	Types              []string                 `json:"types" example:"[\"CUSTOM\",\"OPEN\"]" doc:"The event types its tokens are entitled to; null: all."`
	SendLocationEvents bool                     `json:"sendLocationEvents"`
	AppKey             string                   `json:"appKey" doc:"What X-UA-Appkey has to name."`
	AccessToken        string                   `json:"accessToken,omitempty" doc:"The first token. Shown once, when the integration is made."`
	Tokens             []manageIntegrationToken `json:"tokens" nullable:"false"`
}

// manageIntegrationToken is a token of an integration.
type manageIntegrationToken struct {
	ID          string    `json:"id" example:"tk-w0qu00hwl644"`
	Name        string    `json:"name" example:"first"`
	CreatedAt   time.Time `json:"createdAt"`
	AppKey      string    `json:"appKey,omitempty" doc:"What X-UA-Appkey has to name; shown with accessToken, for a client needs both."`
	AccessToken string    `json:"accessToken,omitempty" doc:"Shown once, when it is made."`
}

type manageNewIntegrationIn struct {
	ManageScope
	Body struct {
		Name               string   `json:"name" example:"warehouse" doc:"Unique in the project."`
		Description        string   `json:"description,omitempty"`
		Stream             string   `json:"stream,omitempty" example:"by-hand" doc:"The one stream it reads, source or derived; left out, the project's event stream."`
		Types              []string `json:"types,omitempty" example:"[\"CUSTOM\",\"OPEN\"]" doc:"The event types its tokens are entitled to; left out, null or empty: all."`
		SendLocationEvents bool     `json:"sendLocationEvents,omitempty"`
	} `nameHint:"NewIntegration"`
}

// ManageIntegrationName is an integration in the path.
type ManageIntegrationName struct {
	ManageScope
	Integration string `path:"integration" example:"warehouse" doc:"The integration's name or id."`
}

type managePatchIntegrationIn struct {
	ManageIntegrationName
	Body struct {
		Name               manageField[string]   `json:"name,omitempty"`
		Description        manageField[string]   `json:"description,omitempty"`
		Types              manageField[[]string] `json:"types,omitempty" doc:"null or empty: all."`
		SendLocationEvents manageField[bool]     `json:"sendLocationEvents,omitempty"`
	} `nameHint:"IntegrationPatch"`
}

type manageNewTokenIn struct {
	ManageIntegrationName
	Body struct {
		Name string `json:"name,omitempty" example:"second" doc:"Unique in the integration; left out, one is made."`
	} `nameHint:"NewToken"`
}

type manageTokenIn struct {
	ManageIntegrationName
	Token string `path:"token" example:"tk-w0qu00hwl644" doc:"The token's id or name."`
}

type manageListIntegrationsIn struct{ ManageScope }

type manageIntegrationOut struct{ Body manageIntegration }

type manageIntegrationsOut struct {
	Body []manageIntegration `nullable:"false"`
}

type manageIntegrationTokenOut struct{ Body manageIntegrationToken }

type manageIntegrationTokensOut struct {
	Body []manageIntegrationToken `nullable:"false"`
}

func (m *manageAPI) registerIntegrations(api huma.API) {
	const all, one = "/v1/integrations", "/v1/integrations/{integration}"
	tags := []string{"integrations"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-integrations", Method: http.MethodGet, Path: all, Tags: tags, Summary: "List the integrations of a project, by name",
	}, m.listIntegrations)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-integration", Method: http.MethodPost, Path: all, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a direct integration", Description: "It reads one stream over /api/events. Its first token is shown this once.",
	}, m.createIntegration)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-integration", Method: http.MethodGet, Path: one, Tags: tags, Summary: "Get an integration, without its tokens' texts",
	}, m.getIntegration)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-integration", Method: http.MethodPatch, Path: one, Tags: tags, Summary: "Change an integration (merge patch)",
	}, m.updateIntegration)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-integration", Method: http.MethodDelete, Path: one, Tags: tags,
		Summary: "Delete an integration with its tokens", Description: "What they hold open ends within a second.",
	}, m.deleteIntegration)
	manageRegister(m, api, huma.Operation{
		OperationID: "list-integration-tokens", Method: http.MethodGet, Path: one + "/tokens", Tags: tags, Summary: "List the tokens of an integration, the oldest first",
	}, m.listTokens)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-integration-token", Method: http.MethodPost, Path: one + "/tokens", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Make one more token", Description: "It is shown this once. An integration has 25 at most: 409 for one more.",
	}, m.createToken)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-integration-token", Method: http.MethodDelete, Path: one + "/tokens/{token}", Tags: tags,
		Summary: "Revoke a token", Description: "What it holds open ends within a second.",
	}, m.deleteToken)
}

func manageShowIntegration(i *registry.Integration, token string) manageIntegration {
	out := manageIntegration{
		ID: i.ID, Name: i.Name, Description: i.Description, Stream: i.Stream.Name, Types: i.Types, SendLocationEvents: i.Location,
		AppKey: i.Project.AppKey, AccessToken: token, Tokens: []manageIntegrationToken{},
	}
	for _, t := range i.Tokens {
		out.Tokens = append(out.Tokens, manageShowIntegrationToken(t))
	}
	return out
}

func manageShowIntegrations(all []*registry.Integration) []manageIntegration {
	out := []manageIntegration{}
	for _, i := range all {
		out = append(out, manageShowIntegration(i, ""))
	}
	return out
}

func manageShowIntegrationToken(t registry.IntegrationToken) manageIntegrationToken {
	return manageIntegrationToken{ID: t.ID, Name: t.Name, CreatedAt: t.Created.UTC()}
}

// integration finds an integration by its name or id.
func (m *manageAPI) integration(ctx context.Context, in *ManageIntegrationName) (*registry.Integration, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	i := m.reg.FindIntegration(ctx, p, in.Integration)
	if i == nil {
		return nil, manageNotFound("Integration", in.Integration)
	}
	return i, nil
}

func (m *manageAPI) listIntegrations(ctx context.Context, in *manageListIntegrationsIn) (*manageIntegrationsOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	return &manageIntegrationsOut{manageShowIntegrations(snap.Integrations(p))}, nil
}

func (m *manageAPI) createIntegration(ctx context.Context, in *manageNewIntegrationIn) (*manageIntegrationOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	i, token, err := m.reg.CreateIntegration(ctx, p, registry.IntegrationSpec{
		Name: b.Name, Description: b.Description, Stream: b.Stream, Types: b.Types, Location: b.SendLocationEvents,
	})
	if err != nil {
		return nil, manageTaken(err, "Integration", b.Name)
	}
	return &manageIntegrationOut{manageShowIntegration(i, token)}, nil
}

func (m *manageAPI) getIntegration(ctx context.Context, in *ManageIntegrationName) (*manageIntegrationOut, error) {
	i, err := m.integration(ctx, in)
	if err != nil {
		return nil, err
	}
	return &manageIntegrationOut{manageShowIntegration(i, "")}, nil
}

func (m *manageAPI) updateIntegration(ctx context.Context, in *managePatchIntegrationIn) (*manageIntegrationOut, error) {
	i, err := m.integration(ctx, &in.ManageIntegrationName)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	if b.Name.Null {
		return nil, &registry.Invalid{Field: "name", Reason: "cannot be null: an integration has a name"}
	}
	i, err = m.reg.UpdateIntegration(ctx, i.ID, registry.IntegrationPatch{
		Name: b.Name.pointer(""), Description: b.Description.pointer(""), Types: b.Types.pointer(nil), Location: b.SendLocationEvents.pointer(false),
	})
	if err != nil {
		return nil, manageTaken(err, "Integration", b.Name.Value)
	}
	return &manageIntegrationOut{manageShowIntegration(i, "")}, nil
}

func (m *manageAPI) deleteIntegration(ctx context.Context, in *ManageIntegrationName) (*manageIntegrationOut, error) {
	i, err := m.integration(ctx, in)
	if err != nil {
		return nil, err
	}
	if i, err = m.reg.DeleteIntegration(ctx, i.ID); err != nil {
		return nil, err
	}
	return &manageIntegrationOut{manageShowIntegration(i, "")}, nil
}

func (m *manageAPI) listTokens(ctx context.Context, in *ManageIntegrationName) (*manageIntegrationTokensOut, error) {
	i, err := m.integration(ctx, in)
	if err != nil {
		return nil, err
	}
	return &manageIntegrationTokensOut{manageShowIntegration(i, "").Tokens}, nil
}

func (m *manageAPI) createToken(ctx context.Context, in *manageNewTokenIn) (*manageIntegrationTokenOut, error) {
	i, err := m.integration(ctx, &in.ManageIntegrationName)
	if err != nil {
		return nil, err
	}
	made, token, err := m.reg.AddIntegrationToken(ctx, i.ID, in.Body.Name)
	if err != nil {
		return nil, manageTaken(err, "Token", in.Body.Name)
	}
	shown := manageShowIntegrationToken(made)
	shown.AppKey, shown.AccessToken = i.Project.AppKey, token
	return &manageIntegrationTokenOut{shown}, nil
}

func (m *manageAPI) deleteToken(ctx context.Context, in *manageTokenIn) (*manageIntegrationTokenOut, error) {
	i, err := m.integration(ctx, &in.ManageIntegrationName)
	if err != nil {
		return nil, err
	}
	gone, err := m.reg.DeleteIntegrationToken(ctx, i.ID, in.Token)
	if errors.Is(err, registry.ErrNotFound) {
		return nil, manageNotFound("Token", in.Token)
	}
	if err != nil {
		return nil, err
	}
	return &manageIntegrationTokenOut{manageShowIntegrationToken(gone)}, nil
}
