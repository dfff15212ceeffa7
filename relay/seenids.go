package relay

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"sluice/relay/engine"
)

// seenID stands for an event's own id: 128 bits of it, keyed anew by each process, so that nobody can look for two ids
// that are one. The zero seenID is none.
type seenID [16]byte

// seens is what a node knows of events' own ids. Safe for concurrent use.
type seens struct {
	once  sync.Once
	seeds [2]maphash.Seed
	ids   atomic.Int64 // remembered, of all streams

	mu      sync.Mutex // before any seenStream.mu
	swept   time.Time
	streams map[engine.StreamID]*seenStream
}

// seenStream is a stream's ids: those of the last ten minutes, and those that are being stored. Safe for concurrent use.
type seenStream struct {
	of      *seens
	reading chan struct{} // of one element: held while the log is read

	mu      sync.Mutex
	used    time.Time
	minutes []seenMinute // oldest first
	running map[seenID]*seenClaim
	read    engine.Offset // up to where the log was read, at readAt
	readAt  time.Time
	whole   bool // the log was read to its end, so that what this node did not store then is known
	doubts  int  // appends of unknown end since then
}

type seenMinute struct {
	minute int64
	ids    map[seenID]uint32 // when, in Unix seconds
}

// seenClaim is a request that stores events. done is closed when it is over, however it ended.
type seenClaim struct {
	done chan struct{}
	ids  []seenID
}

// sum is what an id is remembered by.
func (x *seens) sum(id []byte) (sum seenID) {
	if len(id) == 0 {
		return sum
	}
	x.once.Do(func() { x.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()} })
	binary.LittleEndian.PutUint64(sum[:], maphash.Bytes(x.seeds[0], id))
	binary.LittleEndian.PutUint64(sum[8:], maphash.Bytes(x.seeds[1], id))
	return sum
}

// sums are the ids of all the batches' events, none for those without.
func (x *seens) sums(batches []*engine.Batch) []seenID {
	n := 0
	for _, b := range batches {
		n += b.Len()
	}
	all := make([]seenID, 0, n)
	for _, b := range batches {
		b.Events(func(_ int, id []byte) { all = append(all, x.sum(id)) })
	}
	return all
}

// stream gives a stream's ids, and lets go of those of streams that nobody has sent to for so long that they say nothing.
func (x *seens) stream(id engine.StreamID, now time.Time) *seenStream {
	x.mu.Lock()
	defer x.mu.Unlock()
	if now.Sub(x.swept) > time.Minute {
		x.swept = now
		for other, s := range x.streams {
			if other != id && s.unused(now) {
				delete(x.streams, other)
			}
		}
	}
	s := x.streams[id]
	if s == nil {
		s = &seenStream{of: x, reading: make(chan struct{}, 1), running: map[seenID]*seenClaim{}}
		if x.streams == nil {
			x.streams = map[engine.StreamID]*seenStream{}
		}
		x.streams[id] = s
	}
	s.mu.Lock()
	s.used = now
	s.mu.Unlock()
	return s
}

// unused forgets all that a stream nobody uses any more knows, and tells that it did.
func (s *seenStream) unused(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.used) <= seenFor || len(s.running) > 0 {
		return false
	}
	s.forget(len(s.minutes))
	s.whole = false // who still holds it reads the log again
	return true
}

// forget drops the oldest minutes. The lock is held.
func (s *seenStream) forget(n int) {
	for i := range s.minutes[:n] {
		s.of.ids.Add(-int64(len(s.minutes[i].ids)))
		s.minutes[i].ids = nil
	}
	s.minutes = s.minutes[n:]
}

// sure tells whether all that this node must know of the log is known.
func (s *seenStream) sure() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole && s.doubts == 0
}

// from is where to read on; 0: not read yet, or so long ago that it is quicker to begin anew.
func (s *seenStream) from(since time.Time) (o engine.Offset, doubts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.readAt.Before(since) {
		return 0, s.doubts
	}
	return s.read, s.doubts
}

func (s *seenStream) progress(o engine.Offset, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read, s.readAt = o, now
}

// readTo notes that the log was read to its end, and that so many doubts are thereby settled.
func (s *seenStream) readTo(o engine.Offset, now time.Time, doubts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read, s.readAt, s.whole = o, now, true
	s.doubts -= doubts
}

// claim takes all ids for a request, or none: again says which of them are stored already, or stand twice in the request,
// nil where none is; wait is a request that is storing one of them. Of two requests with the same ids in different
// orders none can so wait for the other.
func (s *seenStream) claim(ids []seenID, now time.Time) (mine *seenClaim, again []bool, wait *seenClaim, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := 0
	for old < len(s.minutes) && s.minutes[old].minute < minuteOf(now.Add(-seenFor)) {
		old++
	}
	s.forget(old)
	if s.of.ids.Load()+int64(len(ids)) > seenMost {
		return nil, nil, nil, errSeenFull()
	}
	mine = &seenClaim{done: make(chan struct{})}
	for i, id := range ids {
		if id == (seenID{}) {
			continue
		}
		other := s.running[id]
		if other != nil && other != mine {
			for _, id := range mine.ids {
				delete(s.running, id)
			}
			return nil, nil, other, nil
		}
		if other == mine || s.known(id, now) {
			if again == nil {
				again = make([]bool, len(ids))
			}
			again[i] = true
			continue
		}
		s.running[id] = mine
		mine.ids = append(mine.ids, id)
	}
	return mine, again, nil, nil
}

// known tells whether an id was stored in the last ten minutes. The lock is held.
func (s *seenStream) known(id seenID, now time.Time) bool {
	for i := len(s.minutes) - 1; i >= 0; i-- {
		if at, ok := s.minutes[i].ids[id]; ok {
			return now.Unix()-int64(at) <= int64(seenFor/time.Second)
		}
	}
	return false
}

// release ends a request: what it stored is remembered. The order matters: whoever waits must find the ids.
func (s *seenStream) release(mine *seenClaim, at time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range mine.ids {
		delete(s.running, id)
		if err == nil {
			s.add(id, at)
		}
	}
	if errors.Is(err, engine.ErrUnconfirmed) {
		s.doubts++
	}
	close(mine.done)
}

// keep remembers an id that the log has; false when there is no room.
func (s *seenStream) keep(id seenID, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of.ids.Load() >= seenMost {
		return false
	}
	s.add(id, at)
	return true
}

// add remembers an id. The lock is held.
func (s *seenStream) add(id seenID, at time.Time) {
	minute := minuteOf(at)
	if n := len(s.minutes); n == 0 || s.minutes[n-1].minute < minute {
		// One of a clock behind joins the newest minute: its own time says when it is over.
		s.minutes = append(s.minutes, seenMinute{minute, map[seenID]uint32{}})
	}
	ids := s.minutes[len(s.minutes)-1].ids
	if old, ok := ids[id]; ok {
		at = time.Unix(max(at.Unix(), int64(old)), 0)
	} else {
		s.of.ids.Add(1)
	}
	ids[id] = uint32(at.Unix())
}
