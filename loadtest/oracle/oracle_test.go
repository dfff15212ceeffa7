package oracle_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"sluice/loadtest/oracle"
)

// The values were printed by the system whose masks these are.
func TestMask(t *testing.T) {
	for value, want := range map[string]string{
		"unique-5":        "1083e8169d7138e990cc30095578452",
		"session-273":     "7cc66d130664caa9efacda1026c1c44",
		"sensitive-0":     "e49bd309eed4a5094437a71ac2bc1cad",
		"not-sensitive-6": "538ad30b2aa2781e855c4eb059cf68a3",
	} {
		if got := oracle.Mask("hi-there", value); got != want {
			t.Errorf("%s: %s, not %s", value, got, want)
		}
	}
}

const example = `{"type":"record","name":"E","namespace":"x","fields":[
	{"name":"strmMeta","type":{"type":"record","name":"M","fields":[{"name":"eventContractRef","type":"string"},{"name":"consentLevels","type":{"type":"array","items":"int"}}]}},
	{"name":"unique","type":["null","string"]},{"name":"consistent","type":"string"},{"name":"sensitive","type":["null","string"]},
	{"name":"n","type":["null","int",{"type":"record","name":"R","fields":[{"name":"int","type":"int"}]}],"default":null}]}`

func parsed(t *testing.T) *oracle.Contract {
	t.Helper()
	c, err := oracle.Parse("some/example/1.0.0", []byte(example), []byte(`{"keyField":"consistent","piiFields":{"unique":1,"consistent":2,"sensitive":3},
		"validations":[{"field":"unique","type":"regex","value":"^u"},{"field":"n/int","type":"regex","value":"x"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The worked example of the field levels 1, 2 and 3: what an event with consent to 0, 1 and 2 shows where.
func TestShow(t *testing.T) {
	c := parsed(t)
	v := c.Judge([]byte(`{"strmMeta":{"eventContractRef":"some/example/1.0.0","consentLevels":[2,0,1,0]},"unique":"u","consistent":"c","sensitive":{"string":"s"}}`))
	if len(v.Faults) > 0 || fmt.Sprint(v.Levels) != "[0 1 2]" || v.Key != "c" || !v.NoSubject {
		t.Fatalf("%+v", v)
	}
	sealed := map[string]any{"unique": "U", "consistent": "C", "sensitive": "S", "n": nil}
	for _, row := range []struct {
		view oracle.View
		want string // "" for dropped
	}{
		{oracle.View{}, "UCS"},
		{oracle.View{Kind: "CUMULATIVE", Levels: []int{1}}, "uCS"},
		{oracle.View{Kind: "CUMULATIVE", Levels: []int{2}}, "ucS"},
		{oracle.View{Kind: "CUMULATIVE", Levels: []int{3}}, ""},
		{oracle.View{Kind: "GRANULAR", Levels: []int{1}}, "uCS"},
		{oracle.View{Kind: "GRANULAR", Levels: []int{0, 2}}, "UcS"},
		{oracle.View{Kind: "GRANULAR", Levels: []int{3}}, ""},
	} {
		if got := row.view.Keeps(v.Levels); got != (row.want != "") {
			t.Errorf("%+v keeps it: %t", row.view, got)
		} else if shown := row.view.Show(c, v.Event, sealed); got && fmt.Sprintf("%s%s%s", shown["unique"], shown["consistent"], shown["sensitive"]) != row.want {
			t.Errorf("%+v shows %v, not %s", row.view, shown, row.want)
		}
	}
	if (oracle.View{Kind: "CUMULATIVE", Levels: []int{2}}).Keeps([]int{3}) != true || (oracle.View{Kind: "CUMULATIVE", Levels: []int{0}}).Keeps(nil) {
		t.Error("the highest level of an event decides, and no consent is none")
	}
	masked := oracle.View{Kind: "CUMULATIVE", Levels: []int{1}, Seed: "s", Masks: map[string][]string{c.Ref: {"unique", "sensitive"}}}
	if shown := masked.Show(c, v.Event, sealed); shown["unique"] != oracle.Mask("s", "u") || shown["sensitive"] != "S" {
		t.Errorf("masked it shows %v", shown)
	}
}

func TestJudge(t *testing.T) {
	c := parsed(t)
	const meta = `"strmMeta":{"eventContractRef":"some/example/1.0.0","consentLevels":[]}`
	for body, want := range map[string]string{
		`{` + meta + `,"consistent":"c"}`:                        "",
		`{` + meta + `,"consistent":"c","n":{"int":1}}`:          "", // wrapped
		`{` + meta + `,"consistent":"c","n":{"x.R":{"int":1}}}`:  "",
		`{` + meta + `,"consistent":"c","n":{"int":"x"}}`:        "kind n/int",
		`{` + meta + `,"consistent":"","unique":"x"}`:            "key consistent, regex unique",
		`{` + meta + `,"consistent":"c","more":1}`:               "extra more",
		`{` + meta + `,"consistent":"c","more":"\ud800"}`:        "no JSON ",
		`{` + meta + `,"consistent":"c","a":{"b":1,"\u0062":2}}`: "twice a/b",
		`{` + meta + `}`: "key consistent, missing consistent",
		`{"consistent":"c","strmMeta":{"consentLevels":[64],"eventContractRef":""}}`: "level strmMeta/consentLevels, ref strmMeta/eventContractRef",
	} {
		var got []string
		for _, f := range c.Judge([]byte(body)).Faults {
			got = append(got, f.Error())
		}
		slices.Sort(got)
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// A datum by hand: the length of a text and its bytes, a list of one, the number of a union's branch.
func TestDatum(t *testing.T) {
	c := parsed(t)
	v := c.Judge([]byte(`{"strmMeta":{"eventContractRef":"some/example/1.0.0","consentLevels":[1]},"consistent":"c","unique":"u","n":-1}`))
	whole := maps.Clone(v.Event)
	whole["strmMeta"] = v.Meta
	if got, want := string(c.Datum(whole)), "\x24some/example/1.0.0"+"\x02\x02\x00"+"\x02\x02u"+"\x02c"+"\x00"+"\x02\x01"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
}

// The key and the ciphertext are a published pair.
func TestOpen(t *testing.T) {
	keys := oracle.Keys{}
	err := keys.Add(strings.NewReader(`keyLink,encryptionKey,policyId,expiresAt
link,"{""primaryKeyId"":714921229,""key"":[{""keyData"":{""typeUrl"":""type.googleapis.com/google.crypto.tink.AesSivKey"",""value"":""EkBKGzBuy9C3UUmWaOzpe7NBEg6QK21FRhZ9MjuD5hpa0+hPJy0kn1HngA9QUT5aGbTNQQyow0V6qJCFoFRQNNTH"",""keyMaterialType"":""SYMMETRIC""},""status"":""ENABLED"",""keyId"":714921229,""outputPrefixType"":""TINK""}]}",,1
`))
	if err != nil {
		t.Fatal(err)
	}
	const sealed = "ASqc1Q0QalDEN+LHeyZSfGHE+s9Lqu4o+jM="
	if clear, err := keys.Open("link", sealed); err != nil || clear != "17850" {
		t.Errorf("%q %v", clear, err)
	}
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	for _, no := range []string{base64.StdEncoding.EncodeToString(raw), "17850", ""} {
		if clear, err := keys.Open("link", no); err == nil {
			t.Errorf("%q opens to %q", no, clear)
		}
	}
	if _, err := keys.Open("another", sealed); err == nil {
		t.Error("a key opens what is another's")
	}
}
