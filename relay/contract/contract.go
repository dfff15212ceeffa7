// Package contract holds events to their data contracts. It hides how a contract's schema, validations and
// levels of personal fields become one plan, and how a single pass over an event's JSON text with that plan
// checks the event, cuts strmMeta out of it, writes it anew as compact text and notes where the personal values
// are.
//
// # Life of a contract
//
// A [Definition] is what its author wrote. [Compile] parses the Avro schema into a tree of nodes in which named
// types are shared (so a recursive schema is a finite graph), and then copies the nodes along each path that the
// contract says something about, so that a note (personal, key field, validated…) lies on the node of exactly
// that path. Regular expressions become byte automata where they are small enough.
//
// [Resolve] comes before: it finds out the type of a schema and makes an Avro one of a Simple Schema. A JSON Schema
// has a plan of open objects: the same pass checks the text, compacts and notes, and then the schema's own validator
// is asked. That one allocates, and is stopped where it takes too many steps.
//
// # What an event may look like
//
// The text must be one JSON object (RFC 8259) of valid UTF-8. No member of an object may be named twice, no
// surrogate may stand alone (it could not be written as UTF-8), nothing may be nested deeper than 128 levels.
// Otherwise the rules are those of Avro's JSON encoding, with two liberties that its producers take: a union's
// value may be given plain as well as wrapped, {"string":"x"}, and a member may be left out where the schema
// has a default for it or begins its union with null.
//
// An object given for a union is the wrapped form when it has one member only, that is named for a branch and
// whose value has the JSON kind of that branch. Any other object is the plain value of the one record or map
// that the union holds; among several records it is the first that has all of the given members and needs no
// other.
//
// What comes out says the same in one way: no white space, unions plain, the order of members as sent and
// absent ones appended with their defaults, numbers and the escapes in strings as they were sent.
//
// An event may also come as a bare Avro datum. It is written as JSON text first, of which the pass then says what it
// says of any other; [Contract.CheckAs] tells the two apart where nobody said.
//
// # Errors
//
// Every refusal is a [Violation], a text for the producer. It names the field and the rule and never holds the
// value of a personal field, of the data subject field, or a key of a map.
package contract

import (
	"slices"

	"github.com/twmb/avro"
)

// Contract is a compiled definition. Immutable, safe for concurrent use.
type Contract struct {
	def      Definition
	ref      []byte
	root     *node       // what JSON events are held to
	wire     *node       // the schema as it is, for Avro's binary encoding; nil for a JSON Schema
	json     *jsonSchema // nil for Avro
	metaRef  string      // the member of strmMeta that must name the contract
	personal []string
	levels   []uint8
	hasKey   bool
	grow     int // bytes that defaults can add to an event without arrays

	queries []query // parts of the envelope that need a gjson query

	// Of AirshipRef: its known types, and how a strmMeta is read.
	airship     airshipTypes
	airshipMeta *node
}

// Definition is the definition that was compiled. Its slices and maps belong to the contract: read only.
func (c *Contract) Definition() Definition { return c.def }

// Ref is handle/name/version.
func (c *Contract) Ref() string { return c.def.Ref }

// RefBytes is Ref without an allocation. Read only.
func (c *Contract) RefBytes() []byte { return c.ref }

// ShortID is the name that clients of 2021 know the contract by, empty for none.
func (c *Contract) ShortID() string { return c.def.ShortID }

// PersonalFields are the slash paths of the personal fields, the index being [Personal.Path]. Read only.
func (c *Contract) PersonalFields() []string { return c.personal }

// PersonalLevels are the consent levels of PersonalFields, in the same order. Read only.
func (c *Contract) PersonalLevels() []uint8 { return c.levels }

// The bounds of a definition. A schema is compiled on every node that loads it.
const (
	MaxSchemaBytes = 256 << 10
	maxPersonal    = 256 // Personal.Path is one byte
	maxValidations = 200
	maxRegexBytes  = 4096
)

// The types of schema that Compile understands.
const (
	SchemaTypeAvro = "AVRO"
	SchemaTypeJSON = "JSONSCHEMA"
)

// Compile checks a definition and makes its plan. The error, a [*DefinitionError], names the field and the rule
// that is broken. The definition must not be changed afterwards.
func Compile(d Definition) (*Contract, error) {
	if err := CheckRef(d.Ref); err != nil {
		return nil, err
	}
	if d.ShortID != "" && !shortIDForm.MatchString(d.ShortID) {
		return nil, faulty("shortId", "'%s' must be 1 to 100 letters, digits, '_' and '-'", shown(d.ShortID))
	}
	if d.SchemaType == SchemaTypeAirship {
		return compileAirship(d)
	}
	if len(d.Schema) > MaxSchemaBytes {
		return nil, faulty("schema", "it has %d bytes, at most %d are taken", len(d.Schema), MaxSchemaBytes)
	}
	c := &Contract{def: d, ref: []byte(d.Ref)}
	if err := c.parseSchema(); err != nil {
		return nil, err
	}
	for _, step := range []func() error{c.cutMeta, c.checkMetadata, c.notePersonal, c.noteValidations, c.noteKey, c.noteSubject, c.noteEnvelope, c.checkDefaults} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	c.personal, c.levels = slices.Clip(c.personal), slices.Clip(c.levels)
	return c, nil
}

func (c *Contract) parseSchema() error {
	switch c.def.SchemaType {
	case SchemaTypeAvro:
		schema, err := avro.Parse(c.def.Schema)
		if err != nil {
			return faulty("schema", "%s", plainAvroError(err))
		}
		c.wire, err = plan(schema.Root())
		c.root = c.wire
		return err
	case SchemaTypeJSON:
		var err error
		c.json, err = compileJSONSchema(c.def.Schema)
		c.root = newOpen()
		return err
	default:
		return faulty("schemaType", "'%s' is not supported, it must be %s or %s", shown(c.def.SchemaType), SchemaTypeAvro, SchemaTypeJSON)
	}
}
