package gateway

import (
	"encoding/json"
	"net/http"

	"sluice/auth"
	"sluice/relay/registry"
)

// loginMaxBody bounds the bodies of these routes: two tokens fit many times.
const loginMaxBody = 16 << 10

// What these routes take. Members beside are passed over: clients send back all they were given.
type (
	userLogin struct {
		_        struct{} `additionalProperties:"true"`
		Email    string   `json:"email"`
		Password string   `json:"password"`
	}
	userRefresh struct {
		_            struct{} `additionalProperties:"true"`
		RefreshToken string   `json:"refreshToken"`
	}
	login2021 struct {
		_            struct{} `additionalProperties:"true"`
		BillingID    string   `json:"billingId"`
		ClientID     string   `json:"clientId"`
		ClientSecret string   `json:"clientSecret"`
	}
	refresh2021 struct {
		_            struct{} `additionalProperties:"true"`
		RefreshToken string   `json:"refreshToken,omitempty"`
		BillingID    string   `json:"billingId,omitempty" doc:"With clientId and clientSecret, in place of the refresh token."`
		ClientID     string   `json:"clientId,omitempty"`
		ClientSecret string   `json:"clientSecret,omitempty"`
	}
)

// session2021 is what clients of 2021 get for a stream's credentials. ExpiresAt is in seconds since 1970.
type session2021 struct {
	IDToken      string `json:"idToken"`
	RefreshToken string `json:"refreshToken"`
	ExpiresAt    int64  `json:"expiresAt"`
}

// userSession is what a user gets for a password.
type userSession struct {
	Email        string `json:"email"`
	BillingID    string `json:"billingId"`
	ExpiresAt    int64  `json:"expiresAt"`
	IDToken      string `json:"idToken"`
	RefreshToken string `json:"refreshToken"`
}

// revoked says that a user's sessions were ended.
type revoked struct {
	Revoked bool `json:"revoked"`
}

// postLogin gives a user's tokens: POST /v1/auth.
func (g *Gateway) postLogin(rq *request, rs *response) {
	var in userLogin
	if !g.readLogin(rq, rs, &in) {
		return
	}
	k := rq.login(in.Email, g.connections.proxies)
	if g.heldOff(rs, k) {
		return
	}
	s, err := g.registry.Login(rq.ctx, in.Email, in.Password)
	// Again: of many tries at once only the first few are told how they went.
	if g.heldOff(rs, k) {
		return
	}
	switch {
	case err == nil:
		g.logins.right(k)
	case registry.NotLetIn(err):
		g.logins.wrong(k, g.uptime())
	}
	g.answerUser(rq, rs, s, err, "E-mail address or password is wrong")
}

// postRefresh gives a user new tokens: POST /v1/refresh.
func (g *Gateway) postRefresh(rq *request, rs *response) {
	var in userRefresh
	if !g.readLogin(rq, rs, &in) {
		return
	}
	s, err := g.registry.Resume(rq.ctx, in.RefreshToken)
	g.answerUser(rq, rs, s, err, "The refresh token is not valid, or not any more; log in again")
}

// postRevoke ends all sessions of the user whose token it comes with: POST /v1/revoke.
func (g *Gateway) postRevoke(rq *request, rs *response) {
	rs.set("Cache-Control", "no-store")
	who, err := g.registry.Authenticate(rq.bearer())
	if err != nil {
		g.fail(rq, rs, shapeManage, err)
		return
	}
	if who.Kind != auth.User {
		rs.refuse(shapeManage, http.StatusForbidden, "Only a user's token ends the user's sessions")
		return
	}
	ctx := registry.WithAudit(rq.ctx, &registry.Audit{By: who, Project: who.Project, Event: "user-sessions/revoked", Status: http.StatusOK})
	if err := g.registry.EndSessions(ctx, who.Subject); err != nil {
		g.fail(rq, rs, shapeManage, err)
		return
	}
	rs.sendJSON(http.StatusOK, revoked{true})
}

func (g *Gateway) answerUser(rq *request, rs *response, s registry.Session, err error, refused string) {
	switch {
	case registry.NotLetIn(err):
		rs.refuse(shapeManage, http.StatusUnauthorized, refused)
	case err != nil:
		g.fail(rq, rs, shapeManage, err)
	default:
		rs.sendJSON(http.StatusOK, userSession{
			Email: s.User.Email, BillingID: s.User.Project.BillingID, ExpiresAt: s.Tokens.ExpiresAt,
			IDToken: s.Tokens.AccessToken, RefreshToken: s.Tokens.RefreshToken,
		})
	}
}

// postStreamLogin gives the tokens of a stream's client as in 2021: POST /auth.
func (g *Gateway) postStreamLogin(rq *request, rs *response) {
	var in login2021
	if !g.readLogin(rq, rs, &in) {
		return
	}
	issued, err := g.registry.StreamSession(rq.ctx, in.BillingID, in.ClientID, in.ClientSecret)
	g.answerStream(rq, rs, issued, err, "Billing id, client id or client secret is wrong")
}

// postStreamRefresh gives a stream's client new tokens as in 2021: POST /refresh, by its refresh token or by its credentials again.
func (g *Gateway) postStreamRefresh(rq *request, rs *response) {
	var in refresh2021
	if !g.readLogin(rq, rs, &in) {
		return
	}
	var issued auth.Issued
	var err error
	if in.RefreshToken == "" && in.ClientID != "" {
		issued, err = g.registry.StreamSession(rq.ctx, in.BillingID, in.ClientID, in.ClientSecret)
	} else {
		issued, err = g.registry.ResumeStream(rq.ctx, in.RefreshToken)
	}
	g.answerStream(rq, rs, issued, err, "The refresh token is not valid, or not any more")
}

func (g *Gateway) answerStream(rq *request, rs *response, issued auth.Issued, err error, refused string) {
	switch {
	case registry.NotLetIn(err):
		rs.refuse(shapeManage, http.StatusUnauthorized, refused)
	case err != nil:
		g.fail(rq, rs, shapeManage, err)
	default:
		rs.sendJSON(http.StatusOK, session2021{IDToken: issued.AccessToken, RefreshToken: issued.RefreshToken, ExpiresAt: issued.ExpiresAt})
	}
}

// readLogin reads a JSON object into in, whatever Content-Type says. It has answered where it gives false.
func (g *Gateway) readLogin(rq *request, rs *response, in any) bool {
	rs.set("Cache-Control", "no-store")
	rs.set("Pragma", "no-cache")
	body, err := rq.body.all(loginMaxBody)
	if err != nil {
		g.fail(rq, rs, shapeManage, err)
		return false
	}
	if err := json.Unmarshal(body, in); err != nil {
		// What encoding/json says of it may quote a secret.
		rs.refuse(shapeManage, http.StatusBadRequest, "Body must be a JSON object of texts")
		return false
	}
	return true
}
