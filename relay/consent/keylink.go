package consent

import (
	"encoding/binary"
	"time"

	"sluice/relay/engine"
)

const (
	day = 24 * time.Hour

	// window is how long a key serves.
	window = day
)

// The clock of the package: Unix milliseconds, and days since 1970-01-01 UTC.
const dayMillis = int64(day / time.Millisecond)

// firstMillis and lastMillis bound the times that there are keys for. The first days are left out so
// that a window never starts before day 0.
const (
	firstMillis = 2 * dayMillis
	lastMillis  = 253402300799999 // 9999-12-31
)

// minuteMillis is how fine the times are at which windows begin: what is stored with an event has to say
// when its key ends, and has two bytes for it.
const minuteMillis = int64(time.Minute / time.Millisecond)

// windowStart is when the window of a subject began that lies around a time. Windows of different
// subjects start at different times of the day, or all keys of a stream would turn over at midnight
// and make everybody's first event of the day a cold one.
func windowStart(sc *scratch, key *node, subject []byte, millis int64) int64 {
	m := begin(sc, key, forShift)
	m.add(subject)
	sum := m.sum(key)
	shift := int64(binary.BigEndian.Uint64(sum[:])%uint64(dayMillis/minuteMillis)) * minuteMillis
	return (millis-shift)/dayMillis*dayMillis + shift
}

// turnOf is what Locator.Turn says of a window.
func turnOf(start int64) uint16 { return uint16(start%dayMillis/minuteMillis) + 1 }

// Ends is when the key of an event ends that was accepted at a time, both in Unix milliseconds: no later event has it. For
// one whose locator does not say, it is the latest that it can be.
func Ends(accepted int64, at engine.Locator) int64 {
	if at.Turn == 0 {
		return accepted + dayMillis
	}
	shift := int64(at.Turn-1) * minuteMillis
	return (accepted-shift)/dayMillis*dayMillis + shift + dayMillis
}

// leafOf is a person's leaf. Forgotten people who come back get the leaf of the next generation. Two
// of a million people of one stream and era share a leaf with a chance of 1 in 37 million; then both
// are forgotten together.
func leafOf(sc *scratch, key *node, subject []byte, generation uint32) uint64 {
	m := begin(sc, key, forLeaf)
	m.number(uint64(generation))
	m.add(subject)
	sum := m.sum(key)
	return binary.BigEndian.Uint64(sum[:])
}

// linkOf is the keyLink: a UUIDv8 (RFC 9562) whose 122 free bits are a keyed hash of the window, the
// person and the key field. The generation is in it too: who is forgotten and comes back in the same
// window has another key, and so must have another link.
func linkOf(sc *scratch, key *node, start int64, generation uint32, subject, keyField []byte) engine.KeyLink {
	m := begin(sc, key, forLink)
	m.number(uint64(start))
	m.number(uint64(generation))
	m.add(subject)
	m.add(keyField)
	sum := m.sum(key)
	link := engine.KeyLink(sum[:16])
	link[6] = link[6]&0x0f | 0x80
	link[8] = link[8]&0x3f | 0x80
	return link
}

// fieldKey is the key of a leaf for one keyLink.
func fieldKey(sc *scratch, leaf *node, link engine.KeyLink) (*Key, error) {
	var info [1 + len(link)]byte
	info[0] = forField
	copy(info[1:], link[:])
	var out [materialSize + 4]byte
	expand(sc, leaf, info[:], out[:])
	id := binary.BigEndian.Uint32(out[materialSize:])
	// Tink takes no key with the id 0.
	if id == 0 {
		id = 1
	}
	return newKey((*[materialSize]byte)(out[:]), id)
}

// An era is numbered by the day it starts, counted from 1, for era 0 means that there is no key. The
// number says nothing about the era's length, which may be configured anew at any time: an era's last
// day is stored with it.

// eraOf is the era of eraDays days that a window belongs to: the one it starts in. It gives the number
// and the first day after the era.
func eraOf(start int64, eraDays uint32) (number, end uint32) {
	first := uint32(start/dayMillis) / eraDays * eraDays
	return first + 1, first + eraDays
}
