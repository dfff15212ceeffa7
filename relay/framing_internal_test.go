package relay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"sluice/relay/engine"
)

// unframed takes the first websocket frame apart, by the words of RFC 6455 §5.2 and not by our constants.
func unframed(t *testing.T, b []byte) (text, rest []byte) {
	t.Helper()
	if len(b) < 2 || b[0] != 0b1000_0001 {
		t.Fatalf("no final text frame: % x", b[:min(len(b), 16)])
	}
	if b[1]&0b1000_0000 != 0 {
		t.Fatal("a server's frame is masked")
	}
	n, at := int(b[1]), 2
	switch n {
	case 126:
		n, at = int(binary.BigEndian.Uint16(b[2:])), 4
		if n < 126 {
			t.Fatalf("%d bytes of text have a longer head than they need", n)
		}
	case 127:
		n, at = int(binary.BigEndian.Uint64(b[2:])), 10
		if n <= 65535 {
			t.Fatalf("%d bytes of text have a longer head than they need", n)
		}
	}
	return b[at : at+n], b[at+n:]
}

func TestFraming(t *testing.T) {
	sizes := []int{2, 124, 125, 126, 127, 4000, 65534, 65535, 65536, 300 << 10}
	events := make([]*shown, len(sizes))
	for i, n := range sizes {
		json := `{"é":"` + strings.Repeat("x", n)
		events[i] = &shown{offset: engine.Offset(1000 + i), record: &engine.Record{}, json: []byte(json[:n-2] + `"}`)}
	}
	for _, format := range []Format{Raw, Offsets, Airship} {
		lines := renderer{format: format}
		frames := renderer{format: format, framing: SocketFrames}
		served := renderer{format: format, framing: ServerEvents}
		var b chunkBuilder
		b.begin()
		var want [][]byte
		for _, e := range events {
			line := lines.append(nil, e)
			if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
				t.Fatalf("not one line: %.80q", line)
			}
			want = append(want, line[:len(line)-1])
			b.lines = frames.append(b.lines, e)
			b.end(e.offset)
			if got, want := string(served.append(nil, e)), fmt.Sprintf("id: %d\ndata: %s\n\n", e.offset, line[:len(line)-1]); got != want {
				t.Errorf("server-sent event %.80q, not %.80q", got, want)
			}
		}
		c := b.cut()
		rest := c.Bytes()
		for i := range want {
			var text []byte
			if text, rest = unframed(t, rest); !bytes.Equal(text, want[i]) {
				t.Fatalf("format %d, %d bytes: %.80q, not %.80q", format, sizes[i], text, want[i])
			}
		}
		if len(rest) > 0 {
			t.Errorf("%d bytes too many", len(rest))
		}
		// A part of a chunk is cut at the frames' borders.
		part := c.after(1002, 2)
		text, rest := unframed(t, part.Bytes())
		if !bytes.Equal(text, want[3]) || part.Events() != 2 {
			t.Errorf("the part begins with %.80q", text)
		}
		if text, rest = unframed(t, rest); !bytes.Equal(text, want[4]) || len(rest) > 0 {
			t.Errorf("the part goes on with %.80q and %d bytes", text, len(rest))
		}
	}
}

// Rendering an event in any framing allocates nothing.
func TestFramingAllocatesNothing(t *testing.T) {
	e := &shown{offset: 1, record: &engine.Record{}, json: bytes.Repeat([]byte("x"), 500)}
	buf := make([]byte, 0, 4<<10)
	for _, framing := range []Framing{Lines, ServerEvents, SocketFrames} {
		rd := renderer{framing: framing}
		if n := testing.AllocsPerRun(100, func() { buf = rd.append(buf[:0], e) }); n > allowed(0) {
			t.Errorf("framing %d: %v allocations", framing, n)
		}
	}
}
