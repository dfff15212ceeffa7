package contract

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"
)

// The methods below read the value at i and return the place after it, or -1 with fault set.

func (o *Checked) syntax(reason string, pos int) int {
	o.fault.kind, o.fault.reason, o.fault.pos = faultSyntax, reason, pos
	return -1
}

// mismatch refuses the value at i: as the wrong type if it is a value at all.
func (o *Checked) mismatch(n *node, i int) int {
	var c compactor
	if c.value(o.src, i, 0) < 0 {
		return o.syntax(c.reason, c.pos)
	}
	o.fault.kind, o.fault.want = faultMismatch, n
	return -1
}

func (o *Checked) at(name string) int {
	o.fault.path = append(o.fault.path, name)
	return -1
}

func (o *Checked) value(n *node, i int) int {
	switch n.kind {
	case kindString:
		return o.string(n, i)
	case kindRecord:
		return o.record(n, i)
	case kindUnion:
		return o.union(n, i)
	case kindArray:
		return o.array(n, i)
	case kindMap:
		return o.dict(n, i)
	case kindLevels:
		return o.levels(n, i)
	case kindOpen:
		return o.openValue(n, i, false)
	case kindInt, kindLong, kindFloat:
		return o.number(n, i)
	case kindBoolean:
		if end := literal(o.src, i); end > 0 && o.src[i] != 'n' {
			o.out = append(o.out, o.src[i:end]...)
			return end
		}
	case kindNull:
		if isWord(o.src, i, "null") {
			o.out = append(o.out, "null"...)
			return i + 4
		}
	default:
		return o.coded(n, i)
	}
	return o.mismatch(n, i)
}

func (o *Checked) string(n *node, i int) int {
	s := o.src
	if i >= len(s) || s[i] != '"' {
		return o.mismatch(n, i)
	}
	end, escaped := scanString(s, i+1)
	if end < 0 {
		return o.syntax(stringFault(s, i+1))
	}
	o.out = append(o.out, s[i:end+1]...)
	if n.note != nil {
		plain := s[i+1 : end : end]
		if escaped {
			plain = o.unescape(plain)
		}
		if !o.noted(n, plain, len(o.out)-(end-i)) {
			return -1
		}
	}
	return end + 1
}

// unescape gives the text of a string. A grown buffer leaves what was handed out before in the old one.
func (o *Checked) unescape(s []byte) []byte {
	from := len(o.text)
	o.text = appendUnescaped(o.text, s)
	return o.text[from:len(o.text):len(o.text)]
}

func (o *Checked) number(n *node, i int) int {
	end, whole := scanNumber(o.src, i)
	if end < 0 {
		return o.mismatch(n, i)
	}
	text := o.src[i:end:end]
	if n.kind != kindFloat {
		v, ok := int64(0), whole
		if whole {
			v, ok = integer(text)
		}
		if !ok || n.kind == kindInt && v != int64(int32(v)) {
			o.fault.kind, o.fault.want = faultMismatch, n
			return -1
		}
	}
	o.out = append(o.out, text...)
	if n.note != nil && !o.noted(n, text, len(o.out)-len(text)) {
		return -1
	}
	return end
}

// coded reads what Avro writes as a string but is none: enum, bytes, fixed.
func (o *Checked) coded(n *node, i int) int {
	s := o.src
	if i >= len(s) || s[i] != '"' {
		return o.mismatch(n, i)
	}
	end, escaped := scanString(s, i+1)
	if end < 0 {
		return o.syntax(stringFault(s, i+1))
	}
	plain := s[i+1 : end : end]
	if escaped {
		plain = o.unescape(plain)
	}
	if !n.fits(plain) {
		o.fault.kind, o.fault.want = faultMismatch, n
		return -1
	}
	o.out = append(o.out, s[i:end+1]...)
	if n.note != nil && !o.noted(n, plain, len(o.out)-(end-i)) {
		return -1
	}
	return end + 1
}

func (n *node) fits(plain []byte) bool {
	if n.kind == kindEnum {
		for _, s := range n.symbols {
			if string(plain) == s {
				return true
			}
		}
		return false
	}
	count := 0
	for i := 0; i < len(plain); count++ {
		r, size := utf8.DecodeRune(plain[i:])
		if r > 0xff {
			return false
		}
		i += size
	}
	return n.kind == kindBytes || count == n.size
}

func (o *Checked) array(n *node, i int) int {
	s := o.src
	if i >= len(s) || s[i] != '[' {
		return o.mismatch(n, i)
	}
	if o.depth++; o.depth > maxDepth {
		return o.syntax(tooDeep, i)
	}
	o.out = append(o.out, '[')
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == ']' {
		i++
	} else {
		for k := 0; ; k++ {
			next := o.value(n.elem, i)
			if next < 0 {
				return o.at(strconv.Itoa(k))
			}
			if i = skipSpace(s, next); i >= len(s) {
				return o.syntax(unexpected(s, i))
			}
			if s[i] == ']' {
				i++
				break
			}
			if s[i] != ',' {
				return o.syntax(unexpected(s, i))
			}
			o.out = append(o.out, ',')
			i = skipSpace(s, i+1)
		}
	}
	o.out = append(o.out, ']')
	o.depth--
	return i
}

// levels reads strmMeta.consentLevels, a list that stands for a set.
func (o *Checked) levels(n *node, i int) int {
	s := o.src
	if i >= len(s) || s[i] != '[' {
		return o.mismatch(n, i)
	}
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == ']' {
		return i + 1
	}
	for {
		end, whole := scanNumber(s, i)
		if end < 0 {
			return o.mismatch(n.elem, i)
		}
		level, ok := int64(0), whole
		if whole {
			level, ok = integer(s[i:end])
		}
		if !ok || level < 0 || level > 63 {
			o.broken("must hold levels from 0 to 63")
			return -1
		}
		o.Consent |= 1 << level
		if i = skipSpace(s, end); i >= len(s) {
			return o.syntax(unexpected(s, i))
		}
		if s[i] == ']' {
			return i + 1
		}
		if s[i] != ',' {
			return o.syntax(unexpected(s, i))
		}
		i = skipSpace(s, i+1)
	}
}

// dict reads a map.
func (o *Checked) dict(n *node, i int) int {
	s := o.src
	if i >= len(s) || s[i] != '{' {
		return o.mismatch(n, i)
	}
	if o.depth++; o.depth > maxDepth {
		return o.syntax(tooDeep, i)
	}
	start, first := len(o.out), len(o.names)
	o.out = append(o.out, '{')
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == '}' {
		i++
	} else {
		for {
			if i >= len(s) || s[i] != '"' {
				return o.syntax(unexpected(s, i))
			}
			end, escaped := scanString(s, i+1)
			if end < 0 {
				return o.syntax(stringFault(s, i+1))
			}
			name := s[i+1 : end : end]
			if escaped {
				name = o.unescape(name)
			}
			o.names = append(o.names, name)
			o.out = append(append(o.out, s[i:end+1]...), ':')
			i = skipSpace(s, end+1)
			if i >= len(s) || s[i] != ':' {
				return o.syntax(unexpected(s, i))
			}
			next := o.value(n.elem, skipSpace(s, i+1))
			if next < 0 {
				return o.at("*") // the name may be about a person
			}
			if i = skipSpace(s, next); i >= len(s) {
				return o.syntax(unexpected(s, i))
			}
			if s[i] == '}' {
				i++
				break
			}
			if s[i] != ',' {
				return o.syntax(unexpected(s, i))
			}
			o.out = append(o.out, ',')
			i = skipSpace(s, i+1)
		}
	}
	o.out = append(o.out, '}')
	if twice(o.names[first:]) {
		o.fault.kind = faultTwice
		return o.at("*")
	}
	o.names = o.names[:first]
	o.depth--
	if n.note != nil {
		o.span(n.note.capture, start)
	}
	return i
}

// twice tells whether two names are equal; it may change their order.
func twice(names [][]byte) bool {
	if len(names) <= 8 {
		for i := range names {
			for _, other := range names[:i] {
				if bytes.Equal(names[i], other) {
					return true
				}
			}
		}
		return false
	}
	slices.SortFunc(names, bytes.Compare)
	for i := 1; i < len(names); i++ {
		if bytes.Equal(names[i-1], names[i]) {
			return true
		}
	}
	return false
}
