package contract_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"sluice/relay/contract"
)

// at is the place of the n-th occurrence of what in s, from the end for n = 2 of a closing brace.
func at(s, what string, n int) string {
	i := strings.Index(s, what)
	if n == 2 {
		i = strings.LastIndex(s, what)
	}
	return strconv.Itoa(i)
}

func unquote(t testing.TB, quoted string) (s string) {
	t.Helper()
	if err := json.Unmarshal([]byte(quoted), &s); err != nil {
		t.Fatalf("%s: %v", quoted, err)
	}
	return s
}

func TestRefusedDefinitions(t *testing.T) {
	base := func() contract.Definition {
		return withFields(`
			{"name":"n","type":"int"},
			{"name":"mail","type":["null","string"],"default":null},
			{"name":"tags","type":{"type":"array","items":"string"}},
			{"name":"grid","type":{"type":"array","items":{"type":"array","items":"string"}}},
			{"name":"attrs","type":{"type":"map","values":"string"}},
			{"name":"mixed","type":["null","string","int"]},
			{"name":"in","type":{"type":"record","name":"In","fields":[{"name":"id","type":"string"}]}}`)
	}
	pii := func(path string, level int) func(*contract.Definition) {
		return func(d *contract.Definition) { d.PiiFields = map[string]int{path: level} }
	}
	envelope := func(e contract.Envelope) func(*contract.Definition) {
		return func(d *contract.Definition) { d.Envelope = &e }
	}
	schema := func(s string) func(*contract.Definition) {
		return func(d *contract.Definition) { d.Schema = s }
	}
	many := map[string]int{}
	for i := range 300 {
		many["f"+strconv.Itoa(i)] = 1
	}
	for _, tc := range []struct {
		name   string
		change func(*contract.Definition)
		want   string
	}{
		{"ref without version", func(d *contract.Definition) { d.Ref = "acme/event" }, "ref: 'acme/event' must be handle/name/version"},
		{"short handle", func(d *contract.Definition) { d.Ref = "abc/event/1.0.0" }, "ref: handle 'abc' must"},
		{"handle", func(d *contract.Definition) { d.Ref = "-acme/event/1.0.0" }, "ref: handle '-acme' must"},
		{"short name", func(d *contract.Definition) { d.Ref = "acme/evt/1.0.0" }, "ref: name 'evt' must"},
		{"name", func(d *contract.Definition) { d.Ref = "acme/ev\nent/1.0.0" }, `ref: name 'ev\nent' must`},
		{"version", func(d *contract.Definition) { d.Ref = "acme/event/1.0" }, "ref: version '1.0' must"},
		{"short id", func(d *contract.Definition) { d.ShortID = "a/b" }, "shortId: 'a/b' must"},
		{"schema type", func(d *contract.Definition) { d.SchemaType = "PROTOBUF" }, "schemaType: 'PROTOBUF' is not supported, it must be AVRO"},
		{"schema", schema(`{"type":"recor"}`), "schema: "},
		{"schema too long", schema(strings.Repeat(" ", 300<<10)), "schema: it has 307200 bytes"},
		{"no record", schema(`"string"`), "schema: it must be a record"},
		{"no strmMeta", schema(`{"type":"record","name":"E","fields":[` + sessionKey + `]}`), "schema: field 'strmMeta' is missing"},
		{"strmMeta", schema(`{"type":"record","name":"E","fields":[{"name":"strmMeta","type":"string"},` + sessionKey + `]}`), "schema: field 'strmMeta' must be a record"},
		{"strmMeta without levels", schema(`{"type":"record","name":"E","fields":[{"name":"strmMeta","type":{"type":"record","name":"M","fields":[{"name":"eventContractRef","type":"string"}]}},` + sessionKey + `]}`), "schema: field 'strmMeta/consentLevels' is missing"},
		{"strmMeta with more", schema(strings.Replace(base().Schema, `"nonce"`, `"once"`, 1)), "schema: field 'strmMeta/once' is not known"},
		{"strmMeta without a ref", schema(strings.Replace(base().Schema, `{"name":"eventContractRef","type":"string"},`, ``, 1)), "schema: field 'strmMeta/eventContractRef' is missing"},
		{"default NaN", schema(strings.Replace(base().Schema, `{"name":"n","type":"int"}`, `{"name":"n","type":"double","default":"NaN"}`, 1)), "schema: the default of 'n' cannot be written in JSON"},
		{"no key field", func(d *contract.Definition) { d.KeyField = "" }, "keyField: it is missing"},
		{"unknown key field", func(d *contract.Definition) { d.KeyField = "nope" }, "keyField: field 'nope' is not in the schema"},
		{"key field of a number", func(d *contract.Definition) { d.KeyField = "n" }, "keyField: field 'n' must be string or optional string"},
		{"key field of a list", func(d *contract.Definition) { d.KeyField = "tags" }, "keyField: field 'tags' must be string or optional string"},
		{"key field of several types", func(d *contract.Definition) { d.KeyField = "mixed" }, "keyField: field 'mixed' must be string or optional string"},
		{"key field in strmMeta", func(d *contract.Definition) { d.KeyField = "strmMeta/billingId" }, "keyField: field 'strmMeta/billingId' must not lie in strmMeta"},
		{"subject", func(d *contract.Definition) { d.DataSubjectField = "in" }, "dataSubjectField: field 'in' must be"},
		{"personal, unknown", pii("in/nope", 1), "piiFields: field 'in/nope' is not in the schema"},
		{"personal, beyond a string", pii("mail/x", 1), "piiFields: field 'mail/x' is not in the schema"},
		{"personal, number", pii("n", 1), "piiFields: field 'n' must be string, optional string, or a list of these"},
		{"personal, list of lists", pii("grid", 1), "piiFields: field 'grid' must be"},
		{"personal, map", pii("attrs", 1), "piiFields: field 'attrs' must be"},
		{"personal, in a map", pii("attrs/x", 1), "piiFields: field 'attrs/x' is not in the schema"},
		{"personal, strmMeta", pii("strmMeta/keyLink", 1), "piiFields: field 'strmMeta/keyLink' must not lie in strmMeta"},
		{"personal, strmMeta itself", pii("strmMeta", 1), "piiFields: field 'strmMeta' must not lie in strmMeta"},
		{"level", pii("mail", 64), "piiFields: field 'mail' has level 64, it must be 0 to 63"},
		{"negative level", pii("mail", -1), "piiFields: field 'mail' has level -1"},
		{"too many", func(d *contract.Definition) { d.PiiFields = many }, "piiFields: there are 300 personal fields"},
		{"metadata, unknown", func(d *contract.Definition) { d.FieldMetadata = []contract.FieldMetadata{{FieldName: "nope"}} }, "fieldMetadata: field 'nope' is not in the schema"},
		{"metadata twice", func(d *contract.Definition) {
			d.FieldMetadata = []contract.FieldMetadata{{FieldName: "mail"}, {FieldName: "mail"}}
		}, "fieldMetadata: field 'mail' is described twice"},
		{"validation type", func(d *contract.Definition) {
			d.Validations = []contract.Validation{{Field: "mail", Type: "min", Value: "1"}}
		}, "validations/0: field 'mail' has type 'min', it must be regex"},
		{"regex", func(d *contract.Definition) {
			d.Validations = []contract.Validation{{Field: "mail", Type: "regex", Value: "["}}
		}, "validations/0: the regex of field 'mail' does not compile: "},
		{"validated field", func(d *contract.Definition) {
			d.Validations = []contract.Validation{{Field: "nope", Type: "regex", Value: "a"}}
		}, "validations/0: field 'nope' is not in the schema"},
		{"validated strmMeta", func(d *contract.Definition) {
			d.Validations = []contract.Validation{{Field: "strmMeta/eventContractRef", Type: "regex", Value: "a"}}
		}, "validations/0: field 'strmMeta/eventContractRef' must not lie in strmMeta"},
		{"default that is refused", func(d *contract.Definition) {
			d.Schema = strings.Replace(d.Schema, `{"name":"mail","type":["null","string"],"default":null}`, `{"name":"mail","type":"string","default":"x"}`, 1)
			d.Validations = []contract.Validation{{Field: "mail", Type: "regex", Value: "@"}}
		}, "schema: the default of 'mail' is refused: "},
		{"envelope, unknown", envelope(contract.Envelope{Type: "in.nope"}), "envelope/type: field 'in/nope' is not in the schema"},
		{"envelope, type", envelope(contract.Envelope{Type: "n"}), "envelope/type: field 'n' must be string or enum"},
		{"envelope, device", envelope(contract.Envelope{Device: "mail"}), "envelope/device: field 'mail' must be a record or map"},
		{"envelope, device by a query", envelope(contract.Envelope{Device: "@this"}), "envelope/device: '@this' must be member names joined by dots"},
		{"envelope, strmMeta", envelope(contract.Envelope{ID: "strmMeta.nonce"}), "envelope/id: field 'strmMeta/nonce' must not lie in strmMeta"},
		{"envelope, personal", func(d *contract.Definition) {
			d.PiiFields = map[string]int{"in/id": 1}
			d.Envelope = &contract.Envelope{ID: "in.id"}
		}, "envelope/id: field 'in/id' is personal"},
		{"envelope, data subject", func(d *contract.Definition) {
			d.DataSubjectField = "in/id"
			d.Envelope = &contract.Envelope{Type: "in.id"}
		}, "envelope/type: field 'in/id' is personal"},
		{"envelope, a query beside personal fields", func(d *contract.Definition) {
			d.PiiFields = map[string]int{"in/id": 1}
			d.Envelope = &contract.Envelope{ID: "*.id"}
		}, "envelope/id: '*.id' must be member names joined by dots"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := base()
			tc.change(&d)
			c, err := contract.Compile(d)
			var de *contract.DefinitionError
			if c != nil || !errors.As(err, &de) || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v\nwant %s…", err, tc.want)
			}
		})
	}
	if _, err := contract.Compile(base()); err != nil {
		t.Errorf("the definition that all of these change: %v", err)
	}
}

func TestBuiltin(t *testing.T) {
	refs := map[string]bool{}
	for _, d := range contract.Builtin() {
		c := compile(t, d)
		if c.Ref() != d.Ref || string(c.RefBytes()) != d.Ref || c.Definition().KeyField != d.KeyField {
			t.Errorf("%s compiled to %s", d.Ref, c.Ref())
		}
		refs[d.Ref] = true
	}
	for _, ref := range []string{"strmprivacy/clickstream/1.0.0", "strmprivacy/example/1.3.0", "strmprivacy/example/1.5.0"} {
		if !refs[ref] {
			t.Errorf("%s is missing", ref)
		}
	}
	contract.Builtin()[1].PiiFields["consistentValue"] = 60
	if contract.Builtin()[1].PiiFields["consistentValue"] != 2 || contract.Builtin()[2].PiiFields["consistentValue"] != 2 {
		t.Error("a caller's change reached another caller")
	}
}

func TestEnvelope(t *testing.T) {
	d := withFields(`
		{"name":"kind","type":["null","string"],"default":null},
		{"name":"uid","type":["null","string","long"],"default":null},
		{"name":"num","type":["null","long"],"default":null},
		{"name":"at","type":["null","string"],"default":null},
		{"name":"micros","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
		{"name":"phone","type":["null",{"type":"record","name":"Phone","fields":[{"name":"channel","type":"string"},{"name":"kind","type":{"type":"enum","name":"K","symbols":["A"]}}]}],"default":null},
		{"name":"who","type":{"type":"map","values":"string"},"default":{}}`)
	mapped := func(e contract.Envelope) *contract.Contract {
		d := d
		d.Envelope = &e
		return compile(t, d)
	}
	plain := mapped(contract.Envelope{Type: "kind", ID: "num", Occurred: "at", Device: "phone", User: "who"})
	deep := mapped(contract.Envelope{Type: "phone.kind", Occurred: "micros"})
	query := mapped(contract.Envelope{Type: "phone.k*d", ID: "@this.uid", Occurred: "@this.at"})
	var o contract.Checked // one for all: nothing of an event may remain for the next
	for _, tc := range []struct {
		name, members string
		c             *contract.Contract
		want          string // type|id|device|user|occurred, or the error
	}{
		{"all", `"who":{"contact_id":"c"},"kind":"\u004fPEN","num":12,"at":"2026-01-02T03:04:05.678Z","phone":{"kind":"A","channel":"x"}`, plain,
			`OPEN|12|{"kind":"A","channel":"x"}|{"contact_id":"c"}|1767323045678`},
		{"nothing given", ``, plain, `|||{}|0`},
		{"empty ones", `"kind":"","num":0,"who":{}`, plain, `|0||{}|0`},
		{"the first millisecond", `"at":"1970-01-01T00:00:00Z"`, plain, `|||{}|1`},
		{"no time", `"at":"yesterday"`, plain, "Event does not match schema 'acme/event-test/1.0.0': field 'at' must be a time as 2026-01-31T12:00:00.000Z"},
		{"long type", `"kind":"` + strings.Repeat("x", 256) + `"`, plain, "Event does not match schema 'acme/event-test/1.0.0': field 'kind' must have at most 255 bytes"},
		{"inside", `"phone":{"kind":"A","channel":"x"},"micros":1767323045678999`, deep, `A||||1767323045678`},
		{"query", `"phone":{"kind":"A","channel":"x"},"uid":"u-1","at":"2026-01-02T03:04:05.678+00:00"`, query, `A|u-1|||1767323045678`},
		{"query, number", `"uid":17`, query, `|17|||0`},
		{"query, wrong", `"at":"x"`, query, "Event does not match schema 'acme/event-test/1.0.0': field '@this.at' must be a time as 2026-01-31T12:00:00.000Z"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got string
			if err := tc.c.Check(&o, []byte(event(tc.members))); err != nil {
				got = err.Error()
			} else {
				part := func(s contract.Span) string { return string(o.Members[s.Off : s.Off+s.Len]) }
				got = strings.Join([]string{string(o.Type), string(o.ID), part(o.Device), part(o.User), strconv.FormatInt(o.Occurred, 10)}, "|")
			}
			if got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestPeekRef(t *testing.T) {
	for _, tc := range []struct{ body, want string }{
		{demoEvent, "strmprivacy/clickstream/1.0.0"},
		{`{"a":[1,{"strmMeta":{}}],"strmMeta":{"consentLevels":[],"eventContractRef":"a\/b"}}`, "a/b"},
		{`{"strmMeta":{"schemaId":"x","nonce":0}}`, "x"},
		{`{"strmMeta":{"schemaId":{"string":"x"}}}`, "x"},
		{`{"strmMeta":{"schemaId":"x","eventContractRef":"y"}}`, "y"},
		{`{"strmMeta":{"eventContractRef":"y","schemaId":"x"}}`, "y"},
		{`{"strm\u004deta":{"eventContractRef":"y"}}`, "y"},
		{`{"strmMeta":{"eventContractRef":null}}`, ""},
		{`{"strmMeta":null}`, ""},
		{`{"strmMeta":{}}`, ""},
		{`{"strmMeta":`, ""},
		{`{"a":x,"strmMeta":{"eventContractRef":"y"}}`, ""},
		{`{}`, ""},
		{`[]`, ""},
		{``, ""},
	} {
		if got := contract.PeekRef([]byte(tc.body)); string(got) != tc.want {
			t.Errorf("PeekRef(%s) = %q, want %q", tc.body, got, tc.want)
		}
	}
	body := []byte(demoEvent)
	if n := testing.AllocsPerRun(100, func() { contract.PeekRef(body) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
