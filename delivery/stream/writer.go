package stream

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net"
	"strconv"
	"time"

	"sluice/relay"
)

// gzipHead begins a gzip member that says nothing of itself: no name, no time, unknown system.
var gzipHead = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// emptyFinal is a deflate block without content that ends the stream.
var emptyFinal = []byte{0x03, 0x00}

var (
	lastChunk         = []byte("0\r\n\r\n")
	gzipHeadFrame     = frame(gzipHead)
	finalFrameMostLen = 64
)

// fixed is a text that every connection can be sent, made once in both forms.
type fixed struct {
	frame    []byte // one HTTP/1.1 chunk
	deflated []byte // likewise
	crc      uint32
	size     int
}

func newFixed(text string) *fixed {
	data := []byte(text)
	return &fixed{frame(data), frame(deflated(data)), crc32.ChecksumIEEE(data), len(data)}
}

// frame is data as one chunk of HTTP/1.1's chunked coding.
func frame(data []byte) []byte {
	out := strconv.AppendUint(nil, uint64(len(data)), 16)
	out = append(out, '\r', '\n')
	out = append(out, data...)
	return append(out, '\r', '\n')
}

// deflated is data deflated with an empty window up to a byte boundary.
func deflated(data []byte) []byte {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	// A bytes.Buffer takes everything.
	_, _ = w.Write(data)
	_ = w.Flush()
	return buf.Bytes()
}

// writer sends events, plain or as one gzip member that is made of shared deflated chunks. One goroutine at a time.
// Over HTTP/1.1 they go in the chunked coding, in which they are kept; HTTP/2, which has frames of its own, and HTTP/1.0,
// which knows no such coding, have it taken off.
type writer struct {
	conn    carrier
	push    func() error // sends what HTTP/2 keeps back; nil: HTTP/1, which keeps nothing
	bare    bool         // without the chunked coding
	gzip    bool
	timeout time.Duration
	life    *fixed // what is sent as a sign of life
	// armed is when the write deadline was set last: to set it for each write costs more than the write's
	// bookkeeping, and a deadline that is a little early or late is as good.
	armed  time.Time
	crc    uint32
	size   uint32
	frames net.Buffers // of the next flush
}

func (w *writer) arm() error {
	now := time.Now()
	if now.Sub(w.armed) <= w.timeout/8 {
		return nil
	}
	w.armed = now
	return w.conn.SetWriteDeadline(now.Add(w.timeout))
}

func (w *writer) write(p []byte) error {
	if err := w.arm(); err != nil {
		return err
	}
	if _, err := w.conn.Write(p); err != nil || w.push == nil {
		return err
	}
	return w.push()
}

// part is a frame of the chunked coding as the connection takes it.
func (w *writer) part(f []byte) []byte {
	if !w.bare {
		return f
	}
	return f[bytes.IndexByte(f, '\n')+1 : len(f)-2]
}

// head sends the response head and, for gzip, the head of the member with it. HTTP/2 has made its own of the former.
func (w *writer) head(head []byte) error {
	if w.gzip {
		head = append(append([]byte(nil), head...), w.part(gzipHeadFrame)...)
	}
	return w.write(head)
}

// frame is shared events as they go over this connection; it counts them as sent.
func (w *writer) frame(c *relay.Chunk) []byte {
	if !w.gzip {
		return c.Frame()
	}
	shared, crc := c.Deflated()
	w.count(crc, len(c.Bytes()))
	return shared
}

// add puts shared events to those of the next flush and tells how many bytes of the connection they take.
func (w *writer) add(c *relay.Chunk) int {
	f := w.part(w.frame(c))
	w.frames = append(w.frames, f)
	return len(f)
}

// flush sends what was added in one system call.
func (w *writer) flush() error {
	if err := w.arm(); err != nil {
		return err
	}
	var err error
	if frames := w.frames; len(frames) == 1 {
		_, err = w.conn.Write(frames[0]) // the kernel needs less for one than for a list of one
	} else {
		_, err = frames.WriteTo(w.conn) // which takes the slice apart; the array is used again
	}
	clear(w.frames)
	w.frames = w.frames[:0]
	if err != nil || w.push == nil {
		return err
	}
	return w.push()
}

// line sends a text of this connection's own.
func (w *writer) line(text []byte) error {
	if !w.gzip {
		return w.write(w.part(frame(text)))
	}
	w.count(crc32.ChecksumIEEE(text), len(text))
	return w.write(w.part(frame(deflated(text))))
}

// fixed sends a text that was made before.
func (w *writer) fixed(f *fixed) error {
	if !w.gzip {
		return w.write(w.part(f.frame))
	}
	w.count(f.crc, f.size)
	return w.write(w.part(f.deflated))
}

// sign sends a sign of life.
func (w *writer) sign() error { return w.fixed(w.life) }

func (w *writer) count(crc uint32, n int) {
	w.crc = combineCRC(w.crc, crc, n)
	w.size += uint32(n)
}

// end finishes the gzip member and the chunked body, so that a client sees an orderly end and not a broken one.
func (w *writer) end() error {
	out := make([]byte, 0, finalFrameMostLen)
	if w.gzip {
		tail := append([]byte(nil), emptyFinal...)
		tail = binary.LittleEndian.AppendUint32(tail, w.crc)
		tail = binary.LittleEndian.AppendUint32(tail, w.size)
		out = append(out, w.part(frame(tail))...)
	}
	if !w.bare {
		out = append(out, lastChunk...)
	}
	if len(out) == 0 {
		return nil
	}
	if err := w.conn.SetWriteDeadline(time.Now().Add(endTimeout)); err != nil {
		return fmt.Errorf("end the response: %w", err)
	}
	if _, err := w.conn.Write(out); err != nil || w.push == nil {
		return err
	}
	return w.push()
}
