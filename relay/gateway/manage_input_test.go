package gateway_test

import (
	"strings"
	"testing"
)

// TestManageBadInput sends what must be refused, and then looks that it left no trace.
func TestManageBadInput(t *testing.T) {
	w := newManageWorld(t)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(201, "POST", "/v1/streams", `{"name":"web-1","linkedStream":"web","consentLevels":[1]}`)
	state := func() string {
		return w.call(200, "GET", "/v1/streams", "").text + w.call(200, "GET", "/v1/projects", "").text + w.call(200, "GET", "/v1/data-contracts", "").text
	}
	before := state()
	contract := func(from, to string) string {
		body := manageContractBody("ours1/clicks/1.0.0")
		if !strings.Contains(body, from) {
			t.Fatalf("%s is not in the contract", from)
		}
		return strings.Replace(body, from, to, 1)
	}
	const streams, web, outputs, contracts = "/v1/streams", "/v1/streams/web", "/v1/streams/web/outputs", "/v1/data-contracts"
	cases := []struct {
		name, method, path, body string
		status                   int
		in                       string // of the message
	}{
		{"no body", "POST", streams, ``, 400, "body"},
		{"blank body", "POST", streams, `  `, 400, "JSON"},
		{"not JSON", "POST", streams, `{"name":`, 400, "JSON"},
		{"JSON and more", "POST", streams, `{"name":"a1"} x`, 400, "JSON"},
		{"two objects", "POST", streams, `{"name":"a1"}{"name":"a2"}`, 400, "JSON"},
		{"single quotes", "POST", streams, `{'name':'a1'}`, 400, "JSON"},
		{"a list", "POST", streams, `[{"name":"a1"}]`, 400, "object"},
		{"text", "POST", streams, `"a1"`, 400, "object"},
		{"null", "POST", streams, `null`, 400, ""},
		{"no name", "POST", streams, `{}`, 400, "name"},
		{"unknown member", "POST", streams, `{"name":"a1","nmae":"x"}`, 400, "nmae"},
		{"unknown member inside", "POST", streams, `{"ref":{"name":"a1","project":"x"}}`, 400, "ref.project"},
		{"a member twice", "POST", streams, `{"name":"a1","name":"a2"}`, 400, "The body is not valid JSON: a name stands twice in an object at byte 13"},
		{"a member twice, once escaped", "POST", streams, `{"name":"a1","n\u0061me":"a2"}`, 400, "twice"},
		{"a member twice inside", "PATCH", web, `{"limits":{"eventRate":"5","eventRate":"7"}}`, 400, "twice"},
		{"a member of another case", "POST", streams, `{"name":"a1","Tags":["x"]}`, 400, "Tags: is not known here"},
		{"a required member of another case", "POST", streams, `{"NAME":"a1"}`, 400, "NAME: is not known here"},
		{"a name with half a character", "POST", streams, `{"name":"a\ud800"}`, 400, "The body is not valid JSON: an unpaired surrogate stands in a string at byte 10"},
		{"wrong type", "POST", streams, `{"name":1}`, 400, "name"},
		{"wrong type of tags", "POST", streams, `{"name":"a1","tags":"x"}`, 400, "tags"},
		{"wrong type of a tag", "POST", streams, `{"name":"a1","tags":["x",2]}`, 400, "tags[1]"},
		{"names that differ", "POST", streams, `{"name":"a1","ref":{"name":"a2"}}`, 400, "ref.name"},
		{"another project's id", "POST", streams, `{"ref":{"name":"a1","projectId":"00000000-0000-4000-8000-000000000000"}}`, 400, "ref.projectId"},
		{"a name that is taken", "POST", streams, `{"name":"web"}`, 409, "Stream 'web' exists already"},
		{"a name that is too short", "POST", streams, `{"name":"a"}`, 400, "name"},
		{"a name that is too long", "POST", streams, `{"name":"` + strings.Repeat("a", 101) + `"}`, 400, "name"},
		{"a name with a slash", "POST", streams, `{"name":"a/b"}`, 400, "name"},
		{"a name with NUL", "POST", streams, `{"name":"a\u0000b"}`, 400, "name"},
		{"a name with a line end", "POST", streams, `{"name":"a\nb"}`, 400, "name"},
		{"a name that is not UTF-8", "POST", streams, "{\"name\":\"a\xff\xfeb\"}", 400, "UTF-8"},
		{"unknown payload", "POST", streams, `{"name":"a1","payload":"yaml"}`, 400, "payload"},
		{"unknown contract", "POST", streams, `{"name":"a1","contract":"none1/such/1.0.0"}`, 400, "contract"},
		{"description too long", "POST", streams, `{"name":"a1","description":"` + strings.Repeat("d", 1001) + `"}`, 400, "description"},
		{"too many tags", "POST", streams, `{"name":"a1","tags":[` + strings.Repeat(`"t",`, 20) + `"t"]}`, 400, "tags"},
		{"levels of a source", "POST", streams, `{"name":"a1","consentLevels":[1]}`, 400, "consentLevels"},
		{"level type of a source", "POST", streams, `{"name":"a1","consentLevelType":"GRANULAR"}`, 400, "consentLevelType"},
		{"derived without levels", "POST", streams, `{"name":"a1","linkedStream":"web"}`, 400, "consentLevels"},
		{"derived of nothing", "POST", streams, `{"linkedStream":"none","consentLevels":[1]}`, 400, "linkedStream"},
		{"derived of derived", "POST", streams, `{"linkedStream":"web-1","consentLevels":[1]}`, 400, ""},
		{"derived that is there", "POST", streams, `{"linkedStream":"web","consentLevels":[1]}`, 409, ""},
		{"secret in a request", "POST", streams, `{"name":"a1","credentials":[{"clientId":"x"}]}`, 400, "credentials"},
		{"over the limit", "POST", streams, `{"name":"a1","description":"` + strings.Repeat("d", 70<<10) + `"}`, 413, "large"},
		{"far over the limit", "POST", streams, `{"name":"a1","description":"` + strings.Repeat("d", 10<<20) + `"}`, 413, ""},
		{"ten thousand deep", "POST", streams, strings.Repeat("[", 30000) + strings.Repeat("]", 30000), 400, ""},
		{"many faults", "POST", streams, `{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7}`, 400, "more"},
		{"unknown parameter", "GET", streams + "?projct=x", ``, 400, "projct"},
		{"a parameter twice", "GET", streams + "?project=default&project=other", ``, 400, "project"},
		{"a query that cannot be read", "GET", streams + "?project=%zz", ``, 400, "query"},
		{"a query that is not UTF-8", "GET", streams + "?project=%ff", ``, 400, "UTF-8"},
		{"a parameter of the wrong type", "DELETE", web + "?recursive=perhaps", ``, 400, "recursive"},
		{"2021 with more", "PUT", streams, `{"name":"a1","payload":"json"}`, 400, "payload"},
		{"2021 without name", "PUT", streams, `{}`, 400, "name"},

		{"level above 63", "POST", outputs, `{"consentLevels":[64]}`, 400, "consentLevels"},
		{"level below 0", "POST", outputs, `{"consentLevels":[-1]}`, 400, "consentLevels"},
		{"level that is no number", "POST", outputs, `{"consentLevels":["1"]}`, 400, "consentLevels[0]"},
		{"level that is no whole number", "POST", outputs, `{"consentLevels":[1.5]}`, 400, "consentLevels"},
		{"level that is written as a fraction", "POST", outputs, `{"consentLevels":[1.0]}`, 400, "consentLevels"},
		{"level that is huge", "POST", outputs, `{"consentLevels":[1e400]}`, 400, ""},
		{"no level", "POST", outputs, `{"consentLevels":[]}`, 400, "consentLevels"},
		{"no levels", "POST", outputs, `{"name":"a1"}`, 400, "consentLevels"},
		{"a level twice", "POST", outputs, `{"consentLevels":[3,3],"consentLevelType":"GRANULAR"}`, 400, "consentLevels"},
		{"51 levels", "POST", outputs, `{"consentLevels":[` + strings.Repeat("1,", 50) + `1]}`, 400, "consentLevels"},
		{"two levels, cumulative", "POST", outputs, `{"consentLevels":[3,4]}`, 400, "consentLevels"},
		{"unknown level type", "POST", outputs, `{"consentLevels":[3],"consentLevelType":"ALL"}`, 400, "consentLevelType"},

		{"patch of nothing", "PATCH", "/v1/streams/none", `{}`, 404, "none"},
		{"patch without a body", "PATCH", web, ``, 400, "body"},
		{"patch by a list", "PATCH", web, `[{"op":"replace"}]`, 400, "object"},
		{"patch of the name", "PATCH", web, `{"name":"web2"}`, 400, "name"},
		{"patch of a secret", "PATCH", web, `{"credentials":[]}`, 400, "credentials"},
		{"wrong type in a patch", "PATCH", web, `{"enabled":"no"}`, 400, "enabled"},
		{"limits that are negative", "PATCH", web, `{"limits":{"eventRate":-1}}`, 400, "limits.eventRate"},
		{"limits that are no numbers", "PATCH", web, `{"limits":{"eventRate":"many"}}`, 400, "limits.eventRate"},
		{"limits that are fractions", "PATCH", web, `{"limits":{"eventCount":1.5}}`, 400, "limits.eventCount"},
		{"limits beyond 64 bits", "PATCH", web, `{"limits":{"eventCount":"99999999999999999999"}}`, 400, "limits.eventCount"},
		{"limits beyond what a float says", "PATCH", web, `{"limits":{"eventCount":1e17}}`, 400, "whole number"},
		{"unknown limit", "PATCH", web, `{"limits":{"events":1}}`, 400, "limits.events"},
		{"retention that is none", "PATCH", web, `{"retention":"soon"}`, 400, "retention"},
		{"retention below 0", "PATCH", web, `{"retention":"-1h"}`, 400, "retention"},
		{"retention that overflows", "PATCH", web, `{"retention":"200000d"}`, 400, "retention"},
		{"size that is none", "PATCH", web, `{"retentionBytes":"much"}`, 400, "retentionBytes"},
		{"size that overflows", "PATCH", web, `{"retentionBytes":"99999999TB"}`, 400, "retentionBytes"},
		{"levels of a source, patched", "PATCH", web, `{"consentLevels":[1]}`, 400, "consentLevels"},
		{"levels gone", "PATCH", "/v1/streams/web-1", `{"consentLevels":null}`, 400, "consentLevels"},
		{"limits of a derived stream", "PATCH", "/v1/streams/web-1", `{"limits":{"eventRate":1}}`, 400, "limits"},
		{"retention of a derived stream", "PATCH", "/v1/streams/web-1", `{"retention":"1d"}`, 400, "retention"},

		{"project without name", "POST", "/v1/projects", `{}`, 400, "name"},
		{"project with a slash", "POST", "/v1/projects", `{"name":"a/b"}`, 400, "name"},
		{"project beyond ASCII", "POST", "/v1/projects", `{"name":"ünï"}`, 400, "name"},
		{"project with more", "POST", "/v1/projects", `{"name":"shop","appKey":"x"}`, 400, "appKey"},
		{"project's id", "PATCH", "/v1/projects/default", `{"projectId":"x"}`, 400, "projectId"},
		{"rotate perhaps", "PATCH", "/v1/projects/default", `{"rotateMasterSecret":"yes"}`, 400, "rotateMasterSecret"},

		{"contract without schema", "POST", contracts, `{"ref":"ours1/clicks/1.0.0","keyField":"x"}`, 400, "schema"},
		{"contract with an empty schema", "POST", contracts, `{"ref":"ours1/clicks/1.0.0","keyField":"x","schema":""}`, 400, "schema"},
		{"contract with a number for a schema", "POST", contracts, `{"ref":"ours1/clicks/1.0.0","keyField":"x","schema":7}`, 400, "schema"},
		{"schema that is none", "POST", contracts, `{"ref":"ours1/clicks/1.0.0","keyField":"x","schema":{"type":"recrod"}}`, 400, "schema"},
		{"ref of two parts", "POST", contracts, contract("ours1/clicks/1.0.0", "ours1/clicks"), 400, "ref"},
		{"ref with no version", "POST", contracts, contract("1.0.0", "latest"), 400, "ref"},
		{"reserved handle", "POST", contracts, contract("ours1/", "strmprivacy/"), 400, "ref"},
		{"key field that is none", "POST", contracts, contract(`"keyField":"session"`, `"keyField":"sesion"`), 400, "keyField"},
		{"personal field that is none", "POST", contracts, contract(`{"visitor":1}`, `{"visiter":1}`), 400, "visiter"},
		{"level of a field", "POST", contracts, contract(`{"visitor":1}`, `{"visitor":"one"}`), 400, "piiFields.visitor"},
		{"validation of another type", "POST", contracts, contract(`"type":"regex"`, `"type":"minimum"`), 400, "validations"},
		{"validation without a field", "POST", contracts, contract(`"field":"url",`, ``), 400, "validations[0]"},
		{"regex that is none", "POST", contracts, contract(`^https://`, `(`), 400, "validations"},
		{"subject that is none", "POST", contracts, contract(`"dataSubjectField":"visitor"`, `"dataSubjectField":"v"`), 400, "dataSubjectField"},
		{"unknown member of a contract", "POST", contracts, contract(`"keyField"`, `"owner":"x","keyField"`), 400, "owner"},
		{"unknown envelope member", "POST", contracts, contract(`"keyField"`, `"envelope":{"kind":"x"},"keyField"`), 400, "envelope.kind"},
		{"contract over the limit", "POST", contracts, contract(`"keyField"`, `"shortId":"`+strings.Repeat("x", 1<<20)+`","keyField"`), 413, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := w.send(c.method, c.path, manageAdmin, c.body)
			if a.status != c.status || !strings.Contains(a.message(), c.in) {
				t.Errorf("%d %s, want %d with %q", a.status, a.text, c.status, c.in)
			}
			for _, ugly := range []string{"Go ", "struct", "json:", "gateway.", "manage", "registry.", "panic"} {
				if strings.Contains(a.message(), ugly) {
					t.Errorf("message %q", a.message())
				}
			}
			if len(a.text) > 2000 {
				t.Errorf("an answer of %d bytes", len(a.text))
			}
		})
	}
	if after := state(); after != before {
		t.Errorf("something was changed:\n%s\n%s", before, after)
	}
}

func TestManageContentTypes(t *testing.T) {
	w := newManageWorld(t)
	for i, ok := range []string{"application/json", "application/json; charset=utf-8", "application/merge-patch+json", "application/x-www-form-urlencoded"} {
		w.call(201, "POST", "/v1/streams", `{"name":"ok`+string(rune('a'+i))+`"}`, "Content-Type", ok)
	}
	w.call(201, "POST", "/v1/streams", `{"name":"none"}`)
	for _, bad := range []string{"text/plain", "application/xml", "multipart/form-data; boundary=x"} {
		w.call(415, "POST", "/v1/streams", `{"name":"bad"}`, "Content-Type", bad)
	}
	w.call(415, "POST", "/v1/streams", `{"name":"bad"}`, "Content-Encoding", "gzip")
	for _, accept := range []string{"text/html", "application/xml;q=0.9", "*/*", "json"} {
		w.call(200, "GET", "/v1/streams", "", "Accept", accept)
	}
	w.call(404, "GET", "/v1/streams/bad", "")
	for _, scheme := range []string{"bearer ", "BEARER "} {
		if a := w.send("GET", "/v1/streams", "", "", "Authorization", scheme+manageAdmin); a.status != 200 {
			t.Errorf("%s: %d", scheme, a.status)
		}
	}
	for _, scheme := range []string{"", "Basic ", "Token "} {
		if a := w.send("GET", "/v1/streams", "", "", "Authorization", scheme+manageAdmin); a.status != 401 {
			t.Errorf("%q: %d", scheme, a.status)
		}
	}
}
