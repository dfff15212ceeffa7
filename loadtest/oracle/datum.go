package oracle

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
)

// Datum writes an event that the contract takes as a bare Avro datum. The event is one that Judge gave, with its strmMeta; what that
// lacks is written as null.
func (c *Contract) Datum(event map[string]any) []byte { return c.avro.datum(nil, event) }

// Binary tells whether the contract has an Avro schema, so that events may be data of it.
func (c *Contract) Binary() bool { return c.avro != nil }

func (t *avro) datum(dst []byte, v any) []byte {
	switch t.kind {
	case "boolean":
		if v.(bool) {
			return append(dst, 1)
		}
		return append(dst, 0)
	case "int", "long":
		n, err := strconv.ParseInt(string(v.(json.Number)), 10, 64)
		if err != nil {
			panic(err) // check took it
		}
		return binary.AppendVarint(dst, n)
	case "float":
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(float(v))))
	case "double":
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(float(v)))
	case "string":
		return append(binary.AppendVarint(dst, int64(len(v.(string)))), v.(string)...)
	case "bytes", "fixed":
		var raw []byte
		for _, r := range v.(string) {
			raw = append(raw, byte(r))
		}
		if t.kind == "bytes" {
			dst = binary.AppendVarint(dst, int64(len(raw)))
		}
		return append(dst, raw...)
	case "enum":
		for i, s := range t.symbols {
			if s == v.(string) {
				return binary.AppendVarint(dst, int64(i))
			}
		}
	case "array":
		if list := v.([]any); len(list) > 0 {
			dst = binary.AppendVarint(dst, int64(len(list)))
			for _, item := range list {
				dst = t.elem.datum(dst, item)
			}
		}
		return append(dst, 0)
	case "map":
		if m := v.(map[string]any); len(m) > 0 {
			dst = binary.AppendVarint(dst, int64(len(m)))
			for name, item := range m {
				dst = append(binary.AppendVarint(dst, int64(len(name))), name...)
				dst = t.elem.datum(dst, item)
			}
		}
		return append(dst, 0)
	case "record":
		for _, f := range t.fields {
			value, there := v.(map[string]any)[f.name]
			if !there {
				value = f.kind.check(Clone(f.fill), nil, func(Fault) {})
			}
			dst = f.kind.datum(dst, value)
		}
	case "union":
		for i, b := range t.branches {
			fits := b.kindOf(v) || v == nil && b.kind == "null"
			b.check(v, nil, func(Fault) { fits = false })
			if fits {
				return b.datum(binary.AppendVarint(dst, int64(i)), v)
			}
		}
	}
	return dst
}

func float(v any) float64 {
	f, _ := v.(json.Number).Float64()
	return f
}
