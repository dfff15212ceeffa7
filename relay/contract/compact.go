package contract

import "unicode/utf8"

// compactor writes any JSON value anew without white space. The zero value only reads.
type compactor struct {
	emit   bool
	dst    []byte
	reason string
	pos    int
}

func (c *compactor) fail(reason string, pos int) int {
	c.reason, c.pos = reason, pos
	return -1
}

func (c *compactor) put(s []byte) {
	if c.emit {
		c.dst = append(c.dst, s...)
	}
}

// value reads the value at i of valid UTF-8 and returns the place after it, or -1 with reason and pos set. It
// keeps its own stack of one bit a level, for a text of a million brackets must not be a million frames.
func (c *compactor) value(s []byte, i int, depth int) int {
	var objects [maxDepth/64 + 1]uint64 // bit n: the n-th open container is an object
	open := 0
	inObject := func() bool { return objects[(open-1)>>6]>>((open-1)&63)&1 == 1 }
	run := i // first byte that was read but not yet written
	space := func() {
		if n := skipSpace(s, i); n != i {
			c.put(s[run:i])
			run, i = n, n
		}
	}
	key := func() bool {
		if i >= len(s) || s[i] != '"' {
			c.fail(unexpected(s, i))
			return false
		}
		end, _ := scanString(s, i+1)
		if end < 0 {
			c.fail(stringFault(s, i+1))
			return false
		}
		i = end + 1
		space()
		if i >= len(s) || s[i] != ':' {
			c.fail(unexpected(s, i))
			return false
		}
		i++
		space()
		return true
	}
	for {
		if i >= len(s) {
			return c.fail(unexpected(s, i))
		}
		switch ch := s[i]; ch {
		case '{', '[':
			if depth+open >= maxDepth {
				return c.fail(tooDeep, i)
			}
			bit := uint64(1) << (open & 63)
			objects[open>>6] &^= bit
			if ch == '{' {
				objects[open>>6] |= bit
			}
			open++
			i++
			space()
			if i < len(s) && s[i] == ch+2 { // '}' is '{'+2, ']' is '['+2
				i++
				open--
				break
			}
			if ch == '{' && !key() {
				return -1
			}
			continue
		case '"':
			end, _ := scanString(s, i+1)
			if end < 0 {
				return c.fail(stringFault(s, i+1))
			}
			i = end + 1
		case 't', 'f', 'n':
			n := literal(s, i)
			if n < 0 {
				return c.fail(unexpected(s, i))
			}
			i = n
		default:
			n, _ := scanNumber(s, i)
			if n < 0 {
				return c.fail(unexpected(s, i))
			}
			i = n
		}
		for {
			if open == 0 {
				c.put(s[run:i])
				return i
			}
			space()
			if i >= len(s) {
				return c.fail(unexpected(s, i))
			}
			if s[i] == ',' {
				i++
				space()
				if inObject() && !key() {
					return -1
				}
				break
			}
			if want := byte(']'); inObject() {
				want = '}'
				if s[i] != want {
					return c.fail(unexpected(s, i))
				}
			} else if s[i] != want {
				return c.fail(unexpected(s, i))
			}
			i++
			open--
		}
	}
}

// literal returns the place after true, false or null at i, or -1.
func literal(s []byte, i int) int {
	switch {
	case isWord(s, i, "true"), isWord(s, i, "null"):
		return i + 4
	case isWord(s, i, "false"):
		return i + 5
	}
	return -1
}

// CompactJSON appends body as one compact line: it must be exactly one JSON object of valid UTF-8, at most 128
// levels deep. Members keep their order, numbers and strings their text, and a name that stands twice in an
// object stays twice. The error is a *Violation; dst is then returned as it came.
func CompactJSON(dst, body []byte) ([]byte, error) {
	c := compactor{emit: true, dst: dst}
	if err := c.object(body); err != nil {
		return dst, err
	}
	return c.dst, nil
}

// CheckJSON holds body to what CompactJSON asks. The error is a *Violation.
func CheckJSON(body []byte) error {
	var c compactor
	return c.object(body)
}

func (c *compactor) object(body []byte) error {
	if !utf8.Valid(body) {
		return invalid(notUTF8, invalidUTF8(body))
	}
	i := skipSpace(body, 0)
	if i < len(body) && body[i] != '{' {
		return invalid("it is not an object", i)
	}
	if i = c.value(body, i, 0); i < 0 {
		return invalid(c.reason, c.pos)
	}
	if i = skipSpace(body, i); i < len(body) {
		return invalid("the object is followed by something else", i)
	}
	return nil
}

// PeekRef finds strmMeta.eventContractRef (or schemaId) of a JSON event without checking it; nil if there is
// none or the text up to it is not JSON. The result lies in body unless it was escaped.
func PeekRef(body []byte) []byte {
	i := skipSpace(body, 0)
	if i >= len(body) || body[i] != '{' {
		return nil
	}
	var ref []byte
	eachMember(body, i, func(name []byte, at int) bool {
		if string(name) != "strmMeta" {
			return true
		}
		if body[at] == '{' {
			eachMember(body, at, func(name []byte, at int) bool {
				switch string(name) {
				case "eventContractRef":
					ref = peekString(body, at)
					return ref == nil
				case "schemaId":
					ref = peekString(body, at)
				}
				return true
			})
		}
		return false
	})
	return ref
}

// eachMember calls fn with the unescaped name of each member of the object at i and the place of its value, for
// as long as fn says true and the text is JSON. It returns how many there were, -1 when the text is not JSON.
func eachMember(s []byte, i int, fn func(name []byte, at int) bool) int {
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == '}' {
		return 0
	}
	for n := 1; ; n++ {
		if i >= len(s) || s[i] != '"' {
			return -1
		}
		end, escaped := scanString(s, i+1)
		if end < 0 {
			return -1
		}
		name := s[i+1 : end]
		if escaped {
			name = appendUnescaped(nil, name)
		}
		i = skipSpace(s, end+1)
		if i >= len(s) || s[i] != ':' {
			return -1
		}
		if i = skipSpace(s, i+1); i >= len(s) {
			return -1
		}
		if !fn(name, i) {
			return n
		}
		var c compactor
		if i = c.value(s, i, 0); i < 0 {
			return -1
		}
		if i = skipSpace(s, i); i >= len(s) {
			return -1
		}
		if s[i] == '}' {
			return n
		}
		if s[i] != ',' {
			return -1
		}
		i = skipSpace(s, i+1)
	}
}

// peekString is the string at i, or in the one member of the object at i, or nil.
func peekString(s []byte, i int) (text []byte) {
	switch s[i] {
	case '"':
		end, escaped := scanString(s, i+1)
		if end < 0 {
			return nil
		}
		text = s[i+1 : end : end]
		if escaped {
			text = appendUnescaped(nil, text)
		}
	case '{':
		eachMember(s, i, func(name []byte, at int) bool {
			if string(name) == "string" && s[at] == '"' {
				text = peekString(s, at)
			}
			return false
		})
	}
	return text
}
