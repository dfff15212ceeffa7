package engine

import (
	"bytes"
	"errors"
	"reflect"
	"strconv"
	"testing"

	"github.com/klauspost/compress/s2"
)

func sampleRecords() []Record {
	return []Record{
		{Kind: KindJSON, Payload: []byte(`{}`)},
		{
			ID: []byte("id-1"), Type: []byte("OPEN"), Contract: []byte("a/b/1.0.0"), RequestID: [16]byte{1, 2, 3}, Kind: KindJSON,
			Occurred: -5, Processed: 1 << 40, Consent: 1<<63 | 5, KeyLink: KeyLink{9}, Locator: Locator{Era: 3, Leaf: 1 << 60, Generation: 2},
			Fields: []Field{{Span: Span{1, 3}, Level: 63, Path: 255}, {Span: Span{9, 0}, Level: 0}}, Device: Span{0, 2}, User: Span{3, 4},
			Body: Span{0, 12}, Payload: []byte(`{"a":"bcde"}`),
		},
		{Kind: KindXML, Contract: []byte("x"), Payload: bytes.Repeat([]byte("<a/>"), 3000)},
		{Kind: 77},
	}
}

// sealed is a block of the records as a writer would store it.
func sealed(t testing.TB, records []Record, notes []byte) ([]byte, header) {
	t.Helper()
	var raw []byte
	for i := range records {
		var err error
		if raw, err = appendRecord(raw, &records[i]); err != nil {
			t.Fatal(err)
		}
	}
	h := header{
		id: blockID{7}, stream: StreamID{8}, node: nodeID{9}, accepted: 1234, events: 100 + uint64(len(records)), bytes: 5000,
		count: uint32(len(records)), raw: uint32(len(raw)),
	}
	stored := appendBlock(nil, &h, notes, raw)
	h.bytes += uint64(len(stored))
	return stored, h
}

// normal makes empty and nil slices equal for a comparison.
func normal(r Record) Record {
	for _, s := range []*[]byte{&r.ID, &r.Type, &r.Contract, &r.Payload} {
		if *s == nil {
			*s = []byte{}
		}
	}
	if len(r.Fields) == 0 {
		r.Fields = nil
	}
	return r
}

func TestBlockRoundTrip(t *testing.T) {
	records := sampleRecords()
	stored, want := sealed(t, records, []byte{2, 0, 0, 0, 'h', 'i', 0, 0, 0, 0})
	b, err := newBlock(2, 77, stored)
	if err != nil {
		t.Fatal(err)
	}
	if b.head != want || b.Stream != want.stream || b.Count() != len(records) || b.Size() != len(stored) {
		t.Fatalf("header %+v, want %+v", b.head, want)
	}
	if b.First() != MakeOffset(77, 0) || b.Last() != MakeOffset(77, len(records)-1) {
		t.Fatalf("offsets %v to %v", b.First(), b.Last())
	}
	var notes []string
	b.Notes(func(n []byte) bool { notes = append(notes, string(n)); return true })
	if !reflect.DeepEqual(notes, []string{"hi", ""}) {
		t.Fatalf("notes %q", notes)
	}
	for from := range records {
		i := from
		err := b.EachFrom(from, func(o Offset, r *Record) bool {
			if o != MakeOffset(77, i) || !reflect.DeepEqual(normal(*r), normal(records[i])) {
				t.Fatalf("record %d from %d: %+v", i, from, r)
			}
			i++
			return true
		})
		if err != nil || i != len(records) {
			t.Fatalf("from %d: read to %d, %v", from, i, err)
		}
	}
	calls := 0
	if b.Each(func(Offset, *Record) bool { calls++; return false }); calls != 1 {
		t.Fatalf("%d calls after false", calls)
	}
}

func TestBlockRefusesEveryChangedByte(t *testing.T) {
	stored, _ := sealed(t, sampleRecords(), nil)
	for i := range stored {
		for _, flip := range []byte{1, 0x80} {
			changed := bytes.Clone(stored)
			changed[i] ^= flip
			if b, err := newBlock(0, 1, changed); err == nil {
				t.Fatalf("byte %d changed by %x: opened with %d events", i, flip, b.Count())
			} else if !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
		}
		if _, err := newBlock(0, 1, stored[:i]); err == nil {
			t.Fatalf("cut to %d bytes: opened", i)
		}
	}
}

// TestHostileBlock: blocks whose checksum is right and whose content lies.
func TestHostileBlock(t *testing.T) {
	good, _ := sealed(t, sampleRecords(), nil)
	mend := func(b []byte) []byte {
		h, _, _, _ := parseHeader(b)
		retotal(b, h.node, 1<<32, 1<<32)
		return b
	}
	patch := func(at int, v uint32) []byte {
		b := bytes.Clone(good)
		le.PutUint32(b[at:], v)
		return mend(b)
	}
	body := func(change func(raw []byte) []byte) []byte {
		_, _, packed, _ := parseHeader(good)
		raw, err := s2.Decode(nil, packed)
		if err != nil {
			t.Fatal(err)
		}
		raw = change(raw)
		h := header{count: 4, raw: uint32(len(raw)), events: 4}
		return appendBlock(nil, &h, nil, raw)
	}
	for name, stored := range map[string][]byte{
		"no events":            patch(headCount, 0),
		"too many events":      patch(headCount, MaxBlockEvents+1),
		"one event more":       patch(headCount, 5),
		"one event less":       patch(headCount, 3),
		"huge length":          patch(headRaw, 1<<31),
		"length one more":      patch(headRaw, le.Uint32(good[headRaw:])+1),
		"notes beyond the end": patch(headNotes, 1<<30),
		"record length zero":   body(func(raw []byte) []byte { le.PutUint32(raw, 0); return raw }),
		"record length huge":   body(func(raw []byte) []byte { le.PutUint32(raw, 1<<32-1); return raw }),
		"payload length huge":  body(func(raw []byte) []byte { le.PutUint32(raw[recPayloadLen:], 1<<32-1); return raw }),
		"id length huge":       body(func(raw []byte) []byte { le.PutUint16(raw[recIDLen:], 1<<16-1); return raw }),
		"span overflow":        body(func(raw []byte) []byte { putSpan(raw[recBody:], Span{1<<32 - 1, 1<<32 - 1}); return raw }),
		"trailing byte":        body(func(raw []byte) []byte { return append(raw, 0) }),
		"too much for two": func() []byte {
			raw, err := appendRecord(nil, &Record{Payload: make([]byte, 200<<10)})
			if err != nil {
				t.Fatal(err)
			}
			raw = append(raw, raw...)
			return appendBlock(nil, &header{count: 2, raw: uint32(len(raw)), events: 2}, nil, raw)
		}(),
		"cut": body(func(raw []byte) []byte { return raw[:len(raw)-1] }),
	} {
		b, err := newBlock(0, 1, stored)
		if err == nil {
			err = b.Each(func(Offset, *Record) bool { t.Errorf("%s: a record was handed out", name); return false })
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecordThatCouldNotBeReadIsRefused(t *testing.T) {
	payload := []byte("0123456789")
	for name, r := range map[string]Record{
		"span behind the end":  {Payload: payload, Device: Span{5, 6}},
		"span overflow":        {Payload: payload, User: Span{1<<32 - 1, 2}},
		"field behind the end": {Payload: payload, Fields: []Field{{Span: Span{0, 11}}}},
		"level 64":             {Payload: payload, Fields: []Field{{Level: 64}}},
	} {
		if _, err := appendRecord(nil, &r); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := appendRecord(nil, &Record{ID: make([]byte, 1<<16)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long id: %v", err)
	}
}

// FuzzBlock: no bytes make a reader panic or hand out more than they hold, and what opens is what a writer would have
// written: encoded again it reads the same.
func FuzzBlock(f *testing.F) {
	good, _ := sealed(f, sampleRecords(), []byte{1, 0, 0, 0, 'n'})
	f.Add(good)
	one, _ := sealed(f, sampleRecords()[:1], nil)
	f.Add(one)
	f.Add([]byte("SLB\x01"))
	f.Fuzz(func(t *testing.T, stored []byte) {
		if len(stored) >= headFixed {
			// A fuzzer does not guess checksums.
			stored = bytes.Clone(stored)
			copy(stored, blockMagic)
			stored[3] = blockVersion
			retotal(stored, nodeID(stored[headNode:]), le.Uint64(stored[headEvents:]), le.Uint64(stored[headBytes:]))
		}
		b, err := newBlock(0, 5, stored)
		if err != nil {
			return
		}
		b.Notes(func([]byte) bool { return true })
		var raw []byte
		var records []Record
		err = b.Each(func(o Offset, r *Record) bool {
			keep := *r
			keep.Fields = append([]Field(nil), r.Fields...)
			records = append(records, keep)
			if raw, err = appendRecord(raw, r); err != nil {
				t.Fatalf("a record that was read cannot be written: %v", err)
			}
			return true
		})
		if err != nil {
			return
		}
		if !bytes.Equal(raw, b.data) || len(records) != b.Count() {
			t.Fatal("written again the records differ")
		}
		again, err := newBlock(0, 5, appendBlock(nil, &b.head, nil, raw))
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		if err := again.Each(func(_ Offset, r *Record) bool {
			if !reflect.DeepEqual(normal(*r), normal(records[i])) {
				t.Fatalf("record %d differs", i)
			}
			i++
			return true
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzParseOffset holds ParseOffset to strconv: the same texts and numbers but for a sign, leading zeros being fine.
func FuzzParseOffset(f *testing.F) {
	for _, s := range []string{"", "0", "00", "+1", "-1", "9007199254740991", "9007199254740992", "18446744073709551616", "1_0", " 1", "0x1", "١"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseOffset(s)
		want, perr := strconv.ParseUint(s, 10, 64)
		if ok := perr == nil && want <= maxOffset; ok != (err == nil) {
			t.Fatalf("%q: %v, strconv says %v %v", s, err, want, perr)
		}
		if err == nil && (uint64(got) != want || MakeOffset(got.Seq(), got.Index()) != got) {
			t.Fatalf("%q: %d, want %d", s, got, want)
		}
		if err != nil && !errors.Is(err, ErrOffset) {
			t.Fatal(err)
		}
		if err == nil {
			if back, err := ParseOffset(got.String()); err != nil || back != got {
				t.Fatalf("%v does not survive: %v", got, err)
			}
		}
	})
}
