package relay

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"hash/crc32"
	"io"
	"net/http/httputil"
	"strings"
	"testing"

	"sluice/relay/engine"
)

// chunkOf builds a chunk with one line for each offset, the line naming it.
func chunkOf(offsets ...engine.Offset) *Chunk {
	var b chunkBuilder
	for _, o := range offsets {
		b.begin()
		b.lines = fmt.Appendf(b.lines, "{\"o\":%d}\n", o)
		b.end(o)
	}
	return b.cut()
}

func lines(c *Chunk) string {
	if c == nil {
		return ""
	}
	return strings.NewReplacer("{\"o\":", "", "}\n", " ").Replace(string(c.Bytes()))
}

func TestChunkFramesAreHTTPChunks(t *testing.T) {
	for _, size := range []int{1, 15, 16, 255, 256, 65_536, 1 << 20} {
		var b chunkBuilder
		b.begin()
		b.lines = append(b.lines, bytes.Repeat([]byte("x"), size-1)...)
		b.lines = append(b.lines, '\n')
		b.end(1)
		c := b.cut()
		for name, frame := range map[string][]byte{"plain": c.Frame(), "deflated": first(c.Deflated())} {
			got, err := io.ReadAll(httputil.NewChunkedReader(bufio.NewReader(io.MultiReader(bytes.NewReader(frame), strings.NewReader("0\r\n\r\n")))))
			if err != nil {
				t.Fatalf("%s chunk of %d bytes: %v", name, size, err)
			}
			if name == "plain" && !bytes.Equal(got, c.Bytes()) {
				t.Fatalf("a chunk of %d bytes came back as %d others", size, len(got))
			}
		}
	}
}

func first(b []byte, _ uint32) []byte { return b }

func TestDeflatedChunksStandInAnyOrder(t *testing.T) {
	chunks := []*Chunk{chunkOf(1, 2, 3), chunkOf(4), chunkOf(5, 6)}
	var stream, want bytes.Buffer
	for _, i := range []int{2, 0, 1, 0} {
		frame, crc := chunks[i].Deflated()
		if crc != crc32.ChecksumIEEE(chunks[i].Bytes()) {
			t.Fatalf("chunk %d says another checksum than its lines have", i)
		}
		data, err := io.ReadAll(httputil.NewChunkedReader(bufio.NewReader(io.MultiReader(bytes.NewReader(frame), strings.NewReader("0\r\n\r\n")))))
		if err != nil {
			t.Fatal(err)
		}
		stream.Write(data)
		want.Write(chunks[i].Bytes())
	}
	stream.Write([]byte{3, 0})
	got, err := io.ReadAll(flate.NewReader(&stream))
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Fatalf("inflated %q (%v), want %q", got, err, want.Bytes())
	}
}

func TestChunkAfter(t *testing.T) {
	c := chunkOf(10, 11, 20, 30)
	for _, tc := range []struct {
		after engine.Offset
		max   int
		want  string
	}{
		{0, 0, "10 11 20 30 "}, {9, 0, "10 11 20 30 "}, {10, 0, "11 20 30 "}, {15, 0, "20 30 "}, {30, 0, ""},
		{0, 1, "10 "}, {0, 4, "10 11 20 30 "}, {10, 2, "11 20 "}, {20, 9, "30 "},
	} {
		if got := lines(c.after(tc.after, tc.max)); got != tc.want {
			t.Errorf("after %d, at most %d: %q, want %q", tc.after, tc.max, got, tc.want)
		}
	}
	if c.after(0, 0) != c {
		t.Error("the whole chunk was copied")
	}
}

func TestRingLetsGoOfTheOldestAndSaysSo(t *testing.T) {
	b := &budget{limit: 1}
	g := newRing(b, 5)
	if _, _, base, in := g.next(4); in || base != 5 {
		t.Fatal("a reader before the ring's base was let in")
	}
	c, wake, _, in := g.next(5)
	if c != nil || !in {
		t.Fatal("an empty ring gave a chunk")
	}
	g.publish([]*Chunk{chunkOf(10, 11)}, 11)
	<-wake
	held, _, _, _ := g.next(5)
	if lines(held) != "10 11 " {
		t.Fatalf("got %q", lines(held))
	}
	before := b.used.Load()
	g.publish([]*Chunk{chunkOf(20)}, 25)
	if _, _, base, in := g.next(5); in || base != 11 {
		t.Fatalf("the first chunk should have gone: base %d, in %v", base, in)
	}
	if b.used.Load() <= before {
		t.Fatal("a chunk that somebody holds is no longer counted")
	}
	held.Release()
	if b.used.Load() >= before {
		t.Fatal("a chunk that nobody holds is still counted")
	}
	if got := g.considered(11); got != 0 {
		t.Fatalf("a reader with a chunk before it has considered %d", got)
	}
	if got := g.considered(20); got != 25 {
		t.Fatalf("a reader at the end has considered %d", got)
	}
	g.purge()
	if _, _, base, in := g.next(11); in || base != 20 {
		t.Fatalf("after a purge: base %d, in %v", base, in)
	}
	g.close()
	if used, rings := b.used.Load(), b.rings.Load(); used != 0 || rings != 0 {
		t.Fatalf("a closed ring leaves %d bytes and %d rings", used, rings)
	}
}

func TestRingChargesForDeflatedBytes(t *testing.T) {
	b := &budget{limit: 1 << 20}
	g := newRing(b, 0)
	g.publish([]*Chunk{chunkOf(1), chunkOf(2)}, 2)
	c, _, _, _ := g.next(0)
	before := b.used.Load()
	c.Deflated()
	if b.used.Load() <= before || g.bytes != b.used.Load() {
		t.Fatalf("used %d after %d, the ring says %d", b.used.Load(), before, g.bytes)
	}
	c.Release()
	g.close()
	if b.used.Load() != 0 {
		t.Fatalf("%d bytes are left", b.used.Load())
	}
}
