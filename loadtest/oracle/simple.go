package oracle

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// parseSimple makes the type of a Simple Schema: what is not required may be null and left out, what is repeated is a list, a NODE is a
// record, and strmMeta is there by itself.
func parseSimple(v map[string]any) (*avro, error) {
	fields, err := simpleFields(v["nodes"])
	if err != nil {
		return nil, err
	}
	meta, err := parseAvro([]byte(metaSchema))
	if err != nil {
		return nil, err
	}
	return &avro{kind: "record", fields: append([]avroField{{name: "strmMeta", kind: meta}}, fields...)}, nil
}

const metaSchema = `{"type":"record","name":"StrmMeta","fields":[{"name":"eventContractRef","type":"string"},
	{"name":"nonce","type":["null","int"]},{"name":"timestamp","type":["null","long"]},{"name":"keyLink","type":["null","string"]},
	{"name":"billingId","type":["null","string"]},{"name":"consentLevels","type":{"type":"array","items":"int"}}]}`

var simpleKinds = map[string]string{"STRING": "string", "BOOLEAN": "boolean", "FLOAT": "float", "INTEGER": "int", "LONG": "long"}

func simpleFields(nodes any) (fields []avroField, err error) {
	list, ok := nodes.([]any)
	if !ok {
		return nil, fmt.Errorf("nodes are %v", nodes)
	}
	for _, n := range list {
		n := n.(map[string]any)
		t := &avro{kind: simpleKinds[fmt.Sprint(n["type"])]}
		if n["type"] == "NODE" {
			t.kind = "record"
			if t.fields, err = simpleFields(n["nodes"]); err != nil {
				return nil, err
			}
		}
		t.name = t.kind
		if n["repeated"] == true {
			t = &avro{kind: "array", name: "array", elem: t}
		}
		f := avroField{name: simpleName(n), kind: t}
		if n["required"] != true {
			f.kind, f.fills = &avro{kind: "union", branches: []*avro{{kind: "null", name: "null"}, t}}, true
		}
		fields = append(fields, f)
	}
	return fields, nil
}

var plainName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// simpleName is what events call a node: its avroName, its name if Avro takes it, else its words in CamelCase without what Avro forbids.
func simpleName(n map[string]any) string {
	if given, ok := n["avroName"].(string); ok {
		return given
	}
	name := n["name"].(string)
	if plainName.MatchString(name) {
		return name
	}
	var out strings.Builder
	for _, word := range strings.FieldsFunc(name, unicode.IsSpace) {
		word = regexp.MustCompile(`[^a-zA-Z0-9_]`).ReplaceAllString(word, "")
		for i, r := range word {
			if i == 0 {
				out.WriteString(strings.ToUpper(string(r)))
			} else {
				out.WriteString(strings.ToLower(string(r)))
			}
		}
	}
	return out.String()
}
