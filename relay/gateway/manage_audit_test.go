package gateway_test

import (
	"net/url"
	"strings"
	"testing"
)

// TestManageAudit: each call that changes something, or was refused, is in the log with who made it; no secret and nobody's id is.
func TestManageAudit(t *testing.T) {
	w := newManageWorld(t)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(201, "POST", "/v1/users", `{"email":"ann@example.com","password":"the password of Ann"}`)
	user := w.call(200, "GET", "/v1/users/ann@example.com", "").str("id")
	key := w.call(201, "POST", "/v1/api-keys", `{"name":"key","type":"STREAMING_INGEST_WRITE"}`)
	token := w.call(201, "POST", "/v1/api-keys/key/tokens", `{"days":1}`).str("access_token")
	w.call(409, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(409, "POST", "/v1/api-keys", `{"name":"key","type":"STREAMING_INGEST_WRITE"}`)
	w.call(400, "PATCH", "/v1/streams/web", `{"no such member":1}`)
	w.call(200, "DELETE", "/v1/data-subjects/customer-17?stream=web", "")
	if a := w.send("POST", "/v1/streams", token, `{"name":"stolen"}`); a.status != 403 {
		t.Fatalf("%d", a.status)
	}
	w.call(201, "POST", "/v1/projects", `{"name":"shop"}`)
	w.call(201, "POST", "/v1/streams?project=shop", `{"name":"till"}`)

	log := w.call(200, "GET", "/v1/audit", "")
	want := []struct{ event, entity, kind, result string }{
		{"project/created", "shop", "admin", "done"}, {"stream/created", "stolen", "API key", "refused"}, {"data-subject/forgotten", "", "admin", "done"},
		{"stream/updated", "web", "admin", "refused"}, {"api-key/created", "key", "admin", "refused"}, {"stream/created", "web", "admin", "refused"}, {"api-key/issue", key.str("id"), "admin", "done"},
		{"api-key/created", key.str("id"), "admin", "done"}, {"user/created", user, "admin", "done"}, {"stream/created", "web", "admin", "done"},
	}
	list, _ := log.json.([]any)
	if len(list) != len(want) {
		t.Fatalf("%d entries: %s", len(list), log.text)
	}
	for i := range want {
		e := manageAnswer{json: list[i]}
		if e.str("event") != want[i].event || e.str("entity") != want[i].entity || e.str("by", "kind") != want[i].kind || e.str("result") != want[i].result {
			t.Errorf("entry %d is %v, want %v", i, list[i], want[i])
		}
	}
	for _, secret := range []string{token, key.str("clientSecret"), manageAdmin, "customer-17", "ann@", "password"} {
		if strings.Contains(log.text, secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
	page := w.call(200, "GET", "/v1/audit?limit=2", "")
	next := w.call(200, "GET", "/v1/audit?limit=2&before="+page.str("1", "id"), "")
	if page.str("0", "id") != (manageAnswer{json: list[0]}).str("id") || next.str("0", "id") != (manageAnswer{json: list[2]}).str("id") {
		t.Errorf("pages %s %s", page.text, next.text)
	}
	if a := w.call(200, "GET", "/v1/audit?event="+url.QueryEscape("api-key/issue"), ""); len(a.json.([]any)) != 1 {
		t.Errorf("by event: %s", a.text)
	}
	if a := w.call(200, "GET", "/v1/audit?project=shop&entity=till", ""); len(a.json.([]any)) != 1 || a.str("0", "event") != "stream/created" {
		t.Errorf("of the other project: %s", a.text)
	}
	w.call(400, "GET", "/v1/audit?before=x", "")
	w.call(400, "GET", "/v1/audit?limit=0", "")
	if a := w.call(400, "GET", "/v1/audit?from=yesterday", ""); a.message() != "query parameter from: must be a time such as 2026-11-20T00:00:00Z" {
		t.Errorf("a time that is none: %s", a.message())
	}
	// A user sees the project's entries and not those of no project.
	session, err := w.reg.Login(t.Context(), "ann@example.com", "the password of Ann")
	w.must(err)
	if a := w.send("GET", "/v1/audit", session.Tokens.AccessToken, ""); a.status != 200 || strings.Contains(a.text, "project/created") || len(a.json.([]any)) != len(want)-1 {
		t.Errorf("to a user: %d %s", a.status, a.text)
	}
	if a := w.send("GET", "/v1/audit?project=shop", session.Tokens.AccessToken, ""); a.status != 404 {
		t.Errorf("of another project: %d", a.status)
	}
}

// TestManageIntegrations holds the answers to their shapes, and the limit of tokens.
func TestManageIntegrations(t *testing.T) {
	w := newManageWorld(t)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(400, "POST", "/v1/integrations", `{"name":"in"}`)
	w.call(201, "POST", "/v1/integrations", `{"name":"in","stream":"web"}`).want(t, `{"id":"<id>","name":"in","description":"","stream":"web","types":null,
		"sendLocationEvents":false,"appKey":"<key>","accessToken":"<token>","tokens":[{"id":"<id>","name":"first","createdAt":"<time>"}]}`)
	w.call(409, "POST", "/v1/integrations", `{"name":"in","stream":"web"}`)
	w.call(400, "POST", "/v1/integrations", `{"name":"in2","stream":"web","types":["lower"]}`)
	w.call(200, "PATCH", "/v1/integrations/in", `{"types":["OPEN","CUSTOM"],"sendLocationEvents":true,"description":"d"}`).want(t, `{"id":"<id>","name":"in",
		"description":"d","stream":"web","types":["OPEN","CUSTOM"],"sendLocationEvents":true,"appKey":"<key>","tokens":[{"id":"<id>","name":"first","createdAt":"<time>"}]}`)
	if a := w.call(200, "PATCH", "/v1/integrations/in", `{"types":null}`); a.at("types") != nil {
		t.Errorf("types %v", a.at("types"))
	}
	w.call(400, "PATCH", "/v1/integrations/in", `{"name":null}`)
	// Who copies the token needs the app key beside it.
	w.call(201, "POST", "/v1/integrations/in/tokens", `{"name":"second"}`).want(t, `{"id":"<id>","name":"second","createdAt":"<time>","appKey":"<key>","accessToken":"<token>"}`)
	w.call(200, "GET", "/v1/integrations/in/tokens", "").want(t, `[{"id":"<id>","name":"first","createdAt":"<time>"},{"id":"<id>","name":"second","createdAt":"<time>"}]`)
	for range 23 {
		w.call(201, "POST", "/v1/integrations/in/tokens", `{}`)
	}
	if a := w.call(409, "POST", "/v1/integrations/in/tokens", `{}`); !strings.Contains(a.message(), "25 tokens") {
		t.Errorf("%s", a.text)
	}
	w.call(404, "DELETE", "/v1/integrations/in/tokens/nothing", "")
	w.call(404, "GET", "/v1/integrations/nothing", "")
	if a := w.call(409, "DELETE", "/v1/streams/web", ""); a.message() != "Cannot delete stream web: it still has integration in. Delete it first, or use --recursive" {
		t.Errorf("%s", a.text)
	}
	if a := w.call(200, "DELETE", "/v1/streams/web?recursive=true", ""); a.str("integrations", "0", "name") != "in" || strings.Contains(a.text, "accessToken") {
		t.Errorf("%s", a.text)
	}
}
