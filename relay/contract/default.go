package contract

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

var errDefault = errors.New("is not a value of its type")

// maxDefault bounds what one default adds to every event that leaves its member out.
const maxDefault = 64 << 10

// appendDefault writes a default, as the schema parser gives it, as JSON text of its type.
func appendDefault(dst []byte, n *node, v any) ([]byte, error) {
	var err error
	switch n.kind {
	case kindUnion:
		if v == nil && n.nullable {
			return append(dst, "null"...), nil
		}
		for _, b := range n.branches {
			if out, err := appendDefault(dst, b, v); err == nil {
				return out, nil
			}
		}
		return nil, errDefault
	case kindRecord:
		members, ok := v.(map[string]any)
		if !ok {
			return nil, errDefault
		}
		dst = append(dst, '{')
		for i := range n.fields {
			f := &n.fields[i]
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, f.token...)
			if value, ok := members[f.name]; ok {
				if dst, err = appendDefault(dst, f.node, value); err != nil {
					return nil, err
				}
			} else if f.fill != nil {
				dst = append(dst, f.fill...)
			} else {
				return nil, errDefault
			}
		}
		dst = append(dst, '}')
	case kindMap:
		members, ok := v.(map[string]any)
		if !ok {
			return nil, errDefault
		}
		dst = append(dst, '{')
		for i, name := range sortedKeys(members) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, name), ':')
			if dst, err = appendDefault(dst, n.elem, members[name]); err != nil {
				return nil, err
			}
		}
		dst = append(dst, '}')
	case kindArray:
		items, ok := v.([]any)
		if !ok {
			return nil, errDefault
		}
		dst = append(dst, '[')
		for i, item := range items {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendDefault(dst, n.elem, item); err != nil {
				return nil, err
			}
		}
		dst = append(dst, ']')
	default:
		if dst, err = appendScalar(dst, n, v); err != nil {
			return nil, err
		}
	}
	if len(dst) > maxDefault {
		return nil, fmt.Errorf("has more than %d bytes", maxDefault)
	}
	return dst, nil
}

func appendScalar(dst []byte, n *node, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		if n.kind == kindNull {
			return append(dst, "null"...), nil
		}
	case bool:
		if n.kind == kindBoolean {
			return strconv.AppendBool(dst, v), nil
		}
	case int32:
		if n.kind == kindInt {
			return strconv.AppendInt(dst, int64(v), 10), nil
		}
	case int64:
		if n.kind == kindLong {
			return strconv.AppendInt(dst, v, 10), nil
		}
	case float32:
		if n.kind == kindFloat {
			return appendFloat(dst, float64(v), 32)
		}
	case float64:
		if n.kind == kindFloat {
			return appendFloat(dst, v, 64)
		}
	case string:
		if (n.kind == kindString || n.kind == kindEnum) && utf8.ValidString(v) {
			return appendQuoted(dst, v), nil
		}
	case []byte:
		if n.kind == kindBytes || n.kind == kindFixed {
			return appendBytes(dst, v), nil
		}
	}
	return nil, errDefault
}

func appendFloat(dst []byte, f float64, bits int) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errors.New("cannot be written in JSON")
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits), nil
}

// appendBytes writes bytes as Avro's JSON does: one character for each, of that code point.
func appendBytes[T string | []byte](dst []byte, b T) []byte {
	dst = append(dst, '"')
	for i := range len(b) {
		dst = appendRune(dst, rune(b[i]))
	}
	return append(dst, '"')
}

// appendQuoted writes valid UTF-8 as a JSON string.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if c := s[i]; c < utf8.RuneSelf {
			dst = appendRune(dst, rune(c))
		} else {
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

func appendRune(dst []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r < 0x20:
		const hex = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	default:
		return utf8.AppendRune(dst, r)
	}
}
