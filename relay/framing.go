package relay

import (
	"encoding/binary"

	"sluice/relay/engine"
)

// Framing is what stands around an event's text, so that a connection of its kind can be sent it as it is. Whatever
// the Format, each kind of connection's bytes are made once and shared.
type Framing uint8

// The framings. The zero framing is lines.
const (
	Lines        Framing = iota // the text and a line feed
	ServerEvents                // a server-sent event: the offset as its id, the text as its data, an empty line
	SocketFrames                // one whole text frame of a websocket as a server sends it: final, unmasked (RFC 6455 §5.2)
)

// frameRoom is how much is left before a text for the head of its websocket frame: enough for 126 to 65,535 bytes,
// which most events have. A text of another length is moved.
const frameRoom = 4

// The parts of a websocket frame's head.
const (
	finalText = 0x80 | 0x1 // the only frame of a text message
	length16  = 126        // two bytes of length follow
	length64  = 127        // eight bytes of length follow
)

// append writes the event as its framing wants it.
func (r *renderer) append(dst []byte, e *shown) []byte {
	switch r.framing {
	case ServerEvents:
		return r.appendServerEvent(dst, e)
	case SocketFrames:
		start := len(dst)
		dst = append(dst, make([]byte, frameRoom)...)
		return framed(r.text(dst, e), start)
	default:
		return append(r.text(dst, e), '\n')
	}
}

func (r *renderer) appendServerEvent(dst []byte, e *shown) []byte {
	dst = append(dst, "id: "...)
	dst = appendOffset(dst, e.offset)
	dst = append(dst, "\ndata: "...)
	return append(r.text(dst, e), '\n', '\n')
}

// framed puts the frame's head before a text that has frameRoom bytes of room before it, from start on.
func framed(dst []byte, start int) []byte {
	n := len(dst) - start - frameRoom
	switch {
	case n < length16:
		copy(dst[start+2:], dst[start+frameRoom:])
		dst = dst[:start+2+n]
		dst[start+1] = byte(n)
	case n <= 1<<16-1:
		dst[start+1] = length16
		binary.BigEndian.PutUint16(dst[start+2:], uint16(n))
	default:
		const head = 10
		dst = append(dst, make([]byte, head-frameRoom)...)
		copy(dst[start+head:], dst[start+frameRoom:start+frameRoom+n])
		dst[start+1] = length64
		binary.BigEndian.PutUint64(dst[start+2:], uint64(n))
	}
	dst[start] = finalText
	return dst
}

func newRenderer(stream engine.StreamID, s Spec) renderer {
	return renderer{stream: stream, format: s.Format, framing: s.Framing, filter: s.Filter, subset: s.Subset}
}
