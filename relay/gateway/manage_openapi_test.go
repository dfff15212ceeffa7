package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// walkManageDoc visits every object of the document.
func walkManageDoc(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, m := range v {
			walkManageDoc(m, visit)
		}
	case []any:
		for _, e := range v {
			walkManageDoc(e, visit)
		}
	}
}

// nativeTags are those of the operations that are not the management API's.
var nativeTags = []string{"events in", "events out", "tokens", "health"}

// native tells whether an operation of the document is none of the management API.
func (a manageAnswer) native() bool { return slices.Contains(nativeTags, a.str("tags", "0")) }

// nativePath is native for a path's operations, which are all of a kind.
func nativePath(item any) bool {
	for _, op := range item.(map[string]any) {
		return manageAnswer{json: op}.native()
	}
	return false
}

func TestManageDocument(t *testing.T) {
	w := withEverything(t)
	doc := manageAnswer{json: w.doc.raw}
	if got := doc.str("openapi"); !strings.HasPrefix(got, "3.1.") {
		t.Errorf("openapi %q", got)
	}
	if doc.str("info", "title") != "Sluice" || doc.str("info", "version") != "1.2.3" {
		t.Errorf("info %v", doc.at("info"))
	}
	if doc.str("components", "securitySchemes", "bearer", "type") != "http" || doc.str("components", "securitySchemes", "bearer", "scheme") != "bearer" {
		t.Errorf("security schemes %v", doc.at("components", "securitySchemes"))
	}

	if doc.str("servers", "0", "url") != "/" {
		t.Errorf("servers %v", doc.at("servers"))
	}

	// Every reference leads somewhere, every schema is used, every schema is one.
	schemas := doc.at("components", "schemas").(map[string]any)
	used := map[string]bool{}
	walkManageDoc(w.doc.raw, func(m map[string]any) {
		if m["patternDescription"] != nil {
			t.Errorf("a keyword that is no standard's: %v", m)
		}
		if ref, ok := m["$ref"].(string); ok {
			name, ok := strings.CutPrefix(ref, "#/components/schemas/")
			if !ok || schemas[name] == nil {
				t.Errorf("reference to %s", ref)
			}
			used[name] = true
		}
	})
	for name := range schemas {
		if !used[name] {
			t.Errorf("schema %s is not used", name)
		}
		if strings.Contains(name, "Manage") {
			t.Errorf("schema %s shows a Go name", name)
		}
		if _, err := w.doc.compiler.Compile(manageDocURL + "#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}

	told := map[string]bool{}
	for _, tag := range doc.at("tags").([]any) {
		tag := manageAnswer{json: tag}
		told[tag.str("name")] = tag.str("description") != ""
	}
	ids := map[string]bool{}
	for template, item := range doc.at("paths").(map[string]any) {
		for method, op := range item.(map[string]any) {
			op := manageAnswer{json: op}
			at := method + " " + template
			if id := op.str("operationId"); id == "" || ids[id] {
				t.Errorf("%s: operationId %q", at, id)
			} else {
				ids[id] = true
			}
			if op.str("summary") == "" || !told[op.str("tags", "0")] {
				t.Errorf("%s: no summary, or its tag %q is not described", at, op.str("tags", "0"))
			}
			var params []string
			if list, ok := op.at("parameters").([]any); ok {
				for _, p := range list {
					if p := p.(map[string]any); p["in"] == "path" {
						params = append(params, p["name"].(string))
					}
				}
			}
			for _, m := range regexp.MustCompile(`\{([a-z-]+)\}`).FindAllStringSubmatch(template, -1) {
				if !slices.Contains(params, m[1]) {
					t.Errorf("%s: parameter %s is not described", at, m[1])
				}
			}
			if op.native() && op.str("tags", "0") != "tokens" {
				if op.at("responses", "default", "content") == nil {
					t.Errorf("%s: nothing on how it says no", at)
				}
				continue
			}
			if op.native() {
				if op.at("responses", "200", "content", "application/json", "schema") == nil {
					t.Errorf("%s: no answer 200", at)
				}
				continue
			}
			if sec, ok := op.at("security", "0").(map[string]any); !ok || sec["bearer"] == nil {
				t.Errorf("%s: security %v", at, op.at("security"))
			}
			for _, code := range []string{"400", "401", "403", "404", "default"} {
				if op.str("responses", code, "content", "application/json", "schema", "$ref") != "#/components/schemas/Error" {
					t.Errorf("%s: answer %s", at, code)
				}
			}
			success := "200"
			switch {
			case strings.HasSuffix(template, "/run"):
				success = "202" // it goes on after the answer
			case (method == "post" || method == "put") && op.at("responses", "200") == nil:
				success = "201"
			}
			content := "application/json"
			if template == "/v1/backup" {
				content = "application/x-tar"
			}
			if op.at("responses", success, "content", content, "schema") == nil {
				t.Errorf("%s: no answer %s", at, success)
			}
		}
	}
	for _, want := range []string{
		"get /v1/projects", "post /v1/projects", "get /v1/projects/{name}", "patch /v1/projects/{name}", "delete /v1/projects/{name}",
		"get /v1/streams", "post /v1/streams", "put /v1/streams", "get /v1/streams/{stream}", "patch /v1/streams/{stream}", "delete /v1/streams/{stream}",
		"get /v1/streams/{stream}/outputs", "post /v1/streams/{stream}/outputs", "put /v1/streams/{stream}/outputs",
		"get /v1/streams/{stream}/outputs/{output}", "delete /v1/streams/{stream}/outputs/{output}",
		"get /v1/data-contracts", "post /v1/data-contracts", "get /v1/data-contracts/{handle}/{name}/{version}",
		"delete /v1/data-contracts/{handle}/{name}/{version}", "patch /v1/data-contracts/{handle}/{name}/{version}", "post /v1/data-contracts/{handle}/{name}/{version}/activate",
		"post /v1/data-contracts/{handle}/{name}/{version}/archive", "post /v1/data-contracts/{handle}/{name}/{version}/check",
		"post /event", "post /stream/v0/data/{stream-id}", "post /v1/streams/{stream}/events", "get /v1/streams/{stream}/events", "get /sse", "get /ws",
		"post /api/events", "post /api/events/general", "post /auth", "post /refresh", "post /v1/auth", "post /v1/refresh",
		"post /auth/realms/streams/protocol/openid-connect/token", "post /api/v0/oauth2/token", "post /api/v0/admin/api-keys/{id}/tokens",
		"delete /v1/data-subjects/{id}", "get /v1/data-subjects/{id}/keylinks",
	} {
		method, template, _ := strings.Cut(want, " ")
		if doc.at("paths", template, method) == nil {
			t.Errorf("%s is not described", want)
		}
	}
}

// TestManageEveryAnswer calls every operation of the document once with success; the client holds the answers to it.
func TestManageEveryAnswer(t *testing.T) {
	w := newManageWorld(t)
	steps := []struct{ method, path, body string }{
		{"POST", "/v1/projects", `{"name":"shop"}`}, {"GET", "/v1/projects", ""}, {"GET", "/v1/projects/shop", ""},
		{"PATCH", "/v1/projects/shop", `{"rotateMasterSecret":true}`}, {"DELETE", "/v1/projects/shop", ""},
		{"POST", "/v1/streams", `{"name":"web"}`}, {"PUT", "/v1/streams", `{"name":"bart"}`}, {"GET", "/v1/streams", ""},
		{"GET", "/v1/streams/web", ""}, {"PATCH", "/v1/streams/web", `{"retention":"7d"}`},
		{"POST", "/v1/streams/web/outputs", `{"consentLevels":[1]}`}, {"PUT", "/v1/streams/web/outputs", `{"name":"web-2","consentLevels":[2]}`},
		{"GET", "/v1/streams/web/outputs", ""}, {"GET", "/v1/streams/web/outputs/web-1", ""},
		{"PATCH", "/v1/streams/web/outputs/web-1", `{"description":"d"}`}, {"DELETE", "/v1/streams/web/outputs/web-1", ""},
		{"POST", "/v1/data-contracts", manageContractBody("ours1/clicks/1.0.0")}, {"GET", "/v1/data-contracts", ""},
		{"GET", "/v1/data-contracts/ours1/clicks/1.0.0", ""}, {"POST", "/v1/data-contracts/ours1/clicks/1.0.0/check", "{}"},
		{"PATCH", "/v1/data-contracts/ours1/clicks/1.0.0", `{"metadata":{"title":"Clicks"},"piiFields":{"url":2}}`},
		{"POST", "/v1/data-contracts/ours1/clicks/1.0.0/activate", ""}, {"POST", "/v1/data-contracts/ours1/clicks/1.0.0/archive", ""},
		{"GET", "/v1/schemas", ""}, {"GET", "/v1/schemas/ours1/clicks/1.0.0", ""}, {"DELETE", "/v1/data-contracts/ours1/clicks/1.0.0", ""},
		{"POST", "/v1/users", `{"email":"ann@example.com","password":"the password of Ann"}`}, {"GET", "/v1/users", ""}, {"GET", "/v1/users/ann@example.com", ""},
		{"PATCH", "/v1/users/ann@example.com", `{"email":"Ann@example.com"}`}, {"DELETE", "/v1/users/ann@example.com", ""},
		{"POST", "/v1/api-keys", `{"name":"web","type":"STREAMING_INGEST_WRITE"}`}, {"GET", "/v1/api-keys", ""}, {"GET", "/v1/api-keys/web", ""},
		{"POST", "/v1/api-keys/web/tokens", `{"days":3}`}, {"POST", "/v1/api-keys/web/rotate", ""}, {"POST", "/v1/api-keys/web/revoke", `{"which":"all"}`},
		{"DELETE", "/v1/api-keys/web", ""},
		{"POST", "/v1/integrations", `{"name":"in","stream":"web","types":["OPEN"]}`}, {"GET", "/v1/integrations", ""}, {"GET", "/v1/integrations/in", ""},
		{"PATCH", "/v1/integrations/in", `{"types":null}`}, {"POST", "/v1/integrations/in/tokens", `{}`}, {"GET", "/v1/integrations/in/tokens", ""},
		{"DELETE", "/v1/integrations/in/tokens/first", ""}, {"DELETE", "/v1/integrations/in", ""}, {"GET", "/v1/audit", ""},
		{"POST", "/v1/consent-levels", `{"id":2,"name":"marketing"}`}, {"PUT", "/v1/consent-levels", `{"id":0,"name":"functional"}`},
		{"GET", "/v1/consent-levels", ""}, {"GET", "/v1/consent-levels/2", ""}, {"PATCH", "/v1/consent-levels/2", `{"name":"ads"}`},
		{"DELETE", "/v1/consent-levels/2", ""}, {"GET", "/v1/consumers/web", ""}, {"GET", "/v1/trace/web/some-event", ""},
		{"GET", "/v1/data-subjects/somebody/keylinks", ""}, {"DELETE", "/v1/data-subjects/somebody", ""}, {"DELETE", "/v1/streams/web?recursive=true", ""},
	}
	for _, s := range steps {
		if a := w.send(s.method, s.path, manageAdmin, s.body); a.status != 200 && a.status != 201 {
			t.Errorf("%s %s: %d %s", s.method, s.path, a.status, a.text)
		}
	}
	for template, item := range w.doc.raw["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			at := strings.ToUpper(method) + " " + template
			if (manageAnswer{json: op}).native() {
				continue // other tests ask these, in their own shapes
			}
			if template == "/v1/backup" {
				continue // its answer is not JSON; TestBackup takes it
			}
			if !w.doc.seen[at+" 200"] && !w.doc.seen[at+" 201"] {
				t.Errorf("%s was never answered", at)
			}
		}
	}
}

// TestManageExamples holds the examples of the document to the schemas they stand in.
func TestManageExamples(t *testing.T) {
	w := newManageWorld(t)
	for name, s := range w.doc.raw["components"].(map[string]any)["schemas"].(map[string]any) {
		props, _ := s.(map[string]any)["properties"].(map[string]any)
		for member, p := range props {
			examples, _ := p.(map[string]any)["examples"].([]any)
			if len(examples) == 0 {
				continue
			}
			schema, err := w.doc.compiler.Compile(manageDocURL + "#/components/schemas/" + name + "/properties/" + member)
			w.must(err)
			for _, e := range examples {
				if err := schema.Validate(e); err != nil {
					t.Errorf("%s.%s: example %v: %v", name, member, e, err)
				}
			}
		}
	}
}

var manageSource = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

// TestManageDocsPage reads the page as a browser would: all it loads is served by this server.
func TestManageDocsPage(t *testing.T) {
	w := newManageWorld(t)
	get := func(path string) (*http.Response, string) {
		t.Helper()
		res, err := w.client.Get(w.base + path)
		w.must(err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		w.must(err)
		return res, string(body)
	}
	for _, at := range []string{"/docs", "/docs/"} {
		res, page := get(at)
		if res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			t.Fatalf("%s: %d %v", at, res.StatusCode, res.Header)
		}
		policy := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "http") || strings.Contains(policy, "*") {
			t.Errorf("policy %q", policy)
		}
		script, _, _ := strings.Cut(policy[strings.Index(policy, "script-src"):], ";")
		if strings.Contains(script, "unsafe") || strings.Count(script, "'sha256-") != strings.Count(page, "<script>") {
			t.Errorf("policy %q", script)
		}
		found := manageSource.FindAllStringSubmatch(page, -1)
		if len(found) < 4 {
			t.Fatalf("the page loads %v", found)
		}
		for _, m := range found {
			if !strings.HasPrefix(m[1], "/docs/") {
				t.Errorf("the page loads %s", m[1])
			}
			if res, body := get(m[1]); res.StatusCode != 200 || body == "" {
				t.Errorf("%s: %d", m[1], res.StatusCode)
			}
		}
		if !strings.Contains(page, `"/openapi.json"`) {
			t.Error("the page does not load the document")
		}
	}
	_, css := get("/docs/swagger-ui.css")
	for _, m := range regexp.MustCompile(`url\(["']?([^)"']{0,20})`).FindAllStringSubmatch(css, -1) {
		if !strings.HasPrefix(m[1], "data:") {
			t.Errorf("the style sheet loads %s", m[1])
		}
	}
	res, body := get("/docs/nothing.js")
	var e struct{ Error struct{ Code int } }
	if err := json.Unmarshal([]byte(body), &e); err != nil || res.StatusCode != 404 || e.Error.Code != 404 {
		t.Errorf("/docs/nothing.js: %d %s", res.StatusCode, body)
	}
}
