package consent

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"

	"github.com/minio/highwayhash"

	"sluice/relay/engine"
)

// ways is how many entries share one place of a table. An entry is pushed out when ways newer ones
// came to its place.
const ways = 8

// table is a fixed number of entries behind atomic pointers: a hit takes no lock, writes no shared
// memory and allocates nothing. Two writers of one entry may both store it; the entries are equal.
type table[E any] struct {
	places []place[E]
}

type place[E any] struct {
	entry [ways]atomic.Pointer[E]
	next  atomic.Uint32
}

func newTable[E any](entries int) table[E] {
	n := 1
	for n*ways < entries {
		n *= 2
	}
	return table[E]{make([]place[E], n)}
}

func (t *table[E]) at(h uint64) *place[E] { return &t.places[h&uint64(len(t.places)-1)] }

// put stores e in place of an entry that is the same, of none, or of the oldest.
func (p *place[E]) put(e *E, same func(*E) bool) {
	for i := range p.entry {
		if old := p.entry[i].Load(); old == nil || same(old) {
			p.entry[i].Store(e)
			return
		}
	}
	p.entry[p.next.Add(1)%ways].Store(e)
}

// drop removes the entries that are to go. An entry that is put meanwhile may stay; its key finds out
// by itself that it was erased.
func (t *table[E]) drop(gone func(*E) bool) {
	for i := range t.places {
		for j := range t.places[i].entry {
			p := &t.places[i].entry[j]
			if e := p.Load(); e != nil && gone(e) {
				p.CompareAndSwap(e, nil)
			}
		}
	}
}

// person is the key that a subject and key field have in the window [from, until).
type person struct {
	hash        [2]uint64
	from, until int64 // Unix milliseconds
	key         *Key
	link        engine.KeyLink
	at          engine.Locator
}

// stored is the key of stored events.
type stored struct {
	key  *Key
	link engine.KeyLink
	at   engine.Locator
}

// cache holds the hot keys, bounded in entries of at most keySize bytes. No subject and no key field
// lies in it, only their keyed 128-bit hash; the key of that hash is the process's own. A false match
// would need a collision of that hash.
type cache struct {
	hashKey [highwayhash.Size]byte
	people  table[person]
	links   table[stored]
}

// keySize is the memory of one hot key: two expanded AES-256 ciphers of 512 bytes, the Key, and an
// entry with its pointer in each table.
const keySize = 1400

func newCache(bytes int64) *cache {
	c := &cache{}
	rand.Read(c.hashKey[:])
	// newTable rounds up to a power of two, so the entries are rounded down to one first.
	entries := ways
	for int64(entries)*2*keySize <= bytes {
		entries *= 2
	}
	c.people, c.links = newTable[person](entries), newTable[stored](entries)
	return c
}

// hash is a keyed hash of a stream, subject and key field.
func (c *cache) hash(s engine.StreamID, subject, keyField []byte) [2]uint64 {
	n := len(s) + 8 + len(subject) + len(keyField)
	var short [192]byte
	var sum [highwayhash.Size128]byte
	if n <= len(short) {
		sum = highwayhash.Sum128(person128(short[:0], s, subject, keyField), c.hashKey[:])
	} else {
		sc := getScratch()
		sum = highwayhash.Sum128(person128(sc.bytes(n)[:0], s, subject, keyField), c.hashKey[:])
		clear(sc.buf)
		sc.put()
	}
	return [2]uint64{binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:])}
}

func person128(b []byte, s engine.StreamID, subject, keyField []byte) []byte {
	b = append(b, s[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(subject)))
	b = append(b, subject...)
	return append(b, keyField...)
}

func (c *cache) person(h [2]uint64, millis int64) *person {
	p := c.people.at(h[0])
	for i := range p.entry {
		if e := p.entry[i].Load(); e != nil && e.hash == h && e.from <= millis && millis < e.until {
			return e
		}
	}
	return nil
}

func (c *cache) putPerson(e *person) {
	c.people.at(e.hash[0]).put(e, func(o *person) bool { return o.hash == e.hash })
}

// linkHash cuts a hash from a keyLink, which is a keyed hash already, leaving out its fixed bits.
func linkHash(link *engine.KeyLink) uint64 { return binary.LittleEndian.Uint64(link[8:]) >> 8 }

func (c *cache) stored(s engine.StreamID, link engine.KeyLink, at engine.Locator) *Key {
	p := c.links.at(linkHash(&link))
	for i := range p.entry {
		if e := p.entry[i].Load(); e != nil && e.link == link && e.at == at && e.key.stream.id == s {
			return e.key
		}
	}
	return nil
}

func (c *cache) putStored(e *stored) {
	c.links.at(linkHash(&e.link)).put(e, func(o *stored) bool {
		return o.link == e.link && o.at == e.at && o.key.stream == e.key.stream
	})
}

// drop lets go of the keys that are to go.
func (c *cache) drop(gone func(*Key) bool) {
	c.people.drop(func(e *person) bool { return gone(e.key) })
	c.links.drop(func(e *stored) bool { return gone(e.key) })
}
