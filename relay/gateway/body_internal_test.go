package gateway

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"
	"time"
)

func newBody(src io.Reader, declared int64) *body {
	return &body{src: src, declared: declared, budget: newBudget(bodyBudget), begun: time.Now()}
}

func TestBodyAll(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	n := int64(len(text))
	table := []struct {
		name     string
		src      io.Reader
		declared int64
		limit    int64
		want     error
	}{
		{"whole", bytes.NewReader(text), n, n, nil},
		{"chunked", bytes.NewReader(text), -1, n, nil},
		{"byte by byte", iotest.OneByteReader(bytes.NewReader(text)), n, n, nil},
		{"end with data", iotest.DataErrReader(bytes.NewReader(text)), n, n, nil},
		{"announced too large", failing{t}, n, n - 1, errTooLarge},
		{"chunked too large", bytes.NewReader(text), -1, n - 1, errTooLarge},
		{"cut", bytes.NewReader(text[:n-1]), n, n, errCut},
		{"cut chunked", io.MultiReader(bytes.NewReader(text), iotest.ErrReader(io.ErrUnexpectedEOF)), -1, n, errCut},
		{"bad chunks", io.MultiReader(bytes.NewReader(text), iotest.ErrReader(errors.New("no"))), -1, n, errCoding},
		{"slow", iotest.ErrReader(os.ErrDeadlineExceeded), n, n, errSlow},
		{"reset", iotest.ErrReader(errors.New("reset")), n, n, errCut},
	}
	for _, row := range table {
		b := newBody(row.src, row.declared)
		got, err := b.all(row.limit)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, not %v", row.name, err, row.want)
		}
		if row.want == nil && !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes of something else", row.name, len(got))
		}
		b.reset()
		if left := b.budget.left.Load(); left != bodyBudget {
			t.Errorf("%s: %d bytes of the budget are gone", row.name, bodyBudget-left)
		}
	}
}

// failing is a body that must not be read.
type failing struct{ t *testing.T }

func (f failing) Read([]byte) (int, error) {
	f.t.Error("a body was read that could be refused by its announced length")
	return 0, io.EOF
}

func TestBodyNone(t *testing.T) {
	b := newBody(nil, 0)
	if got, err := b.all(10); err != nil || len(got) != 0 {
		t.Fatalf("%q, %v", got, err)
	}
	if !b.discard() {
		t.Fatal("there is something left of no body")
	}
}

func TestBodyInflated(t *testing.T) {
	text := bytes.Repeat([]byte(`{"a":1}`+"\n"), 5000)
	packed := zip(t, text)
	n := int64(len(text))
	table := []struct {
		name  string
		body  []byte
		limit int64
		want  error
	}{
		{"whole", packed, n, nil},
		{"two members", append(bytes.Clone(packed[:0:0]), append(bytes.Clone(zip(t, text[:800])), zip(t, text[800:])...)...), n, nil},
		{"bomb", zip(t, make([]byte, 64<<20)), n, errTooLarge},
		{"one byte too many", packed, n - 1, errTooLarge},
		{"packed itself too large", packed, 10, errTooLarge},
		{"no gzip", text, n, errGzip},
		{"nothing", nil, n, errGzip},
		{"cut", packed[:len(packed)-4], n, errGzip},
		{"wrong checksum", append(bytes.Clone(packed[:len(packed)-8]), 1, 2, 3, 4, 5, 6, 7, 8), n, errGzip},
	}
	for _, row := range table {
		b := newBody(bytes.NewReader(row.body), int64(len(row.body)))
		got, err := b.inflated(row.limit)
		if !errors.Is(err, row.want) {
			t.Errorf("%s: %v, not %v", row.name, err, row.want)
		}
		if row.want == nil && !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes of something else", row.name, len(got))
		}
		if int64(cap(b.buf)) > row.limit+1 && int64(cap(b.buf)) > bodyFree {
			t.Errorf("%s: a buffer of %d bytes for a limit of %d", row.name, cap(b.buf), row.limit)
		}
		b.reset()
	}
	// What does not come through is not called bad gzip.
	b := newBody(io.MultiReader(bytes.NewReader(packed[:20]), iotest.ErrReader(os.ErrDeadlineExceeded)), int64(len(packed)))
	if _, err := b.inflated(n); !errors.Is(err, errSlow) {
		t.Errorf("slow: %v", err)
	}
}

func zip(t *testing.T, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// A body that announces much and sends little costs what it sends.
func TestBodyGrowsWithWhatComes(t *testing.T) {
	b := newBody(bytes.NewReader([]byte("little")), 30<<20)
	if _, err := b.all(32 << 20); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if cap(b.buf) > bodyFree {
		t.Fatalf("a buffer of %d bytes for 6", cap(b.buf))
	}
}

func TestBodyBudget(t *testing.T) {
	shared := newBudget(1 << 20)
	large := make([]byte, 800<<10)
	first := &body{src: bytes.NewReader(large), declared: -1, budget: shared}
	if _, err := first.all(1 << 20); err != nil {
		t.Fatal(err)
	}
	second := &body{src: bytes.NewReader(large), declared: -1, budget: shared}
	if _, err := second.all(1 << 20); !errors.Is(err, errMemory) {
		t.Fatalf("two large bodies where there is room for one: %v", err)
	}
	small := &body{src: bytes.NewReader(large[:bodyFree/2]), declared: -1, budget: shared}
	if _, err := small.all(1 << 20); err != nil {
		t.Fatalf("an ordinary event has no room: %v", err)
	}
	second.reset()
	first.reset()
	third := &body{src: bytes.NewReader(large), declared: -1, budget: shared}
	if _, err := third.all(1 << 20); err != nil {
		t.Fatalf("the room was not given back: %v", err)
	}
}

// paced notes the deadlines that reading sets.
type paced struct{ last time.Time }

func (p *paced) SetReadDeadline(t time.Time) error { p.last = t; return nil }
func (p *paced) cut() bool                         { return false }

func TestBodyPace(t *testing.T) {
	const grace = 3 * time.Second
	begun := time.Now()
	p := &paced{}
	b := &body{src: bytes.NewReader(make([]byte, 1<<20)), declared: 1 << 20, at: p, begun: begun, grace: grace, budget: newBudget(bodyBudget)}
	b.limit = 1 << 20
	buf := make([]byte, 64<<10)
	if _, err := b.Read(buf); err != nil {
		t.Fatal(err)
	}
	if got := p.last.Sub(begun); got != grace {
		t.Fatalf("the first bytes have %v", got)
	}
	for range 8 {
		if _, err := b.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := p.last.Sub(begun), grace+8*4*time.Second; got != want {
		t.Fatalf("after 512 KiB there are %v, not %v", got, want)
	}
}

func TestBodyProbe(t *testing.T) {
	b := newBody(failing{t}, 100)
	b.probe = true
	if _, err := b.all(100); !errors.Is(err, errContinue) {
		t.Fatal(err)
	}
	b = newBody(failing{t}, 101)
	b.probe = true
	if _, err := b.all(100); !errors.Is(err, errTooLarge) {
		t.Fatal(err)
	}
}

func FuzzBodyInflated(f *testing.F) {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write([]byte("some text, some text, some text"))
	_ = w.Close()
	f.Add(buf.Bytes())
	f.Add([]byte("\x1f\x8b\x08"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 16
		b := newBody(bytes.NewReader(data), int64(len(data)))
		got, err := b.inflated(limit)
		// The oracle is the standard library's reader.
		z, zerr := gzip.NewReader(bytes.NewReader(data))
		var want []byte
		if zerr == nil {
			want, zerr = io.ReadAll(io.LimitReader(z, limit+1))
		}
		switch {
		case errors.Is(err, errTooLarge):
			if len(want) <= limit && len(data) <= limit {
				t.Fatalf("%d bytes are too large", len(want))
			}
		case (err == nil) != (zerr == nil):
			t.Fatalf("%v, but the standard library says %v", err, zerr)
		case err == nil && !bytes.Equal(got, want):
			t.Fatal("something else came out")
		}
	})
}
