// Package wire hides an HTTP/1.1 client that costs next to nothing: requests are bytes made
// beforehand, an answer is parsed as far as its status and length, a stream as far as its head. On one
// machine the client of a load test takes its CPU from the server; net/http's would take most of it.
package wire

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// maxBuffer bounds the head of an answer, and an answer with a body as a whole.
const maxBuffer = 4 << 20

// Conn is one keep-alive connection. One goroutine at a time.
type Conn struct {
	net.Conn
	buf        []byte
	start, end int // unread bytes in buf
}

// Dial connects; what is done on the connection fails after life has passed.
func Dial(addr string, life time.Duration) (*Conn, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(life)); err != nil {
		c.Close()
		return nil, err
	}
	return &Conn{Conn: c, buf: make([]byte, 4<<10)}, nil
}

// Request puts a request together. Every header is a whole line without its end, "Name: value"; Host
// and Content-Length are added. The body may be changed in place afterwards, as long as its length
// stays: Body gives it.
func Request(method, target, host string, headers []string, body []byte) []byte {
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, host)
	for _, h := range headers {
		b = append(append(b, h...), "\r\n"...)
	}
	if body != nil || method == "POST" {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", len(body))
	}
	b = append(b, "\r\n"...)
	return append(b, body...)
}

// Body is the part of a request behind its head.
func Body(request []byte) []byte {
	_, body, _ := bytes.Cut(request, endOfHead)
	return body
}

var (
	endOfHead      = []byte("\r\n\r\n")
	contentLength  = []byte("\r\ncontent-length:")
	transferCoding = []byte("\r\ntransfer-encoding:")
	contentCoding  = []byte("\r\ncontent-encoding:")
)

// Do sends a request and reads its answer. The body lives until the next call. An answer without
// Content-Length, but for 204 and 304, is ErrAnswer.
func (c *Conn) Do(request []byte) (status int, body []byte, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, nil, err
	}
	status, head, err := c.head()
	if err != nil {
		return 0, nil, err
	}
	if status == 204 || status == 304 {
		return status, nil, nil
	}
	n, err := bodyLength(head)
	if err != nil {
		return 0, nil, err
	}
	for c.end-c.start < n {
		if err := c.fill(); err != nil {
			return 0, nil, err
		}
	}
	body = c.buf[c.start : c.start+n]
	c.start += n
	return status, body, nil
}

// head reads up to the empty line. The head, from the status line's end to the last line's end, lives
// until the next fill.
func (c *Conn) head() (status int, head []byte, err error) {
	if c.start == c.end {
		c.start, c.end = 0, 0
	}
	for {
		if i := bytes.Index(c.buf[c.start:c.end], endOfHead); i >= 0 {
			line := c.buf[c.start : c.start+i+2]
			c.start += i + len(endOfHead)
			// "HTTP/1.1 204"
			if len(line) < 12 || string(line[:7]) != "HTTP/1." {
				return 0, nil, ErrAnswer
			}
			status, err := strconv.Atoi(string(line[9:12]))
			if err != nil {
				return 0, nil, ErrAnswer
			}
			return status, line[12:], nil
		}
		if err := c.fill(); err != nil {
			return 0, nil, err
		}
	}
}

// fill reads more into the buffer and grows it when it is full.
func (c *Conn) fill() error {
	if c.end == len(c.buf) {
		switch {
		case c.start > 0:
			c.end = copy(c.buf, c.buf[c.start:c.end])
			c.start = 0
		case len(c.buf) >= maxBuffer:
			return ErrTooLarge
		default:
			c.buf = append(c.buf, make([]byte, len(c.buf))...)
		}
	}
	n, err := c.Read(c.buf[c.end:])
	c.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

func bodyLength(head []byte) (int, error) {
	value := headerValue(head, contentLength)
	if value == nil {
		return 0, fmt.Errorf("%w: no Content-Length", ErrAnswer)
	}
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 || n > maxBuffer {
		return 0, fmt.Errorf("%w: Content-Length", ErrAnswer)
	}
	return n, nil
}

// headerValue finds a header, its name given in lower case between line end and colon.
func headerValue(head, name []byte) []byte {
	for i := 0; i+len(name) <= len(head); i++ {
		if head[i] == '\r' && bytes.EqualFold(head[i:i+len(name)], name) {
			value, _, _ := bytes.Cut(head[i+len(name):], []byte("\r\n"))
			return bytes.TrimSpace(value)
		}
	}
	return nil
}
