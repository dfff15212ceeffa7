package contract_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/relay/contract"
)

func TestDemoEvent(t *testing.T) {
	c := builtin(t, "strmprivacy/clickstream/1.0.0")
	var got contract.Checked
	if err := c.Check(&got, []byte(demoEvent)); err != nil {
		t.Fatal(err)
	}
	want := `"producerSessionId":"producer","url":"https://www.strmprivacy.io","eventType":"click","referrer":"referrer-id","userAgent":"user-agent","conversion":0,"customer":{"id":"customer-id"},"abTests":["a","b"]`
	if string(got.Members) != want {
		t.Errorf("Members\n got %s\nwant %s", got.Members, want)
	}
	if string(got.Key) != "producer" || string(got.Subject) != "customer-id" || got.Consent != 1 {
		t.Errorf("Key %q, Subject %q, Consent %b", got.Key, got.Subject, got.Consent)
	}
	if string(got.ContractRef) != "strmprivacy/clickstream/1.0.0" || got.SchemaID != nil {
		t.Errorf("ContractRef %q, SchemaID %q", got.ContractRef, got.SchemaID)
	}
	if len(got.Personal) != 2 {
		t.Fatalf("Personal %+v", got.Personal)
	}
	for i, want := range []struct {
		path, plain string
		level       uint8
	}{{"producerSessionId", "producer", 1}, {"customer/id", "customer-id", 0}} {
		p := got.Personal[i]
		if path := c.PersonalFields()[p.Path]; path != want.path || p.Level != want.level || c.PersonalLevels()[p.Path] != want.level {
			t.Errorf("personal value %d is of %s, level %d", i, path, p.Level)
		}
		if in := string(got.Members[p.Off : p.Off+p.Len]); in != want.plain || string(p.Plain) != want.plain {
			t.Errorf("personal value %d is %q, in Members %q", i, p.Plain, in)
		}
	}
}

// TestRefusals holds every text that a producer can get.
func TestRefusals(t *testing.T) {
	d := withFields(`
		{"name":"n","type":"int","default":0},
		{"name":"big","type":"long","default":0},
		{"name":"d","type":"double","default":0},
		{"name":"flag","type":"boolean","default":false},
		{"name":"opt","type":["null","string"],"default":null},
		{"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"]},"default":"A"},
		{"name":"hash","type":{"type":"fixed","name":"Hash","size":2},"default":"ab"},
		{"name":"raw","type":"bytes","default":""},
		{"name":"tags","type":{"type":"array","items":"string"},"default":[]},
		{"name":"attrs","type":{"type":"map","values":"long"},"default":{}},
		{"name":"url","type":["null","string"],"default":null},
		{"name":"mail","type":["null","string"],"default":null},
		{"name":"person","type":["null","string"],"default":null},
		{"name":"either","type":["null","int","string"],"default":null},
		{"name":"list","type":["null",{"type":"array","items":"int"}],"default":null},
		{"name":"inner","type":["null",{"type":"record","name":"Inner","fields":[{"name":"id","type":"string"},{"name":"n","type":"int"}]}],"default":null}`)
	d.PiiFields = map[string]int{"mail": 1}
	d.DataSubjectField = "person"
	d.Validations = []contract.Validation{
		{Field: "url", Type: "regex", Value: "^https?://"},
		{Field: "mail", Type: "regex", Value: "@"},
		{Field: "person", Type: "regex", Value: "^p"},
		{Field: "tags", Type: "regex", Value: "^[a-z]+$"},
	}
	c := compile(t, d)
	const about = "Event does not match schema 'acme/event-test/1.0.0': field "
	const json = "Body is not valid JSON: "
	const regex = "' in event with schema: 'acme/event-test/1.0.0' with value: '"
	for _, tc := range []struct{ name, body, want string }{
		{"empty", "", json + "the text ends too early at byte 0"},
		{"array", "[]", json + "it is not an object at byte 0"},
		{"string", ` "a"`, json + "it is not an object at byte 1"},
		{"cut off", `{"session":"s`, json + "the text ends inside a string at byte 13"},
		{"single quotes", `{'session':'s'}`, json + "character ''' is not expected at byte 1"},
		{"comment", `{/**/}`, json + "character '/' is not expected at byte 1"},
		{"comma before the end", event(`"n":1,`), json + "character '}' is not expected at byte " + at(event(`"n":1,`), "}", 2)},
		{"no colon", `{"session" "s"}`, json + `character '"' is not expected at byte 11`},
		{"something behind", event("") + " x", json + "the object is followed by something else at byte " + at(event("")+" x", "x", 1)},
		{"second object", event("") + "{}", json + "the object is followed by something else at byte " + at(event("")+"{}", "{}", 1)},
		{"not UTF-8", event(`"opt":"` + "\xff" + `"`), json + "it is not UTF-8 at byte " + at(event(`"opt":"`+"\xff"+`"`), "\xff", 1)},
		{"control character", event("\"opt\":\"a\tb\""), json + "a control character stands in a string at byte " + at(event("\"opt\":\"a\tb\""), "\t", 1)},
		{"lone high surrogate", event(`"opt":"\ud800x"`), json + "an unpaired surrogate stands in a string at byte " + at(event(`"opt":"\ud800x"`), `\`, 1)},
		{"lone low surrogate", event(`"opt":"\udc00"`), json + "an unpaired surrogate stands in a string at byte " + at(event(`"opt":"\udc00"`), `\`, 1)},
		{"two high surrogates", event(`"opt":"\ud800\ud800"`), json + "an unpaired surrogate stands in a string at byte " + at(event(`"opt":"\ud800"`), `\`, 1)},
		{"bad escape", event(`"opt":"\x"`), json + "an invalid escape stands in a string at byte " + at(event(`"opt":"\x"`), `\`, 1)},
		{"bad hex", event(`"opt":"\u12g4"`), json + "an invalid escape stands in a string at byte " + at(event(`"opt":"\u12g4"`), `\`, 1)},
		{"NaN", event(`"d":NaN`), json + "character 'N' is not expected at byte " + at(event(`"d":NaN`), "N", 1)},
		{"leading zero", event(`"n":01`), json + "character '1' is not expected at byte " + at(event(`"n":01`), "1}", 1)},

		{"missing", `{"strmMeta":{"eventContractRef":"a","consentLevels":[]}}`, about + "'session' is missing"},
		{"no strmMeta", `{"session":"s"}`, about + "'strmMeta' is missing"},
		{"no contract ref", `{"strmMeta":{"consentLevels":[]},"session":"s"}`, about + "'strmMeta/eventContractRef' is missing"},
		{"no levels", `{"strmMeta":{"eventContractRef":"a"},"session":"s"}`, about + "'strmMeta/consentLevels' is missing"},
		{"missing inside", event(`"inner":{"id":"x"}`), about + "'inner/n' is missing"},
		{"extra", event(`"x":1`), about + "'x' is not in the schema"},
		{"extra inside", event(`"inner":{"id":"x","n":1,"y":2}`), about + "'inner/y' is not in the schema"},
		{"extra in strmMeta", `{"strmMeta":{"eventContractRef":"a","consentLevels":[],"z":1},"session":"s"}`, about + "'strmMeta/z' is not in the schema"},
		{"odd name", event(`"a\nb\u0007` + strings.Repeat("é", 150) + `":1`), about + `'a\nb\a` + strings.Repeat("é", 98) + "…' is not in the schema"},
		{"twice", event(`"n":1,"n":1`), about + "'n' is given twice"},
		{"twice, escaped", event(`"n":1,"\u006e":1`), about + "'n' is given twice"},
		{"strmMeta twice", event(`"strmMeta":{"eventContractRef":"a","consentLevels":[]}`), about + "'strmMeta' is given twice"},
		{"twice in a map", event(`"attrs":{"jan@x.nl":1,"jan\u0040x.nl":2}`), about + "'attrs/*' is given twice"},
		{"twice in a large map", event(`"attrs":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"c":2}`), about + "'attrs/*' is given twice"},

		{"string", event(`"opt":1`), about + "'opt' must be string or null"},
		{"session", strings.Replace(event(""), `"s"`, `null`, 1), about + "'session' must be string"},
		{"int", event(`"n":"1"`), about + "'n' must be int"},
		{"int with a fraction", event(`"n":1.0`), about + "'n' must be int"},
		{"int with an exponent", event(`"n":1e2`), about + "'n' must be int"},
		{"int too large", event(`"n":2147483648`), about + "'n' must be int"},
		{"int too small", event(`"n":-2147483649`), about + "'n' must be int"},
		{"long too large", event(`"big":9223372036854775808`), about + "'big' must be long"},
		{"long too small", event(`"big":-9223372036854775809`), about + "'big' must be long"},
		{"long far too large", event(`"big":99999999999999999999999`), about + "'big' must be long"},
		{"double", event(`"d":"1"`), about + "'d' must be number"},
		{"boolean", event(`"flag":null`), about + "'flag' must be boolean"},
		{"enum", event(`"kind":"C"`), about + "'kind' must be one of A, B"},
		{"fixed", event(`"hash":"abc"`), about + "'hash' must be fixed (a string of 2 characters up to U+00FF)"},
		{"bytes", event(`"raw":"€"`), about + "'raw' must be bytes (a string of characters up to U+00FF)"},
		{"array", event(`"tags":"a"`), about + "'tags' must be array"},
		{"element", event(`"tags":["a",1]`), about + "'tags/1' must be string"},
		{"map", event(`"attrs":[]`), about + "'attrs' must be object"},
		{"map value", event(`"attrs":{"jan@x.nl":"x"}`), about + "'attrs/*' must be long"},
		{"record", event(`"inner":"x"`), about + "'inner' must be object or null"},
		{"record inside", event(`"inner":{"id":"x","n":[]}`), about + "'inner/n' must be int"},
		{"union", event(`"either":true`), about + "'either' must be int or string or null"},
		{"union, wrapped", event(`"either":{"int":"x"}`), about + "'either' must be int or string or null"},
		{"union, wrong name", event(`"either":{"long":1}`), about + "'either' must be int or string or null"},
		{"union, two members", event(`"either":{"int":1,"string":"x"}`), about + "'either' must be int or string or null"},
		{"element in a union", event(`"list":[1,null]`), about + "'list/1' must be int"},
		{"wrong and not JSON", event(`"n":x`), json + "character 'x' is not expected at byte " + at(event(`"n":x`), "x}", 1)},

		{"negative level", levels("-1"), about + "'strmMeta/consentLevels' must hold levels from 0 to 63"},
		{"level too high", levels("0,64"), about + "'strmMeta/consentLevels' must hold levels from 0 to 63"},
		{"level with a fraction", levels("1.5"), about + "'strmMeta/consentLevels' must hold levels from 0 to 63"},
		{"huge level", levels("18446744073709551617"), about + "'strmMeta/consentLevels' must hold levels from 0 to 63"},
		{"level of the wrong type", levels(`"1"`), about + "'strmMeta/consentLevels' must be int"},
		{"levels null", strings.Replace(levels(""), "[]", "null", 1), about + "'strmMeta/consentLevels' must be array"},

		{"empty key", strings.Replace(event(""), `"s"`, `""`, 1), "Key field 'session' is empty"},

		{"regex", event(`"url":"url"`), "Field: 'url" + regex + "url'\n  doesn't match regex: '^https?://'"},
		{"regex, wrapped", event(`"url":{"string":"url"}`), "Field: 'url" + regex + "url'\n  doesn't match regex: '^https?://'"},
		{"regex on what is decoded", event(`"url":"\u0068ttx://"`), "Field: 'url" + regex + "httx://'\n  doesn't match regex: '^https?://'"},
		{"regex, long value", event(`"url":"` + strings.Repeat("x", 300) + `"`), "Field: 'url" + regex + strings.Repeat("x", 200) + "…'\n  doesn't match regex: '^https?://'"},
		{"regex, control characters", event(`"url":"a\r\nb\u0000"`), "Field: 'url" + regex + `a\r\nb\x00` + "'\n  doesn't match regex: '^https?://'"},
		{"regex, personal", event(`"mail":"jan"`), "Field: 'mail" + regex + "****'\n  doesn't match regex: '@'"},
		{"regex, data subject", event(`"person":"jan"`), "Field: 'person" + regex + "****'\n  doesn't match regex: '^p'"},
		{"regex in a list", event(`"tags":["a","B"]`), "Field: 'tags" + regex + "B'\n  doesn't match regex: '^[a-z]+$'"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out contract.Checked
			err := c.Check(&out, []byte(tc.body))
			var v *contract.Violation
			if !errors.As(err, &v) {
				t.Fatalf("%s\nwas taken: %v", tc.body, err)
			}
			if v.Error() != tc.want {
				t.Errorf("%s\n got %s\nwant %s", tc.body, v, tc.want)
			}
		})
	}
}

func levels(list string) string {
	return strings.Replace(event(""), `"consentLevels":[1]`, `"consentLevels":[`+list+`]`, 1)
}

// TestNormalised holds what is written for what is taken.
func TestNormalised(t *testing.T) {
	c := compile(t, withFields(`
		{"name":"n","type":["null","int"]},
		{"name":"t","type":["null",{"type":"long","logicalType":"timestamp-millis"}],"default":null},
		{"name":"d","type":"double","default":1.5},
		{"name":"s","type":["string","null"],"default":"x\"é\u0001"},
		{"name":"raw","type":"bytes","default":"\u00ff\u0000"},
		{"name":"m","type":{"type":"map","values":["null","string","int"]},"default":{}},
		{"name":"in","type":["null",
			{"type":"record","name":"One","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":7}]},
			{"type":"record","name":"Two","fields":[{"name":"a","type":"int"},{"name":"string","type":"string"}]},
			{"type":"map","values":"string"}],"default":null}`))
	const rest = `,"t":null,"d":1.5,"s":"x\"é\u0001","raw":"ÿ\u0000","m":{},"in":null`
	without := func(name string) string {
		for _, m := range []string{`,"t":null`, `,"d":1.5`, `,"s":"x\"é\u0001"`, `,"raw":"ÿ\u0000"`, `,"m":{}`, `,"in":null`} {
			if strings.HasPrefix(m, `,"`+name+`"`) {
				return `,"n":null` + strings.Replace(rest, m, "", 1)
			}
		}
		return rest
	}
	for _, tc := range []struct{ name, members, want string }{
		{"defaults", ``, `"session":"s"` + `,"n":null` + rest},
		{"plain", `"n":-0`, `"session":"s","n":-0` + rest},
		{"wrapped", `"n":{"int":2147483647}`, `"session":"s","n":2147483647` + rest},
		{"wrapped, with space", `"n" : { "int" : 5 } `, `"session":"s","n":5` + rest},
		{"wrapped with the logical type", `"t":{"long.timestamp-millis":5}`, `"session":"s","t":5` + without("t")},
		{"number text", `"d":1.50E+03`, `"session":"s","d":1.50E+03` + without("d")},
		{"huge number", `"d":1e999`, `"session":"s","d":1e999` + without("d")},
		{"escapes", `"s":"\u0041\/\t\ud83d\ude00😀\u0000"`, `"session":"s","s":"\u0041\/\t\ud83d\ude00😀\u0000"` + without("s")},
		{"name with escapes", `"\u0073":"x"`, `"session":"s","s":"x"` + without("s")},
		{"map", `"m":{ "b\n" : null , "a" : {"string":"x"}, "c":{"int":1} }`, `"session":"s","m":{"b\n":null,"a":"x","c":1}` + without("m")},
		{"record by its members", `"in":{"a":1}`, `"session":"s","in":{"a":1,"b":7}` + without("in")},
		{"second record by its members", `"in":{"string":"x","a":1}`, `"session":"s","in":{"string":"x","a":1}` + without("in")},
		{"record, wrapped", `"in":{"com.acme.One":{"a":1}}`, `"session":"s","in":{"a":1,"b":7}` + without("in")},
		{"map by its members", `"in":{"q":"x"}`, `"session":"s","in":{"q":"x"}` + without("in")},
		{"map, wrapped", `"in":{"map":{"a":"x"}}`, `"session":"s","in":{"a":"x"}` + without("in")},
		{"map with a branch's name", `"in":{"map":"x"}`, `"session":"s","in":{"map":"x"}` + without("in")},
		{"empty map", `"in":{}`, `"session":"s","in":{}` + without("in")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got contract.Checked
			if err := c.Check(&got, []byte(event(tc.members))); err != nil {
				t.Fatal(err)
			}
			if string(got.Members) != tc.want {
				t.Errorf("\n got %s\nwant %s", got.Members, tc.want)
			}
		})
	}
}

func TestPersonalValues(t *testing.T) {
	d := withFields(`
		{"name":"mail","type":["null","string"],"default":null},
		{"name":"names","type":["null",{"type":"array","items":["null","string"]}],"default":null},
		{"name":"country","type":"string","default":"N\"L"},
		{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[{"name":"to","type":"string"},{"name":"n","type":"int"}]}},"default":[]},
		{"name":"next","type":["null","com.acme.Line"],"default":null}`)
	d.KeyField = "mail"
	d.FieldMetadata = []contract.FieldMetadata{
		{FieldName: "mail", PersonalDataConfig: &contract.PersonalData{IsPii: true, PurposeLevel: 63}},
		{FieldName: "names", PersonalDataConfig: &contract.PersonalData{IsPii: true, PurposeLevel: 3}},
		{FieldName: "country", PersonalDataConfig: &contract.PersonalData{IsPii: true}},
		{FieldName: "session", PersonalDataConfig: &contract.PersonalData{}},
		{FieldName: "lines/n"},
	}
	d.PiiFields = map[string]int{"mail": 1, "lines/to": 2, "session": 0}
	c := compile(t, d)
	if got := strings.Join(c.PersonalFields(), " "); got != "lines/to mail names country" {
		t.Fatalf("PersonalFields %s", got)
	}
	for _, tc := range []struct{ name, members, want string }{
		{"escapes", `"mail":"\u006aan\n"`, "mail=jan\n country=N\"L"},
		{"empty and null in a list", `"mail":"x","names":["",null,{"string":"b"}]`, "mail=x names= names=b country=N\"L"},
		{"null", `"mail":"x","names":null,"country":""`, "mail=x country="},
		{"in records of a list, not beside them", `"lines":[{"to":"a","n":1},{"n":2,"to":"b"}],"next":{"to":"c","n":1},"mail":{"string":"x"}`, "lines/to=a lines/to=b mail=x country=N\"L"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got contract.Checked
			if err := c.Check(&got, []byte(event(tc.members))); err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, p := range got.Personal {
				all = append(all, c.PersonalFields()[p.Path]+"="+string(p.Plain))
				if q := string(got.Members[p.Off-1 : p.Off+p.Len+1]); q[0] != '"' || q[len(q)-1] != '"' || unquote(t, q) != string(p.Plain) {
					t.Errorf("Members has %s where %q should be", q, p.Plain)
				}
				if p.Level != c.PersonalLevels()[p.Path] {
					t.Errorf("level %d of %s", p.Level, c.PersonalFields()[p.Path])
				}
			}
			if s := strings.Join(all, " "); s != tc.want {
				t.Errorf("\n got %q\nwant %q", s, tc.want)
			}
		})
	}
	var out contract.Checked
	if err := c.Check(&out, []byte(event(`"mail":null`))); err == nil || err.Error() != "Key field 'mail' is empty" {
		t.Errorf("a null key field: %v", err)
	}
}

// TestEventsOf2021 takes what the first clients send.
func TestEventsOf2021(t *testing.T) {
	c := builtin(t, "strmprivacy/example/1.3.0")
	body := `{"strmMeta":{"schemaId":"example","nonce":0,"timestamp":0,"keyLink":null,"billingId":{"string":""},"consentLevels":[3,0,3]},"consistentValue":"s"}`
	var got contract.Checked
	if err := c.Check(&got, []byte(body)); err != nil {
		t.Fatal(err)
	}
	if string(got.SchemaID) != "example" || got.ContractRef != nil || got.Consent != 0b1001 {
		t.Errorf("SchemaID %q, ContractRef %q, Consent %b", got.SchemaID, got.ContractRef, got.Consent)
	}
	if want := `"consistentValue":"s","uniqueIdentifier":null,"someSensitiveValue":null,"notSensitiveValue":null`; string(got.Members) != want {
		t.Errorf("Members\n got %s\nwant %s", got.Members, want)
	}
}

// TestReuse: nothing of an event remains for the next.
func TestReuse(t *testing.T) {
	c := builtin(t, "strmprivacy/clickstream/1.0.0")
	x := builtin(t, "strmprivacy/example/1.5.0")
	var got contract.Checked
	if err := c.Check(&got, []byte(demoEvent)); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(&got, []byte(strings.Replace(demoEvent, `"customer-id"`, `""`, 1))); err == nil || !strings.Contains(err.Error(), "'customer/id'") {
		t.Fatalf("got %v", err)
	}
	if err := c.Check(&got, []byte(strings.Replace(demoEvent, `"customer-id"`, `7`, 1))); err == nil || !strings.HasSuffix(err.Error(), "field 'customer/id' must be string") {
		t.Fatalf("got %v", err)
	}
	if err := x.Check(&got, []byte(`{"strmMeta":{"eventContractRef":"strmprivacy/example/1.5.0","consentLevels":[]},"consistentValue":"k"}`)); err != nil {
		t.Fatal(err)
	}
	if got.Subject != nil || got.Consent != 0 || len(got.Personal) != 1 || string(got.Key) != "k" {
		t.Errorf("left over: %+v", got)
	}
}

// TestWideRecord has more fields than a machine word has bits.
func TestWideRecord(t *testing.T) {
	var fields, members []string
	for i := range 150 {
		name := "f" + strings.Repeat("x", i)
		fields = append(fields, `{"name":"`+name+`","type":"int"}`)
		members = append(members, `"`+name+`":1`)
	}
	c := compile(t, withFields(strings.Join(fields, ",")))
	var out contract.Checked
	if err := c.Check(&out, []byte(event(strings.Join(members, ",")))); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(&out, []byte(event(strings.Join(members[1:], ",")))); err == nil || !strings.HasSuffix(err.Error(), "field 'f' is missing") {
		t.Errorf("got %v", err)
	}
	members = append(members, members[140])
	if err := c.Check(&out, []byte(event(strings.Join(members, ",")))); err == nil || !strings.HasSuffix(err.Error(), "is given twice") {
		t.Errorf("got %v", err)
	}
}

// TestDepth: a recursive schema is followed as deep as an event may be nested and no deeper.
func TestDepth(t *testing.T) {
	c := compile(t, withFields(`{"name":"chain","type":["null",{"type":"record","name":"Link","fields":[{"name":"next","type":["null","Link"],"default":null}]}],"default":null}`))
	nest := func(n int) string {
		return event(`"chain":` + strings.Repeat(`{"next":`, n) + "null" + strings.Repeat("}", n))
	}
	var out contract.Checked
	if err := c.Check(&out, []byte(nest(127))); err != nil {
		t.Errorf("127 links and the event itself: %v", err)
	}
	if err := c.Check(&out, []byte(nest(128))); err == nil || !strings.Contains(err.Error(), "nested deeper than 128 levels") {
		t.Errorf("129 levels: %v", err)
	}
	if err := c.Check(&out, []byte(nest(400_000))); err == nil {
		t.Error("400,000 levels were taken")
	}
}

// TestDefaultsAreBounded: a short event cannot ask for a long one.
func TestDefaultsAreBounded(t *testing.T) {
	c := compile(t, withFields(`{"name":"all","type":{"type":"array","items":{"type":"record","name":"Big","fields":[
		{"name":"text","type":"string","default":"`+strings.Repeat("x", 60<<10)+`"}]}}}`))
	var out contract.Checked
	if err := c.Check(&out, []byte(event(`"all":[`+strings.Repeat("{},", 16)+`{}]`))); err != nil {
		t.Fatal(err)
	}
	if out.Held() < 17*60<<10 {
		t.Errorf("it holds %d bytes", out.Held())
	}
	err := c.Check(&out, []byte(event(`"all":[`+strings.Repeat("{},", 17)+`{}]`)))
	if err == nil || !strings.Contains(err.Error(), "field 'all/17/text' is left out too often") {
		t.Errorf("got %v", err)
	}
}

func TestCheckAllocatesNothing(t *testing.T) {
	c := builtin(t, "strmprivacy/clickstream/1.0.0")
	for name, body := range map[string]string{
		"as shown": demoEvent,
		"escapes":  strings.Replace(demoEvent, `"customer-id"`, `"c\u0075stomer\t"`, 1),
		"order":    strings.Replace(strings.Replace(demoEvent, `"url"`, `"x"`, 1), `"x": "https://www.strmprivacy.io",`, "", 1)[:2] + `"url":"https://x.io",` + strings.Replace(demoEvent, `"url": "https://www.strmprivacy.io",`, "", 1)[2:],
	} {
		var out contract.Checked
		if err := c.Check(&out, []byte(body)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b := []byte(body)
		if n := testing.AllocsPerRun(100, func() { _ = c.Check(&out, b) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	x := compile(t, withFields(`
		{"name":"u","type":["null","int","string"]},
		{"name":"m","type":{"type":"map","values":["null","string"]}},
		{"name":"in","type":["null",{"type":"record","name":"One","fields":[{"name":"a","type":"int"}]},{"type":"record","name":"Two","fields":[{"name":"b","type":"int"}]}]},
		{"name":"d","type":"string","default":"x"}`))
	b := []byte(event(`"u":{"string":"x"},"m":{"\u0061":"x","b":{"string":"y"}},"in":{"b":1}`))
	var out contract.Checked
	if err := x.Check(&out, b); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = x.Check(&out, b) }); n != 0 {
		t.Errorf("unions and maps: %v allocations", n)
	}
}

func BenchmarkCheck(b *testing.B) {
	c := builtin(b, "strmprivacy/clickstream/1.0.0")
	body := []byte(demoEvent)
	var out contract.Checked
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Check(&out, body); err != nil {
			b.Fatal(err)
		}
	}
}
