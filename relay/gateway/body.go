package gateway

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
)

const (
	// bodyRate is the least rate of a body in bytes/s, once its grace is over. It is far below what a modem does, and
	// an attacker who drips must keep dripping.
	bodyRate = 16 << 10

	// bodyFree is how large a request's buffer may be without being charged to the budget: the ordinary event.
	bodyFree = 32 << 10
	// bodyBudget is the memory for all larger buffers together; what finds no room is answered 503.
	bodyBudget = 512 << 20
)

// wire is what a body comes over, one HTTP/1 connection or one HTTP/2 stream.
type wire interface {
	SetReadDeadline(time.Time) error
	// cut tells whether the client ended its side while more was expected of it.
	cut() bool
}

// body is a request's body while it comes in. It holds the client to a least rate and to the route's limit, and tells
// a body that was cut from one that ended. One goroutine.
type body struct {
	src      io.Reader // nil: none
	declared int64     // bytes, -1 when chunked
	at       wire      // nil: all of it has been received already
	begun    time.Time
	grace    time.Duration // how long it may take, beside what its length allows
	limit    int64
	read     int64
	ended    bool
	probe    bool // the client waits to be asked for it
	err      error

	buf     []byte // what all read into
	charged int64
	budget  *budget
}

// reset lets the body go and keeps a small buffer for the next one.
func (b *body) reset() {
	if b.charged > 0 {
		b.budget.give(b.charged)
		keepBuffer(b.buf)
		*b = body{budget: b.budget}
		return
	}
	*b = body{buf: b.buf[:0], budget: b.budget}
}

// discard reads away a body that came along with the header and that nobody asked for. It never waits: false means
// that the client may still be sending, so that the connection cannot carry another request.
func (b *body) discard() bool {
	if b.src == nil || b.ended {
		return true
	}
	if b.at != nil || b.err != nil {
		return false
	}
	b.limit = b.declared
	if cap(b.buf) == 0 {
		b.buf = make([]byte, 0, 4<<10)
	}
	for {
		if _, err := b.Read(b.buf[:cap(b.buf)]); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// Read gives the next part of the body as it was sent. After the first error it gives no other.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.step(p)
	b.err = err
	return n, err
}

func (b *body) step(p []byte) (int, error) {
	if b.src == nil {
		return 0, io.EOF
	}
	if b.declared > b.limit {
		return 0, errTooLarge
	}
	if b.probe {
		return 0, errContinue
	}
	if b.at != nil {
		allowed := b.grace + time.Duration(b.read/bodyRate)*time.Second
		if err := b.at.SetReadDeadline(b.begun.Add(allowed)); err != nil {
			return 0, errCut
		}
	}
	n, err := b.src.Read(p)
	b.read += int64(n)
	switch {
	case b.read > b.limit:
		return 0, errTooLarge
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && b.declared < 0 && b.at != nil && b.at.cut():
		// fasthttp takes the end of the connection between two chunks for the end of the body.
		return 0, errCut
	case errors.Is(err, io.EOF) && (b.declared < 0 || b.read == b.declared):
		b.ended = true
		return n, io.EOF
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, errSlow
	case b.declared < 0 && !errors.Is(err, io.ErrUnexpectedEOF):
		return 0, errCoding
	}
	return 0, errCut
}

// all reads the whole body, at most limit bytes of it. The bytes are valid until the handler returns.
func (b *body) all(limit int64) ([]byte, error) {
	b.limit = limit
	return b.fill(b, limit)
}

// inflated reads the whole body and gunzips it on the way: neither what comes in nor what comes out may be above the
// limit, so that a bomb costs no more memory than an honest body.
func (b *body) inflated(limit int64) ([]byte, error) {
	b.limit = limit
	z := gunzips.Get().(*gzip.Reader)
	defer gunzips.Put(z)
	if err := z.Reset(b); err != nil {
		return nil, b.gzipError()
	}
	data, err := b.fill(z, limit)
	if err != nil && !errors.Is(err, errTooLarge) && !errors.Is(err, errMemory) {
		return nil, b.gzipError()
	}
	return data, err
}

var gunzips = sync.Pool{New: func() any { return new(gzip.Reader) }}

// gzipError tells a body that is no gzip from one that did not come through.
func (b *body) gzipError() error {
	if b.err != nil && !errors.Is(b.err, io.EOF) {
		return b.err
	}
	return errGzip
}

// fill reads src to its end into the buffer, which grows with what has come, not with what was announced.
func (b *body) fill(src io.Reader, limit int64) ([]byte, error) {
	data := b.buf[:0]
	for {
		if len(data) == cap(data) {
			var err error
			if data, err = b.grow(data, limit); err != nil {
				return nil, err
			}
			b.buf = data
		}
		n, err := src.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		b.buf = data
		if int64(len(data)) > limit {
			return nil, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return data, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// grow makes the buffer larger. One more byte than the limit is enough to see that the limit was passed.
func (b *body) grow(data []byte, limit int64) ([]byte, error) {
	size := int64(max(2*cap(data), 4<<10))
	if cap(data) > bodyFree {
		size *= 2
	}
	if cap(data) <= int(limit) {
		size = min(size, limit+1)
	}
	if size <= bodyFree {
		return append(make([]byte, 0, size), data...), nil
	}
	if !b.budget.take(size - b.charged) {
		return nil, errMemory
	}
	larger := append(largeBuffer(int(size)), data...)
	if b.charged > 0 {
		keepBuffer(data)
	}
	b.charged = size
	return larger, nil
}

// largeBuffers keep buffers of bodies in bulk, of 64 KiB, 256 KiB and so on: to make one, and to clear it, costs a good part
// of what it costs to take its events in.
var largeBuffers [5]sync.Pool

func bufferPool(size int) *sync.Pool {
	for i := range largeBuffers {
		if size == 64<<10<<(2*i) {
			return &largeBuffers[i]
		}
	}
	return nil
}

func largeBuffer(size int) []byte {
	if pool := bufferPool(size); pool != nil {
		if kept, ok := pool.Get().(*[]byte); ok {
			return (*kept)[:0]
		}
	}
	return make([]byte, 0, size)
}

func keepBuffer(data []byte) {
	if pool := bufferPool(cap(data)); pool != nil {
		pool.Put(&data)
	}
}

// budget is an amount of memory shared by many. Safe for concurrent use.
type budget struct{ left atomic.Int64 }

func newBudget(n int64) *budget {
	b := new(budget)
	b.left.Store(n)
	return b
}

// take gives n bytes, or nothing.
func (b *budget) take(n int64) bool {
	if b.left.Add(-n) >= 0 {
		return true
	}
	b.left.Add(n)
	return false
}

func (b *budget) give(n int64) { b.left.Add(n) }
