package consent

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sort"

	"sluice/relay/engine"
)

// Everything the vault keeps in cells is one tree of secrets; each cell holds the keys of the cells
// below it and is sealed under the key that the cell above holds for it:
//
//	erase key (a file, never in the log)
//	└ top            256 bucket keys                        one cell
//	  └ bucket       the keys of the streams in it          ≤ 256 cells, 48 bytes a stream
//	    └ stream     its eras: a seed, or an era cell's key  one cell a stream
//	      └ era      link and index key, the shards          one cell an era somebody was forgotten in
//	        └ part   what is left of a shard's key tree      one cell a shard somebody was forgotten in
//
// To erase something, every cell above it is written anew under a new key, up to a new erase key; the
// former revisions open under keys that only former revisions hold, up to the former erase key, which
// is destroyed. One path is at most 8 KiB + a bucket + the stream + the era, whatever the number of
// streams and people.
//
// A part has a new name each time it is written, so it can be written ahead of the path that names it
// and counts from the moment the path does. The cells of the path keep their names and change in one
// batch, each fenced by its revision.
//
// A sealed cell is: format version 1, 1 byte; for the top cell the erase key's id, 1 byte of length
// and text; a random nonce, 12 bytes; AES-256-GCM, with the cell's name and what stands before the
// nonce as associated data. Integers are big-endian.
const cellVersion = 1

// markSize is the part of a sealed cell by which one revision is told from another: the nonce.
const markSize = 12

// mark names one revision of a cell below the top.
type mark [markSize]byte

func newNode() (n node) {
	rand.Read(n[:])
	return n
}

func gcm(key *node) cipher.AEAD {
	b, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // a node has the size of an AES-256 key
	}
	a, err := cipher.NewGCMWithRandomNonce(b)
	if err != nil {
		panic(err) // b is the library's own AES
	}
	return a
}

func seal(key *node, name, id string, plain []byte) []byte {
	head := append(make([]byte, 0, 2+len(id)+markSize+len(plain)+16), cellVersion)
	if id != "" {
		head = append(append(head, byte(len(id))), id...)
	}
	return gcm(key).Seal(head, nil, plain, associated(name, head))
}

func associated(name string, head []byte) []byte {
	return append(append([]byte(name), 0), head...)
}

func unseal(key *node, name, id string, sealed []byte) ([]byte, error) {
	head := 1
	if id != "" {
		head += 1 + len(id)
	}
	if len(sealed) < head || sealed[0] != cellVersion {
		return nil, ErrDamaged
	}
	plain, err := gcm(key).Open(nil, nil, sealed[head:], associated(name, sealed[:head]))
	if err != nil {
		return nil, ErrDamaged
	}
	return plain, nil
}

func markOf(sealed []byte) (m mark) {
	if len(sealed) > markSize {
		copy(m[:], sealed[1:])
	}
	return m
}

// topID is the id of the erase key that a top cell is sealed under.
func topID(sealed []byte) (string, error) {
	if len(sealed) < 2 || sealed[0] != cellVersion || len(sealed) < 2+int(sealed[1]) || sealed[1] == 0 {
		return "", ErrDamaged
	}
	return string(sealed[2 : 2+sealed[1]]), nil
}

// top holds the bucket keys.
type top [buckets]node

const buckets = 256

// bucketOf spreads streams evenly, for the last byte of a uuid is random in every version in use.
func bucketOf(s engine.StreamID) byte { return s[len(s)-1] }

func (t *top) encode() []byte {
	b := make([]byte, 0, len(t)*len(node{}))
	for i := range t {
		b = append(b, t[i][:]...)
	}
	return b
}

func decodeTop(b []byte) (*top, error) {
	t := &top{}
	if len(b) != len(t)*len(node{}) {
		return nil, ErrDamaged
	}
	for i := range t {
		t[i] = node(b[i*len(node{}):])
	}
	return t, nil
}

// bucket holds stream keys, in the order of the streams' ids: 16 bytes of id, 32 of key.
type bucket []bucketEntry

type bucketEntry struct {
	stream engine.StreamID
	key    node
}

const bucketEntrySize = len(engine.StreamID{}) + len(node{})

func (b bucket) find(s engine.StreamID) (int, bool) {
	return slices.BinarySearchFunc(b, s, func(e bucketEntry, s engine.StreamID) int {
		return bytes.Compare(e.stream[:], s[:])
	})
}

// with is the bucket with a stream's key added or replaced.
func (b bucket) with(s engine.StreamID, key node) bucket {
	i, found := b.find(s)
	b = slices.Clone(b)
	if found {
		b[i].key = key
		return b
	}
	return slices.Insert(b, i, bucketEntry{s, key})
}

func (b bucket) without(s engine.StreamID) bucket {
	i, found := b.find(s)
	if !found {
		return b
	}
	return slices.Delete(slices.Clone(b), i, i+1)
}

func (b bucket) encode() []byte {
	out := make([]byte, 0, len(b)*bucketEntrySize)
	for i := range b {
		out = append(append(out, b[i].stream[:]...), b[i].key[:]...)
	}
	return out
}

func decodeBucket(b []byte) (bucket, error) {
	if len(b)%bucketEntrySize != 0 {
		return nil, ErrDamaged
	}
	out := make(bucket, 0, len(b)/bucketEntrySize)
	for ; len(b) > 0; b = b[bucketEntrySize:] {
		out = append(out, bucketEntry{engine.StreamID(b), node(b[len(engine.StreamID{}):])})
	}
	if !slices.IsSortedFunc(out, func(x, y bucketEntry) int { return bytes.Compare(x.stream[:], y.stream[:]) }) {
		return nil, ErrDamaged
	}
	return out, nil
}

// record is a stream's cell: its shift key, 32 bytes; the highest era there ever was, 4; then each
// era: number and end, 4 bytes each, 1 byte whether somebody of it was forgotten, and 32 bytes: the
// era's seed, or the key of its cell.
type record struct {
	shift node
	high  uint32
	eras  []eraEntry // ascending by number
}

type eraEntry struct {
	number, end uint32 // end: the first day after the era
	cut         bool   // somebody was forgotten: secret is the era cell's key, not the seed
	secret      node
}

const eraEntrySize = 4 + 4 + 1 + len(node{})

func (r *record) find(number uint32) (int, bool) {
	i := sort.Search(len(r.eras), func(i int) bool { return r.eras[i].number >= number })
	return i, i < len(r.eras) && r.eras[i].number == number
}

func (r *record) encode() []byte {
	out := append(make([]byte, 0, len(r.shift)+4+len(r.eras)*eraEntrySize), r.shift[:]...)
	out = binary.BigEndian.AppendUint32(out, r.high)
	for i := range r.eras {
		e := &r.eras[i]
		out = binary.BigEndian.AppendUint32(out, e.number)
		out = binary.BigEndian.AppendUint32(out, e.end)
		out = append(out, flag(e.cut))
		out = append(out, e.secret[:]...)
	}
	return out
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func decodeRecord(b []byte) (*record, error) {
	r := &record{}
	if len(b) < len(r.shift)+4 || (len(b)-len(r.shift)-4)%eraEntrySize != 0 {
		return nil, ErrDamaged
	}
	r.shift = node(b)
	r.high = binary.BigEndian.Uint32(b[len(r.shift):])
	for b = b[len(r.shift)+4:]; len(b) > 0; b = b[eraEntrySize:] {
		e := eraEntry{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), b[8] == 1, node(b[9:])}
		if b[8] > 1 || len(r.eras) > 0 && r.eras[len(r.eras)-1].number >= e.number || e.number > r.high {
			return nil, ErrDamaged
		}
		r.eras = append(r.eras, e)
	}
	return r, nil
}

// The cell of an era that somebody was forgotten in: link key and index key, 32 bytes each; then the
// parts of its tree from left to right: first leaf, 8 bytes; depth, 1; name of the part's cell, 8, or 0
// when the part is whole; 32 bytes: the part's top node, or the key of its cell.
const partEntrySize = 8 + 1 + 8 + len(node{})

// maxCell is the size a cell is kept below: a part that outgrows it is split, an era that outgrows
// it is full.
const maxCell = 256 << 10

func encodeEra(e *era) []byte {
	out := make([]byte, 0, 2*len(node{})+len(e.parts)*partEntrySize)
	out = append(append(out, e.link[:]...), e.index[:]...)
	for _, p := range e.parts {
		out = binary.BigEndian.AppendUint64(out, p.start)
		out = append(out, p.depth)
		out = binary.BigEndian.AppendUint64(out, p.cell)
		out = append(out, p.secret[:]...)
	}
	return out
}

// decodeEra fills in an era's keys and parts. The parts cover all leaves, each once.
func decodeEra(e *era, b []byte) error {
	if len(b) < 2*len(node{}) || (len(b)-2*len(node{}))%partEntrySize != 0 {
		return ErrDamaged
	}
	e.link, e.index = node(b), node(b[len(node{}):])
	b = b[2*len(node{}):]
	e.parts = make([]*part, 0, len(b)/partEntrySize)
	next, full := uint64(0), false
	for ; len(b) > 0; b = b[partEntrySize:] {
		p := &part{start: binary.BigEndian.Uint64(b), depth: b[8], cell: binary.BigEndian.Uint64(b[9:]), secret: node(b[17:])}
		if full || p.start != next || p.depth < shardBits || p.depth >= leafBits || p.start&span(p.depth) != 0 {
			return ErrDamaged
		}
		next = p.start + span(p.depth) + 1
		full = next == 0
		e.parts = append(e.parts, p)
	}
	if !full {
		return ErrDamaged
	}
	return nil
}
