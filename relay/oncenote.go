package relay

import (
	"encoding/binary"
	"encoding/json"

	"github.com/klauspost/compress/s2"
)

// onceNote is what a block of a keyed body says of it.
type onceNote struct {
	key    onceKey
	body   bodySum
	line   int  // lines up to this one are stored or rejected
	final  bool // that is all of them, and result is the answer
	result BulkResult

	empty bool // not stored: there was no block to say it
}

// A note: kind, key, body, line, final, and the result as JSON compressed with S2.
const (
	onceKind  = 'K'
	onceFixed = 1 + 16 + 16 + 4 + 1
	// onceRoom is how long a note may be, within what the log takes.
	onceRoom = 60 << 10
)

// fit shortens a result's list of errors until a note can hold it, so that the first answer and the later ones are the
// same. A thousand ordinary errors fit; such with names of kilobytes may not.
func (n *onceNote) fit(res *BulkResult) []byte {
	for {
		text, err := json.Marshal(res)
		if err != nil {
			panic(err) // numbers and texts
		}
		packed := s2.EncodeBetter(nil, text)
		if len(packed) <= onceRoom || len(res.Errors) == 0 {
			return packed
		}
		res.Errors = res.Errors[:len(res.Errors)/2]
	}
}

// encode makes the note of a block; packed is the result, nil where it is not the last.
func (n *onceNote) encode(line int, packed []byte) []byte {
	out := make([]byte, 0, onceFixed+len(packed))
	out = append(out, onceKind)
	out = append(out, n.key[:]...)
	out = append(out, n.body[:]...)
	out = binary.LittleEndian.AppendUint32(out, uint32(line))
	if packed == nil {
		return append(out, 0)
	}
	return append(append(out, 1), packed...)
}

func onceKeyOf(text []byte) (key onceKey, ok bool) {
	if len(text) < onceFixed || text[0] != onceKind {
		return key, false
	}
	return onceKey(text[1:17]), true
}

// parseOnce reads a note; ok is false for notes of another kind, and for damaged ones.
func parseOnce(text []byte) (n *onceNote, ok bool) {
	key, ok := onceKeyOf(text)
	if !ok {
		return nil, false
	}
	n = &onceNote{key: key, body: bodySum(text[17:33]), line: int(binary.LittleEndian.Uint32(text[33:])), final: text[37] == 1}
	if !n.final {
		return n, true
	}
	const most = 64 << 20 // far above what fit lets in
	if size, err := s2.DecodedLen(text[onceFixed:]); err != nil || size > most {
		return nil, false
	}
	plain, err := s2.Decode(nil, text[onceFixed:])
	if err != nil || json.Unmarshal(plain, &n.result) != nil {
		return nil, false
	}
	return n, true
}
