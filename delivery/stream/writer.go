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

// writer sends events over a taken-over HTTP/1.1 connection in the chunked coding, plain or as one gzip member that
// is made of shared deflated chunks. One goroutine at a time.
type writer struct {
	conn    net.Conn
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
	_, err := w.conn.Write(p)
	return err
}

// head sends the response head and, for gzip, the head of the member with it.
func (w *writer) head(head []byte) error {
	if w.gzip {
		head = append(append([]byte(nil), head...), gzipHeadFrame...)
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
	f := w.frame(c)
	w.frames = append(w.frames, f)
	return len(f)
}

// flush sends what was added in one system call.
func (w *writer) flush() error {
	if err := w.arm(); err != nil {
		return err
	}
	// WriteTo takes the slice apart; the array is used again.
	frames := w.frames
	_, err := frames.WriteTo(w.conn)
	clear(w.frames)
	w.frames = w.frames[:0]
	return err
}

// line sends a text of this connection's own.
func (w *writer) line(text []byte) error {
	if !w.gzip {
		return w.write(frame(text))
	}
	w.count(crc32.ChecksumIEEE(text), len(text))
	return w.write(frame(deflated(text)))
}

// fixed sends a text that was made before.
func (w *writer) fixed(f *fixed) error {
	if !w.gzip {
		return w.write(f.frame)
	}
	w.count(f.crc, f.size)
	return w.write(f.deflated)
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
		out = append(out, frame(tail)...)
	}
	if err := w.conn.SetWriteDeadline(time.Now().Add(endTimeout)); err != nil {
		return fmt.Errorf("end the response: %w", err)
	}
	_, err := w.conn.Write(append(out, lastChunk...))
	return err
}
