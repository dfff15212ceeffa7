package contract_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/twmb/avro"
)

// object is a JSON object with its order.
type object struct {
	names  []string
	values []any
}

func (o *object) get(name string) (any, bool) {
	if i := slices.Index(o.names, name); i >= 0 {
		return o.values[i], true
	}
	return nil, false
}

// ordered reads a JSON text into objects, []any, json.Number, string, bool and nil, with encoding/json.
func ordered(body []byte) (any, error) {
	if !json.Valid(body) || !utf8.Valid(body) || loneSurrogate(body) || nesting(body) > 128 {
		return nil, errors.New("not JSON as we take it")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var read func() (any, error)
	read = func() (any, error) {
		tok, err := d.Token()
		if err != nil {
			return nil, err
		}
		switch tok {
		case json.Delim('{'):
			o := &object{}
			for d.More() {
				name, err := d.Token()
				if err != nil {
					return nil, err
				}
				v, err := read()
				if err != nil {
					return nil, err
				}
				if slices.Contains(o.names, name.(string)) {
					return nil, errors.New("a name twice")
				}
				o.names, o.values = append(o.names, name.(string)), append(o.values, v)
			}
			_, err := d.Token()
			return o, err
		case json.Delim('['):
			list := []any{}
			for d.More() {
				v, err := read()
				if err != nil {
					return nil, err
				}
				list = append(list, v)
			}
			_, err := d.Token()
			return list, err
		}
		return tok, nil
	}
	v, err := read()
	if err == nil {
		if _, err := d.Token(); err != io.EOF {
			return nil, errors.New("something behind")
		}
	}
	return v, err
}

// oracle checks events slowly and literally, by walking the schema as its parser gives it.
type oracle struct {
	named    map[string]*avro.SchemaNode
	personal map[string]bool // slash paths
	seen     []string        // personal values as path=value
}

var errRefused = errors.New("refused")

func newOracle(schema string, personal ...string) (*oracle, *avro.SchemaNode) {
	o := &oracle{named: map[string]*avro.SchemaNode{}, personal: map[string]bool{}}
	for _, p := range personal {
		o.personal[p] = true
	}
	root := avro.MustParse(schema).Root()
	o.collect(root)
	return o, root
}

func (o *oracle) collect(n *avro.SchemaNode) {
	if n.Name != "" {
		o.named[typeName(n)] = n
	}
	for i := range n.Fields {
		o.collect(&n.Fields[i].Type)
	}
	for i := range n.Branches {
		o.collect(&n.Branches[i])
	}
	if n.Items != nil {
		o.collect(n.Items)
	}
	if n.Values != nil {
		o.collect(n.Values)
	}
}

func typeName(n *avro.SchemaNode) string {
	switch {
	case n.Name == "":
		return n.Type
	case n.Namespace != "" && !strings.Contains(n.Name, "."):
		return n.Namespace + "." + n.Name
	}
	return n.Name
}

func (o *oracle) resolve(n *avro.SchemaNode) *avro.SchemaNode {
	if known := o.named[n.Type]; known != nil {
		return known
	}
	if known := o.named["com.acme."+n.Type]; known != nil {
		return known
	}
	return n
}

// event checks an event and gives what should be written for it.
func (o *oracle) event(root *avro.SchemaNode, body []byte) (*object, error) {
	o.seen = nil
	v, err := ordered(body)
	if err != nil {
		return nil, err
	}
	m, ok := v.(*object)
	if !ok {
		return nil, errRefused
	}
	meta, ok := m.get("strmMeta")
	if !ok {
		return nil, errRefused
	}
	if err := o.meta(meta); err != nil {
		return nil, err
	}
	i := slices.Index(m.names, "strmMeta")
	rest := &object{slices.Delete(slices.Clone(m.names), i, i+1), slices.Delete(slices.Clone(m.values), i, i+1)}
	without := *root
	without.Fields = root.Fields[1:]
	out, err := o.value(&without, "", rest)
	if err != nil {
		return nil, err
	}
	return out.(*object), nil
}

func (o *oracle) meta(v any) error {
	m, ok := v.(*object)
	if !ok {
		return errRefused
	}
	named := false
	levels := false
	for i, name := range m.names {
		v := m.values[i]
		kinds := map[string][]string{
			"eventContractRef": {"string"}, "schemaId": {"string"}, "nonce": {"int"}, "timestamp": {"long"},
			"keyLink": {"string", "int"}, "billingId": {"string"}, "consentLevels": nil,
		}
		branches, known := kinds[name]
		switch {
		case !known:
			return errRefused
		case name == "consentLevels":
			levels = true
			list, ok := v.([]any)
			if !ok {
				return errRefused
			}
			for _, l := range list {
				n, ok := whole(l)
				if !ok || n.Sign() < 0 || n.Cmp(big.NewInt(63)) > 0 {
					return errRefused
				}
			}
		default:
			u := &avro.SchemaNode{Type: "union", Branches: []avro.SchemaNode{{Type: "null"}}}
			for _, b := range branches {
				u.Branches = append(u.Branches, avro.SchemaNode{Type: b})
			}
			plain, err := o.value(u, "strmMeta", v)
			if err != nil {
				return err
			}
			if (name == "eventContractRef" || name == "schemaId") && plain != nil {
				named = true
			}
		}
	}
	if !named || !levels {
		return errRefused
	}
	return nil
}

func whole(v any) (*big.Int, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return nil, false
	}
	return new(big.Int).SetString(string(n), 10)
}

// value checks a value and gives it with unions plain and defaults filled in.
func (o *oracle) value(n *avro.SchemaNode, path string, v any) (any, error) {
	n = o.resolve(n)
	switch n.Type {
	case "null":
		if v == nil {
			return v, nil
		}
	case "boolean":
		if _, ok := v.(bool); ok {
			return v, nil
		}
	case "int", "long":
		bits := uint(63)
		if n.Type == "int" {
			bits = 31
		}
		if i, ok := whole(v); ok {
			limit := new(big.Int).Lsh(big.NewInt(1), bits)
			if i.Cmp(limit) < 0 && i.Cmp(new(big.Int).Neg(limit)) >= 0 {
				return v, nil
			}
		}
	case "float", "double":
		if _, ok := v.(json.Number); ok {
			return v, nil
		}
	case "string":
		if s, ok := v.(string); ok {
			if o.personal[path] {
				o.seen = append(o.seen, path+"="+s)
			}
			return v, nil
		}
	case "bytes", "fixed":
		if s, ok := v.(string); ok && strings.IndexFunc(s, func(r rune) bool { return r > 255 }) < 0 &&
			(n.Type == "bytes" || len([]rune(s)) == n.Size) {
			return v, nil
		}
	case "enum":
		if s, ok := v.(string); ok && slices.Contains(n.Symbols, s) {
			return v, nil
		}
	case "array":
		if list, ok := v.([]any); ok {
			out := []any{}
			for _, item := range list {
				item, err := o.value(n.Items, path, item)
				if err != nil {
					return nil, err
				}
				out = append(out, item)
			}
			return out, nil
		}
	case "map":
		if m, ok := v.(*object); ok {
			out := &object{names: m.names}
			for _, item := range m.values {
				item, err := o.value(n.Values, "?", item)
				if err != nil {
					return nil, err
				}
				out.values = append(out.values, item)
			}
			return out, nil
		}
	case "record":
		if m, ok := v.(*object); ok {
			return o.record(n, path, m)
		}
	case "union":
		return o.union(n, path, v)
	}
	return nil, errRefused
}

func (o *oracle) record(n *avro.SchemaNode, path string, m *object) (any, error) {
	out := &object{}
	for i, name := range m.names {
		k := slices.IndexFunc(n.Fields, func(f avro.SchemaField) bool { return f.Name == name })
		if k < 0 {
			return nil, errRefused
		}
		v, err := o.value(&n.Fields[k].Type, strings.TrimPrefix(path+"/"+name, "/"), m.values[i])
		if err != nil {
			return nil, err
		}
		out.names, out.values = append(out.names, name), append(out.values, v)
	}
	for i := range n.Fields {
		f := &n.Fields[i]
		if _, given := m.get(f.Name); given {
			continue
		}
		if optionalField(f) == nil {
			return nil, errRefused
		}
		fallback := f.Default
		if b, ok := fallback.([]byte); ok { // Avro writes a byte as the character of that number
			var chars []rune
			for _, c := range b {
				chars = append(chars, rune(c))
			}
			fallback = string(chars)
		}
		text, err := json.Marshal(fallback)
		if err != nil {
			return nil, err
		}
		v, err := ordered(text)
		if err != nil {
			return nil, err
		}
		if v, err = o.value(&f.Type, strings.TrimPrefix(path+"/"+f.Name, "/"), v); err != nil {
			return nil, fmt.Errorf("default of %s: %w", f.Name, err)
		}
		out.names, out.values = append(out.names, f.Name), append(out.values, v)
	}
	return out, nil
}

// optionalField is the field itself if an event may leave it out.
func optionalField(f *avro.SchemaField) *avro.SchemaField {
	if f.HasDefault || f.Type.Type == "union" && f.Type.Branches[0].Type == "null" {
		return f
	}
	return nil
}

func (o *oracle) union(n *avro.SchemaNode, path string, v any) (any, error) {
	m, isObject := v.(*object)
	if !isObject {
		for i := range n.Branches {
			if out, err := o.value(&n.Branches[i], path, v); err == nil {
				return out, nil
			}
		}
		return nil, errRefused
	}
	if len(m.names) == 1 {
		for i := range n.Branches {
			b := o.resolve(&n.Branches[i])
			tagged := b.LogicalType != "" && m.names[0] == typeName(b)+"."+b.LogicalType
			if b.Type != "null" && (m.names[0] == typeName(b) || tagged) && sameKind(b, m.values[0]) {
				return o.value(b, path, m.values[0])
			}
		}
	}
	var objects []*avro.SchemaNode
	for i := range n.Branches {
		if b := o.resolve(&n.Branches[i]); b.Type == "record" || b.Type == "map" {
			objects = append(objects, b)
		}
	}
	if len(objects) == 1 {
		return o.value(objects[0], path, v)
	}
	slices.SortStableFunc(objects, func(a, b *avro.SchemaNode) int { // the map last
		return strings.Compare(b.Type, a.Type)
	})
	for _, b := range objects {
		fits := true
		for _, name := range m.names {
			fits = fits && (b.Type == "map" || slices.ContainsFunc(b.Fields, func(f avro.SchemaField) bool { return f.Name == name }))
		}
		for i := range b.Fields {
			if _, given := m.get(b.Fields[i].Name); !given && optionalField(&b.Fields[i]) == nil {
				fits = false
			}
		}
		if fits {
			return o.value(b, path, v)
		}
	}
	return nil, errRefused
}

func sameKind(n *avro.SchemaNode, v any) bool {
	switch v.(type) {
	case bool:
		return n.Type == "boolean"
	case json.Number:
		return slices.Contains([]string{"int", "long", "float", "double"}, n.Type)
	case string:
		return slices.Contains([]string{"string", "bytes", "fixed", "enum"}, n.Type)
	case []any:
		return n.Type == "array"
	case *object:
		return n.Type == "record" || n.Type == "map"
	}
	return false
}
