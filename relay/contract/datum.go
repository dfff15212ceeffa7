package contract

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Encoding is how an event's body is written.
type Encoding uint8

// The encodings. The zero value leaves it to the body.
const (
	Unknown Encoding = iota
	JSON
	AvroBinary
)

// ByteOrderMark is what some editors put before UTF-8. Read only.
var ByteOrderMark = []byte("\xef\xbb\xbf")

// CheckAs is Check for a body of a known or unknown encoding. A body that nobody said anything about is JSON when
// its first byte that is no white space is '{', and an Avro datum otherwise. '{' is an odd number in Avro, so that
// no datum of a schema that begins with strmMeta begins with it; of other schemas what is not JSON is tried as Avro.
//
// A byte order mark before JSON is passed over. Like '{' it begins with an odd number.
func (c *Contract) CheckAs(out *Checked, enc Encoding, body []byte) error {
	text := bytes.TrimPrefix(body, ByteOrderMark)
	switch {
	case enc == AvroBinary:
		return c.CheckAvro(out, body)
	case enc == JSON || c.wire == nil:
		return c.Check(out, text)
	}
	i := skipSpace(text, 0)
	if i < len(text) && text[i] != '{' {
		return c.CheckAvro(out, body)
	}
	err := c.Check(out, text)
	if err == nil || out.fault.kind != 0 && out.fault.kind != faultSyntax || len(body) == 0 || c.wire.fields[0].name == "strmMeta" {
		return err
	}
	if c.CheckAvro(out, body) == nil {
		return nil
	}
	return err
}

// CheckAvro is Check for a bare Avro datum, written with exactly the contract's schema: no container, no magic byte,
// nothing behind it. What it notes is as of the event's JSON encoding, and valid until the next check with out.
//
// The datum is refused as none where it is cut off, where a length, a count or a branch is out of range, or where a
// string is not UTF-8; memory is taken for what is there, never for what a length announces. NaN and the infinities
// are refused too, for JSON has no way to write them. Depth counts as in Avro's JSON encoding.
func (c *Contract) CheckAvro(out *Checked, datum []byte) error {
	if c.wire == nil {
		return &Violation{Text: fmt.Sprintf("Schema '%s' is not Avro: its events are sent as application/json", c.def.Ref)}
	}
	d := decoder{src: datum, dst: out.datum[:0], most: datumSlack + datumGrowth*len(datum)}
	ok := d.value(c.wire) && d.pos == len(d.src)
	out.datum = d.dst
	if !ok {
		return d.violation(c)
	}
	return c.Check(out, out.datum)
}

// A datum may grow this much as text. A list of nulls costs no bytes as Avro, so a few of them could announce
// gigabytes.
const (
	datumSlack  = 64 << 10
	datumGrowth = 16
)

// decoder writes an Avro datum as JSON text that Check reads without a doubt: a union's value is plain where that says
// which branch it is, and wrapped where it does not. Its methods say whether they found a value.
type decoder struct {
	src   []byte
	pos   int
	dst   []byte
	most  int
	depth int

	reason string   // a datum, but none that can be taken: completes "field 'x' …"
	path   []string // from the leaf to the root
}

func (d *decoder) violation(c *Contract) *Violation {
	if d.reason == "" {
		return &Violation{Text: fmt.Sprintf("Body is not an Avro datum of schema '%s'", c.def.Ref)}
	}
	f := fault{kind: faultRule, reason: d.reason, path: d.path}
	return f.violation(c)
}

func (d *decoder) at(name string) bool {
	d.path = append(d.path, name)
	return false
}

func (d *decoder) value(n *node) bool {
	if len(d.dst) > d.most {
		d.reason = "is too large: as JSON the event has more than " + strconv.Itoa(d.most) + " bytes"
		return false
	}
	switch n.kind {
	case kindNull:
		d.dst = append(d.dst, "null"...)
		return true
	case kindBoolean:
		return d.boolean()
	case kindInt, kindLong:
		v, ok := d.long()
		if !ok || n.kind == kindInt && v != int64(int32(v)) {
			return false
		}
		d.dst = strconv.AppendInt(d.dst, v, 10)
		return true
	case kindFloat:
		return d.float(n)
	case kindString:
		s, ok := d.bytes()
		if !ok || !utf8.Valid(s) {
			return false
		}
		d.dst = appendString(d.dst, s)
		return true
	case kindBytes:
		s, ok := d.bytes()
		if !ok {
			return false
		}
		d.dst = appendBytes(d.dst, s)
		return true
	case kindFixed:
		s, ok := d.take(int64(n.size))
		if !ok {
			return false
		}
		d.dst = appendBytes(d.dst, s)
		return true
	case kindEnum:
		v, ok := d.long()
		if !ok || v < 0 || v >= int64(len(n.symbols)) {
			return false
		}
		d.dst = appendString(d.dst, []byte(n.symbols[v]))
		return true
	case kindUnion:
		return d.union(n)
	case kindRecord:
		return d.record(n)
	default:
		return d.blocks(n)
	}
}

// long reads a variable-length zig-zag number of at most 64 bits.
func (d *decoder) long() (int64, bool) {
	u, size := binary.Uvarint(d.src[d.pos:])
	if size <= 0 {
		return 0, false
	}
	d.pos += size
	return int64(u>>1) ^ -int64(u&1), true
}

// take gives the next n bytes.
func (d *decoder) take(n int64) ([]byte, bool) {
	if n < 0 || n > int64(len(d.src)-d.pos) {
		return nil, false
	}
	s := d.src[d.pos : d.pos+int(n)]
	d.pos += int(n)
	return s, true
}

func (d *decoder) bytes() ([]byte, bool) {
	n, ok := d.long()
	if !ok {
		return nil, false
	}
	return d.take(n)
}

func (d *decoder) boolean() bool {
	s, ok := d.take(1)
	if !ok || s[0] > 1 {
		return false
	}
	d.dst = strconv.AppendBool(d.dst, s[0] == 1)
	return true
}

func (d *decoder) float(n *node) bool {
	size := int64(4)
	if n.double {
		size = 8
	}
	s, ok := d.take(size)
	if !ok {
		return false
	}
	var err error
	if n.double {
		d.dst, err = appendFloat(d.dst, math.Float64frombits(binary.LittleEndian.Uint64(s)), 64)
	} else {
		d.dst, err = appendFloat(d.dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(s))), 32)
	}
	if err != nil {
		d.reason = "must be a finite number"
		return false
	}
	return true
}

// deeper counts one more open object or array.
func (d *decoder) deeper() bool {
	if d.depth++; d.depth > maxDepth {
		d.reason = "is nested deeper than 128 levels"
		return false
	}
	return true
}

func (d *decoder) union(n *node) bool {
	v, ok := d.long()
	if !ok || v < 0 {
		return false
	}
	if n.nullable {
		if v == int64(n.nullAt) {
			d.dst = append(d.dst, "null"...)
			return true
		}
		if v > int64(n.nullAt) {
			v--
		}
	}
	if v >= int64(len(n.branches)) {
		return false
	}
	b := n.branches[v]
	if !n.needsWrap(b) {
		return d.value(b)
	}
	if !d.deeper() {
		return false
	}
	d.dst = append(appendString(append(d.dst, '{'), []byte(b.name)), ':')
	ok = d.value(b)
	d.dst = append(d.dst, '}')
	d.depth--
	return ok
}

// needsWrap tells whether a value of the branch, written plain, could be taken for one of another branch or for a
// wrapped one. Only objects can: of the other kinds each is written alike by all branches that take it.
func (n *node) needsWrap(b *node) bool {
	if !b.begins('{') {
		return false
	}
	if b.kind == kindMap || len(b.fields) == 1 && n.branch([]byte(b.fields[0].name)) != nil {
		return true
	}
	for _, other := range n.branches {
		if other != b && other.begins('{') {
			return true
		}
	}
	return false
}

func (d *decoder) record(n *node) bool {
	if !d.deeper() {
		return false
	}
	d.dst = append(d.dst, '{')
	for i := range n.fields {
		f := &n.fields[i]
		if i > 0 {
			d.dst = append(d.dst, ',')
		}
		d.dst = append(d.dst, f.token...)
		if !d.value(f.node) {
			return d.at(f.name)
		}
	}
	d.dst = append(d.dst, '}')
	d.depth--
	return true
}

// blocks reads an array or a map: counted blocks up to an empty one. A negative count is followed by the block's size,
// which must be true.
func (d *decoder) blocks(n *node) bool {
	if !d.deeper() {
		return false
	}
	open, end := byte('['), byte(']')
	if n.kind == kindMap {
		open, end = '{', '}'
	}
	d.dst = append(d.dst, open)
	for total := 0; ; {
		count, ok := d.long()
		if !ok || count == math.MinInt64 {
			return false
		}
		if count == 0 {
			break
		}
		after := -1
		if count < 0 {
			count = -count
			size, ok := d.long()
			if !ok || size < 0 || size > int64(len(d.src)-d.pos) {
				return false
			}
			after = d.pos + int(size)
		}
		for ; count > 0; count-- {
			if total > 0 {
				d.dst = append(d.dst, ',')
			}
			total++
			if !d.item(n, total-1) {
				return false
			}
		}
		if after >= 0 && d.pos != after {
			return false
		}
	}
	d.dst = append(d.dst, end)
	d.depth--
	return true
}

func (d *decoder) item(n *node, i int) bool {
	if n.kind == kindArray {
		return d.value(n.elem) || d.at(strconv.Itoa(i))
	}
	name, ok := d.bytes()
	if !ok || !utf8.Valid(name) {
		return false
	}
	d.dst = append(appendString(d.dst, name), ':')
	return d.value(n.elem) || d.at("*") // the name may be about a person
}

// appendString writes valid UTF-8 as a JSON string, a run of plain bytes at a time.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for done := 0; ; {
		i := nextSpecial(s, done)
		dst = append(dst, s[done:i]...)
		if i == len(s) {
			return append(dst, '"')
		}
		dst = appendRune(dst, rune(s[i]))
		done = i + 1
	}
}
