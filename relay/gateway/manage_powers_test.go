package gateway_test

import (
	"strings"
	"testing"
)

// TestManagePowers walks every route of the document with every kind of token. A route that is added is walked too.
func TestManagePowers(t *testing.T) {
	w := withEverything(t)
	w.call(201, "POST", "/v1/projects", `{"name":"other"}`)
	own := w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	derived := w.call(201, "POST", "/v1/streams", `{"name":"web-1","linkedStream":"web","consentLevels":[1]}`)
	foreign := w.call(201, "POST", "/v1/streams?project=other", `{"name":"web"}`)
	gone := w.call(201, "POST", "/v1/streams", `{"name":"gone"}`)
	tokens := map[string]string{
		"none": "", "garbage": "eyJhbGciOiJub25lIn0.e30.", "of a deleted stream": w.streamToken(gone),
		"stream's own": w.streamToken(own), "derived stream's": w.streamToken(derived),
		"other project's": w.streamToken(foreign), "admin": manageAdmin,
	}
	w.call(200, "DELETE", "/v1/streams/gone", "")
	w.call(201, "POST", "/v1/consent-levels", `{"id":1,"name":"named"}`)
	w.call(201, "POST", "/v1/users", `{"email":"ann@example.com","password":"the password of Ann"}`)
	w.call(201, "POST", "/v1/users?project=other", `{"email":"eve@example.com","password":"the password of Eve"}`)
	tokens["user's"] = w.userToken("ann@example.com", "the password of Ann")
	tokens["other project's user's"] = w.userToken("eve@example.com", "the password of Eve")
	w.call(201, "POST", "/v1/sinks", `{"sinkType":"FOLDER","sinkName":"out","bucketName":"out"}`)
	w.call(201, "POST", "/v1/exporters/web", `{"name":"one","sinkName":"out"}`)
	w.call(201, "POST", "/v1/exporters/web-1", `{"name":"one","sinkName":"out"}`)
	w.call(201, "POST", "/v1/webhooks", `{"name":"hook","stream":"web","url":"https://hook.example.com/"}`)
	w.call(201, "POST", "/v1/streams", `{"name":"payloads","payload":"json"}`)
	w.call(201, "POST", "/v1/feeds", `{"name":"orders","primaryKey":["id"],"columns":[{"name":"id","path":"id"}]}`)
	w.call(201, "POST", "/v1/couriers", `{"name":"daily","stream":"payloads","fileFormat":"NDJSON"}`)
	w.call(201, "POST", "/v1/courier-groups", `{"name":"nightly","couriers":["daily"]}`)
	ran := w.call(202, "POST", "/v1/couriers/daily/run", `{"date":"2026-11-20"}`).str("runId")
	writer := w.call(201, "POST", "/v1/api-keys", `{"name":"writer","type":"STREAMING_INGEST_WRITE"}`)
	issuer := w.call(201, "POST", "/v1/api-keys", `{"name":"issuer","type":"API_TOKEN_ISSUER"}`)
	tokens["API key's"] = w.call(201, "POST", "/v1/api-keys/writer/tokens", `{"days":1}`).str("access_token")
	tokens["issuer's"] = w.call(201, "POST", "/v1/api-keys/issuer/tokens", `{"days":1}`).str("access_token")
	tokens["integration's"] = w.call(201, "POST", "/v1/integrations", `{"name":"reader","stream":"web"}`).str("accessToken")
	for name, key := range map[string]manageAnswer{"writer": writer, "issuer": issuer} {
		if key.str("clientSecret") == "" || key.str("name") != name {
			t.Fatalf("key %s", key.text)
		}
	}
	all := func() (text string) {
		for _, of := range []string{
			"streams", "projects", "data-contracts", "users", "api-keys", "consent-levels", "integrations", "sinks", "exporters", "webhooks", "feeds", "couriers", "courier-groups",
		} {
			text += w.call(200, "GET", "/v1/"+of, "").text + "\n"
		}
		return text
	}
	before := all()

	fill := strings.NewReplacer("{name}", "default", "{stream}", "web", "{output}", "web-1", "{id}", "somebody",
		"{user}", "ann@example.com", "{key}", "writer", "{integration}", "reader", "{token}", "first",
		"{handle}", "strmprivacy", "{version}", "1.3.0", "{level}", "1", "{event}", "nobody",
		"{sink}", "out", "{exporter}", "one", "{webhook}", "hook", "{feed}", "orders", "{courier}", "daily", "{group}", "nightly", "{run}", ran)
	const unauthorized = `{"error":{"code":401,"status":"Unauthorized","message":"The request could not be authorized"}}`
	walked := 0
	for template, item := range w.doc.raw["paths"].(map[string]any) {
		if nativePath(item) {
			continue // each of these says for itself who may
		}
		path := template
		if strings.Contains(path, "{handle}") {
			path = strings.Replace(path, "{name}", "example", 1)
		}
		path = fill.Replace(path)
		if !strings.HasPrefix(path, "/v1/") || strings.Contains(path, "{") {
			t.Fatalf("a path that this test cannot fill: %s", template)
		}
		for method := range item.(map[string]any) {
			method = strings.ToUpper(method)
			walked++
			for kind, token := range tokens {
				// The body is one that every route refuses, so that the admin's walk changes nothing.
				body := ""
				if method == "POST" || method == "PUT" || method == "PATCH" {
					body = `{"no such member":1}`
				}
				at := path
				trusted := kind == "admin" || kind == "user's"
				if method == "DELETE" || trusted && (body != "" && !strings.Contains(at, "/check") || template == "/v1/backup") {
					at += "?nothing=1" // an unknown parameter: refused as well
				}
				a := w.send(method, at, token, body)
				switch kind {
				case "none", "garbage", "of a deleted stream":
					if a.status != 401 || a.text != unauthorized || a.header.Get("WWW-Authenticate") != "Bearer" {
						t.Errorf("%s %s, %s: %d %s", method, at, kind, a.status, a.text)
					}
				case "admin", "user's":
					if a.status != 200 && a.status != 400 {
						t.Errorf("%s %s, %s: %d %s", method, at, kind, a.status, a.text)
					}
				case "other project's user's":
					if a.status != 400 && a.status != 404 && (method != "GET" || template != "/v1/projects" || strings.Contains(a.text, `"default"`)) {
						t.Errorf("%s %s, %s: %d %s", method, at, kind, a.status, a.text)
					}
				default:
					// Refused in any case, by its input where that is looked at first; the next walk has good input.
					if a.status != 400 && a.status != 403 && a.status != 404 {
						t.Errorf("%s %s, %s: %d %s", method, at, kind, a.status, a.text)
					}
				}
			}
			for kind, want := range map[string]int{
				"stream's own": 403, "derived stream's": 403, "API key's": 403, "issuer's": 403, "integration's": 403, "other project's": 404, "other project's user's": 404, "user's": 403,
			} {
				if kind == "user's" && !manageForAdmins(method, template) {
					continue // theirs
				}
				if kind == "issuer's" && strings.HasSuffix(path, "/api-keys/writer/tokens") {
					want = 201 // what it is for
				}
				if want == 404 && template == "/v1/projects" {
					want = 403 // it names no project
					if kind == "other project's user's" && method == "GET" {
						want = 200 // the list of theirs
					}
				}
				a := w.send(method, path, tokens[kind], manageGoodBody(method, template))
				if a.status != want {
					t.Errorf("%s %s, %s: %d, want %d: %s", method, path, kind, a.status, want, a.text)
				}
				if kind == "user's" && a.message() != "This token may not do that; it takes the admin token" {
					t.Errorf("%s %s, %s: %s", method, path, kind, a.text)
				}
				if want == 404 && a.message() != "Project 'default' does not exist" {
					t.Errorf("%s %s, %s: %s", method, path, kind, a.text)
				}
			}
			// Of a project that does not exist and of one that one may not see the answers are the same.
			if template != "/v1/projects" && !strings.HasPrefix(template, "/v1/projects/") {
				see := w.send(method, path+"?project=other", tokens["stream's own"], manageGoodBody(method, template))
				none := w.send(method, path+"?project=nonesuch", tokens["stream's own"], manageGoodBody(method, template))
				if see.status != 404 || strings.ReplaceAll(see.text, "other", "") != strings.ReplaceAll(none.text, "nonesuch", "") {
					t.Errorf("%s %s: %s and %s", method, path, see.text, none.text)
				}
			}
		}
	}
	if walked < 100 {
		t.Errorf("walked %d routes only", walked)
	}
	after := all()
	if before != after {
		t.Errorf("the walk changed something:\n%s\n%s", before, after)
	}
}

// manageForAdmins tells whether a route is for the admin token alone.
func manageForAdmins(method, template string) bool {
	return template == "/v1/projects" && method == "POST" || template == "/v1/projects/{name}" && method == "DELETE" || template == "/v1/backup"
}

// manageGoodBody is a body that the route takes.
func manageGoodBody(method, template string) string {
	switch {
	case method == "GET" || method == "DELETE":
		return ""
	case template == "/v1/projects":
		return `{"name":"third"}`
	case template == "/v1/streams":
		return `{"name":"third"}`
	case template == "/v1/consent-levels":
		return `{"id":2,"name":"third"}`
	case template == "/v1/consent-levels/{level}":
		return `{"name":"third"}`
	case template == "/v1/streams/{stream}/outputs":
		return `{"consentLevels":[3]}`
	case template == "/v1/data-contracts":
		return manageContractBody("ours1/clicks/1.0.0")
	case template == "/v1/users":
		return `{"email":"third@example.com","password":"another password"}`
	case template == "/v1/api-keys":
		return `{"name":"third","type":"STREAMING_INGEST_WRITE"}`
	case template == "/v1/integrations":
		return `{"name":"third","stream":"web"}`
	case template == "/v1/sinks":
		return `{"sinkType":"FOLDER","sinkName":"third","bucketName":"third"}`
	case template == "/v1/exporters/{stream}":
		return `{"name":"third","sinkName":"out"}`
	case template == "/v1/webhooks":
		return `{"name":"third","stream":"web","url":"https://hook.example.com/"}`
	case strings.HasSuffix(template, "/replay"):
		return `{"from":"EARLIEST"}`
	case template == "/v1/feeds":
		return `{"name":"third","primaryKey":["id"],"columns":[{"name":"id","path":"id"}]}`
	case template == "/v1/couriers":
		return `{"name":"third","stream":"payloads","fileFormat":"NDJSON"}`
	case template == "/v1/courier-groups":
		return `{"name":"third","couriers":["daily"]}`
	case strings.HasSuffix(template, "/{key}/tokens"):
		return `{"days":1}`
	case strings.HasSuffix(template, "/revoke"):
		return `{"which":"old"}`
	case strings.HasSuffix(template, "/rotate"):
		return ""
	case strings.HasSuffix(template, "/activate"), strings.HasSuffix(template, "/archive"):
		return ""
	default:
		return `{}`
	}
}
