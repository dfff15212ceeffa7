package relay

import (
	"encoding/binary"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"sluice/relay/engine"
)

func keyNumber(i int) (k onceKey) {
	binary.LittleEndian.PutUint64(k[:], uint64(i)*0x9e3779b97f4a7c15)
	return k
}

// Keys are bounded in number, cost what they are said to cost, and make room when their time is over.
func TestOnceIsBounded(t *testing.T) {
	var o onces
	now := time.Now()
	a, b := o.stream(engine.StreamID{1}, now), o.stream(engine.StreamID{2}, now)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range onceKeys {
		if !a.keep(keyNumber(i), uint64(i+1), now.Add(time.Duration(i)*10*time.Minute/onceKeys)) {
			t.Fatalf("full at %d keys", i)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := float64(after.HeapAlloc-before.HeapAlloc) / onceKeys
	t.Logf("%.1f bytes for each key", each)
	if each > 64 {
		t.Errorf("a key costs %.1f bytes", each)
	}
	if a.keep(keyNumber(onceKeys), 1, now) || b.keep(keyNumber(0), 1, now) {
		t.Error("more keys than may be are remembered")
	}
	if !a.keep(keyNumber(onceKeys-1), 7, now.Add(10*time.Minute-time.Second)) || a.place(keyNumber(onceKeys-1)) != 7 {
		t.Error("a known key has no new place")
	}
	if a.place(keyNumber(0)) != 1 || a.place(keyNumber(onceKeys+5)) != 0 {
		t.Error("places are mixed up")
	}
	// The oldest minutes go, and there is room again, in every stream.
	a.from(now.Add(5 * time.Minute))
	if a.place(keyNumber(0)) != 0 || a.place(keyNumber(onceKeys-1)) != 7 || !b.keep(keyNumber(0), 1, now.Add(10*time.Minute)) {
		t.Error("nothing was let go of")
	}
	// A stream that nobody asks about goes whole.
	o.stream(engine.StreamID{2}, now.Add(20*time.Minute))
	if len(o.streams) != 1 || o.keys != 0 {
		t.Errorf("%d streams and %d keys are left", len(o.streams), o.keys)
	}
}

func TestEmptyResultsAreBounded(t *testing.T) {
	var o onces
	now := time.Now()
	long := []LineError{{Line: 1, Message: strings.Repeat("x", 100<<10)}}
	for i := range 200 {
		o.keepEmpty(engine.StreamID{1}, &onceNote{key: keyNumber(i), result: BulkResult{Rejected: 1, Errors: long}}, now)
		o.keepEmpty(engine.StreamID{1}, &onceNote{key: keyNumber(i), result: BulkResult{Rejected: 1, Errors: long}}, now)
	}
	if o.emptyWeight > emptyBytes || len(o.empties) > 41 || len(o.empties) != len(o.emptyOrder) {
		t.Errorf("%d bytes, %d results, %d in order", o.emptyWeight, len(o.empties), len(o.emptyOrder))
	}
	if o.empty(engine.StreamID{1}, keyNumber(199), now.Add(-time.Minute)) == nil || o.empty(engine.StreamID{1}, keyNumber(0), now.Add(-time.Minute)) != nil {
		t.Error("not the newest are kept")
	}
	if o.empty(engine.StreamID{1}, keyNumber(199), now.Add(time.Minute)) != nil {
		t.Error("one is kept beyond its time")
	}
}

// Whatever lies in a block's notes, reading it ends without a panic, and what was written is read.
func FuzzOnceNote(f *testing.F) {
	n := onceNote{key: keyNumber(1), body: bodySum{2}, line: 77}
	full := BulkResult{Accepted: 3, Rejected: 1, Errors: []LineError{{4, "no"}}}
	f.Add(n.encode(5, nil))
	f.Add(n.encode(5, n.fit(&full)))
	f.Add([]byte("K"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := parseOnce(text)
		if !ok {
			return
		}
		var packed []byte
		if got.final {
			packed = got.fit(&got.result)
		}
		again, ok := parseOnce(got.encode(got.line, packed))
		if !ok || !reflect.DeepEqual(got, again) {
			t.Fatalf("%+v became %+v", got, again)
		}
	})
}
