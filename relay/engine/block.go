package engine

import (
	"hash/crc32"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
)

const (
	// maxBlockBytes is how much a block of several events may hold before compression. A larger event has a
	// block of its own.
	maxBlockBytes = 256 << 10
	// maxRecordBytes bounds one encoded record whatever the configuration says, so that a damaged length cannot
	// make a reader allocate without limit.
	maxRecordBytes = 32 << 20

	blockMagic   = "SLB"
	blockVersion = 1

	headSum      = 4
	headID       = 8
	headStream   = 24
	headNode     = 40
	headAccepted = 48
	headEvents   = 56
	headBytes    = 64
	headCount    = 72
	headRaw      = 76
	headNotes    = 80
	headFixed    = 84
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// blockID tells a writer whether a stored block is its own. 16 random bytes.
type blockID [16]byte

// header is what lies before a block's compressed records.
type header struct {
	id       blockID
	stream   StreamID
	node     nodeID
	accepted int64  // Unix milliseconds: when the writer sealed the block
	events   uint64 // written to this subject up to and with this block
	bytes    uint64 // stored under this subject up to and with this block
	count    uint32
	raw      uint32 // bytes of the records before compression
}

// appendBlock appends a whole block to dst: h, the notes (already length-prefixed) and the records compressed.
// h.bytes is the subject's total before this block; the stored header holds it with the block's own length.
func appendBlock(dst []byte, h *header, notes, records []byte) []byte {
	at := len(dst)
	need := headFixed + len(notes) + s2.MaxEncodedLen(len(records))
	if cap(dst)-at < need {
		grown := make([]byte, at, at+need)
		copy(grown, dst)
		dst = grown
	}
	dst = dst[:at+headFixed]
	b := dst[at:]
	copy(b, blockMagic)
	b[3] = blockVersion
	copy(b[headID:], h.id[:])
	copy(b[headStream:], h.stream[:])
	copy(b[headNode:], h.node[:])
	le.PutUint64(b[headAccepted:], uint64(h.accepted))
	le.PutUint32(b[headCount:], h.count)
	le.PutUint32(b[headRaw:], h.raw)
	le.PutUint32(b[headNotes:], uint32(len(notes)))
	dst = append(dst, notes...)
	body := s2.Encode(dst[len(dst):cap(dst)], records)
	dst = dst[:len(dst)+len(body)]
	b = dst[at:]
	retotal(b, h.node, h.events, h.bytes+uint64(len(b)))
	return dst
}

// retotal writes what depends on the subject that a finished block goes to, and the checksum over all.
func retotal(b []byte, node nodeID, events, bytes uint64) {
	copy(b[headNode:], node[:])
	le.PutUint64(b[headEvents:], events)
	le.PutUint64(b[headBytes:], bytes)
	le.PutUint32(b[headSum:], crc32.Checksum(b[headID:], castagnoli))
}

// parseHeader reads the header of a stored block, checks the sum over the whole of it and returns its notes and its
// compressed records. reason is empty when all is well.
func parseHeader(b []byte) (h header, notes, body []byte, reason string) {
	if len(b) < headFixed || string(b[:3]) != blockMagic {
		return h, nil, nil, "it is not a block"
	}
	if b[3] != blockVersion {
		return h, nil, nil, "its version is not known"
	}
	if crc32.Checksum(b[headID:], castagnoli) != le.Uint32(b[headSum:]) {
		return h, nil, nil, "its checksum is wrong"
	}
	copy(h.id[:], b[headID:])
	copy(h.stream[:], b[headStream:])
	copy(h.node[:], b[headNode:])
	h.accepted = int64(le.Uint64(b[headAccepted:]))
	h.events = le.Uint64(b[headEvents:])
	h.bytes = le.Uint64(b[headBytes:])
	h.count = le.Uint32(b[headCount:])
	h.raw = le.Uint32(b[headRaw:])
	n := le.Uint32(b[headNotes:])
	switch {
	case uint64(n) > uint64(len(b)-headFixed):
		return h, nil, nil, "its notes are longer than the block"
	case h.count == 0 || h.count > MaxBlockEvents:
		return h, nil, nil, "its event count is out of range"
	case h.raw > maxRecordBytes || h.count > 1 && h.raw > maxBlockBytes || uint64(h.raw) < uint64(h.count)*recFixed:
		return h, nil, nil, "its uncompressed length is out of range"
	case h.events < uint64(h.count):
		return h, nil, nil, "its totals are less than the block itself"
	}
	return h, b[headFixed : headFixed+n], b[headFixed+n:], ""
}

// Block is a stored block: some events of one stream, in order. It is immutable and safe for concurrent use; its
// memory lives as long as it is referenced. The records are decompressed by the first Each, once for all users.
type Block struct {
	Stream StreamID
	Seq    uint64 // in its shard

	shard int
	head  header
	size  int // bytes as stored
	notes []byte
	// reread: it came from a cursor, and so nobody else has it.
	reread bool

	once   sync.Once
	body   []byte // compressed; nil once opened
	data   []byte // the records
	starts []uint32
	fields []Field
	err    error
}

// newBlock wraps stored bytes, which the block keeps. The error is a *CorruptError.
func newBlock(shard int, seq uint64, stored []byte) (*Block, error) {
	h, notes, body, reason := parseHeader(stored)
	if reason != "" {
		return nil, &CorruptError{Shard: shard, Seq: seq, Reason: reason}
	}
	return &Block{Stream: h.stream, Seq: seq, shard: shard, head: h, size: len(stored), notes: notes, body: body}, nil
}

// asBlock is newBlock for readers that go on behind a corrupt block: they get one that says so.
func asBlock(s Stream, m stored) *Block {
	b, err := newBlock(s.Shard, m.seq, m.data)
	if err != nil {
		return &Block{Stream: s.ID, Seq: m.seq, shard: s.Shard, size: len(m.data), err: err}
	}
	return b
}

// Count is the number of events, 1 to MaxBlockEvents; 0 in a corrupt block.
func (b *Block) Count() int { return int(b.head.count) }

// First is the offset of the first event.
func (b *Block) First() Offset { return MakeOffset(b.Seq, 0) }

// Last is the offset of the last event; in a corrupt block the last that it can have held.
func (b *Block) Last() Offset {
	if b.head.count == 0 {
		return AfterBlock(b.Seq)
	}
	return MakeOffset(b.Seq, int(b.head.count)-1)
}

// Accepted is when the writing node sealed the block, by its clock. No event in it was accepted later.
func (b *Block) Accepted() time.Time { return time.UnixMilli(b.head.accepted) }

// Size is the number of bytes the block takes in the log.
func (b *Block) Size() int { return b.size }

// Err opens the block and returns a *CorruptError if that was not possible, else nil.
func (b *Block) Err() error {
	b.once.Do(b.open)
	return b.err
}

// Each calls fn with each event and its offset, in order, until fn returns false. r is reused between the calls; its
// slices live as long as the block and must not be written to. The error is a *CorruptError; then fn was not called.
func (b *Block) Each(fn func(o Offset, r *Record) bool) error { return b.EachFrom(0, fn) }

// EachFrom is Each without the first index events: a reader that resumes at offset o of this block starts at
// o.Index()+1.
func (b *Block) EachFrom(index int, fn func(o Offset, r *Record) bool) error {
	b.once.Do(b.open)
	if b.err != nil {
		return b.err
	}
	var r Record
	fields := 0
	for i, n := 0, len(b.starts)-1; i < n; i++ {
		rec := b.data[b.starts[i]:b.starts[i+1]]
		count := int(le.Uint16(rec[recFieldCount:]))
		if i >= index {
			readRecord(&r, rec, b.fields[fields:fields+count:fields+count])
			if !fn(MakeOffset(b.Seq, i), &r) {
				return nil
			}
		}
		fields += count
	}
	return nil
}

// Notes calls fn with each note that was written with a batch whose last event lies in this block, until fn
// returns false. The slices live as long as the block.
func (b *Block) Notes(fn func(note []byte) bool) {
	for rest := b.notes; len(rest) >= 4; {
		n := uint64(le.Uint32(rest))
		if n > uint64(len(rest)-4) {
			return
		}
		if !fn(rest[4 : 4+n : 4+n]) {
			return
		}
		rest = rest[4+n:]
	}
}

// recordPool holds memory for the records of full blocks.
var recordPool sync.Pool

// pooledFrom is the size from which the memory of a cursor's block comes from the pool: for a small block it would be
// far too much.
const pooledFrom = maxBlockBytes / 4

func (b *Block) memory(n int) []byte {
	if !b.reread || n < pooledFrom || n > maxBlockBytes {
		return make([]byte, n)
	}
	if buf, ok := recordPool.Get().(*[]byte); ok {
		return (*buf)[:n]
	}
	return make([]byte, n, maxBlockBytes)
}

// Recycle gives a block's memory back, for one who replays the log and leaves no garbage behind. The caller must be
// the only one who holds the block and must hold nothing that was read from it; the block is empty afterwards.
func (b *Block) Recycle() {
	if b.reread && cap(b.data) == maxBlockBytes {
		buf := b.data
		recordPool.Put(&buf)
	}
	b.data, b.starts, b.fields = nil, []uint32{0}, nil
}

func (b *Block) open() {
	if b.err != nil {
		return
	}
	reason := b.decode()
	b.body = nil
	if reason != "" {
		b.data, b.starts, b.fields = nil, nil, nil
		b.err = &CorruptError{Shard: b.shard, Seq: b.Seq, Reason: reason}
	}
}

func (b *Block) decode() (reason string) {
	n, err := s2.DecodedLen(b.body)
	if err != nil || n != int(b.head.raw) {
		return "its records have another length than its header says"
	}
	data, err := s2.Decode(b.memory(n), b.body)
	if err != nil || len(data) != n {
		return "its records do not decompress"
	}
	count := int(b.head.count)
	starts := make([]uint32, 0, count+1)
	fields, at := 0, 0
	for at < n {
		size, f, ok := checkRecord(data[at:])
		if !ok || len(starts) == count {
			return "a record contradicts itself"
		}
		starts = append(starts, uint32(at))
		fields += f
		at += size
	}
	if len(starts) != count {
		return "it has fewer records than its header says"
	}
	b.data, b.starts = data, append(starts, uint32(n))
	if fields > 0 {
		b.fields = make([]Field, 0, fields)
		for i := range count {
			rec := data[b.starts[i]:b.starts[i+1]]
			b.fields = readFields(b.fields, rec, int(le.Uint16(rec[recFieldCount:])))
		}
	}
	return ""
}
