package contract_test

import (
	"strings"
	"testing"

	"sluice/relay/contract"
)

// TestSchemaErrorsInTheAuthorsWords: what is wrong with a schema is said without names of ours or of a library's.
func TestSchemaErrorsInTheAuthorsWords(t *testing.T) {
	for _, c := range []struct{ kind, schema, want string }{
		{"AVRO", `{}`, "a 'type' is missing"},
		{"AVRO", `{"type":"record","name":"R","fields":[{"name":"f","type":"text"}]}`, `unknown type "text"`},
		{"SIMPLE", "name: a\ncolour: red\nnodes: []", "line 2: there is no member 'colour'"},
		{"SIMPLE", "name: a\nnodes:\n  - {type: STRING, name: b, colour: red}", "a node has no member 'colour'"},
		{"SIMPLE", "name: a\nnodes: text", "a list of nodes is needed here"},
		{"SIMPLE", "just text", "an object is needed here"},
		{"SIMPLE", "name: a\nnodes:\n  - {type: STRING, name: b, required: perhaps}", "true or false is needed here"},
	} {
		d := contract.Definition{Ref: "acme/words/1.0.0", SchemaType: c.kind, Schema: c.schema}
		d, err := contract.Resolve(d)
		if err == nil {
			_, err = contract.Compile(d)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "contract.") || strings.Contains(err.Error(), "!!") {
			t.Errorf("%s: %v, want %s", c.schema, err, c.want)
		}
	}
}

// TestMarkedBody: a byte order mark before JSON is passed over, whether or not somebody said that it is JSON.
func TestMarkedBody(t *testing.T) {
	c, err := contract.Compile(contract.Definition{
		Ref: "acme/mark/1.0.0", SchemaType: "AVRO",
		Schema: `{"type":"record","name":"R","fields":[{"name":"strmMeta","type":{"type":"record","name":"M","fields":[` +
			`{"name":"eventContractRef","type":"string"},{"name":"nonce","type":["null","int"],"default":null},{"name":"timestamp","type":["null","long"],"default":null},` +
			`{"name":"keyLink","type":["null","string"],"default":null},{"name":"billingId","type":["null","string"],"default":null},` +
			`{"name":"consentLevels","type":{"type":"array","items":"int"}}]}},{"name":"id","type":"string"}]}`, KeyField: "id",
	})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("\xef\xbb\xbf" + `{"strmMeta":{"eventContractRef":"acme/mark/1.0.0","consentLevels":[]},"id":"a"}`)
	for _, enc := range []contract.Encoding{contract.Unknown, contract.JSON} {
		var k contract.Checked
		if err := c.CheckAs(&k, enc, body); err != nil {
			t.Errorf("encoding %d: %v", enc, err)
		}
	}
	var k contract.Checked
	if err := c.CheckAs(&k, contract.AvroBinary, body); err == nil {
		t.Error("taken for Avro")
	}
}
