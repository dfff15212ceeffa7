package wire

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http/httputil"

	"github.com/klauspost/compress/gzip"
)

// Stream is an endless answer whose head has been read. One goroutine at a time.
type Stream struct {
	conn   *Conn
	Gzip   bool // the content is gzip
	Socket bool // it is a websocket: see Messages
}

// Open sends a request for a stream and returns when the head of its answer is there. The connection
// then belongs to the stream.
func (c *Conn) Open(request []byte) (*Stream, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	status, head, err := c.head()
	if err != nil {
		return nil, err
	}
	if status == 101 {
		return &Stream{conn: c, Socket: true}, nil
	}
	if status != 200 {
		return nil, &RefusedError{Status: status}
	}
	if string(headerValue(head, transferCoding)) != "chunked" {
		return nil, fmt.Errorf("%w: a stream that is not chunked", ErrAnswer)
	}
	return &Stream{conn: c, Gzip: string(headerValue(head, contentCoding)) == "gzip"}, nil
}

// Read gives the bytes of the answer as they come, with the framing of its chunks.
func (s *Stream) Read(p []byte) (int, error) {
	if c := s.conn; c.start < c.end {
		n := copy(p, c.buf[c.start:c.end])
		c.start += n
		return n, nil
	}
	return s.conn.Read(p)
}

// Close ends the connection.
func (s *Stream) Close() error { return s.conn.Close() }

// ReceiveBuffer sets the size of the kernel's receive buffer: a reader with a small one that stops
// reading stops the sender soon.
func (c *Conn) ReceiveBuffer(bytes int) error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.SetReadBuffer(bytes)
	}
	return nil
}

// Lines calls each for every line of a stream read raw from r, unpacked, without its newline, until r
// ends or each returns an error. Blank lines, which keep a connection alive, are left out. The line
// lives during the call only.
func Lines(r io.Reader, gzipped bool, each func(line []byte) error) error {
	return LinesIn(r, gzipped, 64<<10, each)
}

// LinesIn is Lines with buffers of a size, for those who read thousands of streams.
func LinesIn(r io.Reader, gzipped bool, size int, each func(line []byte) error) error {
	content := httputil.NewChunkedReader(bufio.NewReaderSize(r, size))
	if gzipped {
		unpacked, err := gzip.NewReader(content)
		if err != nil {
			return err
		}
		content = unpacked
	}
	in := bufio.NewReaderSize(content, size)
	var long []byte
	for {
		part, err := in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			if len(long) > maxBuffer {
				return ErrTooLarge
			}
			long = append(long, part...)
			continue
		}
		if err != nil {
			return err
		}
		line := part
		if len(long) > 0 {
			long = append(long, part...)
			line = long
		}
		if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > 0 {
			if err := each(line); err != nil {
				return err
			}
		}
		long = long[:0]
	}
}
