//go:build parts

package everything_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync"
)

// record is what one consumer got, as a digest: ninety consumers that each hold every event against the oracle would take the machine from
// the server. The oracle is asked once for each stream, over all it shows; whoever has the same record as that got the same events, in the
// same order, byte for byte. Safe for concurrent use.
type record struct {
	mu     sync.Mutex
	events int
	last   uint64 // offset
	order  uint64 // digest of offsets and bodies, in the order they came
	bodies uint64 // of the bodies alone, in order
	set    uint64 // of offsets and bodies, in any order
	err    error  // the first thing that was no event
}

var seed = maphash.MakeSeed()

const prime = 1099511628211

// add notes an event. Its body is not kept.
func (r *record) add(offset uint64, body []byte) {
	one := maphash.Bytes(seed, body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events++
	r.last = offset
	r.bodies = r.bodies*prime + one
	r.order = (r.order*prime+one)*prime + offset
	r.set += maphash.Comparable(seed, [2]uint64{one, offset})
}

// body notes an event that came without its offset.
func (r *record) body(body []byte) { r.add(0, body) }

var (
	lineHead = []byte(`{"offset":"`)
	lineBody = []byte(`","event":`)
)

// line notes an event in its offset envelope.
func (r *record) line(line []byte) {
	rest, ok := bytes.CutPrefix(line, lineHead)
	digits, body, cut := bytes.Cut(rest, lineBody)
	offset, err := strconv.ParseUint(string(digits), 10, 53)
	if !ok || !cut || err != nil || len(body) < 2 {
		r.fail(fmt.Errorf("a line that is no event: %.40q", line))
		return
	}
	r.add(offset, body[:len(body)-1])
}

func (r *record) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

func (r *record) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events
}

// sameness is how closely a record must follow the stream's.
type sameness int

const (
	inOrder  sameness = iota
	anyOrder          // the consumer has no order
	noOffset          // the consumer gets no offsets
)

// differs says what is wrong with a record, held against that of the whole stream; nil: nothing.
func (r *record) differs(whole *record, s sameness) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	whole.mu.Lock()
	defer whole.mu.Unlock()
	switch {
	case r.err != nil:
		return r.err
	case r.events != whole.events:
		return fmt.Errorf("%d events of %d", r.events, whole.events)
	case s == inOrder && r.order != whole.order, s == anyOrder && r.set != whole.set, s == noOffset && r.bodies != whole.bodies:
		return errors.New("as many events as the stream shows, but not the same ones in that order")
	}
	return nil
}
