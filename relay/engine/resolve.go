package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
)

// learn finds out, for the sources that are not known, what the log holds under their subjects.
func (w *writer) learn(blocks []*pending) error {
	var unknown []*source
	for _, p := range blocks {
		if !p.of.known && !p.of.asked {
			p.of.asked = true
			unknown = append(unknown, p.of)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	defer func() {
		for _, src := range unknown {
			src.asked = false
		}
	}()
	return each(unknown, func(src *source) error {
		src.subject = nodeSubject(w.shard, src.id, w.node.String())
		h, seq, err := w.last(src.subject)
		if err != nil {
			return err
		}
		src.expect, src.events, src.bytes = seq, h.events, h.bytes
		src.known = true
		return nil
	})
}

// last reads the header of a subject's last block; the zero header and sequence when there is none.
func (w *writer) last(subject string) (header, uint64, error) {
	m, err := w.read(getRequest{Last: subject})
	if errors.Is(err, errNone) {
		return header{}, 0, nil
	}
	if err != nil {
		return header{}, 0, err
	}
	h, _, _, reason := parseHeader(m.data)
	if reason != "" {
		// The totals are lost with it, but the sequence alone is enough to write on.
		w.e.log.Error("the last block of a stream is corrupt", slog.Int("shard", w.shard), slog.Uint64("sequence", m.seq), slog.String("reason", reason))
	}
	return h, m.seq, nil
}

// read gets a message as the shard's leader has it: only the leader knows every stored block.
func (w *writer) read(req getRequest) (stored, error) {
	return w.e.getFresh(w.e.ctx, &w.e.appendConn, w.stream, req)
}

// resolve finds out what became of blocks whose publish was refused or not answered. It returns the sequence of the
// first when they are stored: they were one atomic publish, so one stored means all stored, one behind the other.
// Otherwise none is, and the sources know again what to expect.
func (w *writer) resolve(blocks []*pending) (first uint64, err error) {
	ends, err := w.ends(blocks)
	if err != nil {
		return 0, err
	}
	return w.judge(blocks, ends)
}

// end is the last block of a subject; the zero header and sequence when there is none.
type end struct {
	header header
	seq    uint64
}

// ends looks up where the subjects of some blocks end.
func (w *writer) ends(blocks []*pending) (map[*source]end, error) {
	ends := make(map[*source]end, len(blocks))
	var sources []*source
	for _, p := range blocks {
		if _, known := ends[p.of]; !known {
			ends[p.of] = end{}
			sources = append(sources, p.of)
		}
	}
	var mu sync.Mutex
	err := each(sources, func(src *source) error {
		h, seq, err := w.last(src.subject)
		mu.Lock()
		ends[src] = end{h, seq}
		mu.Unlock()
		return err
	})
	return ends, err
}

// judge is the second half of resolve. The order matters: a publish without an answer may be stored at any moment, and blocks
// that came between the two looks are found by the second. The other way round they would be taken for somebody else's.
//
// The own block, if stored, is the first behind the expected sequence of its subject, whatever came after. No block
// there means that this one is not stored: either the publish never arrived, or the expectation was wrong because the
// subject was emptied (it counts from 0 again), because blocks that were given up were stored after all, or because another
// process writes under the same name. A publish that is still on its way carries the old expectation: if it arrives first, the
// next attempt is refused and comes here again; if it arrives second, it is refused itself.
func (w *writer) judge(blocks []*pending, ends map[*source]end) (first uint64, err error) {
	head := blocks[0]
	m, err := w.read(getRequest{Seq: head.of.expect + 1, Next: head.of.subject})
	if err != nil && !errors.Is(err, errNone) {
		return 0, err
	}
	if err == nil {
		if h, _, _, reason := parseHeader(m.data); reason == "" && h.id == head.id {
			return m.seq, nil
		}
	}
	usurped := false
	var late []*source
	for src, at := range ends {
		switch {
		case at.seq == src.expect:
		case at.seq == 0:
			src.expect = 0 // emptied by retention; the totals go on
		case slices.Contains(src.givenUp, at.header.id):
			late = append(late, src)
		default:
			usurped = true
		}
	}
	slices.SortFunc(late, func(a, b *source) int { return cmp.Compare(ends[a].seq, ends[b].seq) })
	for _, src := range late {
		at := ends[src]
		events := at.header.events - src.events
		src.expect, src.events, src.bytes = at.seq, at.header.events, at.header.bytes
		w.tell(src, at.header.accepted, int(events))
	}
	if usurped {
		w.rename()
	}
	return 0, nil
}

// mostGivenUp bounds what a source remembers through a long outage. Of all that were given up under one expectation only one
// can be stored, and it is likely one of the last.
const mostGivenUp = 64

// giveUp remembers blocks that nobody waits for any more: the log may store them yet, and they are then this writer's own.
func (w *writer) giveUp(blocks []*pending) {
	for i, p := range blocks {
		if !p.sent || slices.ContainsFunc(blocks[i+1:], func(later *pending) bool { return later.of == p.of }) {
			continue // of a batch the last block of a source is where its subject would end
		}
		if len(p.of.givenUp) == mostGivenUp {
			p.of.givenUp = slices.Delete(p.of.givenUp, 0, 1)
		}
		p.of.givenUp = append(p.of.givenUp, p.id)
	}
}

// rename gives the writer another name: somebody else writes under the present one, for example a copy of this
// machine. Its blocks so far stay what they are, and readers see those of all names.
func (w *writer) rename() {
	old := w.node
	rand.Read(w.node[:])
	w.mu.Lock()
	for _, src := range w.sources {
		src.known = false
	}
	w.mu.Unlock()
	w.e.log.Warn("another process writes under this node's name; a new one was taken",
		slog.Int("shard", w.shard), slog.String("old", old.String()), slog.String("new", w.node.String()))
}

// getFresh reads what the leader holds. The embedded log has one copy, so any read is fresh.
func (e *Engine) getFresh(ctx context.Context, l *link, stream string, req getRequest) (stored, error) {
	if e.leader {
		return getLeader(ctx, l, stream, req)
	}
	return get(ctx, l, stream, req)
}

// each calls fn for all items, some at a time, and returns one of the errors.
func each[T any](items []T, fn func(T) error) error {
	if len(items) == 1 {
		return fn(items[0])
	}
	const width = 16
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
		next  = make(chan T)
	)
	for range min(width, len(items)) {
		wg.Go(func() {
			for item := range next {
				if err := fn(item); err != nil {
					mu.Lock()
					first = err
					mu.Unlock()
				}
			}
		})
	}
	for _, item := range items {
		next <- item
	}
	close(next)
	wg.Wait()
	return first
}
