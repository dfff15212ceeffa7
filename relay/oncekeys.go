package relay

import (
	"sync"
	"time"

	"sluice/relay/engine"
)

// onces is what a node knows of keys. Safe for concurrent use.
type onces struct {
	mu      sync.Mutex
	keys    int // in all streams
	swept   time.Time
	streams map[engine.StreamID]*onceStream

	empties     map[emptyKey]*emptied // results of which nothing is in the log
	emptyOrder  []emptyKey            // oldest first
	emptyWeight int
}

type emptyKey struct {
	stream engine.StreamID
	key    onceKey
}

type emptied struct {
	note   *onceNote
	weight int
	at     time.Time
}

// onceStream is a stream's keys: where in the log their notes are, by the minute they were stored in, and which are
// being stored now. The lock of onces guards it.
type onceStream struct {
	of      *onces
	used    time.Time
	minutes []onceMinute // oldest first
	read    engine.Offset
	reading chan struct{} // of one element: held while the log is read
	running map[onceKey]*onceCall
	doubts  map[onceKey]struct{}
}

type onceMinute struct {
	minute int64
	places map[uint64]uint64 // short key to shard sequence
}

// onceCall is a body being stored. body may be read at once, res and err after done is closed.
type onceCall struct {
	body bodySum
	done chan struct{}
	res  BulkResult
	err  error
}

// stream gives a stream's keys, and lets go of those that nobody has used for so long that the log is quicker.
func (o *onces) stream(id engine.StreamID, now time.Time) *onceStream {
	o.mu.Lock()
	defer o.mu.Unlock()
	unused := func(s *onceStream) bool { return now.Sub(s.used) > onceFor && len(s.running) == 0 }
	if now.Sub(o.swept) > time.Minute {
		o.swept = now
		for other, s := range o.streams {
			if unused(s) {
				o.forget(s, len(s.minutes))
				delete(o.streams, other)
			}
		}
	}
	s := o.streams[id]
	if s != nil && unused(s) {
		o.forget(s, len(s.minutes))
		s = nil
	}
	if s == nil {
		s = &onceStream{of: o, reading: make(chan struct{}, 1), running: map[onceKey]*onceCall{}, doubts: map[onceKey]struct{}{}}
		if o.streams == nil {
			o.streams = map[engine.StreamID]*onceStream{}
		}
		o.streams[id] = s
	}
	s.used = now
	return s
}

// forget drops a stream's oldest minutes. The lock is held.
func (o *onces) forget(s *onceStream, n int) {
	for i := range s.minutes[:n] {
		o.keys -= len(s.minutes[i].places)
		s.minutes[i].places = nil
	}
	s.minutes = s.minutes[n:]
}

// enter begins to store a body, or gives the one in hand with this key.
func (s *onceStream) enter(id onceKey, mark bodySum) (c *onceCall, first bool) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if c := s.running[id]; c != nil {
		return c, false
	}
	c = &onceCall{body: mark, done: make(chan struct{})}
	s.running[id] = c
	return c, true
}

func (s *onceStream) leave(id onceKey, c *onceCall) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	delete(s.running, id)
	close(c.done)
}

// maxDoubts bounds the keys whose last attempt has an unknown end; beyond it the oldest-looking is as good as any.
const maxDoubts = 10_000

func (s *onceStream) doubt(id onceKey, unknown bool) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if !unknown {
		delete(s.doubts, id)
		return
	}
	if len(s.doubts) >= maxDoubts {
		clear(s.doubts)
	}
	s.doubts[id] = struct{}{}
}

func (s *onceStream) doubtful(id onceKey) bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	_, ok := s.doubts[id]
	return ok
}

// from is where to read on for keys, after what is too old was let go of; 0: nothing was read yet.
func (s *onceStream) from(since time.Time) engine.Offset {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	n := 0
	for n < len(s.minutes) && s.minutes[n].minute < minuteOf(since) {
		n++
	}
	s.of.forget(s, n)
	return s.read
}

func (s *onceStream) readTo(o engine.Offset, now time.Time) {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.read, s.used = o, now
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// keep remembers the place of a key's note; false when there is no room.
func (s *onceStream) keep(id onceKey, seq uint64, at time.Time) bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	minute := minuteOf(at)
	if n := len(s.minutes); n == 0 || s.minutes[n-1].minute < minute {
		// A block of a clock behind joins the newest minute: it is kept a little longer.
		s.minutes = append(s.minutes, onceMinute{minute, map[uint64]uint64{}})
	}
	places := s.minutes[len(s.minutes)-1].places
	if _, known := places[id.short()]; !known {
		if s.of.keys >= onceKeys {
			return false
		}
		s.of.keys++
	}
	places[id.short()] = seq
	return true
}

// place is the shard sequence of the block that says the newest of a key; 0 for none.
func (s *onceStream) place(id onceKey) uint64 {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	for i := len(s.minutes) - 1; i >= 0; i-- {
		if seq, ok := s.minutes[i].places[id.short()]; ok {
			return seq
		}
	}
	return 0
}

// keepEmpty remembers a result that is not in the log; the oldest go when there are too many.
func (o *onces) keepEmpty(stream engine.StreamID, n *onceNote, now time.Time) {
	weight := 256
	for _, e := range n.result.Errors {
		weight += 32 + len(e.Message)
	}
	k := emptyKey{stream, n.key}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.empties == nil {
		o.empties = map[emptyKey]*emptied{}
	}
	if old := o.empties[k]; old != nil {
		o.emptyWeight -= old.weight
	} else {
		o.emptyOrder = append(o.emptyOrder, k)
	}
	o.empties[k] = &emptied{n, weight, now}
	for o.emptyWeight += weight; o.emptyWeight > emptyBytes && len(o.emptyOrder) > 1; {
		first := o.emptyOrder[0]
		o.emptyOrder = o.emptyOrder[1:]
		o.emptyWeight -= o.empties[first].weight
		delete(o.empties, first)
	}
}

// empty is the result kept by keepEmpty, if it is not older than since.
func (o *onces) empty(stream engine.StreamID, key onceKey, since time.Time) *onceNote {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e := o.empties[emptyKey{stream, key}]; e != nil && e.at.After(since) {
		return e.note
	}
	return nil
}
