package gateway_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/relay/gateway"
	"sluice/relay/registry"
)

const annsPassword = "the password of Ann"

// got reads an answer's JSON object.
func (e *edge) got(a answer) map[string]any {
	e.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		e.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return v
}

func (e *edge) text(a answer, member string) string {
	e.t.Helper()
	s, _ := e.got(a)[member].(string)
	if s == "" {
		e.t.Fatalf("no %s in %s", member, a.body)
	}
	return s
}

// TestLogin: a user's token manages the user's project and no other, and what ends it ends it.
func TestLogin(t *testing.T) {
	e := newEdge(t, nil)
	e.want(201, "POST", "/v1/projects", adminToken, `{"name":"shop"}`)
	e.want(201, "POST", "/v1/users?project=shop", adminToken, `{"email":"ann@example.com","password":"`+annsPassword+`"}`)
	login := `{"email":"Ann@example.com","password":"` + annsPassword + `"}`
	a := e.want(200, "POST", "/v1/auth", "", login, "Content-Type", "application/x-www-form-urlencoded")
	session := e.got(a)
	if len(session) != 5 || session["email"] != "ann@example.com" || session["billingId"] != e.project("shop").BillingID ||
		session["expiresAt"].(float64) < float64(time.Now().Add(50*time.Minute).Unix()) || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", a.body, a.header)
	}
	token := e.text(a, "idToken")
	e.want(201, "POST", "/v1/streams?project=shop", token, `{"name":"till"}`)
	e.want(404, "GET", "/v1/streams", token, "")
	e.want(403, "POST", "/v1/projects", token, `{"name":"mine"}`)
	e.want(200, "POST", "/v1/streams/till/events?project=shop", token, "")

	for _, body := range []string{
		`{"email":"ann@example.com","password":"wrong password"}`, `{"email":"bob@example.com","password":"` + annsPassword + `"}`, `{}`, `null`,
	} {
		if a := e.want(401, "POST", "/v1/auth", "", body); a.body != `{"error":{"code":401,"status":"Unauthorized","message":"E-mail address or password is wrong"}}` {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	for _, body := range []string{"", "x", `{"email":1}`, `[]`, `"` + annsPassword + `"`} {
		if a := e.want(400, "POST", "/v1/auth", "", body); strings.Contains(a.body, annsPassword) {
			t.Errorf("%s: %s", body, a.body)
		}
	}
	e.want(413, "POST", "/v1/auth", "", `{"email":"`+strings.Repeat("x", 20_000)+`"}`)
	e.want(405, "GET", "/v1/auth", "", "")

	// All that came with the login may come back.
	renewed := e.want(200, "POST", "/v1/refresh", "", a.body)
	e.want(200, "GET", "/v1/streams?project=shop", e.text(renewed, "idToken"), "")
	for _, body := range []string{`{"refreshToken":"` + token + `"}`, `{"refreshToken":"x"}`, `{}`} {
		e.want(401, "POST", "/v1/refresh", "", body)
	}
	e.want(401, "POST", "/v1/revoke", "", "")
	e.want(403, "POST", "/v1/revoke", adminToken, "")
	e.want(200, "POST", "/v1/revoke", token, "")
	e.want(401, "GET", "/v1/streams?project=shop", token, "")
	e.want(401, "POST", "/v1/refresh", "", a.body)
	token = e.text(e.want(200, "POST", "/v1/auth", "", login), "idToken")
	e.want(200, "DELETE", "/v1/users/ann@example.com?project=shop", adminToken, "")
	e.want(401, "GET", "/v1/streams?project=shop", token, "")
	if strings.Contains(e.log.String(), annsPassword) || strings.Contains(e.log.String(), "ann@") {
		t.Error("the log names the user or the password")
	}
}

// TestLoginSlowsDownGuessing: after a few wrong passwords nobody learns whether the next one is right; other accounts stay open, and whether
// there is an account does not show.
func TestLoginSlowsDownGuessing(t *testing.T) {
	e := newEdge(t, nil)
	for _, name := range []string{"ann", "bob"} {
		e.want(201, "POST", "/v1/users", adminToken, `{"email":"`+name+`@example.com","password":"`+annsPassword+`"}`)
	}
	try := func(email, password string) answer {
		t.Helper()
		return e.send("POST", "/v1/auth", "", `{"email":"`+email+`","password":"`+password+`"}`)
	}
	// guess tries wrong passwords until the edge has enough of it.
	guess := func(email string) {
		t.Helper()
		for n := range 20 {
			a := try(email, "wrong password")
			if a.status == 401 {
				continue
			}
			if a.status != 429 || n < 5 || !strings.Contains(a.body, "Too many wrong passwords") || a.header.Get("Retry-After") == "" {
				t.Fatalf("after %d wrong passwords of %s: %d %s %v", n, email, a.status, a.body, a.header)
			}
			return
		}
		t.Fatalf("20 wrong passwords of %s were told so", email)
	}
	guess("nobody@example.com")
	for n := 0; ; n++ {
		guess("Ann@example.com")
		if try("ann@example.com", annsPassword).status == 429 {
			break
		}
		if n == 5 { // a machine so slow that the wait is over by then is one thing, every time another
			t.Fatal("the right password is taken at once")
		}
	}
	if a := try("bob@example.com", annsPassword); a.status != 200 {
		t.Errorf("another user: %d %s", a.status, a.body)
	}
}

// TestStreamLogin2021: the triplet of 2021 buys a token that sends.
func TestStreamLogin2021(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	body, err := json.Marshal(map[string]string{"billingId": st.Project.BillingID, "clientId": st.ClientID, "clientSecret": st.ClientSecret})
	e.must(err)
	a := e.want(200, "POST", "/auth", "", string(body))
	if v := e.got(a); len(v) != 3 || v["expiresAt"].(float64) < float64(time.Now().Unix()) {
		t.Errorf("%s", a.body)
	}
	e.want(200, "POST", "/v1/streams/web/events", e.text(a, "idToken"), "")
	for _, again := range []string{a.body, `{"refreshToken":"` + e.text(a, "refreshToken") + `"}`, string(body)} {
		e.want(200, "POST", "/v1/streams/web/events", e.text(e.want(200, "POST", "/refresh", "", again), "idToken"), "")
	}
	for _, bad := range []string{
		strings.Replace(string(body), st.Project.BillingID, "other0123456789", 1), strings.Replace(string(body), st.ClientSecret, "x", 1), `{}`,
	} {
		e.want(401, "POST", "/auth", "", bad)
		e.want(401, "POST", "/refresh", "", bad)
	}
	e.want(400, "POST", "/auth", "", "not JSON")
}

// TestKeyTokens: both ways by which a program gets tokens of an API key, and who may not.
func TestKeyTokens(t *testing.T) {
	e := newEdge(t, nil)
	key := func(project, name, of string) map[string]any {
		t.Helper()
		return e.got(e.want(201, "POST", "/v1/api-keys?project="+project, adminToken, `{"name":"`+name+`","type":"`+of+`"}`))
	}
	e.want(201, "POST", "/v1/projects", adminToken, `{"name":"shop"}`)
	writer, issuer, rival := key("default", "web", "STREAMING_INGEST_WRITE"), key("default", "issuer", "API_TOKEN_ISSUER"), key("default", "rival", "API_TOKEN_ISSUER")
	foreign := key("shop", "web", "STREAMING_INGEST_WRITE")
	issued := func(id string) string {
		t.Helper()
		return e.text(e.want(201, "POST", "/v1/api-keys/"+id+"/tokens?project=default", adminToken, `{"days":1}`), "access_token")
	}
	at := func(k map[string]any) string { return "/api/v0/admin/api-keys/" + k["id"].(string) + "/tokens" }
	tenant := []string{"X-Amperity-Tenant", "default"}
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	body := `{"expires-at":"` + until.Format(time.RFC3339) + `"}`
	own := issued(issuer["id"].(string))

	a := e.want(200, "POST", at(writer), own, body, tenant...)
	if v := e.got(a); v["token_type"] != "Bearer" || v["expires_at"] != until.Format(time.RFC3339) || len(v) != 3 || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s", a.body)
	}
	sends := func(token string) int {
		return e.send("POST", "/stream/v0/data/is-nothing0", token, "{}", append(tenant, "Content-Type", "application/json")...).status
	}
	if got := sends(e.text(a, "access_token")); got != 404 {
		t.Errorf("a writer's token: %d", got)
	}
	// An issuer renews its own token, and the new one issues.
	fresh := e.text(e.want(200, "POST", at(issuer), own, body, tenant...), "access_token")
	e.want(200, "POST", at(writer), fresh, body, tenant...)
	for name, tc := range map[string]struct {
		status            int
		path, token, body string
		headers           []string
	}{
		"no token": {401, at(writer), "", body, tenant}, "garbage": {401, at(writer), "x.y.z", body, tenant}, "no tenant": {401, at(writer), own, body, nil},
		"another tenant": {401, at(writer), own, body, []string{"X-Amperity-Tenant", "shop"}}, "a writer's token": {403, at(writer), e.text(a, "access_token"), body, tenant},
		"another issuer": {403, at(rival), own, body, tenant}, "another's key": {404, at(foreign), own, body, tenant},
		"no key": {404, "/api/v0/admin/api-keys/ak-nothing/tokens", own, body, tenant}, "no body": {400, at(writer), own, "", tenant},
		"no time": {400, at(writer), own, "{}", tenant}, "wrong time": {400, at(writer), own, `{"expires-at":"tomorrow"}`, tenant},
		"past": {400, at(writer), own, `{"expires-at":"2020-01-01T00:00:00Z"}`, tenant}, "far": {400, at(writer), own, `{"expires-at":"2999-01-01T00:00:00Z"}`, tenant},
	} {
		a := e.want(tc.status, "POST", tc.path, tc.token, tc.body, tc.headers...)
		if v := e.got(a); v["status"] != float64(tc.status) || v["message"] == "" || v["request_id"] == "" {
			t.Errorf("%s: %s", name, a.body)
		}
	}
	e.want(200, "POST", at(writer), adminToken, body, tenant...)

	const path = "/api/v0/oauth2/token"
	form := func(id, secret string, more ...string) string {
		v := url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
		for i := 0; i+1 < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v.Encode()
	}
	id, secret := writer["id"].(string), writer["clientSecret"].(string)
	a = e.want(200, "POST", path, "", form(id, secret), tenant...)
	if v := e.got(a); v["expires_in"] != 3600.0 || v["token_type"] != "Bearer" || sends(e.text(a, "access_token")) != 404 {
		t.Errorf("%s", a.body)
	}
	e.want(200, "POST", path, "", "grant_type=client_credentials", "Authorization", basicHeader(id, secret), "X-Amperity-Tenant", "default")
	e.want(401, "POST", path, "", form(id, "x"), tenant...)
	e.want(401, "POST", path, "", form("ak-nothing", secret), tenant...)
	e.want(401, "POST", path, "", form(id, secret))
	e.want(401, "POST", path, "", form(id, secret), "X-Amperity-Tenant", "shop")
	e.want(400, "POST", path, "", form(id, secret, "grant_type", "password"), tenant...)
	e.want(400, "POST", path, "", form(id, secret, "grant_type", ""), tenant...)

	// A deleted key's tokens end at once.
	token := e.text(a, "access_token")
	e.want(200, "DELETE", "/v1/api-keys/web", adminToken, "")
	if got := sends(token); got != 401 {
		t.Errorf("of a deleted key: %d", got)
	}
	e.want(400, "POST", "/v1/api-keys/issuer/tokens", adminToken, `{}`)
	e.want(400, "POST", "/v1/api-keys/issuer/tokens", adminToken, `{"days":1,"expires_at":"2030-01-01T00:00:00Z"}`)
	e.want(400, "POST", "/v1/api-keys/issuer/tokens", adminToken, `{"expires_at":"2020-01-01T00:00:00Z"}`)
	e.want(403, "POST", "/v1/api-keys/rival/tokens", own, `{"days":1}`)
	e.want(201, "POST", "/v1/api-keys/issuer/tokens", own, `{"days":1}`)
}

// TestRevokedTokensEndWhatIsOpen: an integration's reader ends with its token and goes on with another's; a user's ends with the user.
func TestRevokedTokensEndWhatIsOpen(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = 50 * time.Millisecond })
	e.stream("default", registry.StreamSpec{Name: "web"})
	p := e.project("default")
	made := e.want(201, "POST", "/v1/integrations", adminToken, `{"name":"in","stream":"web"}`)
	more := e.text(e.want(201, "POST", "/v1/integrations/in/tokens", adminToken, `{"name":"more"}`), "accessToken")
	e.want(201, "POST", "/v1/users", adminToken, `{"email":"ann@example.com","password":"`+annsPassword+`"}`)
	ann := e.text(e.want(200, "POST", "/v1/auth", "", `{"email":"ann@example.com","password":"`+annsPassword+`"}`), "idToken")
	key := []string{"X-UA-Appkey", p.AppKey}
	ending := map[string]*endless{
		"the token taken away": e.open("POST", "/api/events", e.text(made, "accessToken"), "{}", gunzip(t), key...),
		"the user deleted":     e.open("GET", "/v1/streams/web/events", ann, "", nil),
	}
	going := e.open("POST", "/api/events", more, "{}", nil, append(key, "Accept-Encoding", "identity")...)
	e.want(200, "DELETE", "/v1/integrations/in/tokens/first", adminToken, "")
	e.want(200, "DELETE", "/v1/users/ann@example.com", adminToken, "")
	began := time.Now()
	for name, s := range ending {
		if line, ok := s.next(); ok {
			t.Errorf("%s: %s", name, line)
		}
	}
	for time.Since(began) < 2500*time.Millisecond {
		if !going.lines.Scan() {
			t.Fatalf("another token's reader ended: %v", going.lines.Err())
		}
	}
	e.want(200, "DELETE", "/v1/integrations/in", adminToken, "")
	if line, ok := going.next(); ok {
		t.Errorf("after the integration is gone: %s", line)
	}
}
