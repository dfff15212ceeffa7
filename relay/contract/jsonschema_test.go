package contract_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"sluice/relay/contract"
)

const metaProperties = `"strmMeta":{"type":"object","required":["eventContractRef","consentLevels"],"properties":{
	"eventContractRef":{"type":"string"},"nonce":{"type":["integer","null"]},"consentLevels":{"type":"array","items":{"type":"integer"}}}}`

// jsonContract is a definition of a JSON Schema that has strmMeta, the key field "session" and the given properties.
func jsonContract(properties string) contract.Definition {
	return contract.Definition{
		Ref: "acme/event-test/1.0.0", SchemaType: contract.SchemaTypeJSON, KeyField: "session",
		Schema: `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","required":["strmMeta","session"],"additionalProperties":false,
			"properties":{` + metaProperties + `,"session":{"type":"string"}` + properties + `},
			"$defs":{"mail":{"type":["string","null"],"minLength":3},"node":{"type":"object","properties":{"name":{"type":"string"},"next":{"$ref":"#/$defs/node"}}}}}`,
	}
}

func TestJSONSchema(t *testing.T) {
	d := jsonContract(`,"mail":{"$ref":"#/$defs/mail"},
		"tags":{"type":"array","items":{"type":"string"}},
		"people":{"type":"array","items":{"type":"object","properties":{"name":{"anyOf":[{"type":"string"},{"type":"null"}]}},"additionalProperties":{"type":"integer"}}},
		"amount":{"type":"number","minimum":0},"kind":{"enum":["a","b"]},"at":{"type":"integer"},"device":{"type":"object"}`)
	d.PiiFields = map[string]int{"mail": 1, "tags": 2, "people/name": 3}
	d.DataSubjectField = "mail"
	d.Validations = []contract.Validation{{Field: "mail", Type: "regex", Value: "@"}}
	d.Envelope = &contract.Envelope{Type: "kind", Occurred: "at", Device: "device"}
	c := compile(t, d)
	var got contract.Checked
	body := event(` "mail" : "a@b\u00e9" , "tags" : [ "x", "y" ], "people":[{"name":"Bo","n":1},{"name":null}], "amount": 1.50, "kind":"b","at":1700000000000,"device":{"os":["x"]}`)
	if err := c.Check(&got, []byte(body)); err != nil {
		t.Fatal(err)
	}
	const want = `"session":"s","mail":"a@b\u00e9","tags":["x","y"],"people":[{"name":"Bo","n":1},{"name":null}],"amount":1.50,"kind":"b","at":1700000000000,"device":{"os":["x"]}`
	if string(got.Members) != want {
		t.Errorf("got %s", got.Members)
	}
	var personal []string
	for _, p := range got.Personal {
		personal = append(personal, fmt.Sprintf("%s=%s/%d/%s", c.PersonalFields()[p.Path], p.Plain, p.Level, got.Members[p.Off:p.Off+p.Len]))
	}
	if list := strings.Join(personal, " "); list != `mail=a@bé/1/a@b\u00e9 tags=x/2/x tags=y/2/y people/name=Bo/3/Bo` {
		t.Errorf("personal: %s", list)
	}
	if string(got.Key) != "s" || string(got.Subject) != "a@bé" || got.Consent != 2 || string(got.Type) != "b" || got.Occurred != 1700000000000 {
		t.Errorf("%q %q %b %q %d", got.Key, got.Subject, got.Consent, got.Type, got.Occurred)
	}
	if at := got.Device; string(got.Members[at.Off:at.Off+at.Len]) != `{"os":["x"]}` {
		t.Errorf("device %v", at)
	}

	long := strings.Repeat("9", 1001)
	table := []struct{ name, body, want string }{
		{"no meta", `{"session":"s"}`, "field 'strmMeta' is missing"},
		{"no levels", `{"strmMeta":{"eventContractRef":"acme/event-test/1.0.0"},"session":"s"}`, "field 'strmMeta/consentLevels' is missing"},
		{"key missing", `{"strmMeta":{"eventContractRef":"acme/event-test/1.0.0","consentLevels":[]}}`, "field 'session' is missing"},
		{"key empty", strings.Replace(event(""), `"s"`, `""`, 1), "Key field 'session' is empty"},
		{"key no string", strings.Replace(event(""), `"s"`, `1`, 1), "field 'session' must be string"},
		{"wrong type", event(`"amount":"secret"`), "field 'amount' must be number"},
		{"minimum", event(`"amount":-1`), "field 'amount' must keep the rule 'minimum' of the schema"},
		{"enum", event(`"kind":"secret"`), `field 'kind' must be one of "a", "b"`},
		{"extra", event(`"more":"secret"`), "field 'more' is not in the schema"},
		{"personal number", event(`"mail":17`), "field 'mail' must be string or null"},
		{"personal object", event(`"tags":[{"secret":1}]`), "field 'tags/0' must be string"},
		{"personal, no list", event(`"tags":true`), "field 'tags' must be list of strings"},
		{"personal list where it is none", event(`"mail":["a@secret"]`), "field 'mail' must be string or null"},
		{"regex of a personal value", event(`"mail":"secret"`), "with value: '****'\n  doesn't match regex: '@'"},
		{"too short", event(`"mail":"@s"`), "field 'mail' must have at least 3 characters"},
		{"a name that may be somebody's", event(`"people":[{"secret":"x"}]`), "field 'people/0/*' must be integer"},
		{"twice", event(`"amount":1,"amount":1`), "is given twice"},
		{"twice deep", event(`"device":{"secret":{"a":1,"\u0061":2}}`), "field 'device/*/*' is given twice"},
		{"not UTF-8", event("\"kind\":\"\xff\""), "Body is not valid JSON: it is not UTF-8"},
		{"surrogate", event(`"kind":"\ud800"`), "an unpaired surrogate"},
		{"deep", event(`"device":{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}"), "nested deeper than 128"},
		{"huge exponent", event(`"amount":1e1000000000`), "field 'amount' must be a number with an exponent of at most 3 digits"},
		{"huge number", event(`"amount":` + long), "field 'amount' must be a number of at most 1000 digits"},
		{"Avro", "\x2cacme", "Body is not valid JSON"},
		{"behind", event("") + "x", "followed by something else"},
		{"time", event(`"at":1.5`), "field 'at' must be"},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			for range 3 {
				err := c.Check(&got, []byte(row.body))
				if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "secret") {
					t.Fatalf("got %v, want %q", err, row.want)
				}
			}
		})
	}
	if err := c.CheckAvro(&got, []byte("x")); err == nil || !strings.Contains(err.Error(), "is not Avro") {
		t.Errorf("Avro: %v", err)
	}
}

func TestJSONSchemaRefused(t *testing.T) {
	schema := func(text string) contract.Definition {
		d := jsonContract("")
		d.Schema = text
		return d
	}
	with := func(properties string, change func(d *contract.Definition)) contract.Definition {
		d := jsonContract(properties)
		change(&d)
		return d
	}
	table := []struct {
		name string
		d    contract.Definition
		want string
	}{
		{"not JSON", schema(`{`), "schema: it is not valid JSON"},
		{"no schema", schema(`{"type":"nothing"}`), "schema: "},
		{"no meta", schema(`{"properties":{"session":{"type":"string"}}}`), "schema: field 'strmMeta' is missing"},
		{"no levels", schema(`{"properties":{"strmMeta":{"properties":{"eventContractRef":{"type":"string"}}}}}`), "schema: field 'strmMeta/consentLevels' is missing"},
		{"from the net", schema(`{"properties":{"x":{"$ref":"https://example.com/x.json"}}}`), "schema: it refers to 'https://example.com/x.json', other documents are not loaded"},
		{"from a file", schema(`{"properties":{"x":{"$ref":"file:///etc/passwd"}}}`), "schema: it refers to 'file:///etc/passwd'"},
		{"from beside", schema(`{"properties":{"x":{"$ref":"x.json"}}}`), "schema: it refers to"},
		{"a metaschema from elsewhere", schema(`{"$schema":"https://example.com/own"}`), "schema: it refers to"},
		{"a regex of ECMA only", schema(`{"pattern":"(?=a)"}`), "schema: "},
		{"a reference to nowhere", schema(`{"$ref":"#/$defs/x"}`), "schema: "},
		{"key not there", with("", func(d *contract.Definition) { d.KeyField = "nothing" }), "keyField: field 'nothing' is not in the schema"},
		{"key no string", with(`,"n":{"type":"integer"}`, func(d *contract.Definition) { d.KeyField = "n" }), "keyField: field 'n' must be string or optional string"},
		{"key of no type", with(`,"n":{}`, func(d *contract.Definition) { d.KeyField = "n" }), "must say so with 'type'"},
		{"key in a list", with(`,"n":{"type":"array","items":{"type":"object","properties":{"x":{"type":"string"}}}}`, func(d *contract.Definition) { d.KeyField = "n/x" }), "keyField: field 'n/x' is not in the schema"},
		{"personal object", with(`,"n":{"type":"object"}`, func(d *contract.Definition) { d.PiiFields = map[string]int{"n": 1} }), "piiFields: field 'n' must be string, optional string, or a list of these"},
		{"personal in meta", with("", func(d *contract.Definition) { d.PiiFields = map[string]int{"strmMeta/eventContractRef": 1} }), "must not lie in strmMeta"},
		{"personal list of numbers", with(`,"n":{"type":"array","items":{"type":"number"}}`, func(d *contract.Definition) { d.PiiFields = map[string]int{"n": 1} }), "field 'n' must be string"},
		{"personal in the envelope", with(`,"n":{"type":"string"}`, func(d *contract.Definition) {
			d.PiiFields, d.Envelope = map[string]int{"n": 1}, &contract.Envelope{ID: "n"}
		}), "envelope/id: field 'n' is personal"},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			if _, err := contract.Compile(row.d); err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "contract:/") {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

// Where the schema leaves open what stands before the key field, a list there has no one key.
func TestJSONSchemaKeyInList(t *testing.T) {
	d := jsonContract(`,"customer":{"properties":{"id":{"type":"string"}}}`)
	d.KeyField = "customer/id"
	c := compile(t, d)
	var out contract.Checked
	if err := c.Check(&out, []byte(event(`"customer":{"id":"a"}`))); err != nil || string(out.Key) != "a" {
		t.Errorf("key %q: %v", out.Key, err)
	}
	if err := c.Check(&out, []byte(event(`"customer":[{"id":"a"},{"id":"b"}]`))); err == nil || !strings.HasSuffix(err.Error(), "field 'customer/0/id' must be string") {
		t.Errorf("in a list: %v", err)
	}
}

func TestJSONSchemaDrafts(t *testing.T) {
	for _, draft := range []string{"https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2019-09/schema",
		"http://json-schema.org/draft-07/schema#", "http://json-schema.org/draft-06/schema#", "http://json-schema.org/draft-04/schema#"} {
		d := jsonContract(`,"list":{"type":"array","items":{"type":"string"}}`)
		d.Schema = strings.Replace(d.Schema, "https://json-schema.org/draft/2020-12/schema", draft, 1)
		d.PiiFields = map[string]int{"list": 0}
		c := compile(t, d)
		var out contract.Checked
		if err := c.Check(&out, []byte(event(`"list":["a","b"]`))); err != nil || len(out.Personal) != 2 {
			t.Errorf("%s: %v", draft, err)
		}
		if err := c.Check(&out, []byte(event(`"list":"a","extra":1`))); err == nil {
			t.Errorf("%s: taken", draft)
		}
	}
}

// A few nested alternatives ask for 2^n steps of an event that is n deep. The check gives up, and the next event is
// held to the schema as if nothing had been.
func TestJSONSchemaStops(t *testing.T) {
	d := jsonContract(`,"tree":{"$ref":"#/$defs/tree"}`)
	d.Schema = strings.Replace(d.Schema, `"$defs":{`, `"$defs":{"tree":{"type":"object","properties":{"next":{"allOf":[{"$ref":"#/$defs/tree"},{"$ref":"#/$defs/tree"}]}}},`, 1)
	c := compile(t, d)
	deep := func(n int) []byte {
		return []byte(event(`"tree":` + strings.Repeat(`{"next":`, n) + "{}" + strings.Repeat("}", n)))
	}
	var each sync.WaitGroup
	for range 4 {
		each.Go(func() {
			var out contract.Checked
			for range 3 {
				if err := c.Check(&out, deep(100)); err == nil || !strings.Contains(err.Error(), "too many steps") {
					t.Errorf("100 deep: %v", err)
				}
				if err := c.Check(&out, deep(10)); err != nil {
					t.Errorf("10 deep: %v", err)
				}
			}
		})
	}
	each.Wait()
}

// Schemas that share a metaschema share nothing that a check changes.
func TestJSONSchemaOfSchemas(t *testing.T) {
	var each sync.WaitGroup
	for range 4 {
		each.Go(func() {
			d := jsonContract(`,"made":{"$ref":"https://json-schema.org/draft/2020-12/schema"}`)
			c, err := contract.Compile(d)
			if err != nil {
				t.Error(err)
				return
			}
			var out contract.Checked
			for range 5 {
				if err := c.Check(&out, []byte(event(`"made":{"type":"object","properties":{"a":{"type":"string"}}}`))); err != nil {
					t.Error(err)
				}
				if err := c.Check(&out, []byte(event(`"made":{"type":"thing"}`))); err == nil {
					t.Error("taken")
				}
			}
		})
	}
	each.Wait()
}
