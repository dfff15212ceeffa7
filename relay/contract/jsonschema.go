package contract

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// jsonSchema is a compiled JSON Schema of any draft from 4 to 2020-12, with nothing loaded from elsewhere. Safe for
// concurrent use: each check takes a compiled copy of its own, for a copy counts the steps of the check that has it.
type jsonSchema struct {
	doc    any
	root   *jsonschema.Schema // to look paths up
	names  map[string]bool    // all property names that the schema speaks of
	copies sync.Pool          // *counted
}

const schemaURL = "contract://schema/definition.json"

// errElsewhere: a schema refers to another document. Nothing is fetched or read for a stranger's schema.
var errElsewhere = errors.New("other documents are not loaded: put all definitions into the schema")

// nothingElse is a loader for a compiler that loads nothing.
type nothingElse struct{}

func (nothingElse) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to '%s', %w", shown(strings.TrimPrefix(url, "contract://schema/")), errElsewhere)
}

func compileJSONSchema(text string) (*jsonSchema, error) {
	if err := CheckJSON([]byte(text)); err != nil {
		var v *Violation
		if errors.As(err, &v) {
			return nil, faulty("schema", "%s", strings.Replace(v.Text, "Body", "it", 1))
		}
		return nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, faulty("schema", "%w", err)
	}
	j := &jsonSchema{doc: doc, names: map[string]bool{"strmMeta": true}}
	if j.root, err = j.compile(); err != nil {
		return nil, faulty("schema", "%w", plainSchemaError(err))
	}
	eachSchema(j.root, func(s *jsonschema.Schema) {
		for name := range s.Properties {
			j.names[name] = true
		}
	})
	for _, f := range meta().fields {
		j.names[f.name] = true
	}
	return j, nil
}

func (j *jsonSchema) compile() (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.UseLoader(nothingElse{})
	if err := c.AddResource(schemaURL, j.doc); err != nil {
		return nil, err
	}
	return c.Compile(schemaURL)
}

// plainSchemaError leaves out of a compiler's error the address that we gave the schema.
func plainSchemaError(err error) error {
	if load := (*jsonschema.LoadURLError)(nil); errors.As(err, &load) {
		return load.Err
	}
	text := strings.NewReplacer(schemaURL+"#", "#", schemaURL, "it", "jsonschema: ", "").Replace(err.Error())
	return errors.New(shown(strings.ReplaceAll(text, "\n", " ")))
}

// eachSchema calls fn once for every schema that a check can come by.
func eachSchema(root *jsonschema.Schema, fn func(*jsonschema.Schema)) {
	seen := map[*jsonschema.Schema]bool{}
	var walk func(s *jsonschema.Schema)
	walk = func(s *jsonschema.Schema) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		fn(s)
		for _, sub := range inPlace(s) {
			walk(sub)
		}
		for _, sub := range below(s) {
			walk(sub)
		}
	}
	walk(root)
}

// inPlace lists the schemas that a value is held to beside s, as far as they can say something about its members.
func inPlace(s *jsonschema.Schema) []*jsonschema.Schema {
	all := slices.Concat(s.AllOf, s.AnyOf, s.OneOf, []*jsonschema.Schema{s.Ref, s.RecursiveRef, s.If, s.Then, s.Else, s.Not})
	if s.DynamicRef != nil {
		all = append(all, s.DynamicRef.Ref)
	}
	for _, sub := range s.DependentSchemas {
		all = append(all, sub)
	}
	for _, sub := range s.Dependencies {
		if sub, ok := sub.(*jsonschema.Schema); ok {
			all = append(all, sub)
		}
	}
	return all
}

// below lists the schemas of a value's members and elements.
func below(s *jsonschema.Schema) []*jsonschema.Schema {
	all := items(s)
	all = append(all, s.Contains, s.PropertyNames, s.UnevaluatedProperties, s.UnevaluatedItems)
	for _, sub := range s.Properties {
		all = append(all, sub)
	}
	for _, sub := range s.PatternProperties {
		all = append(all, sub)
	}
	if sub, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
		all = append(all, sub)
	}
	return all
}

// items lists the schemas of a list's elements.
func items(s *jsonschema.Schema) []*jsonschema.Schema {
	all := append(slices.Clone(s.PrefixItems), s.Items2020)
	switch i := s.Items.(type) {
	case *jsonschema.Schema:
		all = append(all, i)
	case []*jsonschema.Schema:
		all = append(all, i...)
	}
	if sub, ok := s.AdditionalItems.(*jsonschema.Schema); ok {
		all = append(all, sub)
	}
	return all
}

// reach gives all schemas that speak about the same values as those given.
func reach(set []*jsonschema.Schema) []*jsonschema.Schema {
	var all []*jsonschema.Schema
	seen := map[*jsonschema.Schema]bool{}
	var walk func(s *jsonschema.Schema)
	walk = func(s *jsonschema.Schema) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		all = append(all, s)
		for _, sub := range inPlace(s) {
			if sub != s.Not { // it says what a value is not
				walk(sub)
			}
		}
	}
	for _, s := range set {
		walk(s)
	}
	return all
}

// find gives the schemas of what a slash path leads to. With lists, it may lead through the elements of lists. The
// error completes a sentence about the path.
func (j *jsonSchema) find(path string, lists bool) ([]*jsonschema.Schema, error) {
	set := []*jsonschema.Schema{j.root}
	for i, name := range strings.Split(path, "/") {
		if i == 0 && name == "strmMeta" && strings.Contains(path, "/") {
			return nil, errors.New("must not lie in strmMeta")
		}
		if set = member(set, name, lists); len(set) == 0 {
			return nil, errors.New("is not in the schema")
		}
	}
	return reach(set), nil
}

func member(set []*jsonschema.Schema, name string, lists bool) []*jsonschema.Schema {
	var found, elements []*jsonschema.Schema
	for _, s := range reach(set) {
		if sub := s.Properties[name]; sub != nil {
			found = append(found, sub)
		}
		elements = append(elements, items(s)...)
	}
	if elements = slices.DeleteFunc(elements, func(s *jsonschema.Schema) bool { return s == nil }); lists && len(elements) > 0 && len(found) == 0 {
		return member(elements, name, lists)
	}
	return found
}

// types gives the names of the JSON types that the schemas allow, as far as they name any, and the schemas of a list's
// elements.
func types(set []*jsonschema.Schema) (names []string, elements []*jsonschema.Schema) {
	for _, s := range set {
		if s.Types != nil {
			names = append(names, s.Types.ToStrings()...)
		} else if s.Enum != nil {
			for _, v := range s.Enum.Values {
				names = append(names, typeName(v))
			}
		} else if s.Const != nil {
			names = append(names, typeName(*s.Const))
		}
		elements = append(elements, items(s)...)
	}
	return names, reach(elements)
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case nil:
		return "null"
	}
	return "other"
}

// noteOpen is note for a contract with a JSON Schema. The schema must name the type of the field, so that it is known
// before the first event that its values can be encrypted.
func (c *Contract) noteOpen(what, path string, want []kind, lists bool, must string, add func(leaf *node, n *note) error) error {
	fail := func(err error) error { return faulty(what, "field '%s' %w", shown(path), err) }
	set, err := c.json.find(path, lists)
	if err != nil {
		return fail(err)
	}
	takes := kinds(0)
	for _, k := range want {
		switch k {
		case kindString, kindEnum:
			takes |= takesText
		case kindInt, kindLong:
			takes |= takesWhole
		case kindRecord, kindMap:
			takes |= takesObject
		}
	}
	if !allowed(set, takes, lists) {
		return fail(errors.New("must be " + must + ": its schema must say so with 'type'"))
	}
	leaf := c.root
	for _, name := range strings.Split(path, "/") {
		leaf = leaf.child(name)
	}
	p := leaf.open
	if leaf.note == nil {
		leaf.note = new(note)
		p.takes, p.lists, p.says = takes, lists, said(set)
		if _, elements := types(set); len(elements) > 0 {
			p.element = &node{kind: kindOpen, open: &open{says: said(elements)}}
		}
		p.text, p.whole = &node{kind: kindString, note: leaf.note}, &node{kind: kindLong, note: leaf.note}
	}
	p.takes &= takes
	p.lists = p.lists && lists
	if p.takes == 0 {
		return fail(errors.New("is used as a value and as an object"))
	}
	if err := add(leaf, leaf.note); err != nil {
		return fail(err)
	}
	return nil
}

// said names the types that the schemas of a noted field allow, as an event's producer is told.
func said(set []*jsonschema.Schema) []string {
	names, elements := types(set)
	var all []string
	for _, t := range []struct{ name, said string }{{"string", "string"}, {"integer", "whole number"}, {"object", "object"}, {"array", ""}, {"null", "null"}} {
		switch {
		case !slices.Contains(names, t.name):
		case t.name == "array":
			all = append(all, "list of "+strings.Join(slices.DeleteFunc(said(elements), func(s string) bool { return s == "null" }), "s or ")+"s")
		default:
			all = append(all, t.said)
		}
	}
	return all
}

// allowed tells whether the schemas name types, and none that is not among those wanted.
func allowed(set []*jsonschema.Schema, takes kinds, lists bool) bool {
	names, elements := types(set)
	some := false
	for _, name := range names {
		switch {
		case name == "null":
		case name == "string" && takes&takesText != 0,
			name == "integer" && takes&takesWhole != 0,
			name == "object" && takes&takesObject != 0:
			some = true
		case name == "array" && lists:
			if !allowed(elements, takes, false) {
				return false
			}
			some = true
		default:
			return false
		}
	}
	return some
}

// cutOpenMeta is cutMeta for a contract with a JSON Schema.
func (c *Contract) cutOpenMeta() error {
	has := func(name string) bool {
		return len(member(member([]*jsonschema.Schema{c.json.root}, "strmMeta", false), name, false)) > 0
	}
	if len(member([]*jsonschema.Schema{c.json.root}, "strmMeta", false)) == 0 {
		return faulty("schema", "field 'strmMeta' is missing among its properties")
	}
	switch {
	case has("eventContractRef"):
		c.metaRef = "eventContractRef"
	case has("schemaId"):
		c.metaRef = "schemaId"
	default:
		return faulty("schema", "field 'strmMeta/eventContractRef' is missing")
	}
	if !has("consentLevels") {
		return faulty("schema", "field 'strmMeta/consentLevels' is missing")
	}
	c.root.child("strmMeta")
	f := &c.root.fields[c.root.index["strmMeta"]]
	f.node, f.meta = meta(), true
	return nil
}

// counted is a compiled copy with the steps left for the check that has it.
type counted struct {
	root *jsonschema.Schema
	left int
}

// Validate makes counted a part of each of its schemas, called for every value that is held to one. The library has
// no other way to stop: a few nested alternatives can ask for more steps than there are years.
func (k *counted) Validate(*jsonschema.ValidatorContext, any) {
	if k.left--; k.left < 0 {
		panic(errSteps)
	}
}

var errSteps = errors.New("the check takes too many steps")

// A check may take this many steps, and so many more for each byte of the event.
const (
	stepsAtLeast = 100_000
	stepsPerByte = 8
)

func (j *jsonSchema) check(c *Contract, body []byte) (refused *Violation) {
	k, ok := j.copies.Get().(*counted)
	if !ok {
		root, err := j.compile()
		if err != nil { // it compiled before, from the same document
			panic(err)
		}
		k = &counted{root: root}
		eachSchema(root, func(s *jsonschema.Schema) { s.Extensions = append(s.Extensions, k) })
	}
	defer func() {
		switch p := recover(); p {
		case nil:
		case errSteps:
			refused = &Violation{Text: fmt.Sprintf("Event does not match schema '%s': checking it takes too many steps, its alternatives are nested too deep", c.def.Ref)}
		default:
			panic(p)
		}
		j.copies.Put(k)
	}()
	k.left = stepsAtLeast + stepsPerByte*len(body)
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return invalid(err.Error(), 0)
	}
	var wrong *jsonschema.ValidationError
	if err := k.root.Validate(v); errors.As(err, &wrong) {
		return j.violation(c, wrong)
	}
	return nil
}
