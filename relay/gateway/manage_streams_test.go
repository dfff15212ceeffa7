package gateway_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	manageSourceShape = `{"ref":{"name":"by-hand","projectId":"<uuid>"},"id":"<is-…>","uuid":"<uuid>","contract":null,"payload":null,` +
		`"description":"","tags":[],"enabled":true,"limits":{"eventRate":"999999","eventCount":"999999999"},` +
		`"credentials":[{"clientId":"<id>","clientSecret":"<secret>","projectId":"<uuid>"}],"masked_fields":{}}`
	manageDerivedShape = `{"ref":{"name":"by-hand-2","projectId":"<uuid>"},"consentLevels":[2],"consentLevelType":"CUMULATIVE","enabled":true,` +
		`"linkedStream":"by-hand","tags":[],"credentials":[{"clientId":"<id>","clientSecret":"<secret>","projectId":"<uuid>"}]}`
)

// manageWithoutSecret is a shape as it is shown later on.
func manageWithoutSecret(shape string) string {
	return strings.Replace(shape, `"clientSecret":"<secret>",`, "", 1)
}

func TestManageStreamShapes(t *testing.T) {
	w := newManageWorld(t)
	w.call(200, "GET", "/v1/streams", "").want(t, `[]`)

	w.call(201, "POST", "/v1/streams", `{"name":"by-hand"}`).want(t, manageSourceShape)
	w.call(200, "GET", "/v1/streams/by-hand", "").want(t, manageWithoutSecret(manageSourceShape))
	w.call(200, "GET", "/v1/streams/by-hand/outputs", "").want(t, `[]`)

	made := w.call(201, "POST", "/v1/streams", `{"linkedStream":"by-hand","consentLevels":[2]}`)
	made.want(t, manageDerivedShape)
	if id := made.str("credentials", "0", "clientId"); !strings.HasPrefix(id, "stream-") {
		t.Errorf("client id %q", id)
	}
	derived := manageWithoutSecret(manageDerivedShape)
	w.call(200, "GET", "/v1/streams/by-hand-2", "").want(t, derived)
	w.call(200, "GET", "/v1/streams/by-hand/outputs/by-hand-2", "").want(t, derived)
	w.call(200, "GET", "/v1/streams/by-hand/outputs", "").want(t, "["+derived+"]")
	w.call(200, "GET", "/v1/streams", "").want(t, "["+manageWithoutSecret(manageSourceShape)+","+derived+"]")
	w.call(200, "GET", "/v1/streams/by-hand?recursive=true", "").
		want(t, `{"stream":`+manageWithoutSecret(manageSourceShape)+`,"derived":[`+derived+`]}`)

	w.call(201, "POST", "/v1/streams", `{"ref":{"name":"web"},"payload":"json","tags":["a","b"],"description":"<d>"}`).want(t,
		`{"ref":{"name":"web","projectId":"<uuid>"},"id":"<is-…>","uuid":"<uuid>","contract":null,"payload":"json",
		"description":"<d>","tags":["a","b"],"enabled":true,"limits":{"eventRate":"999999","eventCount":"999999999"},
		"credentials":[{"clientId":"<id>","clientSecret":"<secret>","projectId":"<uuid>"}],"masked_fields":{}}`)
	if got := w.call(200, "GET", "/v1/streams/web", ""); got.str("description") != "<d>" || !strings.Contains(got.text, `"<d>"`) {
		t.Errorf("HTML was escaped: %s", got.text)
	}
	if got := w.call(200, "GET", "/v1/streams/web", ""); !strings.HasPrefix(got.str("id"), "is-") {
		t.Errorf("id %q", got.str("id"))
	}

	// What went is what is answered.
	w.call(200, "DELETE", "/v1/streams/by-hand-2", "").want(t, derived)
	w.call(200, "DELETE", "/v1/streams/by-hand", "").want(t, manageWithoutSecret(manageSourceShape))
	w.call(404, "GET", "/v1/streams/by-hand", "")
	w.call(404, "DELETE", "/v1/streams/by-hand", "")
}

func TestManageStreamShapesOf2021(t *testing.T) {
	w := newManageWorld(t)
	const source = `{"name":"bart","tags":[],"credentials":{"clientId":"<id>"}}`
	const output = `{"linkedStream":"bart","name":"level0-1","tags":["x"],"credentials":{"clientId":"<id>"},` +
		`"consentLevelType":"GRANULAR","consentLevels":[0,1],"decrypterName":"default"}`
	secret := func(shape string) string {
		return strings.Replace(shape, `"<id>"`, `"<id>","clientSecret":"<secret>"`, 1)
	}
	w.call(201, "PUT", "/v1/streams", `{"name":"bart"}`).want(t, secret(source))
	w.call(409, "PUT", "/v1/streams", `{"name":"bart"}`)
	w.call(201, "PUT", "/v1/streams/bart/outputs",
		`{"name":"level0-1","consentLevels":[0,1],"consentLevelType":"GRANULAR","tags":["x"],"decrypterName":"default"}`).want(t, secret(output))

	// The older API listed source streams only.
	w.call(200, "GET", "/v1/streams?shape=2021", "").want(t, "["+source+"]")
	w.call(200, "GET", "/v1/streams/bart?shape=2021", "").want(t, source)
	w.call(200, "GET", "/v1/streams/level0-1?shape=2021", "").want(t, output)
	w.call(200, "GET", "/v1/streams/bart/outputs?shape=2021", "").want(t, "["+output+"]")
	w.call(200, "GET", "/v1/streams/bart/outputs/level0-1?shape=2021", "").want(t, output)
	w.call(200, "GET", "/v1/streams/bart/outputs/level0-1", "").want(t,
		`{"ref":{"name":"level0-1","projectId":"<uuid>"},"consentLevels":[0,1],"consentLevelType":"GRANULAR","enabled":true,
		"linkedStream":"bart","tags":["x"],"credentials":[{"clientId":"<id>","projectId":"<uuid>"}]}`)
	w.call(201, "POST", "/v1/streams?shape=2021", `{"name":"lisa"}`).want(t, secret(strings.Replace(source, "bart", "lisa", 1)))
	w.call(200, "PATCH", "/v1/streams/lisa?shape=2021", `{"tags":["y"]}`).want(t, `{"name":"lisa","tags":["y"],"credentials":{"clientId":"<id>"}}`)
	w.call(400, "GET", "/v1/streams?shape=2022", "")

	w.call(200, "DELETE", "/v1/streams/bart?shape=2021&recursive=true", "").want(t, `{"stream":`+source+`,"derived":[`+output+`]}`)
	w.call(200, "DELETE", "/v1/streams/lisa?shape=2021&recursive=true", "").
		want(t, `{"stream":{"name":"lisa","tags":["y"],"credentials":{"clientId":"<id>"}}}`)
}

func TestManageOutputs(t *testing.T) {
	w := newManageWorld(t)
	w.call(201, "POST", "/v1/streams", `{"name":"one"}`)
	w.call(201, "POST", "/v1/streams", `{"name":"two"}`)
	if got := w.call(201, "POST", "/v1/streams/one/outputs", `{"consentLevels":[1]}`); got.str("ref", "name") != "one-1" {
		t.Errorf("default name: %s", got.text)
	}
	if got := w.call(201, "POST", "/v1/streams/one/outputs", `{"consentLevels":[0,1],"consentLevelType":"GRANULAR"}`); got.str("ref", "name") != "one-0-1" {
		t.Errorf("default name: %s", got.text)
	}
	// An output belongs to its source only, and is a stream by its own name.
	w.call(404, "GET", "/v1/streams/two/outputs/one-1", "")
	w.call(404, "DELETE", "/v1/streams/two/outputs/one-1", "")
	w.call(404, "PATCH", "/v1/streams/two/outputs/one-1", `{"tags":["x"]}`)
	w.call(404, "GET", "/v1/streams/one/outputs/two", "")
	w.call(404, "GET", "/v1/streams/none/outputs", "")
	w.call(404, "POST", "/v1/streams/none/outputs", `{"consentLevels":[1]}`)
	w.call(200, "GET", "/v1/streams/one-1", "")
	w.call(409, "POST", "/v1/streams/one/outputs", `{"name":"two","consentLevels":[1]}`)
	w.call(400, "POST", "/v1/streams/one-1/outputs", `{"name":"further","consentLevels":[1]}`)
	w.call(400, "POST", "/v1/streams/one/outputs", `{"name":"many","consentLevels":[1,2]}`)

	got := w.call(200, "PATCH", "/v1/streams/one/outputs/one-1", `{"tags":["x"],"consentLevels":[3],"description":"d","enabled":false}`)
	got.want(t, `{"ref":{"name":"one-1","projectId":"<uuid>"},"description":"d","consentLevels":[3],"consentLevelType":"CUMULATIVE","enabled":false,
		"linkedStream":"one","tags":["x"],"credentials":[{"clientId":"<id>","projectId":"<uuid>"}]}`)
	w.call(200, "PATCH", "/v1/streams/one/outputs/one-1", `{"consentLevelType":"GRANULAR","consentLevels":[0,5]}`)
	if got := w.call(200, "GET", "/v1/streams/one-1", ""); got.str("consentLevelType") != "GRANULAR" || len(got.at("consentLevels").([]any)) != 2 {
		t.Errorf("after the patch: %s", got.text)
	}

	refused := w.call(409, "DELETE", "/v1/streams/one", "")
	const text = "Cannot delete stream one: it still has derived stream"
	if !strings.HasPrefix(refused.message(), text) || !strings.HasSuffix(refused.message(), "or use --recursive") {
		t.Errorf("message %q", refused.message())
	}
	w.call(200, "DELETE", "/v1/streams/one/outputs/one-0-1", "")
	if got := w.call(409, "DELETE", "/v1/streams/one", "").message(); got != "Cannot delete stream one: it still has derived stream one-1. Delete it first, or use --recursive" {
		t.Errorf("message %q", got)
	}
	gone := w.call(200, "DELETE", "/v1/streams/one?recursive=true", "")
	if gone.str("stream", "ref", "name") != "one" || gone.str("derived", "0", "ref", "name") != "one-1" {
		t.Errorf("gone: %s", gone.text)
	}
	w.call(404, "GET", "/v1/streams/one-1", "")
}

func TestManageStreamPatch(t *testing.T) {
	w := newManageWorld(t)
	w.call(201, "POST", "/v1/streams", `{"name":"web","description":"old","tags":["a"]}`)
	whole := func(description, tags, enabled, rate, count, contract, rest string) string {
		return `{"ref":{"name":"web","projectId":"<uuid>"},"id":"<is-…>","uuid":"<uuid>","contract":` + contract + `,"payload":null,"description":"` +
			description + `","tags":` + tags + `,"enabled":` + enabled + `,"limits":{"eventRate":"` + rate + `","eventCount":"` + count + `"},` + rest +
			`"credentials":[{"clientId":"<id>","projectId":"<uuid>"}],"masked_fields":{}}`
	}
	const rate, count = "999999", "999999999"
	steps := []struct{ name, patch, want string }{
		{"nothing", `{}`, whole("old", `["a"]`, "true", rate, count, "null", "")},
		{"description", `{"description":"new"}`, whole("new", `["a"]`, "true", rate, count, "null", "")},
		{"tags", `{"tags":["b","c"]}`, whole("new", `["b","c"]`, "true", rate, count, "null", "")},
		{"switched off", `{"enabled":false}`, whole("new", `["b","c"]`, "false", rate, count, "null", "")},
		{"limit as text", `{"limits":{"eventRate":"10"}}`, whole("new", `["b","c"]`, "false", "10", count, "null", "")},
		{"limit as number", `{"limits":{"eventCount":500}}`, whole("new", `["b","c"]`, "false", "10", "500", "null", "")},
		{"limit with an exponent", `{"limits":{"eventCount":5e2}}`, whole("new", `["b","c"]`, "false", "10", "500", "null", "")},
		{"one limit set back", `{"limits":{"eventRate":null}}`, whole("new", `["b","c"]`, "false", rate, "500", "null", "")},
		{"contract", `{"contract":"strmprivacy/example/1.3.0"}`, whole("new", `["b","c"]`, "false", rate, "500", `"strmprivacy/example/1.3.0"`, "")},
		{"retention", `{"retention":"2d","retentionBytes":"100GB"}`,
			whole("new", `["b","c"]`, "false", rate, "500", `"strmprivacy/example/1.3.0"`, `"retention":"2d","retentionBytes":"100GB",`)},
		{"all set back", `{"description":null,"tags":null,"enabled":null,"limits":null,"contract":null,"retention":null,"retentionBytes":null}`,
			whole("", `[]`, "true", rate, count, "null", "")},
	}
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			w.call(200, "PATCH", "/v1/streams/web", s.patch, "Content-Type", "application/merge-patch+json").want(t, s.want)
			w.call(200, "GET", "/v1/streams/web", "").want(t, s.want)
		})
	}
}

// TestManageNames sends names through path, query and body that a sloppy server would cut, decode twice or mix up.
func TestManageNames(t *testing.T) {
	w := newManageWorld(t)
	for _, name := range []string{"ünïcödé", "日本語のストリーム", "with space", "a+b", "50%", "%41", "a.b-c_d~e", "q?x=1&y", "semi;colon", "ha#sh", "emoji 🎈", "UPPER"} {
		t.Run(name, func(t *testing.T) {
			at := "/v1/streams/" + url.PathEscape(name)
			body := `{"name":` + manageQuote(name) + `}`
			if got := w.call(201, "POST", "/v1/streams", body); got.str("ref", "name") != name {
				t.Fatalf("made %q", got.str("ref", "name"))
			}
			if got := w.call(200, "GET", at, ""); got.str("ref", "name") != name {
				t.Errorf("got %q", got.str("ref", "name"))
			}
			if got := w.call(201, "POST", at+"/outputs", `{"consentLevels":[1]}`); got.str("linkedStream") != name {
				t.Errorf("derived from %q", got.str("linkedStream"))
			}
			w.call(200, "GET", at+"/outputs/"+url.PathEscape(name+"-1"), "")
			w.call(200, "DELETE", at+"?recursive=true", "")
		})
	}
	w.call(201, "POST", "/v1/streams", `{"name":"case"}`)
	w.call(404, "GET", "/v1/streams/CASE", "")
	w.call(404, "GET", "/V1/streams/case", "")
}

func TestManageMethods(t *testing.T) {
	w := newManageWorld(t)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	for _, method := range []string{"POST", "PUT"} {
		got := w.call(405, method, "/v1/streams/web", `{}`)
		if allow := got.header.Get("Allow"); !strings.Contains(allow, "GET") || !strings.Contains(allow, "PATCH") {
			t.Errorf("%s: Allow is %q", method, allow)
		}
	}
	for _, method := range []string{"TRACE", "BREW"} {
		w.call(405, method, "/v1/streams/web", "")
		w.call(404, method, "/v1/nothing", "")
		if a := w.send(method, "/v1/streams/web", "", ""); a.status != 401 {
			t.Errorf("%s without a token: %d", method, a.status)
		}
	}
	head := w.send("HEAD", "/v1/streams/web", w.token, "")
	if head.status != http.StatusOK || head.text != "" || head.header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD: %d %q %v", head.status, head.text, head.header)
	}
	if got := w.send("HEAD", "/v1/streams/web", "", ""); got.status != 401 {
		t.Errorf("HEAD without a token: %d", got.status)
	}
	options := w.send("OPTIONS", "/v1/streams/web", "", "")
	if options.status != http.StatusNoContent || !strings.Contains(options.header.Get("Allow"), "DELETE") {
		t.Errorf("OPTIONS: %d %v", options.status, options.header)
	}
	if got := w.send("OPTIONS", "/v1/nothing", "", ""); got.status != 404 {
		t.Errorf("OPTIONS of nothing: %d", got.status)
	}
	w.call(404, "GET", "/v1/nothing", "")
	w.call(404, "GET", "/v1", "")
	w.call(404, "GET", "/nothing", "")
}

// TestManageConcurrently makes, changes and deletes from many sides at once: of those who want one name one gets it,
// and nobody sees half a change.
func TestManageConcurrently(t *testing.T) {
	w := newManageWorld(t)
	const sides, rounds = 6, 4
	var wins atomic.Int32
	var all sync.WaitGroup
	for side := range sides {
		all.Go(func() {
			for round := range rounds {
				if a := w.send("POST", "/v1/streams", manageAdmin, fmt.Sprintf(`{"name":"shared-%d"}`, round)); a.status == 201 {
					wins.Add(1)
				} else if a.status != 409 {
					t.Errorf("shared: %d %s", a.status, a.text)
				}
				own := fmt.Sprintf("own-%d-%d", side, round)
				for _, step := range []struct {
					method, path, body string
					status             int
				}{
					{"POST", "/v1/streams", `{"name":"` + own + `"}`, 201},
					{"PATCH", "/v1/streams/" + own, `{"description":"mine"}`, 200},
					{"POST", "/v1/streams/" + own + "/outputs", `{"consentLevels":[1]}`, 201},
					{"GET", "/v1/streams/" + own + "?recursive=true", "", 200},
					{"GET", "/v1/streams", "", 200},
					{"DELETE", "/v1/streams/" + own + "?recursive=true", "", 200},
					{"GET", "/v1/streams/" + own, "", 404},
				} {
					if a := w.send(step.method, step.path, manageAdmin, step.body); a.status != step.status {
						t.Errorf("%s %s: %d %s", step.method, step.path, a.status, a.text)
					}
				}
				// All patch one stream: the last one counts, none is refused.
				if a := w.send("PATCH", "/v1/streams/shared-0", manageAdmin, fmt.Sprintf(`{"tags":["%d"]}`, side)); a.status != 200 {
					t.Errorf("patch: %d %s", a.status, a.text)
				}
			}
		})
	}
	all.Wait()
	if n := wins.Load(); n != rounds {
		t.Errorf("%d made a shared stream, want %d", n, rounds)
	}
	if n := len(w.call(200, "GET", "/v1/streams", "").json.([]any)); n != rounds {
		t.Errorf("%d streams are left", n)
	}
}
