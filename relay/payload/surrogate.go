package payload

import (
	"bytes"
	"strconv"
	"strings"
)

// What is no text to be read: in it a reference is not one.
var literal = []struct{ begins, ends []byte }{
	{[]byte("<![CDATA["), []byte("]]>")},
	{[]byte("<!--"), []byte("-->")},
	{[]byte("<?"), []byte("?>")},
}

// refersToSurrogate tells whether a document in UTF-8, or another encoding that has ASCII in it, refers to half of a character by number, like
// &#xD800;. XML forbids that, and the decoder, which refuses every other such reference, puts U+FFFD in its place: the text would be altered.
func refersToSurrogate(text []byte) bool {
	reference := []byte("&#")
	if !bytes.Contains(text, reference) {
		return false
	}
	for len(text) > 0 {
		at := bytes.IndexAny(text, "<&")
		if at < 0 {
			return false
		}
		text = text[at:]
		if bytes.HasPrefix(text, reference) {
			// Not up to the next semicolon, which of a thousand references without one could be the same far one.
			number := text[len(reference):]
			end := 0
			for end < len(number) && strings.IndexByte("x0123456789abcdefABCDEF", number[end]) >= 0 {
				end++
			}
			if end < len(number) && number[end] == ';' && surrogate(number[:end]) {
				return true
			}
		}
		text = behindLiteral(text)
	}
	return false
}

// surrogate tells whether what stands between &# and ; is half of a character: a decimal number, or a hexadecimal one after x.
func surrogate(number []byte) bool {
	base := 10
	if hex, ok := bytes.CutPrefix(number, []byte("x")); ok {
		number, base = hex, 16
	}
	n, err := strconv.ParseUint(string(number), base, 32)
	return err == nil && n >= 0xd800 && n <= 0xdfff
}

// behindLiteral gives what follows the literal that text begins with, or else its first byte.
func behindLiteral(text []byte) []byte {
	for _, l := range literal {
		if !bytes.HasPrefix(text, l.begins) {
			continue
		}
		if end := bytes.Index(text[len(l.begins):], l.ends); end >= 0 {
			return text[len(l.begins)+end+len(l.ends):]
		}
		return nil
	}
	return text[1:]
}
