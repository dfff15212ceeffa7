package payload

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
)

var (
	markUTF8 = []byte("\xef\xbb\xbf")
	badBytes = &Fault{Reason: "it has bytes that are not of its encoding"}
)

// source is a document on its way to UTF-8.
type source struct {
	text []byte
	// settled is the encoding that the first bytes gave away, as the declaration spells its beginning; empty: the declaration says.
	settled string
}

// open looks at the first bytes of a document (XML 1.0, appendix F): a byte order mark, or what `<` is in UTF-16.
func open(text []byte) (source, error) {
	order := func(e unicode.Endianness) (source, error) {
		decoded, err := decoded(unicode.UTF16(e, unicode.UseBOM), text)
		return source{text: decoded, settled: "utf-16"}, err
	}
	switch {
	case bytes.HasPrefix(text, markUTF8):
		return source{text: text[len(markUTF8):], settled: "utf-8"}, nil
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("<\x00")):
		return order(unicode.LittleEndian)
	case bytes.HasPrefix(text, []byte("\xfe\xff")), bytes.HasPrefix(text, []byte("\x00<")):
		return order(unicode.BigEndian)
	}
	return source{text: text}, nil
}

// decode is the decoder's CharsetReader: it gets the encoding that a declaration names and what follows it.
func (s source) decode(label string, rest io.Reader) (io.Reader, error) {
	if s.settled != "" {
		if !strings.HasPrefix(strings.ToLower(label), s.settled) {
			return nil, &Fault{Reason: "it declares another encoding than it has"}
		}
		return rest, nil
	}
	e, err := ianaindex.IANA.Encoding(label)
	if err != nil || e == nil {
		return nil, &Fault{Reason: "its encoding is not known"}
	}
	if strings.HasPrefix(strings.ToLower(label), "utf-16") {
		return nil, &Fault{Reason: "it declares another encoding than it has"}
	}
	text, err := io.ReadAll(rest)
	if err != nil {
		return nil, err
	}
	if text, err = decoded(e, text); err != nil {
		return nil, err
	}
	return bytes.NewReader(text), nil
}

// decoded gives a text in UTF-8. Decoders put U+FFFD where the bytes mean nothing, and hardly anybody sends one: such a text is refused
// rather than altered.
func decoded(e encoding.Encoding, text []byte) ([]byte, error) {
	out, err := e.NewDecoder().Bytes(text)
	if err != nil || bytes.ContainsRune(out, utf8.RuneError) {
		return nil, badBytes
	}
	return out, nil
}
