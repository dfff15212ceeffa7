package payload

import "encoding/binary"

// The major types of CBOR (RFC 8949 §3.1) that are written, as the first byte of an item.
const (
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborMap   = 5 << 5
)

// AppendCBOR appends a map for each child element of the root. It is written here because encoders of Go maps sort or shuffle the members.
func (d *Document) AppendCBOR(dst []byte) []byte {
	for _, id := range d.rows {
		n := &d.nodes[id]
		switch {
		case n.first != 0:
			dst = d.appendItem(dst, id)
		case n.from == n.to:
			dst = appendHead(dst, cborMap, 0)
		default:
			dst = appendHead(dst, cborMap, 1)
			dst = appendText(dst, valueName)
			dst = d.appendItem(dst, id)
		}
	}
	return dst
}

func (d *Document) appendItem(dst []byte, id int32) []byte {
	n := &d.nodes[id]
	if n.first == 0 {
		return appendText(dst, d.text[n.from:n.to])
	}
	dst = appendHead(dst, cborMap, int(n.names))
	for at := n.first; at != 0; at = d.nodes[at].next {
		dst = appendText(dst, d.nodes[at].name)
		if d.nodes[at].peer == 0 {
			dst = d.appendItem(dst, at)
			continue
		}
		count := 0
		for p := at; p != 0; p = d.nodes[p].peer {
			count++
		}
		dst = appendHead(dst, cborArray, count)
		for p := at; p != 0; p = d.nodes[p].peer {
			dst = d.appendItem(dst, p)
		}
	}
	return dst
}

func appendText[T string | []byte](dst []byte, text T) []byte {
	return append(appendHead(dst, cborText, len(text)), text...)
}

// appendHead appends the head of an item with its length in as few bytes as it needs.
func appendHead(dst []byte, major byte, n int) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(n))
	}
}
