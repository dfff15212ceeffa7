package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Contract is a data contract, as its author's two files say it.
type Contract struct {
	Ref, ShortID string
	Key, Subject string         // slash paths; Subject may be empty
	Personal     map[string]int // slash path to level
	rules        []rule

	avro *avro          // of an Avro schema or a Simple Schema
	json map[string]any // of a JSON Schema
}

type rule struct {
	Field string
	Value string
}

// Parse reads a contract: the schema in any of its three forms, and the contract file.
func Parse(ref string, schema, file []byte) (*Contract, error) {
	var def struct {
		ShortID, KeyField, DataSubjectField string
		PiiFields                           map[string]int
		Validations                         []rule
		FieldMetadata                       []struct {
			FieldName          string
			PersonalDataConfig *struct {
				IsPii        bool
				PurposeLevel int
			}
		}
	}
	if err := json.Unmarshal(file, &def); err != nil {
		return nil, err
	}
	c := &Contract{Ref: ref, ShortID: def.ShortID, Key: def.KeyField, Subject: def.DataSubjectField, Personal: map[string]int{}, rules: def.Validations}
	for path, level := range def.PiiFields {
		c.Personal[path] = level
	}
	for _, m := range def.FieldMetadata {
		if p := m.PersonalDataConfig; p != nil {
			delete(c.Personal, m.FieldName)
			if p.IsPii {
				c.Personal[m.FieldName] = p.PurposeLevel
			}
		}
	}
	var top map[string]any
	if err := yaml.Unmarshal(schema, &top); err != nil { // JSON is YAML
		return nil, err
	}
	var err error
	switch {
	case top["nodes"] != nil:
		c.avro, err = parseSimple(top)
	case top["fields"] != nil:
		c.avro, err = parseAvro(schema)
	case top["properties"] != nil:
		var v any
		if v, err = Tree(schema); err == nil {
			c.json = v.(map[string]any)
		}
	default:
		err = fmt.Errorf("%s has no schema that is known here", ref)
	}
	return c, err
}

// Verdict is what must become of an event. With Faults it must be refused, and the answer must name one of them.
type Verdict struct {
	Faults []Fault

	Event        map[string]any // without strmMeta: unions plain, and what was left out filled in
	Meta         map[string]any // strmMeta as it was sent
	Levels       []int          // ascending, each once
	Key, Subject string
	NoSubject    bool // the contract names no subject, or the event has none
}

// Judge holds a JSON event to the contract.
func (c *Contract) Judge(body []byte) (v Verdict) {
	tell := func(f Fault) { v.Faults = append(v.Faults, f) }
	top, err := Tree(body)
	event, object := top.(map[string]any)
	if twice, ok := err.(Fault); ok {
		tell(twice)
		return v
	} else if err != nil || !object {
		tell(Fault{Class: NoJSON})
		return v
	}
	c.meta(&v, event, tell)
	rest := map[string]any{}
	for name, value := range event {
		if name != "strmMeta" {
			rest[name] = value
		}
	}
	if c.avro != nil {
		without := *c.avro
		without.fields = slices.DeleteFunc(slices.Clone(without.fields), func(f avroField) bool { return f.name == "strmMeta" })
		v.Event = without.check(rest, nil, tell).(map[string]any)
	} else {
		without := Clone(c.json).(map[string]any)
		without["required"] = slices.DeleteFunc(without["required"].([]any), func(name any) bool { return name == "strmMeta" })
		checkJSON(without, rest, nil, tell)
		v.Event = rest
	}
	if keys := texts(v.Event, strings.Split(c.Key, "/")); len(keys) == 1 {
		v.Key = keys[0]
	}
	if v.Key == "" {
		tell(Fault{Class: NoKey, Field: c.Key})
	}
	v.NoSubject = true
	if c.Subject != "" {
		if s := texts(v.Event, strings.Split(c.Subject, "/")); len(s) == 1 {
			v.Subject, v.NoSubject = s[0], false
		}
	}
	for _, r := range c.rules {
		_, personal := c.Personal[r.Field]
		for _, value := range texts(v.Event, strings.Split(r.Field, "/")) {
			if regexp.MustCompile(r.Value).MatchString(value) {
				continue
			}
			if personal || r.Field == c.Subject {
				value = "****"
			}
			tell(Fault{Class: Regex, Field: r.Field, Value: value, Rule: r.Value})
		}
	}
	return v
}

// Named is the verdict on an event in bulk that leaves the name of its contract to the header or the stream: the gateway names it.
func (c *Contract) Named(v Verdict) Verdict {
	i := slices.Index(v.Faults, Fault{Class: Missing, Field: "strmMeta/eventContractRef"})
	if i < 0 {
		return v
	}
	v.Faults = slices.Delete(slices.Clone(v.Faults), i, i+1)
	v.Meta = maps.Clone(v.Meta)
	v.Meta["eventContractRef"] = c.Ref
	return v
}

// metaKinds are the members of strmMeta, and what each may be beside null.
var metaKinds = map[string][]string{
	"eventContractRef": {"string"}, "schemaId": {"string"}, "nonce": {"int"}, "timestamp": {"long"}, "keyLink": {"string", "int"},
	"billingId": {"string"}, "consentLevels": nil,
}

// maxLevel is the highest consent level there is.
const maxLevel = 63

func (c *Contract) meta(v *Verdict, event map[string]any, tell func(Fault)) {
	in, there := event["strmMeta"]
	if !there {
		tell(Fault{Class: Missing, Field: "strmMeta"})
		return
	}
	meta, ok := in.(map[string]any)
	if !ok {
		tell(Fault{Class: Kind, Field: "strmMeta"})
		return
	}
	v.Meta = map[string]any{}
	for name, value := range meta {
		kinds, known := metaKinds[name]
		if !known {
			tell(Fault{Class: Extra, Field: "strmMeta/" + name})
			continue
		}
		if name != "consentLevels" {
			u := &avro{kind: "union", branches: []*avro{{kind: "null", name: "null"}}}
			for _, kind := range kinds {
				u.branches = append(u.branches, &avro{kind: kind, name: kind})
			}
			value = u.check(value, []string{"strmMeta", name}, tell)
		}
		v.Meta[name] = value
	}
	ref, hasRef := v.Meta["eventContractRef"].(string)
	id, hasID := v.Meta["schemaId"].(string)
	switch {
	case !hasRef && !hasID:
		name := "eventContractRef"
		if c.ofItsOwn("schemaId") {
			name = "schemaId"
		}
		tell(Fault{Class: Missing, Field: "strmMeta/" + name})
	case hasRef && ref != c.Ref:
		tell(Fault{Class: Ref, Field: "strmMeta/eventContractRef"})
	case hasID && id != c.Ref && (id != c.ShortID || id == ""):
		tell(Fault{Class: Level, Field: "strmMeta/schemaId"})
	}
	list, ok := v.Meta["consentLevels"].([]any)
	if _, given := v.Meta["consentLevels"]; !given {
		tell(Fault{Class: Missing, Field: "strmMeta/consentLevels"})
	} else if !ok {
		tell(Fault{Class: Kind, Field: "strmMeta/consentLevels"})
	}
	for _, l := range list {
		n, isNumber := l.(json.Number)
		level, whole := new(big.Int).SetString(string(n), 10)
		if !isNumber || !whole || level.Sign() < 0 || level.Cmp(big.NewInt(maxLevel)) > 0 {
			tell(Fault{Class: Level, Field: "strmMeta/consentLevels"})
			continue
		}
		v.Levels = append(v.Levels, int(level.Int64()))
	}
	slices.Sort(v.Levels)
	v.Levels = slices.Compact(v.Levels)
}

// ofItsOwn tells whether the schema's own strmMeta has a member, and no eventContractRef.
func (c *Contract) ofItsOwn(member string) bool {
	if c.avro == nil {
		return false
	}
	for _, f := range c.avro.fields {
		if f.name == "strmMeta" {
			has := func(name string) bool {
				return slices.ContainsFunc(f.kind.fields, func(f avroField) bool { return f.name == name })
			}
			return has(member) && !has("eventContractRef")
		}
	}
	return false
}
