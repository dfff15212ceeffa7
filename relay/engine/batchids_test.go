package engine_test

import (
	"slices"
	"strings"
	"testing"

	"sluice/relay/engine"
)

func TestBatchKeep(t *testing.T) {
	var b engine.Batch
	fill := func() {
		b.Reset()
		for _, id := range []string{"a", "", "ccc", strings.Repeat("d", 300)} {
			b.Add(&engine.Record{ID: []byte(id), Type: []byte("T"), Fields: []engine.Field{{Span: engine.Span{Off: 1, Len: 1}}}, Payload: []byte("{" + id + "}")})
		}
	}
	ids := func() (all []string) {
		b.Events(func(i int, id []byte) {
			if i != len(all) {
				t.Errorf("number %d at %d", i, len(all))
			}
			all = append(all, string(id))
		})
		return all
	}
	fill()
	whole := b.Bytes()
	b.Keep(func(int) bool { return true })
	if b.Bytes() != whole || b.Len() != 4 {
		t.Errorf("%d bytes of %d", b.Bytes(), whole)
	}
	b.Keep(func(i int) bool { return i == 0 || i == 2 })
	if got := ids(); !slices.Equal(got, []string{"a", "ccc"}) {
		t.Errorf("%q", got)
	}
	b.Keep(func(int) bool { return false })
	if b.Len() != 0 || b.Bytes() != 0 {
		t.Errorf("%d records of %d bytes", b.Len(), b.Bytes())
	}
	// A batch that was thinned out is stored like any other.
	e := open(t, t.TempDir())
	s := newStream(t, e)
	fill()
	b.Keep(func(i int) bool { return i != 1 })
	if _, err := e.Append(t.Context(), s, &b); err != nil {
		t.Fatal(err)
	}
	block, err := e.Read(s, 0).Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := block.Each(func(_ engine.Offset, r *engine.Record) bool {
		if string(r.Payload) != "{"+string(r.ID)+"}" {
			t.Errorf("%s has payload %s", r.ID, r.Payload)
		}
		got = append(got, string(r.ID))
		return true
	}); err != nil || !slices.Equal(got, []string{"a", "ccc", strings.Repeat("d", 300)}) {
		t.Errorf("%q, %v", got, err)
	}
}
