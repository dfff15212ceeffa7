package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// schemaTypeSimple is a type that authors may give and that is never stored: Resolve makes Avro of it.
const schemaTypeSimple = "SIMPLE"

// Resolve puts a definition into the form that is compiled and stored: the type of its schema is found out where it is
// not named, and a Simple Schema is kept as SimpleSchema with the Avro schema made from it in Schema. The error is a
// [*DefinitionError].
//
// A Simple Schema is YAML or JSON: {name, avroName?, namespace?, doc?, nodes: [{type, name, avroName?, repeated?,
// required?, doc?, nodes}]}, its types STRING BOOLEAN FLOAT INTEGER LONG NODE. What is not required becomes optional
// with default null, what is repeated a list, a NODE a record in a namespace of its own. strmMeta is added. Events use
// the avroName: by default the name itself where Avro allows it, else its words in CamelCase without what Avro forbids.
func Resolve(d Definition) (Definition, error) {
	switch t := strings.ReplaceAll(strings.ToUpper(d.SchemaType), "_", ""); t {
	case "":
		d.SchemaType = detect(d.Schema)
	case "SIMPLESCHEMA":
		d.SchemaType = schemaTypeSimple
	default:
		d.SchemaType = t
	}
	if d.SchemaType != schemaTypeSimple {
		d.Fingerprint = fingerprint(&d)
		return d, nil
	}
	if err := CheckRef(d.Ref); err != nil {
		return d, err
	}
	if len(d.Schema) > MaxSchemaBytes {
		return d, faulty("schema", "it has %d bytes, at most %d are taken", len(d.Schema), MaxSchemaBytes)
	}
	avro, err := simpleToAvro(d.Ref, d.Schema)
	if err != nil {
		return d, faulty("schema", "%w", err)
	}
	d.SchemaType, d.SimpleSchema, d.Schema = SchemaTypeAvro, d.Schema, avro
	d.Fingerprint = fingerprint(&d)
	return d, nil
}

// detect tells the type of a schema from its text. What is not JSON can only be a Simple Schema's YAML.
func detect(text string) string {
	var top map[string]json.RawMessage
	switch err := json.Unmarshal([]byte(text), &top); {
	case err != nil && strings.HasPrefix(strings.TrimSpace(text), "{"), json.Valid([]byte(text)) && top == nil:
		return SchemaTypeAvro
	case err != nil:
		return schemaTypeSimple
	}
	has := func(names ...string) bool {
		for _, name := range names {
			if top[name] != nil {
				return true
			}
		}
		return false
	}
	switch {
	case has("nodes"):
		return schemaTypeSimple
	case has("$schema", "properties", "$defs", "definitions", "allOf", "anyOf", "oneOf", "$ref", "required"), string(top["type"]) == `"object"`:
		return SchemaTypeJSON
	default:
		return SchemaTypeAvro
	}
}

type simpleSchema struct {
	Name      string       `yaml:"name"`
	AvroName  string       `yaml:"avroName"`
	Namespace string       `yaml:"namespace"`
	Doc       string       `yaml:"doc"`
	Nodes     []simpleNode `yaml:"nodes"`
}

type simpleNode struct {
	Type     string       `yaml:"type"`
	Name     string       `yaml:"name"`
	AvroName string       `yaml:"avroName"`
	Repeated bool         `yaml:"repeated"`
	Required bool         `yaml:"required"`
	Doc      string       `yaml:"doc"`
	Nodes    []simpleNode `yaml:"nodes"`
}

var simpleTypes = map[string]string{"STRING": "string", "BOOLEAN": "boolean", "FLOAT": "float", "INTEGER": "int", "LONG": "long"}

var (
	avroName      = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	avroNamespace = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*$`)
)

const (
	maxSimpleDepth = 32
	maxSimpleDoc   = 5000 // characters
)

// avroRecord and avroField are written with their members in the order that people read them in.
type avroRecord struct {
	Type      string      `json:"type"`
	Name      string      `json:"name"`
	Namespace string      `json:"namespace,omitempty"`
	Doc       string      `json:"doc,omitempty"`
	Fields    []avroField `json:"fields"`
}

type avroField struct {
	Name    string          `json:"name"`
	Type    any             `json:"type"`
	Default json.RawMessage `json:"default,omitempty"`
	Doc     string          `json:"doc,omitempty"`
}

func simpleToAvro(ref, text string) (string, error) {
	var s simpleSchema
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&s); errors.Is(err, io.EOF) {
		return "", errors.New("it is empty")
	} else if err != nil {
		return "", fmt.Errorf("it is not a Simple Schema: %s", plainYAMLError(err))
	}
	if d.Decode(new(any)) != io.EOF {
		return "", errors.New("it is more than one document")
	}
	name, err := nameOf("the schema", s.Name, s.AvroName)
	if err != nil {
		return "", err
	}
	space := s.Namespace
	if space == "" {
		parts := strings.Split(ref, "/")
		space = camelCase(parts[0]) + "." + camelCase(parts[1]) + ".v" + strings.ReplaceAll(parts[2], ".", "_")
	}
	if !avroNamespace.MatchString(space) {
		return "", fmt.Errorf("namespace '%s' must be names of letters, digits and '_', joined by dots", shown(space))
	}
	fields, err := simpleFields("", s.Nodes, space, 1)
	if err != nil {
		return "", err
	}
	if utf8.RuneCountInString(s.Doc) > maxSimpleDoc {
		return "", fmt.Errorf("its doc is longer than %d characters", maxSimpleDoc)
	}
	root := avroRecord{Type: "record", Name: name, Namespace: space, Doc: s.Doc,
		Fields: append([]avroField{{Name: "strmMeta", Type: json.RawMessage(metaSchema)}}, fields...)}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(root); err != nil {
		return "", err
	}
	return strings.TrimSpace(out.String()), nil
}

// simpleFields makes the fields of a record. Each nested record has a namespace of its own, so that two may have the
// same name.
func simpleFields(path string, nodes []simpleNode, space string, depth int) ([]avroField, error) {
	if depth > maxSimpleDepth {
		return nil, fmt.Errorf("its nodes are nested deeper than %d", maxSimpleDepth)
	}
	if len(nodes) == 0 {
		if path == "" {
			return nil, errors.New("nodes are missing")
		}
		return nil, fmt.Errorf("node '%s' is a NODE without nodes", path)
	}
	taken := map[string]string{"strmMeta": "strmMeta, which is added by itself,"}
	var fields []avroField
	for _, n := range nodes {
		at := shown(n.Name)
		if path != "" {
			at = path + "/" + at
		}
		name, err := nameOf("node '"+at+"'", n.Name, n.AvroName)
		if err != nil {
			return nil, err
		}
		if other := taken[name]; other != "" && (path == "" || name != "strmMeta") {
			return nil, fmt.Errorf("node '%s' and %s have the same name in Avro, %s: give one an avroName", at, other, name)
		}
		taken[name] = "node '" + at + "'"
		if utf8.RuneCountInString(n.Doc) > maxSimpleDoc {
			return nil, fmt.Errorf("the doc of node '%s' is longer than %d characters", at, maxSimpleDoc)
		}
		var kind any = simpleTypes[n.Type]
		switch {
		case n.Type == "NODE":
			inner := space + "." + strings.ToLower(name)
			below, err := simpleFields(at, n.Nodes, inner, depth+1)
			if err != nil {
				return nil, err
			}
			kind = avroRecord{Type: "record", Name: name, Namespace: inner, Fields: below}
		case kind == "":
			return nil, fmt.Errorf("node '%s' has type '%s', it must be STRING, BOOLEAN, FLOAT, INTEGER, LONG or NODE", at, shown(n.Type))
		case len(n.Nodes) > 0:
			return nil, fmt.Errorf("node '%s' has nodes, so its type must be NODE", at)
		}
		if n.Repeated {
			kind = map[string]any{"type": "array", "items": kind}
		}
		f := avroField{Name: name, Type: kind, Doc: n.Doc}
		if !n.Required {
			f.Type, f.Default = []any{"null", kind}, json.RawMessage("null")
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// nameOf is the name that Avro is given for a node.
func nameOf(what, name, given string) (string, error) {
	if name == "" || strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
		return "", fmt.Errorf("%s must have a name of visible characters", what)
	}
	if given == "" {
		given = camelCase(name)
	}
	switch {
	case given == "":
		return "", fmt.Errorf("%s has no letter or digit that Avro allows in a name: give it an avroName", what)
	case !avroName.MatchString(given):
		return "", fmt.Errorf("%s has the avroName '%s', it must be letters, digits and '_' and not begin with a digit", what, shown(given))
	}
	return given, nil
}

// camelCase makes a name that Avro allows. One that is allowed stays as it is.
func camelCase(name string) string {
	if avroName.MatchString(name) {
		return name
	}
	var out strings.Builder
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("-./:", r) }) {
		word = strings.Map(func(r rune) rune {
			if r == '_' || '0' <= r && r <= '9' || 'a' <= r|0x20 && r|0x20 <= 'z' {
				return r
			}
			return -1
		}, word)
		if word != "" {
			out.WriteString(strings.ToUpper(word[:1]) + strings.ToLower(word[1:]))
		}
	}
	if s := out.String(); s != "" && '0' <= s[0] && s[0] <= '9' {
		return "_" + s
	}
	return out.String()
}
