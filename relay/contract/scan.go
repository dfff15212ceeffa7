package contract

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how many objects and arrays may be open at once.
const maxDepth = 128

const tooDeep = "it is nested deeper than 128 levels"

func skipSpace(s []byte, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\r' || s[i] == '\t') {
		i++
	}
	return i
}

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// nextSpecial is the first place at or after i of a quote, a backslash or a control character, or len(s). Eight
// bytes are looked at together: a borrow can raise a false mark only above a true one, so that the lowest mark
// is exact.
func nextSpecial(s []byte, i int) int {
	for ; i+8 <= len(s); i += 8 {
		v := binary.LittleEndian.Uint64(s[i:])
		q, b := v^(lows*'"'), v^(lows*'\\')
		marks := ((q-lows)&^q | (b-lows)&^b | (v-lows*0x20)&^v) & highs
		if marks != 0 {
			return i + bits.TrailingZeros64(marks)>>3
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c == '"' || c == '\\' || c < 0x20 {
			return i
		}
	}
	return i
}

// scanString finds the closing quote of a string whose text begins at i; the text must be valid UTF-8 already.
// End -1: it is not a string, and stringFault says why.
func scanString(s []byte, i int) (end int, escaped bool) {
	for {
		i = nextSpecial(s, i)
		if i >= len(s) {
			return -1, false
		}
		switch s[i] {
		case '"':
			return i, escaped
		case '\\':
			if i = scanEscape(s, i); i < 0 {
				return -1, false
			}
			escaped = true
		default:
			return -1, false
		}
	}
}

// scanEscape returns the place after the escape (or pair of surrogates) whose backslash is at i, or -1.
func scanEscape(s []byte, i int) int {
	if i+1 >= len(s) {
		return -1
	}
	switch s[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		switch r := hex4(s, i+2); {
		case r < 0:
			return -1
		case !utf16.IsSurrogate(r):
			return i + 6
		case i+7 < len(s) && s[i+6] == '\\' && s[i+7] == 'u' && utf16.DecodeRune(r, hex4(s, i+8)) != utf8.RuneError:
			return i + 12
		}
	}
	return -1
}

// hex4 is the number of the four hexadecimal digits at i, or -1.
func hex4(s []byte, i int) rune {
	if i+4 > len(s) {
		return -1
	}
	var r rune
	for _, c := range s[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// stringFault says what scanString did not like.
func stringFault(s []byte, i int) (reason string, pos int) {
	for {
		i = nextSpecial(s, i)
		if i >= len(s) {
			return "the text ends inside a string", len(s)
		}
		if s[i] != '\\' {
			return "a control character stands in a string", i
		}
		next := scanEscape(s, i)
		switch {
		case next >= 0:
			i = next
		case i+1 >= len(s) || s[i+1] == 'u' && i+6 > len(s):
			return "the text ends inside a string", len(s)
		case s[i+1] == 'u' && hex4(s, i+2) >= 0:
			return "an unpaired surrogate stands in a string", i
		default:
			return "an invalid escape stands in a string", i
		}
	}
}

// appendUnescaped appends the text of a string that scanString accepted.
func appendUnescaped(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		n := i
		for n < len(s) && s[n] != '\\' {
			n++
		}
		if dst = append(dst, s[i:n]...); n == len(s) {
			break
		}
		i = n + 2
		switch c := s[n+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hex4(s, n+2)
			i = n + 6
			if utf16.IsSurrogate(r) {
				r = utf16.DecodeRune(r, hex4(s, n+8))
				i = n + 12
			}
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// scanNumber returns the place after the number at i, or -1; whole says that it has neither fraction nor
// exponent.
func scanNumber(s []byte, i int) (end int, whole bool) {
	if i < len(s) && s[i] == '-' {
		i++
	}
	switch {
	case i >= len(s):
		return -1, false
	case s[i] == '0':
		i++
	case '1' <= s[i] && s[i] <= '9':
		i = digits(s, i)
	default:
		return -1, false
	}
	whole = true
	if i < len(s) && s[i] == '.' {
		whole = false
		from := i + 1
		if i = digits(s, from); i == from {
			return -1, false
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		whole = false
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		from := i
		if i = digits(s, from); i == from {
			return -1, false
		}
	}
	return i, whole
}

func digits(s []byte, i int) int {
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}

// integer is the value of a whole number that scanNumber accepted; ok is false outside of 64 bits.
func integer(s []byte) (n int64, ok bool) {
	negative := s[0] == '-'
	if negative {
		s = s[1:]
	}
	if len(s) > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range s {
		u = u*10 + uint64(c-'0')
	}
	if negative {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}

// isWord tells whether the literal w stands at i.
func isWord(s []byte, i int, w string) bool {
	return i+len(w) <= len(s) && string(s[i:i+len(w)]) == w
}

// unexpected says what stands at i where something else had to.
func unexpected(s []byte, i int) (reason string, pos int) {
	switch {
	case i >= len(s):
		return "the text ends too early", len(s)
	case s[i] > ' ' && s[i] < 0x7f:
		return fmt.Sprintf("character '%c' is not expected", s[i]), i
	default:
		return fmt.Sprintf("byte 0x%02x is not expected", s[i]), i
	}
}

// invalidUTF8 is the place of the first byte that is not UTF-8; there is one.
func invalidUTF8(s []byte) int {
	i := 0
	for i < len(s) {
		r, n := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && n <= 1 {
			break
		}
		i += n
	}
	return i
}

const notUTF8 = "it is not UTF-8"
