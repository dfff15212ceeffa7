//go:build linux

package stream

import (
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deaf lets nothing through to a socket, so that its machine acknowledges nothing: for the other side it is as if it
// had vanished.
func deaf(t *testing.T, c net.Conn) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing[0]})
	})
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}

func TestVanished(t *testing.T) {
	conns := NewConns(nil)
	defer conns.Drain(time.Now())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := func() (client, server net.Conn, far *farEnd) {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if server, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(); server.Close() })
		far = conns.follow(server, func() {})
		if far == nil {
			t.Fatal("it is not watched")
		}
		return client, server, far
	}
	_, idle, idleFar := dial()
	_, stopped, stoppedFar := dial()
	gone, lost, lostFar := dial()
	deaf(t, gone)
	if _, err := lost.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	// A client that does not read takes what its socket holds, and no more.
	if err := stopped.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = stopped.Write(make([]byte, 64<<10))
	}
	const short = 300 * time.Millisecond
	for deadline := time.Now().Add(10 * time.Second); !lostFar.vanished(short); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("one that acknowledges nothing is still taken for there")
		}
	}
	if idleFar.vanished(short) {
		t.Error("one that has acknowledged everything is given up")
	}
	if stoppedFar.vanished(silence) {
		t.Error("one that does not read is given up")
	}
	if lostFar.vanished(silence) {
		t.Error("one is given up before its time")
	}
}
