package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// SocketRequest is the request that opens a websocket.
func SocketRequest(target, host string, headers []string) []byte {
	return Request("GET", target, host, append([]string{
		"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	}, headers...), nil)
}

// Operations of a frame, from RFC 6455.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa
)

const (
	finBit  = 0x80
	maskBit = 0x80
)

// Messages calls each for every text message of a websocket read raw from r, until r ends, the server closes (io.EOF) or each returns an
// error. Pings are not answered: a load test is over before that is missed. The message lives during the call only.
func Messages(r io.Reader, each func(message []byte) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var long []byte
	for {
		var head [8]byte
		if _, err := io.ReadFull(in, head[:2]); err != nil {
			return err
		}
		op, size := head[0], uint64(head[1])
		if size&maskBit != 0 {
			return fmt.Errorf("%w: a server's frame is masked", ErrAnswer)
		}
		switch size {
		case 126:
			if _, err := io.ReadFull(in, head[:2]); err != nil {
				return err
			}
			size = uint64(binary.BigEndian.Uint16(head[:2]))
		case 127:
			if _, err := io.ReadFull(in, head[:8]); err != nil {
				return err
			}
			size = binary.BigEndian.Uint64(head[:8])
		}
		if size > maxBuffer {
			return ErrTooLarge
		}
		n := int(size)
		message, err := in.Peek(min(n, in.Size()))
		if n > in.Size() {
			if cap(long) < n {
				long = make([]byte, n)
			}
			message = long[:n]
			_, err = io.ReadFull(in, message)
		}
		if err != nil {
			return err
		}
		switch op {
		case finBit | opText:
			if err := each(message); err != nil {
				return err
			}
		case finBit | opClose:
			return io.EOF
		case finBit | opPing, finBit | opPong:
		default:
			return fmt.Errorf("%w: a frame that begins with %#x", ErrAnswer, op)
		}
		if n <= in.Size() {
			if _, err := in.Discard(n); err != nil {
				return err
			}
		}
	}
}
