package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/twmb/avro"

	"sluice/relay/contract"
	"sluice/relay/registry"
)

// contract makes an active contract of the default project.
func (e *edge) contract(d contract.Definition) {
	e.t.Helper()
	_, err := e.reg.CreateContract(e.t.Context(), e.project("default"), d, false)
	e.must(err)
	_, err = e.reg.SetContractState(e.t.Context(), e.project("default"), d.Ref, registry.Active)
	e.must(err)
}

// avroOf writes an event, given as JSON, as Avro does.
func avroOf(t *testing.T, schema, event string) string {
	t.Helper()
	s := avro.MustParse(schema)
	var v any
	if err := s.DecodeJSON([]byte(event), &v); err != nil {
		t.Fatal(err)
	}
	b, err := s.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// shows reads all events of a stream, which are n.
func (e *edge) shows(st made, n int) []map[string]any {
	e.t.Helper()
	a := e.want(200, "GET", "/v1/streams/"+st.Name+"/events?from=EARLIEST&timeout=10s&limit="+string(rune('0'+n)), st.token, "")
	var all []map[string]any
	for line := range strings.Lines(a.body) {
		var v map[string]any
		e.must(json.Unmarshal([]byte(line), &v))
		all = append(all, v)
	}
	if len(all) != n {
		e.t.Fatalf("%d events, want %d: %s", len(all), n, a.body)
	}
	return all
}

// TestEventEncodings sends one event in every way that clients of any year do, each of which is stored alike.
func TestEventEncodings(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "by-hand"})
	clear := e.stream("default", registry.StreamSpec{Name: "clear", DerivedFrom: "by-hand", Levels: []int{1}})
	plain := `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0,1]},"producerSessionId":"p","url":"https://a.example","eventType":"e","referrer":"","userAgent":"","conversion":1,"abTests":["x"],"customer":{"id":"c"}}`
	wrapped := strings.Replace(plain, `"consentLevels"`, `"nonce":null,"timestamp":{"long":7},"keyLink":{"string":""},"billingId":null,"consentLevels"`, 1)
	schema := contract.Builtin()[0].Schema
	binary := avroOf(t, schema, wrapped)
	const avroType, jsonType = "application/x-avro-binary", "application/json"
	rows := []struct {
		name, body string
		headers    []string
		status     int
		says       string
	}{
		{"JSON as curl sends it", plain, []string{refHeader, clickRef, "Content-Type", "application/x-www-form-urlencoded"}, 204, ""},
		{"Avro with the ref alone", binary, []string{refHeader, clickRef}, 204, ""},
		{"Avro of old drivers", binary, []string{"Strm-Schema-Id", "clickstream", "Strm-Serialization-Type", avroType, "Content-Type", "application/octet-stream"}, 204, ""},
		{"Avro by its content type", binary, []string{refHeader, clickRef, "Content-Type", avroType}, 204, ""},
		{"the serialization beats the content type", binary, []string{refHeader, clickRef, "Strm-Serialization-Type", avroType, "Content-Type", jsonType}, 204, ""},
		{"JSON with wrapped unions", wrapped, []string{refHeader, clickRef, "Strm-Serialization-Type", jsonType}, 204, ""},
		{"Avro said to be JSON", binary, []string{refHeader, clickRef, "Content-Type", jsonType}, 400, "Body is not valid JSON"},
		{"JSON said to be Avro", plain, []string{refHeader, clickRef, "Strm-Serialization-Type", avroType}, 400, "Body is not an Avro datum of schema 'strmprivacy/clickstream/1.0.0'"},
		{"Avro cut off", binary[:len(binary)-1], []string{refHeader, clickRef}, 400, "Body is not an Avro datum of schema 'strmprivacy/clickstream/1.0.0'"},
		{"Avro with something behind", binary + "x", []string{refHeader, clickRef}, 400, "Body is not an Avro datum of schema"},
		{"Avro without a ref", binary, nil, 400, "Header Strm-Schema-Ref is missing"},
		{"Avro of another schema", binary, []string{refHeader, "strmprivacy/example/1.3.0"}, 400, "Body is not an Avro datum of schema 'strmprivacy/example/1.3.0'"},
		{"Avro that breaks a rule", avroOf(t, schema, strings.Replace(wrapped, "https://a.example", "url", 1)), []string{refHeader, clickRef}, 400,
			"Field: 'url' in event with schema: 'strmprivacy/clickstream/1.0.0' with value: 'url'\n  doesn't match regex: '^(https?|ftp|file)://"},
		{"Avro without a key", avroOf(t, schema, strings.Replace(wrapped, `"p"`, `""`, 1)), []string{refHeader, clickRef}, 400, "Key field 'producerSessionId' is empty"},
		{"Avro that names another contract", avroOf(t, schema, strings.Replace(wrapped, "clickstream/1.0.0", "clickstream/2.0.0", 1)), []string{refHeader, clickRef}, 400, "field 'strmMeta/eventContractRef' must be"},
		{"single quotes", `{'strmMeta':{}}`, []string{refHeader, clickRef}, 400, "Body is not valid JSON: character ''' is not expected at byte 1"},
	}
	stored := 0
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			e.t = t
			a := e.want(row.status, "POST", "/event", st.token, row.body, row.headers...)
			if !strings.HasPrefix(a.body, row.says) && !strings.Contains(a.body, row.says) {
				t.Errorf("%q", a.body)
			}
		})
		if row.status == 204 {
			stored++
		}
	}
	e.t = t
	for i, got := range e.shows(clear, stored) {
		meta := got["strmMeta"].(map[string]any)
		if meta["nonce"] == nil || meta["timestamp"] == float64(7) || len(meta["keyLink"].(string)) != 36 {
			t.Errorf("event %d: the gateway did not fill strmMeta: %v", i, meta)
		}
		delete(got, "strmMeta")
		text, _ := json.Marshal(got)
		if want := `{"abTests":["x"],"conversion":1,"customer":{"id":"c"},"eventType":"e","producerSessionId":"p","referrer":"","url":"https://a.example","userAgent":""}`; string(text) != want {
			t.Errorf("event %d: %s", i, text)
		}
	}
	if got := e.shows(st, stored); !strings.HasPrefix(got[1]["producerSessionId"].(string), "A") || got[1]["producerSessionId"] != got[0]["producerSessionId"] {
		t.Errorf("the source shows %v", got[1])
	}
}

// TestEventOf2021 keeps the short id that such an event names its schema by, and gives it the project's billing id.
func TestEventOf2021(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "bart"})
	d := contract.Definition{
		Ref: "acme/nps-unified/1.0.0", ShortID: "nps_unified_v1", SchemaType: "AVRO", KeyField: "device_id", PiiFields: map[string]int{"customer_id": 1},
		Schema: `{"type":"record","name":"KioskEvent","fields":[{"name":"strmMeta","type":{"type":"record","name":"StrmMeta","fields":[
			{"name":"schemaId","type":"string"},{"name":"nonce","type":"int"},{"name":"timestamp","type":"long"},{"name":"keyLink","type":["null","int"]},
			{"name":"billingId","type":["null","string"]},{"name":"consentLevels","type":{"type":"array","items":"int"}}]}},
			{"name":"device_id","type":"string"},{"name":"customer_id","type":"string"}]}`,
	}
	e.contract(d)
	body := `{"strmMeta":{"schemaId":"nps_unified_v1","nonce":0,"timestamp":0,"keyLink":null,"billingId":null,"consentLevels":[0,1,2]},"device_id":"heel mooi","customer_id":""}`
	e.want(204, "POST", "/event", st.token, body, "Strm-Schema-Id", "nps_unified_v1")
	e.want(204, "POST", "/event", st.token, body)
	e.want(204, "POST", "/event", st.token, avroOf(t, d.Schema, body), "Strm-Schema-Id", d.Ref, "Strm-Serialization-Type", "application/x-avro-binary")
	if a := e.want(200, "POST", "/v1/streams/bart/events", st.token, body, "Strm-Schema-Id", "nps_unified_v1"); !strings.HasPrefix(a.body, `{"accepted":1`) {
		t.Errorf("bulk: %s", a.body)
	}
	if a := e.want(400, "POST", "/event", st.token, strings.Replace(body, "nps_unified_v1", "nps_unified_v2", 1), "Strm-Schema-Id", "nps_unified_v1"); a.body != "Event does not match schema 'acme/nps-unified/1.0.0': field 'strmMeta/schemaId' must be 'nps_unified_v1' or 'acme/nps-unified/1.0.0'" {
		t.Errorf("%q", a.body)
	}
	if a := e.want(400, "POST", "/event", st.token, body, "Strm-Schema-Id", "nps_unified_v9"); a.body != "Schema 'nps_unified_v9' is not known" {
		t.Errorf("%q", a.body)
	}
	billing := e.project("default").BillingID
	for i, got := range e.shows(st, 4) {
		meta := got["strmMeta"].(map[string]any)
		_, named := meta["eventContractRef"]
		if meta["schemaId"] != "nps_unified_v1" || named || meta["billingId"] != billing || len(meta["keyLink"].(string)) != 36 || meta["timestamp"] == float64(0) {
			t.Errorf("event %d: %v", i, meta)
		}
		if got["device_id"] != "heel mooi" || !strings.HasPrefix(got["customer_id"].(string), "A") {
			t.Errorf("event %d: %v", i, got)
		}
	}
}

// TestEventOfJSONSchema goes the whole street with a JSON Schema: refused with the field and never the value, taken,
// encrypted in lists and nested objects, decrypted by consent.
func TestEventOfJSONSchema(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "people", Contract: ""})
	clear := e.stream("default", registry.StreamSpec{Name: "people-1", DerivedFrom: "people", Levels: []int{1}})
	e.contract(contract.Definition{
		Ref: "acme/people/1.0.0", SchemaType: "JSONSCHEMA", KeyField: "session", DataSubjectField: "who/mail",
		PiiFields: map[string]int{"who/mail": 1, "aliases": 1, "trips/with": 2},
		Schema: `{"type":"object","required":["session","who"],"additionalProperties":false,"properties":{
			"strmMeta":{"type":"object","properties":{"eventContractRef":{"type":"string"},"consentLevels":{"type":"array"}}},
			"session":{"type":"string"},"who":{"type":"object","properties":{"mail":{"type":["string","null"],"maxLength":20}}},
			"aliases":{"type":"array","items":{"type":["string","null"]}},
			"trips":{"type":"array","items":{"type":"object","properties":{"with":{"type":"string"},"km":{"type":"number"}}}}}}`,
	})
	event := func(rest string) string {
		return `{"strmMeta":{"eventContractRef":"acme/people/1.0.0","consentLevels":[1]},"session":"s",` + rest + `}`
	}
	body := event(`"who":{"mail":"ann@example.com"},"aliases":["A","",null,"Ä\n"],"trips":[{"with":"Bob","km":1.5},{"km":2}]`)
	e.want(204, "POST", "/event", st.token, body)
	if a := e.want(400, "POST", "/event", st.token, "\xef\xbb\xbf"+event(`"who":1`)); !strings.Contains(a.body, "field 'who' must be object") {
		t.Errorf("behind a byte order mark: %s", a.body)
	}
	if a := e.want(200, "POST", "/v1/streams/people/events", st.token, body+"\n"+event(`"who":{"mail":null}`)+"\n"+event(`"who":"Ann"`)); a.body !=
		`{"accepted":2,"rejected":1,"errors":[{"line":3,"message":"Event does not match schema 'acme/people/1.0.0': field 'who' must be object"}]}` {
		t.Errorf("bulk: %s", a.body)
	}
	for rest, says := range map[string]string{
		`"who":{"mail":"a-very-long-secret@example.com"}`: "Event does not match schema 'acme/people/1.0.0': field 'who/mail' must have at most 20 characters",
		`"who":{},"aliases":["ok",7]`:                     "Event does not match schema 'acme/people/1.0.0': field 'aliases/1' must be string or null",
		`"aliases":[]`:                                    "Event does not match schema 'acme/people/1.0.0': field 'who' is missing",
		`"who":{},"secret":1`:                             "Event does not match schema 'acme/people/1.0.0': field 'secret' is not in the schema",
	} {
		if a := e.want(400, "POST", "/event", st.token, event(rest)); a.body != says {
			t.Errorf("%s: %q", rest, a.body)
		}
	}
	if a := e.want(400, "POST", "/event", st.token, body, "Strm-Serialization-Type", "application/x-avro-binary", refHeader, "acme/people/1.0.0"); a.body != "Schema 'acme/people/1.0.0' is not Avro: its events are sent as application/json" {
		t.Errorf("%q", a.body)
	}
	for i, got := range e.shows(st, 3) {
		if text, _ := json.Marshal(got); strings.Contains(string(text), "ann@") || strings.Contains(string(text), `"Bob"`) || strings.Contains(string(text), `"A"`) {
			t.Errorf("event %d of the source is clear: %s", i, text)
		}
	}
	for i, got := range e.shows(clear, 3) {
		want := `"aliases":["A","",null,"Ä\n"],"session":"s"`
		if i == 2 {
			want = `"session":"s"`
		}
		delete(got, "strmMeta")
		text, _ := json.Marshal(got)
		if !strings.Contains(string(text), want) || strings.Contains(string(text), "Bob") {
			t.Errorf("event %d of the derived stream: %s", i, text)
		}
	}
}
