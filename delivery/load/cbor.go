package load

import (
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"sluice/relay/payload"
)

// errCBOR: an item of a landed file that landing does not write: something else than text, lists, and maps with texts as keys.
var errCBOR = errors.New("CBOR of another kind than landed files hold")

// The major types of CBOR (RFC 8949 §3.1) that landed files hold.
const (
	majorText  = 3
	majorArray = 4
	majorMap   = 5
)

// cborRecords shows each item of a CBOR sequence as JSON text, members in their order: a Go map would lose it.
func cborRecords(body io.Reader) func() (string, error) {
	mode, err := cbor.DecOptions{MaxNestedLevels: 1024, MaxArrayElements: 1 << 24, MaxMapPairs: 1 << 24, IndefLength: cbor.IndefLengthForbidden}.DecMode()
	if err != nil {
		return func() (string, error) { return "", err }
	}
	items := mode.NewDecoder(body)
	var item cbor.RawMessage
	var text []byte
	return func() (string, error) {
		// What follows relies on it that the decoder has found the item well-formed.
		if err := items.Decode(&item); err != nil {
			return "", err
		}
		var err error
		text, _, err = appendItem(text[:0], item)
		return string(text), err
	}
}

// appendItem appends a well-formed item as JSON and gives what follows it.
func appendItem(dst, item []byte) ([]byte, []byte, error) {
	major, n, rest := item[0]>>5, int(item[0]&31), item[1:]
	if n >= 24 {
		bytes := 1 << (n - 24)
		n = 0
		for _, b := range rest[:bytes] {
			n = n<<8 | int(b)
		}
		rest = rest[bytes:]
	}
	var err error
	switch major {
	case majorText:
		if !utf8.Valid(rest[:n]) {
			return dst, nil, fmt.Errorf("%w: a text that is not UTF-8", errCBOR)
		}
		dst = payload.AppendEscaped(append(dst, '"'), rest[:n])
		return append(dst, '"'), rest[n:], nil
	case majorArray:
		dst = append(dst, '[')
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, rest, err = appendItem(dst, rest); err != nil {
				return dst, nil, err
			}
		}
		return append(dst, ']'), rest, nil
	case majorMap:
		dst = append(dst, '{')
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			if rest[0]>>5 != majorText {
				return dst, nil, fmt.Errorf("%w: a key that is not text", errCBOR)
			}
			if dst, rest, err = appendItem(dst, rest); err != nil {
				return dst, nil, err
			}
			if dst, rest, err = appendItem(append(dst, ':'), rest); err != nil {
				return dst, nil, err
			}
		}
		return append(dst, '}'), rest, nil
	}
	return dst, nil, fmt.Errorf("%w: major type %d", errCBOR, major)
}
