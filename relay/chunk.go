package relay

import (
	"bytes"
	"hash/crc32"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"

	"sluice/relay/engine"
)

// maxChunk is how many bytes of events a chunk holds before it is cut; a longer event is a chunk alone.
const maxChunk = 64 << 10

// frameHead is room for the longest chunk-size line of HTTP/1.1: eight hex digits and CRLF.
const frameHead = 10

// Chunk is some whole events in one framing, lines unless another was asked for, rendered once for every consumer of
// a rendering. Its bytes are shared: read only. They stay valid for as long as anybody holds the chunk; Release only
// gives the room back to the budget. Safe for concurrent use.
type Chunk struct {
	memory  []byte // of frame, from its beginning
	frame   []byte // chunk-size line, events, CRLF: one HTTP/1.1 chunk
	lines   []byte // the events: part of frame
	offsets []engine.Offset
	ends    []uint32 // of each event's line in lines

	deflateOnce sync.Once
	deflated    []byte // framed like frame
	crc         uint32

	ring *ring // nil: private to one reader
	refs atomic.Int32
	size int64 // what the budget was charged
}

// Bytes are the events, one framed text behind the other.
func (c *Chunk) Bytes() []byte { return c.lines }

// Frame is the bytes as one chunk of HTTP/1.1's chunked coding.
func (c *Chunk) Frame() []byte { return c.frame }

// Events is how many there are.
func (c *Chunk) Events() int { return len(c.offsets) }

// First is the offset of the first event.
func (c *Chunk) First() engine.Offset { return c.offsets[0] }

// Last is the offset of the last event.
func (c *Chunk) Last() engine.Offset { return c.offsets[len(c.offsets)-1] }

// Deflated gives the bytes deflated with an empty window and flushed to a byte boundary, so that it stands
// anywhere in a deflate stream, framed as one HTTP/1.1 chunk, with the CRC-32 of the bytes. Made at the first call.
func (c *Chunk) Deflated() (frame []byte, crc uint32) {
	c.deflateOnce.Do(func() {
		c.deflated = deflateFrame(c.lines)
		c.crc = crc32.ChecksumIEEE(c.lines)
		if c.ring != nil {
			c.ring.charge(c, int64(len(c.deflated)))
		}
	})
	return c.deflated, c.crc
}

// Release says that the holder is done with the chunk; of one that no ring holds the memory is used again, so that a
// replay leaves no garbage behind.
func (c *Chunk) Release() {
	switch {
	case c.ring != nil:
		if c.refs.Add(-1) == 0 {
			c.ring.budget.used.Add(-c.size)
		}
	case cap(c.memory) == privateChunk:
		buf := c.memory[:0]
		c.memory, c.frame, c.lines, c.deflated = nil, nil, nil, nil
		privateMemory.Put(&buf)
	}
}

// privateChunk is room for a full chunk of lines that are not longer than usual.
const privateChunk = frameHead + maxChunk + 8<<10

var privateMemory sync.Pool

// after is the part of the chunk behind an offset, at most max events of it (0: all); nil when nothing is left.
// A part is a copy of its own, for it serves one reader only.
func (c *Chunk) after(o engine.Offset, max int) *Chunk {
	from := 0
	for from < len(c.offsets) && c.offsets[from] <= o {
		from++
	}
	to := len(c.offsets)
	if max > 0 && to-from > max {
		to = from + max
	}
	if from == to {
		return nil
	}
	if from == 0 && to == len(c.offsets) {
		return c
	}
	start := uint32(0)
	if from > 0 {
		start = c.ends[from-1]
	}
	var b chunkBuilder
	b.begin()
	for i := from; i < to; i++ {
		b.lines = append(b.lines, c.lines[start:c.ends[i]]...)
		b.end(c.offsets[i])
		start = c.ends[i]
	}
	return b.cut()
}

// chunkBuilder collects lines for the next chunk.
type chunkBuilder struct {
	lines   []byte // with frameHead bytes of room before the first line
	offsets []engine.Offset
	ends    []uint32
	// bytes and events of the last chunk: the next is likely as large, and memory of the right size from the start
	// is half the work of memory that grows.
	bytes, events int
	// private: one reader only gets the chunks, so that their memory can be used again.
	private bool
}

func (b *chunkBuilder) begin() {
	if b.lines == nil {
		b.offsets = make([]engine.Offset, 0, b.events+b.events/4+1)
		b.ends = make([]uint32, 0, cap(b.offsets))
		if b.private {
			b.lines = privateLines()
			return
		}
		b.lines = make([]byte, frameHead, frameHead+2+max(b.bytes+b.bytes/4, 1<<10))
	}
}

func privateLines() []byte {
	if buf, ok := privateMemory.Get().(*[]byte); ok {
		return (*buf)[:frameHead]
	}
	return make([]byte, frameHead, privateChunk)
}

// end says that the line appended last is complete.
func (b *chunkBuilder) end(o engine.Offset) {
	b.offsets = append(b.offsets, o)
	b.ends = append(b.ends, uint32(len(b.lines)-frameHead))
}

func (b *chunkBuilder) full() bool  { return len(b.lines) >= frameHead+maxChunk }
func (b *chunkBuilder) empty() bool { return len(b.offsets) == 0 }

// cut makes the chunk and starts anew. The memory goes with the chunk: a consumer may still be writing it long
// after the ring has let go of it, so what a ring held is never used again for other lines.
func (b *chunkBuilder) cut() *Chunk {
	size := len(b.lines) - frameHead
	frame := frameInPlace(b.lines)
	c := &Chunk{memory: b.lines, frame: frame, offsets: b.offsets, ends: b.ends}
	c.lines = frame[len(frame)-2-size : len(frame)-2]
	*b = chunkBuilder{bytes: size, events: len(c.offsets), private: b.private}
	return c
}

// frameInPlace turns bytes with frameHead of room before them into one HTTP/1.1 chunk.
func frameInPlace(buf []byte) []byte {
	var digits [frameHead]byte
	head := strconv.AppendUint(digits[:0], uint64(len(buf)-frameHead), 16)
	head = append(head, '\r', '\n')
	start := frameHead - len(head)
	copy(buf[start:], head)
	return append(buf, '\r', '\n')[start:]
}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, deflateLevel)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// deflateLevel was chosen by measure on chunks of 50 and 140 events: 5 costs 1.6 to 1.9 times as much and saves an
// eighth of the bytes, 2 and 3 cost a quarter more and save at most four hundredths.
const deflateLevel = 1

func deflateFrame(lines []byte) []byte {
	var buf bytes.Buffer
	buf.Grow(frameHead + len(lines)/3)
	buf.Write(make([]byte, frameHead))
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&buf)
	// A bytes.Buffer takes everything, so neither call has an error to give.
	_, _ = w.Write(lines)
	_ = w.Flush()
	return frameInPlace(buf.Bytes())
}
