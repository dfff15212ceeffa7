package gateway

import (
	"net"
	"testing"
	"time"
)

// One handshake more than there may be ends the longest, and only that.
func TestHandshakesAreBounded(t *testing.T) {
	h := handshakes{most: 2}
	var ends []net.Conn
	begin := func() (done func()) {
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close(); far.Close() })
		ends = append(ends, near)
		return h.begin(&conn{tcp: near})
	}
	closed := func(i int) bool { return ends[i].SetDeadline(time.Time{}) != nil }
	first, second := begin(), begin()
	third := begin()
	if !closed(0) || closed(1) || closed(2) {
		t.Fatalf("closed: %v %v %v", closed(0), closed(1), closed(2))
	}
	second()
	fourth := begin()
	if closed(2) || closed(3) {
		t.Error("one is ended though there is room")
	}
	for _, done := range []func(){first, third, fourth} {
		done()
	}
	if h.all.Len() != 0 {
		t.Errorf("%d are left", h.all.Len())
	}
}
