package contract_test

import (
	"strings"
	"testing"
)

// What a path leads to is told of a contract whatever its schema is written in, and whatever else the contract says about it.
func TestCheckText(t *testing.T) {
	avro := withFields(`{"name":"mail","type":["null","string"]},{"name":"tags","type":{"type":"array","items":"string"}},{"name":"n","type":"int"},
		{"name":"people","type":{"type":"array","items":{"type":"record","name":"P","fields":[{"name":"name","type":"string"}]}}}`)
	open := jsonContract(`,"mail":{"$ref":"#/$defs/mail"},"tags":{"type":"array","items":{"type":"string"}},"n":{"type":"integer"},"any":{},
		"people":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"}}}}`)
	avro.PiiFields, open.PiiFields = map[string]int{"mail": 1}, map[string]int{"mail": 1}
	for _, tc := range []struct{ path, want string }{
		{"session", ""}, {"mail", ""}, {"tags", ""}, {"people/name", ""},
		{"n", "must be string, optional string, or a list of these"},
		{"people", "must be string"},
		{"any", "*"}, // not in one schema, of no type in the other
		{"nobody", "is not in the schema"},
		{"mail/x", "is not in the schema"},
		{"strmMeta", "*"},
		{"strmMeta/eventContractRef", "must not lie in strmMeta"},
		{"", "is not in the schema"},
	} {
		for kind, err := range map[string]error{"Avro": compile(t, avro).CheckText(tc.path), "JSON Schema": compile(t, open).CheckText(tc.path)} {
			if tc.want == "*" && err != nil || tc.want == "" && err == nil || tc.want != "" && err != nil && strings.HasPrefix(err.Error(), tc.want) {
				continue
			}
			t.Errorf("%s, %q: %v, want %q", kind, tc.path, err, tc.want)
		}
	}
}
