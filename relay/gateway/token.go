package gateway

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"sluice/auth"
)

// tokenMaxBody is far above any honest request for a token.
const tokenMaxBody = 16 << 10

// postToken gives access tokens (RFC 6749): POST …/protocol/openid-connect/token. A stream's own credentials come by
// Basic, as they are or URL-encoded as the RFC has it, or in the form: real clients do all three.
func (g *Gateway) postToken(rq *request, rs *response) {
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
	id, ok := g.client(rq, form)
	if !ok {
		refuseGrant(rs, http.StatusUnauthorized, "invalid_client", "Client id or client secret is wrong")
		return
	}
	switch form.Get("grant_type") {
	case "client_credentials":
	case "refresh_token":
		of, err := g.registry.Tokens().Refresh(rq.ctx, form.Get("refresh_token"))
		if err != nil || of != id {
			if err != nil && !isTokenError(err) {
				g.fail(rq, rs, shapeOAuth, err)
				return
			}
			refuseGrant(rs, http.StatusBadRequest, "invalid_grant", "The refresh token is not valid for this client, or not any more")
			return
		}
	case "":
		refuseGrant(rs, http.StatusBadRequest, "invalid_request", "Parameter grant_type is missing")
		return
	default:
		refuseGrant(rs, http.StatusBadRequest, "unsupported_grant_type", "Parameter grant_type must be client_credentials or refresh_token")
		return
	}
	issued, err := g.registry.Tokens().Issue(rq.ctx, id)
	if err != nil {
		g.fail(rq, rs, shapeOAuth, err)
		return
	}
	rs.sendJSON(http.StatusOK, issued)
}

func isTokenError(err error) bool {
	return errors.Is(err, auth.ErrInvalid) || errors.Is(err, auth.ErrExpired) || errors.Is(err, auth.ErrMissing)
}

// client is the client that the credentials of a request stand for.
func (g *Gateway) client(rq *request, form url.Values) (id string, ok bool) {
	if header := rq.header.Peek("Authorization"); len(header) > 0 {
		id, secret, ok := basic(header)
		if !ok {
			return "", false
		}
		if g.registry.Client(id, secret) {
			return id, true
		}
		if !strings.ContainsAny(id+secret, "%+") {
			return "", false
		}
		rawID, err1 := url.QueryUnescape(id)
		rawSecret, err2 := url.QueryUnescape(secret)
		return rawID, err1 == nil && err2 == nil && g.registry.Client(rawID, rawSecret)
	}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	return id, id != "" && g.registry.Client(id, secret)
}

// basic reads a Basic Authorization (RFC 7617).
func basic(header []byte) (user, password string, ok bool) {
	scheme, rest, _ := bytes.Cut(bytes.TrimSpace(header), []byte{' '})
	if !bytes.EqualFold(scheme, []byte("Basic")) {
		return "", "", false
	}
	text, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(rest)))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(text), ":")
}

func refuseGrant(rs *response, status int, code, text string) {
	rs.sendJSON(status, oauthError{Code: code, Text: text})
	if status == http.StatusUnauthorized {
		rs.set("WWW-Authenticate", `Basic realm="sluice"`)
	}
}

// getCerts and getDiscovery are the two public documents about the tokens.
func (g *Gateway) getCerts(_ *request, rs *response) {
	rs.set("Cache-Control", "public, max-age=300")
	rs.send(http.StatusOK, typeJSON, g.registry.Tokens().JWKS())
}

func (g *Gateway) getDiscovery(_ *request, rs *response) {
	rs.set("Cache-Control", "public, max-age=300")
	rs.send(http.StatusOK, typeJSON, g.registry.Tokens().Discovery())
}
