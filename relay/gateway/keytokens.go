package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"sluice/auth"
	"sluice/relay/registry"
)

// The two routes by which a program comes by tokens of an API key: an issuer's token buys one for a key, and a key's own client secret buys an
// hour of it.

var (
	issuePrefix = []byte("/api/v0/admin/api-keys/")
	issueSuffix = []byte("/tokens")
)

// Why a token cannot end when it is asked to.
var (
	errTokenPast = errors.New("is not in the future")
	errTokenFar  = errors.New("is more than ten years away")
)

// checkTokenEnd holds the end of a token to its bounds.
func checkTokenEnd(at, now time.Time) error {
	switch {
	case !at.After(now):
		return errTokenPast
	case at.Sub(now) > maxTokenLife:
		return errTokenFar
	}
	return nil
}

// mayIssue tells whether a caller who may issue tokens may for this key: an issuer's token is not to become another issuer's, which would
// outlive its own revocation.
func mayIssue(who auth.Principal, k *registry.APIKey) bool {
	return who.Kind != auth.Issuer || k.Type == registry.StreamingIngest || k.ID == who.Subject
}

// issuedKey is the key named in /api/v0/admin/api-keys/{id}/tokens, empty for other paths.
func issuedKey(path []byte) string {
	id, ok := bytes.CutPrefix(path, issuePrefix)
	if !ok {
		return ""
	}
	if id, ok = bytes.CutSuffix(id, issueSuffix); !ok || bytes.IndexByte(id, '/') >= 0 {
		return ""
	}
	return string(id)
}

// postIssue gives a token of an API key to who may issue them: POST /api/v0/admin/api-keys/{id}/tokens. An issuer may renew its own so.
func (g *Gateway) postIssue(rq *request, rs *response) {
	rs.set("Cache-Control", "no-store")
	who, err := g.registry.Authenticate(rq.bearer())
	if err != nil {
		g.fail(rq, rs, shapeAmperity, err)
		return
	}
	p, wrong := g.tenant(rq, who)
	if wrong != "" {
		rs.refuse(shapeAmperity, http.StatusUnauthorized, wrong)
		return
	}
	if g.registry.Snapshot().AuthorizeProject(who, auth.IssueTokens, p) != registry.Allowed {
		g.refuseIssue(rs, who, "", "This token may not issue tokens")
		return
	}
	k := g.registry.FindAPIKey(rq.ctx, p, issuedKey(rq.path))
	switch {
	case k == nil:
		rs.refuse(shapeAmperity, http.StatusNotFound, "There is no such API key")
		return
	case !mayIssue(who, k):
		g.refuseIssue(rs, who, k.ID, "An issuer's token issues for keys that write and for its own key only")
		return
	}
	expires, ok := g.tokenEnd(rq, rs)
	if !ok {
		return
	}
	token, err := g.registry.IssueKeyToken(rq.ctx, k, expires)
	if err != nil {
		g.fail(rq, rs, shapeAmperity, err)
		return
	}
	g.noteIssue(who, p.ID, k.ID, http.StatusOK)
	rs.sendJSON(http.StatusOK, manageShowToken(token))
}

// keyTokenEnd is what a token of an API key is asked for with.
type keyTokenEnd struct {
	_         struct{}   `additionalProperties:"true"`
	ExpiresAt *time.Time `json:"expires-at" nullable:"false" example:"2026-06-14T00:24:16Z"`
}

// tokenEnd reads when a token is to end. It has answered where it gives false.
func (g *Gateway) tokenEnd(rq *request, rs *response) (time.Time, bool) {
	body, err := rq.body.all(loginMaxBody)
	if err != nil {
		g.fail(rq, rs, shapeAmperity, err)
		return time.Time{}, false
	}
	var in keyTokenEnd
	switch err := json.Unmarshal(body, &in); {
	case err != nil:
		rs.refuse(shapeAmperity, http.StatusBadRequest, `Body must be {"expires-at":"…"} with a time like 2026-06-14T00:24:16Z`)
	case in.ExpiresAt == nil:
		rs.refuse(shapeAmperity, http.StatusBadRequest, "expires-at is missing")
	default:
		if err := checkTokenEnd(*in.ExpiresAt, time.Now()); err != nil {
			rs.refuse(shapeAmperity, http.StatusBadRequest, "expires-at "+err.Error())
			return time.Time{}, false
		}
		return *in.ExpiresAt, true
	}
	return time.Time{}, false
}

func (g *Gateway) refuseIssue(rs *response, who auth.Principal, key, text string) {
	g.noteIssue(who, who.Project, key, http.StatusForbidden)
	rs.refuse(shapeAmperity, http.StatusForbidden, text)
}

// noteIssue takes an issue down in the audit log.
func (g *Gateway) noteIssue(who auth.Principal, project, key string, status int) {
	ctx, cancel := context.WithTimeout(context.Background(), auditWrite)
	defer cancel()
	note := &registry.Audit{By: who, Project: project, Event: "api-key/issue", Entity: key}
	if err := g.registry.TakeDown(ctx, note, status); err != nil {
		g.log.Error("a call is missing from the audit log", slog.String("event", note.Event), slog.Any("error", err))
	}
}

// clientToken is what a key's client credentials buy: RFC 6749, with the end of the token as a time beside.
type clientToken struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresIn   int64     `json:"expires_in"` // seconds
	ExpiresAt   time.Time `json:"expires_at"`
}

// postKeyToken gives an access token for an API key's client credentials: POST /api/v0/oauth2/token. The client id is the key's id.
func (g *Gateway) postKeyToken(rq *request, rs *response) {
	rs.set("Cache-Control", "no-store")
	rs.set("Pragma", "no-cache")
	body, err := rq.body.all(tokenMaxBody)
	if err != nil {
		g.fail(rq, rs, shapeOAuth, err)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		refuseGrant(rs, http.StatusBadRequest, "invalid_request", "The body must be application/x-www-form-urlencoded")
		return
	}
	candidates := []auth.Candidate{{ID: form.Get("client_id"), Secret: form.Get("client_secret")}}
	if header := rq.header.Peek("Authorization"); len(header) > 0 {
		candidates = auth.BasicCredentials(header)
	}
	for _, c := range candidates {
		k, token, ok, err := g.registry.KeyCredentials(rq.ctx, c.ID, c.Secret)
		switch {
		case err != nil:
			g.fail(rq, rs, shapeOAuth, err)
			return
		case !ok:
			continue
		}
		if _, wrong := g.tenant(rq, auth.Principal{Project: k.Project.ID}); wrong != "" {
			refuseGrant(rs, http.StatusUnauthorized, "invalid_client", wrong)
			return
		}
		switch grant := form.Get("grant_type"); grant {
		case "client_credentials":
			rs.sendJSON(http.StatusOK, clientToken{
				AccessToken: token.AccessToken, TokenType: "Bearer", ExpiresIn: token.Seconds, ExpiresAt: token.Expires,
			})
		case "":
			refuseGrant(rs, http.StatusBadRequest, "invalid_request", "Parameter grant_type is missing")
		default:
			refuseGrant(rs, http.StatusBadRequest, "unsupported_grant_type", "Parameter grant_type must be client_credentials")
		}
		return
	}
	refuseGrant(rs, http.StatusUnauthorized, "invalid_client", "Client id or client secret is wrong")
}
