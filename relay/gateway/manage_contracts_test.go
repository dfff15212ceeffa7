package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"
)

const manageAvro = `{"type":"record","name":"Click","fields":[
	{"name":"strmMeta","type":{"type":"record","name":"StrmMeta","fields":[
		{"name":"eventContractRef","type":"string"},{"name":"nonce","type":["null","int"],"default":null},
		{"name":"timestamp","type":["null","long"],"default":null},{"name":"keyLink","type":["null","string"],"default":null},
		{"name":"billingId","type":["null","string"],"default":null},{"name":"consentLevels","type":{"type":"array","items":"int"}}]}},
	{"name":"session","type":"string"},{"name":"url","type":"string"},{"name":"visitor","type":["null","string"],"default":null}]}`

// manageContractBody is a data contract to be made, its schema as an object.
func manageContractBody(ref string) string {
	return `{"ref":"` + ref + `","schemaType":"AVRO","schema":` + manageAvro + `,"keyField":"session","piiFields":{"visitor":1},
		"validations":[{"field":"url","type":"regex","value":"^https://"}],"dataSubjectField":"visitor"}`
}

func manageQuote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestManageContracts(t *testing.T) {
	w := newManageWorld(t)
	const at = "/v1/data-contracts/ours1/clicks/1.0.0"
	list := w.call(200, "GET", "/v1/data-contracts", "")
	var built []string
	for _, c := range list.json.([]any) {
		c := c.(map[string]any)
		built = append(built, c["ref"].(string))
		if c["state"] != "ACTIVE" || c["isPublic"] != true {
			t.Errorf("built in: %v %v %v", c["ref"], c["state"], c["isPublic"])
		}
	}
	if got := strings.Join(built, " "); !strings.Contains(got, "strmprivacy/clickstream/1.0.0") || !strings.Contains(got, "strmprivacy/example/1.3.0") {
		t.Errorf("built in: %s", got)
	}

	made := w.call(201, "POST", "/v1/data-contracts", manageContractBody("ours1/clicks/1.0.0"))
	shape := func(ref, state, public string) string {
		return `{"ref":"` + ref + `","schemaType":"AVRO","schema":"<schema>","keyField":"session","piiFields":{"visitor":1},
			"validations":[{"field":"url","type":"regex","value":"^https://"}],"dataSubjectField":"visitor","state":"` + state + `","isPublic":` + public + `}`
	}
	made.want(t, shape("ours1/clicks/1.0.0", "DRAFT", "false"))
	var sent, kept any
	w.must(json.Unmarshal([]byte(manageAvro), &sent))
	w.must(json.Unmarshal([]byte(made.str("schema")), &kept))
	if !manageSame(sent, kept) {
		t.Errorf("the schema changed: %s", made.str("schema"))
	}
	w.call(200, "GET", at, "").want(t, shape("ours1/clicks/1.0.0", "DRAFT", "false"))
	if got := w.call(409, "POST", "/v1/data-contracts", manageContractBody("ours1/clicks/1.0.0")).message(); got != "Data contract 'ours1/clicks/1.0.0' exists already" {
		t.Errorf("message %q", got)
	}

	// As text, with the ref in parts, fields described in more words, and public.
	text := `{"ref":{"handle":"ours1","name":"clicks","version":"1.1.0"},"schema":` + manageQuote(manageAvro) + `,"keyField":"session","isPublic":true,
		"fieldMetadata":[{"fieldName":"visitor","personalDataConfig":{"isPii":true,"purposeLevel":2}}],"shortId":"clicks_unified_v1",
		"envelope":{"type":"url"}}`
	w.call(201, "POST", "/v1/data-contracts", text).want(t, `{"ref":"ours1/clicks/1.1.0","shortId":"clicks_unified_v1","schemaType":"AVRO","schema":"<schema>",
		"keyField":"session","fieldMetadata":[{"fieldName":"visitor","personalDataConfig":{"isPii":true,"purposeLevel":2}}],"envelope":{"type":"url"},
		"state":"DRAFT","isPublic":true}`)

	w.call(200, "POST", at+"/activate", "").want(t, shape("ours1/clicks/1.0.0", "ACTIVE", "false"))
	w.call(200, "POST", at+"/archive", "").want(t, shape("ours1/clicks/1.0.0", "ARCHIVED", "false"))
	w.call(200, "POST", at+"/activate", "").want(t, shape("ours1/clicks/1.0.0", "ACTIVE", "false"))

	schema := w.call(200, "GET", "/v1/schemas/ours1/clicks/1.0.0", "")
	schema.want(t, `{"ref":"ours1/clicks/1.0.0","schemaType":"AVRO","definition":"<schema>","fingerprint":"6810827250218766864","state":"ACTIVE","isPublic":false}`)
	if schema.str("definition") != made.str("schema") {
		t.Error("the schema is another one")
	}
	if n := len(w.call(200, "GET", "/v1/schemas", "").json.([]any)); n != len(built)+2 {
		t.Errorf("%d schemas", n)
	}

	for _, missing := range []string{"/v1/data-contracts/ours1/clicks/9.0.0", "/v1/data-contracts/other/clicks/1.0.0", "/v1/schemas/ours1/clicks/9.0.0"} {
		w.call(404, "GET", missing, "")
	}
	w.call(404, "POST", "/v1/data-contracts/ours1/clicks/9.0.0/activate", "")
	w.call(404, "POST", "/v1/data-contracts/ours1/clicks/9.0.0/check", "{}")
	w.call(404, "DELETE", "/v1/data-contracts/ours1/clicks/9.0.0", "")

	w.call(201, "POST", "/v1/data-contracts", manageContractBody("ours1/drafts/1.0.0"))
	w.call(200, "DELETE", "/v1/data-contracts/ours1/drafts/1.0.0", "").want(t, shape("ours1/drafts/1.0.0", "DRAFT", "false"))
	w.call(404, "GET", "/v1/data-contracts/ours1/drafts/1.0.0", "")
	for _, change := range []string{"POST /activate", "POST /archive", "DELETE "} {
		method, tail, _ := strings.Cut(change, " ")
		w.call(409, method, "/v1/data-contracts/strmprivacy/example/1.3.0"+tail, "")
	}
}

// TestManageContractsOfOthers sees what one project can see and change of another's contracts.
func TestManageContractsOfOthers(t *testing.T) {
	w := newManageWorld(t)
	w.call(201, "POST", "/v1/projects", `{"name":"other"}`)
	w.call(201, "POST", "/v1/data-contracts", manageContractBody("ours1/private/1.0.0"))
	public := strings.Replace(manageContractBody("ours1/public/1.0.0"), `"schemaType"`, `"public":true,"schemaType"`, 1)
	w.call(201, "POST", "/v1/data-contracts", public)
	w.call(200, "POST", "/v1/data-contracts/ours1/public/1.0.0/activate", "")

	w.call(404, "GET", "/v1/data-contracts/ours1/private/1.0.0?project=other", "")
	w.call(404, "POST", "/v1/data-contracts/ours1/private/1.0.0/check?project=other", "{}")
	if got := w.call(200, "GET", "/v1/data-contracts/ours1/public/1.0.0?project=other", ""); got.at("isPublic") != true {
		t.Errorf("public: %s", got.text)
	}
	for _, change := range []string{"POST /archive", "DELETE "} {
		method, tail, _ := strings.Cut(change, " ")
		w.call(403, method, "/v1/data-contracts/ours1/public/1.0.0"+tail+"?project=other", "")
		w.call(404, method, "/v1/data-contracts/ours1/private/1.0.0"+tail+"?project=other", "")
	}
	if got := w.call(200, "GET", "/v1/data-contracts/ours1/public/1.0.0", ""); got.str("state") != "ACTIVE" {
		t.Errorf("changed by another project: %s", got.text)
	}
}

func TestManageContractCheck(t *testing.T) {
	w := newManageWorld(t)
	w.call(201, "POST", "/v1/data-contracts", manageContractBody("ours1/clicks/1.0.0"))
	const at = "/v1/data-contracts/ours1/clicks/1.0.0/check"
	event := func(members string) string {
		return `{"strmMeta":{"eventContractRef":"ours1/clicks/1.0.0","consentLevels":[1]},` + members + `}`
	}
	cases := []struct{ name, body, in string }{
		{"good", event(`"session":"s","url":"https://x","visitor":"v"`), ""},
		{"optional left out", event(`"session":"s","url":"https://x"`), ""},
		{"missing", event(`"session":"s"`), "url"},
		{"extra", event(`"session":"s","url":"https://x","more":1`), "more"},
		{"wrong type", event(`"session":1,"url":"https://x"`), "session"},
		{"rule", event(`"session":"s","url":"ftp://x"`), "url"},
		{"empty key", event(`"session":"","url":"https://x"`), "session"},
		{"not JSON", `{"session":`, "JSON"},
		{"not an object", `[1]`, ""},
		{"not UTF-8", event(`"session":"` + "\xff" + `","url":"https://x"`), ""},
		{"another contract's", strings.Replace(event(`"session":"s","url":"https://x"`), "1.0.0", "1.1.0", 1), "eventContractRef"},
		{"deep", event(`"session":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000)), ""},
	}
	for _, state := range []string{"draft", "active"} {
		for i, c := range cases {
			t.Run(state+" "+c.name, func(t *testing.T) {
				got := w.call(200, "POST", at, c.body)
				if good := i < 2; good {
					got.want(t, `{"valid":true}`)
					return
				}
				got.want(t, `{"valid":false,"message":"<why>"}`)
				if !strings.Contains(got.str("message"), c.in) {
					t.Errorf("message %q", got.str("message"))
				}
			})
		}
		w.call(200, "POST", "/v1/data-contracts/ours1/clicks/1.0.0/activate", "")
	}
	w.call(400, "POST", at, "")
}
