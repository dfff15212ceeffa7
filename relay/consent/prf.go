package consent

import (
	"crypto/sha256"
	"encoding/binary"
)

// node is a secret of 256 bits: a node of the key tree, or a key that one was derived to.
type node [sha256.Size]byte

// Every keyed hash of the package says with its first byte what it is for, so that one key could
// serve two purposes without their outputs ever being the same.
const (
	forLeaf byte = iota + 1
	forLink
	forShift
	forEraLink
	forEraIndex
	forEraTree
	forField
	forGoing
)

// hmacSize is what mac needs in front of the message.
const hmacSize = sha256.BlockSize

// mac is HMAC-SHA-256 of what begin and add collected. It allocates nothing, which crypto/hmac does
// for every key.
type mac struct{ sc *scratch }

func begin(sc *scratch, key *node, purpose byte) mac {
	buf := sc.bytes(hmacSize + 1)
	for i := range buf[:hmacSize] {
		buf[i] = 0x36
	}
	for i, b := range key {
		buf[i] ^= b
	}
	buf[hmacSize] = purpose
	return mac{sc}
}

// add appends a part with its length, so that no two lists of parts are the same message.
func (m mac) add(part []byte) {
	m.sc.buf = binary.BigEndian.AppendUint64(m.sc.buf, uint64(len(part)))
	m.sc.buf = append(m.sc.buf, part...)
}

// number appends a part of eight bytes. Where it stands a part always has that length.
func (m mac) number(n uint64) { m.sc.buf = binary.BigEndian.AppendUint64(m.sc.buf, n) }

func (m mac) sum(key *node) node {
	inner := sha256.Sum256(m.sc.buf)
	var outer [hmacSize + sha256.Size]byte
	for i := range outer[:hmacSize] {
		outer[i] = 0x5c
	}
	for i, b := range key {
		outer[i] ^= b
	}
	copy(outer[hmacSize:], inner[:])
	return sha256.Sum256(outer[:])
}

// derive is the key of a purpose under another key.
func derive(sc *scratch, key *node, purpose byte) node {
	return begin(sc, key, purpose).sum(key)
}

// expand is HKDF-Expand of RFC 5869 with SHA-256. There is no extract step, for what it is given is a
// node of the tree and as such already uniform (RFC 5869, 3.3).
func expand(sc *scratch, key *node, info []byte, out []byte) {
	var last []byte
	var t node
	for i := byte(1); len(out) > 0; i++ {
		m := begin(sc, key, 0)
		m.sc.buf = m.sc.buf[:hmacSize]
		m.sc.buf = append(m.sc.buf, last...)
		m.sc.buf = append(m.sc.buf, info...)
		m.sc.buf = append(m.sc.buf, i)
		t = m.sum(key)
		last = t[:]
		out = out[copy(out, last):]
	}
}
