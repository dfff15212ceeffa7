package stream

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// silence is how long a client's machine may acknowledge nothing of what it was sent before it is given up. One that
// has vanished, with its network or its power, says nothing at its socket, and the kernel would try for a quarter of an
// hour. A client that does not read is not silent: its machine answers for it.
const silence = 30 * time.Second

// farewell is what a socket says of its far end without being read or written.
type farewell int32

const (
	here farewell = iota
	// ended: the far end sends no more. It has closed the connection, or only its own direction and reads on; that shows
	// when something is written, for a closed connection answers with a reset.
	ended
	// broken: the connection is gone.
	broken
)

var errNoWatch = errors.New("connections are not watched")

// farEnd is the client of one taken-over connection under watch: a response that has nothing to send would otherwise
// learn by the second sign of life that nobody listens. It costs some hundred bytes and no goroutine. It belongs to the
// goroutine of the session, but for said.
type farEnd struct {
	watch *watch
	key   uint64
	raw   syscall.RawConn
	wake  func() // ends a wait of the session
	heard atomic.Int32
	asked bool // whether the far end that sends no more still reads
}

// follow begins to watch the client of a connection; nil where that cannot be done.
func (c *Conns) follow(conn net.Conn, wake func()) *farEnd {
	// TLS ends where its connection ends.
	for inner, ok := conn.(interface{ NetConn() net.Conn }); ok; inner, ok = conn.(interface{ NetConn() net.Conn }) {
		conn = inner.NetConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	f := &farEnd{watch: c.watch, raw: raw, wake: wake}
	if c.watch.add(f) != nil {
		return nil
	}
	return f
}

// said is what the watch has heard of the socket. Any goroutine.
func (f *farEnd) said(what farewell) {
	f.heard.Store(int32(what))
	f.wake()
}

// gone tells that the client is no longer there.
func (f *farEnd) gone() bool { return f != nil && farewell(f.heard.Load()) == broken }

// doubtful tells once that the client may be gone: then something has to be sent.
func (f *farEnd) doubtful() bool {
	if f == nil || f.asked || farewell(f.heard.Load()) == here {
		return false
	}
	f.asked = true
	// Should it fail, the next sign of life tells.
	_ = f.watch.again(f)
	return true
}

// vanished tells that the client's machine has answered nothing for too long. It is asked before a sign of life, when
// what was sent last has had its time.
func (f *farEnd) vanished(silence time.Duration) bool {
	if f == nil {
		return false
	}
	gone := false
	_ = f.raw.Control(func(fd uintptr) { gone = unanswered(int(fd)) > silence })
	return gone
}

// forget ends the watch; the connection may be closed, or go to another owner.
func (f *farEnd) forget() {
	if f != nil {
		f.watch.remove(f)
	}
}
