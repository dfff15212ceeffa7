package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/auth"
	"sluice/relay/registry"
)

// maxTokenLife bounds the life of an API key's token: nobody will remember one that is older.
const maxTokenLife = 3650 * 24 * time.Hour

// manageAPIKey is an API key as it is shown.
type manageAPIKey struct {
	ID             string     `json:"id" example:"ak-Jx3uT0bQ2mYc7WdE"`
	ClientSecret   string     `json:"clientSecret,omitempty" doc:"For /api/v0/oauth2/token, with the id as client id. Shown once, when the key is made or rotated."`
	Name           string     `json:"name" example:"web"`
	Type           string     `json:"type" enum:"STREAMING_INGEST_WRITE,API_TOKEN_ISSUER"`
	Tenant         string     `json:"tenant" example:"default" doc:"What X-Amperity-Tenant has to name."`
	RotatedAt      *time.Time `json:"rotatedAt,omitempty" doc:"When its secret was last replaced."`
	OldTokensUntil *time.Time `json:"oldTokensUntil,omitempty" doc:"How long tokens of the secret before live."`
}

type manageNewAPIKeyIn struct {
	ManageScope
	Body struct {
		Name string `json:"name" example:"web" doc:"Unique in the project."`
		Type string `json:"type" enum:"STREAMING_INGEST_WRITE,API_TOKEN_ISSUER" doc:"Its tokens send to /stream/v0/data, or issue tokens for those that do."`
	} `nameHint:"NewAPIKey"`
}

// ManageKeyName is an API key in the path.
type ManageKeyName struct {
	ManageScope
	Key string `path:"key" example:"ak-Jx3uT0bQ2mYc7WdE" doc:"The key's id or name."`
}

type manageKeyTokenIn struct {
	ManageKeyName
	Body struct {
		Days      int        `json:"days,omitempty" minimum:"1" maximum:"3650" example:"3" doc:"How long it lives."`
		ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Instead of days: when it ends."`
	} `nameHint:"NewKeyToken"`
}

type manageRevokeKeyIn struct {
	ManageKeyName
	Body struct {
		Which string `json:"which" enum:"old,all" doc:"old: tokens issued before the last rotation. all: every token there is; the key can issue new ones."`
	} `nameHint:"RevokeAPIKey"`
}

type manageListKeysIn struct{ ManageScope }

type manageKeyOut struct{ Body manageAPIKey }

type manageKeysOut struct {
	Body []manageAPIKey `nullable:"false"`
}

// manageKeyToken is a token as it is issued, once.
type manageKeyToken struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type" example:"Bearer"`
	ExpiresAt   time.Time `json:"expires_at"`
}

type manageKeyTokenOut struct{ Body manageKeyToken }

func (m *manageAPI) registerAPIKeys(api huma.API) {
	const all, one = "/v1/api-keys", "/v1/api-keys/{key}"
	tags := []string{"api keys"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-api-keys", Method: http.MethodGet, Path: all, Tags: tags, Summary: "List the API keys of a project, by name",
	}, m.listKeys)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-api-key", Method: http.MethodPost, Path: all, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create an API key", Description: "Its client secret is shown this once.",
	}, m.createKey)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-api-key", Method: http.MethodGet, Path: one, Tags: tags, Summary: "Get an API key, without its secret",
	}, m.getKey)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-api-key", Method: http.MethodDelete, Path: one, Tags: tags, Summary: "Delete an API key; all its tokens end",
	}, m.deleteKey)
	manageRegister(m, api, huma.Operation{
		OperationID: "issue-api-key", Method: http.MethodPost, Path: one + "/tokens", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Issue an access token of an API key", Description: "It is shown this once. An issuer's token may do this too, for keys that write and for its own.",
	}, m.issueKey)
	manageRegister(m, api, huma.Operation{
		OperationID: "rotate-api-key", Method: http.MethodPost, Path: one + "/rotate", Tags: tags, Summary: "Replace the secret of an API key",
		Description: "Tokens of the old secret live 30 days more; those of one before that end now.",
	}, m.rotateKey)
	manageRegister(m, api, huma.Operation{
		OperationID: "revoke-api-key", Method: http.MethodPost, Path: one + "/revoke", Tags: tags, Summary: "End tokens of an API key",
		Description: "It cannot be undone. The newest client secret stays good: rotate the key if it is known to others.",
	}, m.revokeKey)
}

func manageShowKey(k *registry.APIKey, secret string) manageAPIKey {
	out := manageAPIKey{ID: k.ID, ClientSecret: secret, Name: k.Name, Type: string(k.Type), Tenant: k.Project.Name}
	if !k.Rotated.IsZero() {
		at := k.Rotated.UTC()
		out.RotatedAt = &at
	}
	if !k.OldUntil.IsZero() {
		until := k.OldUntil.UTC()
		out.OldTokensUntil = &until
	}
	return out
}

// key finds a key of the project by its id or name.
func (m *manageAPI) key(ctx context.Context, a auth.Action, in *ManageKeyName) (*registry.APIKey, error) {
	_, p, err := m.projectFor(ctx, a, in.Project)
	if err != nil {
		return nil, err
	}
	k := m.reg.FindAPIKey(ctx, p, in.Key)
	if k == nil {
		return nil, manageNotFound("API key", in.Key)
	}
	return k, nil
}

func (m *manageAPI) listKeys(ctx context.Context, in *manageListKeysIn) (*manageKeysOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	out := &manageKeysOut{Body: []manageAPIKey{}}
	for _, k := range snap.APIKeys(p) {
		out.Body = append(out.Body, manageShowKey(k, ""))
	}
	return out, nil
}

func (m *manageAPI) createKey(ctx context.Context, in *manageNewAPIKeyIn) (*manageKeyOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	k, secret, err := m.reg.CreateAPIKey(ctx, p, in.Body.Name, registry.APIKeyType(in.Body.Type))
	if err != nil {
		return nil, manageTaken(err, "API key", in.Body.Name)
	}
	return &manageKeyOut{manageShowKey(k, secret)}, nil
}

func (m *manageAPI) getKey(ctx context.Context, in *ManageKeyName) (*manageKeyOut, error) {
	k, err := m.key(ctx, auth.Manage, in)
	if err != nil {
		return nil, err
	}
	return &manageKeyOut{manageShowKey(k, "")}, nil
}

func (m *manageAPI) deleteKey(ctx context.Context, in *ManageKeyName) (*manageKeyOut, error) {
	k, err := m.key(ctx, auth.Manage, in)
	if err != nil {
		return nil, err
	}
	if k, err = m.reg.DeleteAPIKey(ctx, k.ID); err != nil {
		return nil, err
	}
	return &manageKeyOut{manageShowKey(k, "")}, nil
}

func (m *manageAPI) rotateKey(ctx context.Context, in *ManageKeyName) (*manageKeyOut, error) {
	k, err := m.key(ctx, auth.Manage, in)
	if err != nil {
		return nil, err
	}
	k, secret, err := m.reg.RotateAPIKey(ctx, k.ID)
	if err != nil {
		return nil, err
	}
	return &manageKeyOut{manageShowKey(k, secret)}, nil
}

func (m *manageAPI) revokeKey(ctx context.Context, in *manageRevokeKeyIn) (*manageKeyOut, error) {
	k, err := m.key(ctx, auth.Manage, &in.ManageKeyName)
	if err != nil {
		return nil, err
	}
	if k, err = m.reg.RevokeAPIKey(ctx, k.ID, in.Body.Which == "all"); err != nil {
		return nil, err
	}
	return &manageKeyOut{manageShowKey(k, "")}, nil
}

func (m *manageAPI) issueKey(ctx context.Context, in *manageKeyTokenIn) (*manageKeyTokenOut, error) {
	k, err := m.key(ctx, auth.IssueTokens, &in.ManageKeyName)
	if err != nil {
		return nil, err
	}
	if !mayIssue(manageCaller(ctx), k) {
		return nil, manageErrorf(http.StatusForbidden, "An issuer's token issues for keys that write and for its own key only")
	}
	b, now := &in.Body, time.Now()
	switch {
	case b.Days != 0 && b.ExpiresAt != nil, b.Days == 0 && b.ExpiresAt == nil:
		return nil, &registry.Invalid{Field: "days", Reason: "one of days and expires_at has to be there"}
	case b.Days != 0:
		until := now.Add(time.Duration(b.Days) * 24 * time.Hour)
		b.ExpiresAt = &until
	default:
		if err := checkTokenEnd(*b.ExpiresAt, now); err != nil {
			return nil, &registry.Invalid{Field: "expires_at", Reason: err.Error()}
		}
	}
	if note := registry.AuditOf(ctx); note != nil {
		note.Entity = k.ID
	}
	token, err := m.reg.IssueKeyToken(ctx, k, *b.ExpiresAt)
	if err != nil {
		return nil, err
	}
	return &manageKeyTokenOut{manageShowToken(token)}, nil
}

func manageShowToken(t registry.KeyToken) manageKeyToken {
	return manageKeyToken{AccessToken: t.AccessToken, TokenType: "Bearer", ExpiresAt: t.Expires}
}
