package contract

import (
	"slices"
	"unicode/utf8"
)

// Personal is one personal value found in an event.
type Personal struct {
	Off, Len int    // of the text between the quotes, in Checked.Members
	Level    uint8  // the consent level that opens it
	Path     uint8  // index into Contract.PersonalFields; the elements of a list share it
	Plain    []byte // unescaped; read only; valid while the body is unchanged and until the next Check with this Checked
}

// Span is a part of Checked.Members; Len 0 is none.
type Span struct{ Off, Len int }

// Checked is what Check found. Reuse it: it keeps its memory, so that checking allocates nothing. One goroutine at
// a time. Its slices are read only; they point into it or into the body, and are valid while the body is unchanged
// and until the next Check with the same Checked. After an error nothing in it means anything.
type Checked struct {
	// Members are the event's members without strmMeta as compact JSON without the braces: `"url":"https://…","conversion":0`.
	Members  []byte
	Personal []Personal // in the order of their places in Members
	Key      []byte     // unescaped value of the key field, never empty
	Subject  []byte     // unescaped value of the data subject field; nil where the contract names none or it is null
	Consent  uint64     // bit n: the person consented to level n

	ContractRef []byte // strmMeta.eventContractRef as sent, unescaped; nil if absent or null
	SchemaID    []byte // strmMeta.schemaId as sent, unescaped; nil if absent or null

	ID, Type     []byte // unescaped, nil where the contract's envelope does not map them or the event has none
	Occurred     int64  // Unix ms; 0: not mapped, or the event has none; the first millisecond of 1970 is given as 1
	Device, User Span   // objects
	Body         Span   // an object; of Airship's own events only

	c      *Contract
	src    []byte // the text being read: the body, or a default
	out    []byte // { and what is written so far
	text   []byte // unescaped strings
	datum  []byte // an Avro datum as text
	names  [][]byte
	wide   []uint64 // seen fields of records with more than 64
	depth  int
	filled int // bytes of defaults so far
	fault  fault
}

// Check holds a JSON event to the contract in one pass. Nil means that the event may be taken and that out describes
// it; the error is a *Violation. Safe for concurrent use with different outs.
func (c *Contract) Check(out *Checked, body []byte) error { return c.check(out, body, false) }

// CheckNamed is Check for an event that was sent to this contract by name: its strmMeta.eventContractRef may be left out.
func (c *Contract) CheckNamed(out *Checked, body []byte) error {
	return c.check(out, body, c.metaRef == "eventContractRef")
}

func (c *Contract) check(out *Checked, body []byte, named bool) error {
	out.reset(c, body)
	if c.airship != nil {
		return c.checkAirship(out, body)
	}
	if !utf8.Valid(body) {
		return invalid(notUTF8, invalidUTF8(body))
	}
	i := skipSpace(body, 0)
	if i < len(body) && body[i] != '{' {
		return invalid("it is not an object", i)
	}
	if i = out.value(c.root, i); i < 0 {
		return out.fault.violation(c)
	}
	if i = skipSpace(body, i); i < len(body) {
		return invalid("the object is followed by something else", i)
	}
	if c.json != nil {
		if v := c.json.check(c, body); v != nil {
			return v
		}
	}
	if !named && out.ContractRef == nil && out.SchemaID == nil {
		out.fault.kind = faultMissing
		out.fault.path = append(out.fault.path, c.metaRef, "strmMeta")
		return out.fault.violation(c)
	}
	if c.hasKey && len(out.Key) == 0 {
		out.fault.kind = faultKey
		return out.fault.violation(c)
	}
	for i := range c.queries {
		if !c.queries[i].run(out) {
			return out.fault.violation(c)
		}
	}
	out.Members = out.out[1 : len(out.out)-1]
	return nil
}

// Held is how many bytes of memory it keeps for the next Check: a pool lets go of one that once met a huge event.
func (o *Checked) Held() int {
	return cap(o.out) + cap(o.text) + cap(o.datum) + 8*cap(o.wide) + 24*cap(o.names) + 56*cap(o.Personal)
}

func (o *Checked) reset(c *Contract, body []byte) {
	o.c, o.src, o.depth, o.filled = c, body, 0, 0
	o.out = slices.Grow(o.out[:0], len(body)+c.grow)
	o.text, o.names, o.wide = o.text[:0], o.names[:0], o.wide[:0]
	o.Members, o.Personal = nil, o.Personal[:0]
	o.Key, o.Subject, o.Consent = nil, nil, 0
	o.ContractRef, o.SchemaID = nil, nil
	o.ID, o.Type, o.Occurred = nil, nil, 0
	o.Device, o.User, o.Body = Span{}, Span{}, Span{}
	if o.fault.kind != 0 {
		o.fault = fault{}
	}
}
