package filters

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"sluice/loadtest/wire"
)

// buffers of a connection: small, for there are thousands.
const readerBuffer = 4 << 10

// reader is one connection. One goroutine runs it; events may be asked for meanwhile.
type reader struct {
	stream      *wire.Stream
	keep, drain bool
	events      atomic.Uint64 // that came; of one that drains, reads
	bytes       uint64
	last        int // number of the last event
	behind      time.Duration
	kept        []Kept
	err         error
}

// Read counts the bytes of the connection.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.stream.Read(p)
	r.bytes += uint64(n)
	return n, err
}

func (r *reader) run(sent *clock) {
	var err error
	if r.last = -1; r.drain {
		for buf := make([]byte, 64<<10); err == nil; r.events.Add(1) {
			_, err = r.Read(buf)
		}
	} else {
		err = wire.LinesIn(r, true, readerBuffer, func(line []byte) error { return r.event(line, sent) })
	}
	if !errors.Is(err, net.ErrClosed) {
		r.err = err
	}
}

var (
	head = []byte(`{"id":"f-`)
	rest = []byte(`","processed":"`)
)

func (r *reader) event(line []byte, sent *clock) error {
	id, ok := bytes.CutPrefix(line, head)
	if !ok || len(id) < idDigits {
		return fmt.Errorf("a line that is no event of ours: %.200s", line)
	}
	n, err := strconv.Atoi(string(id[:idDigits]))
	if err != nil {
		return fmt.Errorf("a line that is no event of ours: %.200s", line)
	}
	at, ok := sent.of(n)
	switch {
	case !ok:
		return fmt.Errorf("event %d was not sent", n)
	case n <= r.last:
		return fmt.Errorf("event %d came after event %d", n, r.last)
	}
	r.last = n
	r.behind = max(r.behind, time.Since(at))
	if r.keep {
		// Behind "processed":"2026-11-20T08:00:00.000Z", which the server sets, lies what was sent.
		_, tail, _ := bytes.Cut(line, rest)
		if _, tail, ok = bytes.Cut(tail, []byte(`",`)); !ok {
			return fmt.Errorf("event %d has no envelope", n)
		}
		r.kept = append(r.kept, Kept{n, string(tail)})
	}
	r.events.Add(1)
	return nil
}

func (r *reader) result() Received {
	got := Received{Bytes: r.bytes, Behind: r.behind, Kept: r.kept}
	if !r.drain {
		got.Events = int(r.events.Load())
	}
	return got
}
