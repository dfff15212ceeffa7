package gateway_test

import (
	"strings"
	"testing"
	"time"
)

// TestManageContractPatch edits a draft in all its parts and an active contract in its metadata alone.
func TestManageContractPatch(t *testing.T) {
	w := newManageWorld(t)
	w.call(201, "POST", "/v1/data-contracts", manageContractBody("ours1/clicks/1.0.0"))
	const at = "/v1/data-contracts/ours1/clicks/1.0.0"
	patched := w.call(200, "PATCH", at, `{"piiFields":{"url":2,"visitor":null},"dataSubjectField":null,"validations":[],"shortId":"clicks_v1",
		"fieldMetadata":[{"fieldName":"session","statisticalDataType":"NOMINAL"}],"envelope":{"type":"session"},"isPublic":true,
		"metadata":{"title":"Clicks","labels":[{"key":"team","value":"web"}],"domains":["shop"]}}`)
	const want = `{"ref":"ours1/clicks/1.0.0","shortId":"clicks_v1","schemaType":"AVRO","schema":"<schema>","keyField":"session","piiFields":{"url":2},
		"fieldMetadata":[{"fieldName":"session","statisticalDataType":"NOMINAL"}],"envelope":{"type":"session"},
		"metadata":{"title":"Clicks","labels":[{"key":"team","value":"web"}],"domains":["shop"]},"state":"DRAFT","isPublic":true}`
	patched.want(t, want)
	w.call(200, "GET", at, "").want(t, want)
	w.call(200, "PATCH", at, `{}`).want(t, want)

	for body, says := range map[string]string{
		`{"keyField":"nowhere"}`:               "keyField: field 'nowhere' is not in the schema",
		`{"keyField":7}`:                       "keyField: must be a string",
		`{"piiFields":{"url":"high"}}`:         "body.piiFields",
		`{"metadata":{"titel":"x"}}`:           `"titel" is not known here`,
		`{"envelope":{"typ":"x"}}`:             `"typ" is not known here`,
		`{"ref":"ours1/other/1.0.0"}`:          "ref",
		`{"state":"ACTIVE"}`:                   "state",
		`{"schema":"{"}`:                       "schema",
		`{"schemaType":"PROTOBUF"}`:            "schemaType: 'PROTOBUF' is not supported",
		`{"piiFields":{"url":2,"session":99}}`: "field 'session' has level 99",
		`[]`:                                   "",
		`{"metadata":{"description":"` + strings.Repeat("x", 70<<10) + `"}}`: "metadata: it has more than 65536 bytes",
	} {
		if got := w.call(400, "PATCH", at, body).message(); !strings.Contains(got, says) {
			t.Errorf("%.60s: %q, want %q", body, got, says)
		}
	}
	w.call(200, "GET", at, "").want(t, want)

	// Another schema, of another type: the contract says what is left of it.
	simple := w.call(200, "PATCH", at, `{"schema":"name: Visit\nnodes: [{name: session, type: STRING, required: true}, {name: url, type: STRING}]\n"}`)
	if simple.str("schemaType") != "AVRO" || !strings.HasPrefix(simple.str("simpleSchema"), "name: Visit") || !strings.Contains(simple.str("schema"), `"namespace":"ours1.clicks.v1_0_0"`) {
		t.Errorf("simple: %s", simple.text)
	}
	back := w.call(200, "PATCH", at, `{"schema":`+manageAvro+`}`)
	if back.at("simpleSchema") != nil || back.str("schemaType") != "AVRO" || !strings.HasPrefix(back.str("schema"), `{"type":"record","name":"Click"`) {
		t.Errorf("back: %s", back.text)
	}

	w.call(200, "POST", at+"/activate", "")
	for _, body := range []string{`{"keyField":"url"}`, `{"isPublic":false}`, `{"piiFields":{"session":1}}`, `{"schema":` + manageAvro + `,"shortId":null}`} {
		if got := w.call(409, "PATCH", at, body).message(); got != "Data contract ours1/clicks/1.0.0 is active: only its metadata can be changed. Make a new version" {
			t.Errorf("%s: %q", body, got)
		}
	}
	if got := w.call(200, "PATCH", at, `{"metadata":{"title":"All clicks","domains":null}}`); !strings.Contains(got.text, `"metadata":{"title":"All clicks","labels":[{"key":"team","value":"web"}]}`) || got.str("state") != "ACTIVE" {
		t.Errorf("metadata of an active one: %s", got.text)
	}
	w.call(404, "PATCH", "/v1/data-contracts/ours1/clicks/7.0.0", `{}`)
	w.call(409, "PATCH", "/v1/data-contracts/strmprivacy/example/1.3.0", `{"metadata":{"title":"x"}}`)
	w.call(201, "POST", "/v1/projects", `{"name":"other"}`)
	w.call(403, "PATCH", at+"?project=other", `{"metadata":{"title":"x"}}`)
}

// TestManageSchemaTypes makes contracts of each type of schema, found out and named.
func TestManageSchemaTypes(t *testing.T) {
	w := newManageWorld(t)
	body := func(ref, schema, more string) string {
		return `{"ref":"` + ref + `","schema":` + schema + `,"keyField":"session"` + more + `}`
	}
	jsonSchema := `{"type":"object","properties":{"strmMeta":{"type":"object","properties":{"eventContractRef":{"type":"string"},"consentLevels":{"type":"array"}}},
		"session":{"type":"string"},"mail":{"type":"string"}}}`
	made := w.call(201, "POST", "/v1/data-contracts", body("ours1/json/1.0.0", jsonSchema, `,"piiFields":{"mail":1}`))
	if made.str("schemaType") != "JSONSCHEMA" {
		t.Errorf("type: %s", made.text)
	}
	shown := w.call(200, "GET", "/v1/schemas/ours1/json/1.0.0", "")
	if shown.at("fingerprint") != nil || shown.str("schemaType") != "JSONSCHEMA" || shown.str("definition") != made.str("schema") {
		t.Errorf("schema: %s", shown.text)
	}
	if got := w.call(400, "POST", "/v1/data-contracts", body("ours1/json/1.1.0", manageAvro, "")).message(); !strings.Contains(got, "schemaType: the versions before are of type JSONSCHEMA") {
		t.Errorf("another type: %q", got)
	}
	if got := w.call(400, "POST", "/v1/data-contracts", body("ours1/away/1.0.0", `{"properties":{"x":{"$ref":"http://127.0.0.1:1/x.json"}}}`, "")).message(); !strings.Contains(got, "other documents are not loaded") {
		t.Errorf("remote: %q", got)
	}
	simple := manageQuote("name: My Visits\nnodes:\n- {name: session, type: STRING, required: true}\n- {name: First Name, type: STRING}\n")
	made = w.call(201, "POST", "/v1/data-contracts", body("ours1/simple-one/1.0.0", simple, `,"schemaType":"SIMPLE","piiFields":{"FirstName":1},"metadata":{"title":"t"}`))
	if made.str("schemaType") != "AVRO" || !strings.Contains(made.str("simpleSchema"), "First Name") || !strings.Contains(made.str("schema"), `"name":"MyVisits","namespace":"ours1.SimpleOne.v1_0_0"`) {
		t.Errorf("simple: %s", made.text)
	}
	shown = w.call(200, "GET", "/v1/schemas/ours1/simple-one/1.0.0", "")
	if shown.str("fingerprint") == "" || !strings.Contains(shown.str("simpleSchema"), "First Name") {
		t.Errorf("schema: %s", shown.text)
	}
	for more, says := range map[string]string{
		`,"nothing":1`: "nothing",
		`,"fieldMetadata":[{"fieldName":"session","nullHandlingConfig":{"type":"SKIP"}}]`: "fieldMetadata: field 'session' has nullHandlingConfig 'SKIP', it must be DROP_RECORD or DEFAULT_VALUE",
		`,"fieldMetadata":[{"fieldName":"session","statisticalDataType":"MEAN"}]`:         "fieldMetadata: field 'session' has statisticalDataType 'MEAN'",
		`,"fieldMetadata":[{"fieldName":"session","level":1}]`:                            "level",
		`,"piiFields":{"strmMeta/nonce":1}`:                                               "piiFields: field 'strmMeta/nonce' must not lie in strmMeta",
	} {
		if got := w.call(400, "POST", "/v1/data-contracts", body("ours1/wrong/1.0.0", manageAvro, more)).message(); !strings.Contains(got, says) {
			t.Errorf("%s: %q", more, got)
		}
	}
}

// TestManageContractCheckIsAccept: check says of an event what /event would, in both encodings.
func TestManageContractCheckIsAccept(t *testing.T) {
	w := newManageWorld(t)
	body := strings.Replace(manageContractBody("ours1/clicks/1.0.0"), `"keyField"`, `"shortId":"clicks_v1","envelope":{"occurred":"url"},"keyField"`, 1)
	body = strings.Replace(body, `"validations":[{"field":"url","type":"regex","value":"^https://"}],`, "", 1)
	w.call(201, "POST", "/v1/data-contracts", body)
	const at = "/v1/data-contracts/ours1/clicks/1.0.0/check"
	event := func(meta string, occurred time.Time) string {
		return `{"strmMeta":{` + meta + `"consentLevels":[1]},"session":"s","url":"` + occurred.UTC().Format(time.RFC3339) + `"}`
	}
	now := time.Now()
	for _, row := range []struct{ body, says string }{
		{event(`"eventContractRef":"ours1/clicks/1.0.0",`, now), ""},
		{event(`"schemaId":"clicks_v1",`, now), ""},
		{event(`"schemaId":"ours1/clicks/1.0.0",`, now), ""},
		{event(`"schemaId":"clicks_v2",`, now), "field 'strmMeta/schemaId' must be 'clicks_v1' or 'ours1/clicks/1.0.0'"},
		{event(`"eventContractRef":"ours1/clicks/1.0.0",`, now.Add(-91*24*time.Hour)), "it occurred more than 90 days ago"},
		{"\x24ours1/clicks/1.0.0\x00\x00\x00\x00\x02\x02\x00\x02s\x02u\x00", "field 'url' must be a time"},
		{"\x24ours1", "Body is not an Avro datum of schema 'ours1/clicks/1.0.0'"},
	} {
		got := w.call(200, "POST", at, row.body)
		if valid := row.says == ""; got.at("valid") != valid || !valid && !strings.Contains(got.str("message"), row.says) {
			t.Errorf("%q: %s", row.body, got.text)
		}
	}
	if got := w.call(400, "POST", at, "{}", "Strm-Serialization-Type", "text/xml").message(); !strings.Contains(got, "Strm-Serialization-Type must be") {
		t.Errorf("%q", got)
	}
	if got := w.call(200, "POST", at, "{}", "Strm-Serialization-Type", "application/x-avro-binary"); !strings.Contains(got.str("message"), "not an Avro datum") {
		t.Errorf("%s", got.text)
	}
}
