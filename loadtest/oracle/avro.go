package oracle

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// avro is a type of an Avro schema.
type avro struct {
	kind     string // a primitive, or record, enum, fixed, array, map, union
	name     string // by which the wrapped form of a union calls it
	logical  string
	fields   []avroField
	symbols  []string
	size     int
	elem     *avro
	branches []*avro
}

type avroField struct {
	name  string
	kind  *avro
	fill  any
	fills bool // an event may leave it out, and fill is written in its place
}

// parseAvro reads a schema. Named types may be used again, also inside themselves.
func parseAvro(text []byte) (*avro, error) {
	v, err := Tree(text)
	if err != nil {
		return nil, err
	}
	named := map[string]*avro{}
	var read func(v any, space string) (*avro, error)
	read = func(v any, space string) (*avro, error) {
		switch v := v.(type) {
		case string:
			for _, name := range []string{v, space + "." + v} {
				if t := named[name]; t != nil {
					return t, nil
				}
			}
			return &avro{kind: v, name: v}, nil
		case []any:
			u := &avro{kind: "union"}
			for _, b := range v {
				t, err := read(b, space)
				if err != nil {
					return nil, err
				}
				u.branches = append(u.branches, t)
			}
			return u, nil
		case map[string]any:
			kind, ok := v["type"].(string)
			if !ok {
				return read(v["type"], space)
			}
			t := &avro{kind: kind, name: kind}
			t.logical, _ = v["logicalType"].(string)
			if own, ok := v["namespace"].(string); ok {
				space = own
			}
			if name, ok := v["name"].(string); ok {
				if t.name = name; space != "" && !strings.Contains(name, ".") {
					t.name = space + "." + name
				}
				named[t.name] = t
			}
			var err error
			switch kind {
			case "array":
				t.elem, err = read(v["items"], space)
			case "map":
				t.elem, err = read(v["values"], space)
			case "enum":
				for _, s := range v["symbols"].([]any) {
					t.symbols = append(t.symbols, s.(string))
				}
			case "fixed":
				t.size, err = strconv.Atoi(string(v["size"].(json.Number)))
			case "record":
				for _, f := range v["fields"].([]any) {
					f := f.(map[string]any)
					field := avroField{name: f["name"].(string)}
					if field.kind, err = read(f["type"], space); err != nil {
						return nil, err
					}
					field.fill, field.fills = f["default"]
					if !field.fills && field.kind.kind == "union" && field.kind.branches[0].kind == "null" {
						field.fills = true
					}
					t.fields = append(t.fields, field)
				}
			}
			return t, err
		}
		return nil, fmt.Errorf("no schema: %v", v)
	}
	return read(v, "")
}

// check holds a value to a type, and gives it plain, with what was left out filled in. Every fault is told to tell.
func (t *avro) check(v any, path []string, tell func(Fault)) any {
	wrong := func() any {
		tell(Fault{Class: Kind, Field: join(path)})
		return v
	}
	switch t.kind {
	case "union":
		return t.union(v, path, tell)
	case "record":
		m, ok := v.(map[string]any)
		if !ok {
			return wrong()
		}
		out := map[string]any{}
		for name := range m {
			if !slices.ContainsFunc(t.fields, func(f avroField) bool { return f.name == name }) {
				tell(Fault{Class: Extra, Field: join(append(slices.Clone(path), name))})
			}
		}
		for _, f := range t.fields {
			at := append(slices.Clone(path), f.name)
			switch value, there := m[f.name]; {
			case there:
				out[f.name] = f.kind.check(value, at, tell)
			case f.fills:
				out[f.name] = f.kind.check(Clone(f.fill), at, tell)
			default:
				tell(Fault{Class: Missing, Field: join(at)})
			}
		}
		return out
	case "map":
		m, ok := v.(map[string]any)
		if !ok {
			return wrong()
		}
		out := map[string]any{}
		for name, value := range m {
			out[name] = t.elem.check(value, append(slices.Clone(path), "*"), tell)
		}
		return out
	case "array":
		list, ok := v.([]any)
		if !ok {
			return wrong()
		}
		out := make([]any, len(list))
		for i := range list {
			out[i] = t.elem.check(list[i], append(slices.Clone(path), strconv.Itoa(i)), tell)
		}
		return out
	}
	if !t.scalar(v) {
		return wrong()
	}
	return v
}

func (t *avro) scalar(v any) bool {
	switch v := v.(type) {
	case nil:
		return t.kind == "null"
	case bool:
		return t.kind == "boolean"
	case json.Number:
		switch t.kind {
		case "float", "double":
			return true
		case "int", "long":
			bits := map[string]uint{"int": 31, "long": 63}[t.kind]
			n, whole := new(big.Int).SetString(string(v), 10)
			limit := new(big.Int).Lsh(big.NewInt(1), bits)
			return whole && n.Cmp(limit) < 0 && n.Cmp(new(big.Int).Neg(limit)) >= 0
		}
	case string:
		switch t.kind {
		case "string":
			return true
		case "enum":
			return slices.Contains(t.symbols, v)
		case "bytes", "fixed":
			return !strings.ContainsFunc(v, func(r rune) bool { return r > 0xff }) && (t.kind == "bytes" || len([]rune(v)) == t.size)
		}
	}
	return false
}

// union holds a value to one of several types: plain, or wrapped in an object that names the type. An object is the wrapped form if its
// only member names a type and has a value of that kind; else it is the only record or map, or the first record that it fits.
func (t *avro) union(v any, path []string, tell func(Fault)) any {
	m, object := v.(map[string]any)
	if !object {
		for _, b := range t.branches {
			if list, ok := v.([]any); ok && b.kind == "array" {
				return b.check(list, path, tell)
			}
			if b.scalar(v) {
				return v
			}
		}
		tell(Fault{Class: Kind, Field: join(path)})
		return v
	}
	for name, inner := range m {
		for _, b := range t.branches {
			if called := b.name == name || b.logical != "" && b.name+"."+b.logical == name; len(m) == 1 && called && b.kindOf(inner) {
				out := b.check(inner, path, tell)
				return out
			}
		}
	}
	var some []*avro
	for _, b := range t.branches {
		if b.kind == "record" || b.kind == "map" {
			some = append(some, b)
		}
	}
	if len(some) == 1 {
		return some[0].check(v, path, tell)
	}
	for _, kind := range []string{"record", "map"} {
		for _, b := range some {
			if b.kind == kind && (kind == "map" || b.fits(m)) {
				return b.check(v, path, tell)
			}
		}
	}
	tell(Fault{Class: Kind, Field: join(path)})
	return v
}

// fits tells whether an object has only fields of a record, and all that must be there.
func (t *avro) fits(m map[string]any) bool {
	count := 0
	for _, f := range t.fields {
		if _, there := m[f.name]; there {
			count++
		} else if !f.fills {
			return false
		}
	}
	return count == len(m)
}

// kindOf tells whether a value's JSON type is that of the Avro type.
func (t *avro) kindOf(v any) bool {
	switch v.(type) {
	case bool:
		return t.kind == "boolean"
	case json.Number:
		return slices.Contains([]string{"int", "long", "float", "double"}, t.kind)
	case string:
		return slices.Contains([]string{"string", "enum", "bytes", "fixed"}, t.kind)
	case []any:
		return t.kind == "array"
	case map[string]any:
		return t.kind == "record" || t.kind == "map"
	}
	return false
}
