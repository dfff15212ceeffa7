package contract

import (
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

type kind uint8

const (
	kindNull kind = iota + 1
	kindBoolean
	kindInt
	kindLong
	kindFloat // float and double: any JSON number
	kindString
	kindBytes
	kindFixed
	kindEnum
	kindArray
	kindMap
	kindRecord
	kindUnion
	kindLevels // strmMeta.consentLevels
	kindOpen   // what a JSON Schema is asked about: see open
)

// node says what may stand at one place of an event. A tree with shared branches, or a graph where the schema is
// recursive; immutable once compiled.
type node struct {
	kind    kind
	name    string // what the wrapped form of a union calls it: the type's name, for named types the full name
	logical string // Avro's logicalType; it changes how a time is read and nothing else
	note    *note  // what the contract wants to know about the value here, nil for nothing

	fields []field        // record
	index  map[string]int // record: field of a name

	elem    *node    // array, map
	size    int      // fixed
	double  bool     // of kindFloat: 8 bytes as Avro, not 4
	symbols []string // enum

	open *open // kindOpen

	branches []*node // union, without null
	nullable bool    // union has null
	nullAt   int     // at which place of the union
}

// field is a member of a record.
type field struct {
	name  string
	token []byte // "name": as it is written
	node  *node
	fill  []byte // JSON text of the default; nil: the member must be there
	meta  bool   // strmMeta itself: read, but not written
}

// note is what the contract says about the values of one path.
type note struct {
	personal bool
	level    uint8
	path     uint8
	hide     bool // the value names a person: never in an error
	rules    []rule
	capture  capture
}

// capture is a set of places in Checked that a value goes to.
type capture uint16

const (
	captureKey capture = 1 << iota
	captureSubject
	captureRef
	captureSchemaID
	captureID
	captureType
	captureOccurred
	captureDevice
	captureUser
)

// rule is a compiled validation.
type rule struct {
	field, text string
	pattern     pattern
}

// describe completes "field 'x' must be …".
func (n *node) describe() string {
	switch n.kind {
	case kindNull:
		return "null"
	case kindBoolean:
		return "boolean"
	case kindInt:
		return "int"
	case kindLong:
		return "long"
	case kindFloat:
		return "number"
	case kindString:
		return "string"
	case kindBytes:
		return "bytes (a string of characters up to U+00FF)"
	case kindFixed:
		return fmt.Sprintf("fixed (a string of %d characters up to U+00FF)", n.size)
	case kindEnum:
		if all := strings.Join(n.symbols, ", "); len(all) <= most {
			return "one of " + all
		}
		return fmt.Sprintf("one of the %d symbols of %s", len(n.symbols), n.name)
	case kindOpen:
		return n.open.described()
	case kindArray, kindLevels:
		return "array"
	case kindUnion:
		var all []string
		for _, b := range n.branches {
			if d := b.describe(); !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
		if n.nullable {
			all = append(all, "null")
		}
		return strings.Join(all, " or ")
	default:
		return "object"
	}
}

// planner turns a parsed schema into nodes.
type planner struct {
	named map[string]*node
}

// schemaDepth bounds how deep types may be written inside each other, for planning is recursive.
const schemaDepth = 64

func plan(root *avro.SchemaNode) (*node, error) {
	p := planner{named: map[string]*node{}}
	n, err := p.node(root, "", 0)
	if err != nil {
		return nil, err
	}
	if n.kind != kindRecord {
		return nil, faulty("schema", "it must be a record")
	}
	return n, nil
}

var primitives = map[string]kind{
	"null": kindNull, "boolean": kindBoolean, "int": kindInt, "long": kindLong, "float": kindFloat,
	"double": kindFloat, "string": kindString, "bytes": kindBytes,
}

func (p *planner) node(s *avro.SchemaNode, space string, depth int) (*node, error) {
	if depth > schemaDepth {
		return nil, faulty("schema", "its types are nested deeper than %d", schemaDepth)
	}
	if k, ok := primitives[s.Type]; ok {
		return &node{kind: k, name: s.Type, logical: s.LogicalType, double: s.Type == "double"}, nil
	}
	full := fullName(s.Name, s.Namespace)
	inner := space
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		inner = full[:i]
	} else if full != "" {
		inner = ""
	}
	n := &node{name: full, logical: s.LogicalType}
	var err error
	switch s.Type {
	case "record", "error":
		n.kind = kindRecord
		p.named[full] = n
		return n, p.fields(n, s, inner, depth)
	case "enum":
		n.kind, n.symbols = kindEnum, s.Symbols
		p.named[full] = n
	case "fixed":
		n.kind, n.size = kindFixed, s.Size
		p.named[full] = n
	case "array":
		n.kind, n.name = kindArray, "array"
		n.elem, err = p.node(s.Items, space, depth+1)
	case "map":
		n.kind, n.name = kindMap, "map"
		n.elem, err = p.node(s.Values, space, depth+1)
	case "union":
		n.kind = kindUnion
		for i := range s.Branches {
			b, err := p.node(&s.Branches[i], space, depth+1)
			if err != nil {
				return nil, err
			}
			if b.kind == kindNull {
				n.nullable, n.nullAt = true, i
			} else {
				n.branches = append(n.branches, b)
			}
		}
	default:
		if known := p.named[s.Type]; known != nil {
			return known, nil
		}
		if known := p.named[fullName(s.Type, space)]; known != nil {
			return known, nil
		}
		return nil, faulty("schema", "type '%s' is not known", shown(s.Type))
	}
	return n, err
}

func fullName(name, space string) string {
	if name == "" || space == "" || strings.Contains(name, ".") {
		return name
	}
	return space + "." + name
}

func (p *planner) fields(n *node, s *avro.SchemaNode, space string, depth int) error {
	n.fields = make([]field, len(s.Fields))
	n.index = make(map[string]int, len(s.Fields))
	for i := range s.Fields {
		f := &s.Fields[i]
		child, err := p.node(&f.Type, space, depth+1)
		if err != nil {
			return err
		}
		n.fields[i] = field{name: f.Name, token: []byte(`"` + f.Name + `":`), node: child}
		n.index[f.Name] = i
	}
	// Only now, for a default may be of this very record.
	for i := range s.Fields {
		f := &s.Fields[i]
		switch {
		case f.HasDefault:
			text, err := appendDefault(nil, n.fields[i].node, f.Default)
			if err != nil {
				return faulty("schema", "the default of '%s' %w", f.Name, err)
			}
			n.fields[i].fill = text
		case f.Type.Type == "union" && len(f.Type.Branches) > 0 && f.Type.Branches[0].Type == "null":
			n.fields[i].fill = []byte("null")
		}
	}
	return nil
}
