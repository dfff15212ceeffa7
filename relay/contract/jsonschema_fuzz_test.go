package contract_test

import (
	"bytes"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"sluice/relay/contract"
)

// exponent finds what may be a number that the library alone would take for ever with.
var exponent = regexp.MustCompile(`[0-9][eE]`)

// FuzzJSONSchema holds the pass over open objects to slow and literal readers: encoding/json for the text, the schema
// library alone for the schema, a walk over the tree for what is personal.
func FuzzJSONSchema(f *testing.F) {
	d := jsonContract(`,"mail":{"$ref":"#/$defs/mail"},"tags":{"type":"array","items":{"type":"string"}},"any":{},
		"people":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"}}}},"n":{"type":"number"}`)
	d.Schema = strings.Replace(d.Schema, `"items":{"type":"integer"}`, `"items":{"type":"integer","minimum":0,"maximum":63}`, 1)
	d.PiiFields = map[string]int{"mail": 1, "tags": 2, "people/name": 3}
	c := compile(f, d)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(d.Schema))
	if err != nil {
		f.Fatal(err)
	}
	lib := jsonschema.NewCompiler()
	if err := lib.AddResource("https://example.com/s.json", doc); err != nil {
		f.Fatal(err)
	}
	schema := lib.MustCompile("https://example.com/s.json")
	for _, members := range []string{
		``, `"mail":"a@b\u00e9"`, `"mail":null,"tags":[]`, `"tags":["\ud83d\ude00","b"],"n":-1.5e+9`, `"people":[{"name":"Bo","x":{"a":[1,2]}},{}]`,
		`"any":{"a":1,"\u0061":2}`, `"any":[[],{"b":null}],"extra":1`, `"n":1e1000`, `"mail":7`, `"any" : "x" , "n" : 0`,
	} {
		f.Add([]byte(event(members)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got contract.Checked
		err := c.Check(&got, body)
		tree, treeErr := ordered(body)
		root, _ := tree.(*object)
		sound := treeErr == nil && root != nil
		if sound {
			v, readErr := jsonschema.UnmarshalJSON(bytes.NewReader(body))
			sound = readErr == nil && !exponent.Match(body) && schema.Validate(v) == nil
		}
		if err != nil {
			for _, ours := range []string{"strmMeta", "Key field", "must be a number of at most"} {
				if strings.Contains(err.Error(), ours) {
					return
				}
			}
			if sound {
				t.Fatalf("%s\nis refused: %v", body, err)
			}
			return
		}
		if treeErr != nil || root == nil {
			t.Fatalf("%s\nis taken, but: %v", body, treeErr)
		}
		if v, _ := jsonschema.UnmarshalJSON(bytes.NewReader(body)); schema.Validate(v) != nil {
			t.Fatalf("%s\nis taken against its schema", body)
		}
		i := slices.Index(root.names, "strmMeta")
		root.names, root.values = slices.Delete(root.names, i, i+1), slices.Delete(root.values, i, i+1)
		text := "{" + string(got.Members) + "}"
		again, err := ordered([]byte(text))
		if err != nil || !reflect.DeepEqual(again, any(root)) {
			t.Fatalf("%s\nbecame %s", body, text)
		}
		var want []string
		personalOf(root, "", &want)
		var found []string
		for _, p := range got.Personal {
			found = append(found, c.PersonalFields()[p.Path]+"="+string(p.Plain))
			if unquote(t, `"`+string(got.Members[p.Off:p.Off+p.Len])+`"`) != string(p.Plain) {
				t.Fatalf("%s\nhas %q where %q should be", text, got.Members[p.Off:p.Off+p.Len], p.Plain)
			}
		}
		if !slices.Equal(found, want) {
			t.Fatalf("%s\nhas the personal values %q\nbut we found %q", body, want, found)
		}
	})
}

// personalOf lists the strings at the personal paths of FuzzJSONSchema, in the order of the text.
func personalOf(v any, path string, found *[]string) {
	switch v := v.(type) {
	case *object:
		for i, name := range v.names {
			personalOf(v.values[i], strings.TrimPrefix(path+"/"+name, "/"), found)
		}
	case []any:
		for _, item := range v {
			personalOf(item, path, found)
		}
	case string:
		if path == "mail" || path == "tags" || path == "people/name" {
			*found = append(*found, path+"="+v)
		}
	}
}
