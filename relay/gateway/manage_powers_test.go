package gateway_test

import (
	"strings"
	"testing"
)

// TestManagePowers walks every route of the document with every kind of token. A route that is added is walked too.
func TestManagePowers(t *testing.T) {
	w := newManageWorld(t)
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
	before := w.call(200, "GET", "/v1/streams", "").text + w.call(200, "GET", "/v1/projects", "").text + w.call(200, "GET", "/v1/data-contracts", "").text

	fill := strings.NewReplacer("{name}", "default", "{stream}", "web", "{output}", "web-1", "{id}", "somebody",
		"{handle}", "strmprivacy", "{version}", "1.3.0")
	const unauthorized = `{"error":{"code":401,"status":"Unauthorized","message":"The request could not be authorized"}}`
	walked := 0
	for template, item := range w.doc.raw["paths"].(map[string]any) {
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
				if method == "DELETE" || kind == "admin" && body != "" && !strings.Contains(at, "/check") {
					at += "?nothing=1" // an unknown parameter: refused as well
				}
				a := w.send(method, at, token, body)
				switch kind {
				case "none", "garbage", "of a deleted stream":
					if a.status != 401 || a.text != unauthorized || a.header.Get("WWW-Authenticate") != "Bearer" {
						t.Errorf("%s %s, %s: %d %s", method, at, kind, a.status, a.text)
					}
				case "admin":
					if a.status != 200 && a.status != 400 {
						t.Errorf("%s %s, %s: %d %s", method, at, kind, a.status, a.text)
					}
				default:
					// Refused in any case, by its input where that is looked at first; the next walk has good input.
					if a.status != 400 && a.status != 403 && a.status != 404 {
						t.Errorf("%s %s, %s: %d %s", method, at, kind, a.status, a.text)
					}
				}
			}
			for kind, want := range map[string]int{"stream's own": 403, "derived stream's": 403, "other project's": 404} {
				if want == 404 && (template == "/v1/projects") {
					want = 403 // it names no project
				}
				a := w.send(method, path, tokens[kind], manageGoodBody(method, template))
				if a.status != want {
					t.Errorf("%s %s, %s: %d, want %d: %s", method, path, kind, a.status, want, a.text)
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
	if walked < 25 {
		t.Errorf("walked %d routes only", walked)
	}
	after := w.call(200, "GET", "/v1/streams", "").text + w.call(200, "GET", "/v1/projects", "").text + w.call(200, "GET", "/v1/data-contracts", "").text
	if before != after {
		t.Errorf("the walk changed something:\n%s\n%s", before, after)
	}
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
	case template == "/v1/streams/{stream}/outputs":
		return `{"consentLevels":[3]}`
	case template == "/v1/data-contracts":
		return manageContractBody("ours1/clicks/1.0.0")
	case strings.HasSuffix(template, "/activate"), strings.HasSuffix(template, "/archive"):
		return ""
	default:
		return `{}`
	}
}
