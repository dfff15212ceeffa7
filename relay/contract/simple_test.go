package contract_test

import (
	"strings"
	"testing"

	"sluice/relay/contract"
)

const clicksYAML = `# an author's comment
name: Clicks
doc: what people click
nodes:
- {name: Session Id, type: STRING, required: true, doc: ties events together}
- name: User Name
  type: STRING
- name: url
  type: STRING
- name: Prijs in GB£
  type: FLOAT
- name: tags
  type: STRING
  repeated: true
  required: true
- name: mouse positions
  repeated: true
  type: NODE
  nodes:
  - {name: x, type: INTEGER, required: true}
  - {name: "y", type: LONG}
`

func simple(schema string) contract.Definition {
	return contract.Definition{Ref: "quickstart/demo-data-contract/1.0.0", Schema: schema, KeyField: "SessionId", PiiFields: map[string]int{"UserName": 1, "tags": 2}}
}

func TestSimpleSchema(t *testing.T) {
	d, err := contract.Resolve(simple(clicksYAML))
	if err != nil {
		t.Fatal(err)
	}
	if d.SchemaType != contract.SchemaTypeAvro || d.SimpleSchema != clicksYAML {
		t.Errorf("type %s, kept %q", d.SchemaType, d.SimpleSchema)
	}
	for _, part := range []string{
		`{"type":"record","name":"Clicks","namespace":"quickstart.DemoDataContract.v1_0_0","doc":"what people click","fields":[{"name":"strmMeta","type":{`,
		`{"name":"SessionId","type":"string","doc":"ties events together"},{"name":"UserName","type":["null","string"],"default":null},{"name":"url","type":["null","string"],"default":null},`,
		`{"name":"PrijsInGb","type":["null","float"],"default":null},{"name":"tags","type":{"items":"string","type":"array"}},`,
		`{"name":"MousePositions","type":["null",{"items":{"type":"record","name":"MousePositions","namespace":"quickstart.DemoDataContract.v1_0_0.mousepositions","fields":[{"name":"x","type":"int"},{"name":"y","type":["null","long"],"default":null}]},"type":"array"}],"default":null}]}`,
	} {
		if !strings.Contains(d.Schema, part) {
			t.Errorf("%s\nlacks %s", d.Schema, part)
		}
	}
	c := compile(t, d)
	var out contract.Checked
	body := `{"strmMeta":{"eventContractRef":"quickstart/demo-data-contract/1.0.0","consentLevels":[1]},"SessionId":"s","UserName":"u","tags":["a"],"MousePositions":[{"x":1}]}`
	if err := c.Check(&out, []byte(body)); err != nil || len(out.Personal) != 2 {
		t.Errorf("%v, %d personal", err, len(out.Personal))
	}
	again, err := contract.Resolve(d)
	if err != nil || again.Schema != d.Schema || again.SimpleSchema != d.SimpleSchema {
		t.Errorf("a resolved definition is resolved again: %v", err)
	}
}

func TestSimpleSchemaRefused(t *testing.T) {
	deep := "{name: a, nodes: [" + strings.Repeat("{name: n, type: NODE, nodes: [", 40) + "{name: x, type: LONG}" + strings.Repeat("]}", 40) + "]}"
	table := []struct{ name, schema, want string }{
		{"unknown member", "name: a\nnodes: [{name: x, type: STRING, requird: true}]", "requird"},
		{"unknown type", "name: a\nnodes: [{name: x, type: DOUBLE}]", "node 'x' has type 'DOUBLE', it must be STRING, BOOLEAN"},
		{"no type", "name: a\nnodes: [{name: x}]", "node 'x' has type ''"},
		{"no nodes", "name: a", "nodes are missing"},
		{"node without nodes", "name: a\nnodes: [{name: x, type: NODE}]", "node 'x' is a NODE without nodes"},
		{"nodes of a string", "name: a\nnodes: [{name: x, type: STRING, nodes: [{name: y, type: LONG}]}]", "its type must be NODE"},
		{"no name", "nodes: [{name: x, type: STRING}]", "the schema must have a name"},
		{"a name of nothing", "name: a\nnodes: [{name: '£€', type: STRING}]", "give it an avroName"},
		{"bad avroName", "name: a\nnodes: [{name: x, avroName: 'a b', type: STRING}]", "avroName 'a b'"},
		{"bad namespace", "name: a\nnamespace: 'a..b'\nnodes: [{name: x, type: STRING}]", "namespace 'a..b'"},
		{"one name twice", "name: a\nnodes: [{name: Session Id, type: STRING}, {name: SessionId, type: STRING}]", "have the same name in Avro, SessionId"},
		{"strmMeta", "name: a\nnodes: [{name: strmMeta, type: STRING}]", "which is added by itself"},
		{"two documents", "name: a\nnodes: [{name: x, type: LONG}]\n---\nname: b", "more than one document"},
		{"deep", deep, "nested deeper than 32"},
		{"long doc", "name: a\nnodes: [{name: x, type: LONG, doc: '" + strings.Repeat("d", 5001) + "'}]", "the doc of node 'x' is longer"},
		{"a bomb", "a: &a [x,x,x,x,x,x,x,x,x]\n" + bomb(), "schema: "},
		{"words", "hello", "it is not a Simple Schema"},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			d := simple(row.schema)
			d.SchemaType = "simple_schema"
			if _, err := contract.Resolve(d); err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "schema: ") {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func bomb() string {
	text := ""
	for c := 'b'; c < 'k'; c++ {
		text += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "]\n"
	}
	return text
}

func TestSchemaTypeIsFoundOut(t *testing.T) {
	table := []struct{ schema, given, want string }{
		{`{"type":"record","name":"A","fields":[]}`, "", "AVRO"},
		{`{"type":"object"}`, "", "JSONSCHEMA"},
		{`{"$schema":"https://json-schema.org/draft/2020-12/schema"}`, "", "JSONSCHEMA"},
		{`{"properties":{}}`, "", "JSONSCHEMA"},
		{`{"type":"record"`, "", "AVRO"},
		{`"string"`, "", "AVRO"},
		{clicksYAML, "", "AVRO"},
		{`{"name":"a","nodes":[{"name":"x","type":"LONG"}]}`, "", "AVRO"},
		{`{}`, "JsonSchema", "JSONSCHEMA"},
		{`{}`, "JSON_SCHEMA", "JSONSCHEMA"},
		{`{}`, "avro", "AVRO"},
		{`{}`, "protobuf", "PROTOBUF"},
	}
	for _, row := range table {
		d := simple(row.schema)
		d.SchemaType = row.given
		got, err := contract.Resolve(d)
		if err != nil || got.SchemaType != row.want {
			t.Errorf("%s as %q is %s: %v", row.schema, row.given, got.SchemaType, err)
		}
	}
}

// 0x7275d51a3f395c8f is what Avro's own implementations say of int; what is not in the canonical form changes nothing.
func TestFingerprint(t *testing.T) {
	for schema, want := range map[string]string{
		`"int"`: "8247732601305521295",
		`{"type":"fixed","name":"F","namespace":"x.y","doc":"left out","size":16}`: fingerprintOf(t, `{"name":"x.y.F","type":"fixed","size":16}`),
	} {
		if got := fingerprintOf(t, schema); got != want {
			t.Errorf("%s has %s, want %s", schema, got, want)
		}
	}
}

func fingerprintOf(t *testing.T, schema string) string {
	t.Helper()
	d, err := contract.Resolve(contract.Definition{SchemaType: "AVRO", Schema: schema})
	if err != nil || d.Fingerprint == "" {
		t.Fatalf("%s: %q %v", schema, d.Fingerprint, err)
	}
	return d.Fingerprint
}

func TestMetadataOfFields(t *testing.T) {
	d := withFields(`{"name":"size","type":"string"}`)
	d.FieldMetadata = []contract.FieldMetadata{{FieldName: "size", StatisticalDataType: "ORDINAL", OrdinalValues: []string{"S", "M"},
		PersonalDataConfig: &contract.PersonalData{IsQuasiID: true, Special: "HEALTH"},
		NullHandlingConfig: &contract.NullHandling{Type: "DEFAULT_VALUE", DefaultValue: "M"}}}
	if c := compile(t, d); len(c.PersonalFields()) != 0 {
		t.Errorf("a quasi id is encrypted")
	}
	for want, change := range map[string]contract.FieldMetadata{
		"statisticalDataType 'MEAN'": {FieldName: "size", StatisticalDataType: "MEAN"},
		"ordinalValues":              {FieldName: "size", OrdinalValues: []string{"S"}},
		"nullHandlingConfig 'SKIP'":  {FieldName: "size", NullHandlingConfig: &contract.NullHandling{Type: "SKIP"}},
		"nullHandlingConfig ''":      {FieldName: "size", NullHandlingConfig: &contract.NullHandling{}},
		"has a defaultValue":         {FieldName: "size", NullHandlingConfig: &contract.NullHandling{Type: "DROP_RECORD", DefaultValue: "M"}},
	} {
		d.FieldMetadata[0] = change
		if _, err := contract.Compile(d); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "field 'size'") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
