package engine

import (
	"context"
	"sync"
	"time"
)

// pending is a block that is being filled, waits for its turn, or is in flight. Until the writer takes it, its fields
// belong to the writer's mutex; then to the writer's goroutine; after done is closed seq and err are everybody's.
type pending struct {
	of      *source
	since   time.Time // when its first record was queued
	records []byte
	notes   []byte
	count   int
	size    int64 // what it takes of Config.QueueBytes

	done chan struct{} // closed by answer, once
	over bool          // done is closed
	err  error
	seq  uint64

	id     blockID
	sealed int64  // Unix milliseconds
	stored []byte // the encoded block, while in flight
	sent   bool   // it was handed to the log at least once
}

// answer tells all who wait for the block, once. Its share of the queue is free before, so that who is answered finds
// room for the next.
func (w *writer) answer(p *pending, seq uint64, err error) {
	if p.over {
		return
	}
	w.e.queued.Add(-p.size)
	p.over, p.seq, p.err = true, seq, err
	close(p.done)
}

// source is one stream in one writer. Its queue belongs to the writer's mutex, the rest to the writer's goroutine.
type source struct {
	id      StreamID
	queue   []*pending
	waiting bool // it is in writer.ready

	subject string
	known   bool   // the three below are what the log holds
	expect  uint64 // sequence of the subject's last block, 0 for none
	events  uint64
	bytes   uint64

	givenUp []blockID // ends of batches behind expect of which it is not known whether they are stored

	sealedEvents, sealedBytes uint64 // the totals with the blocks in flight
	expected, asked           bool   // marks of one publish, one look at the log
}

// The memory of blocks on their way to the log. Both kinds hold at most a few blocks for each shard.
var (
	recordBuffers = sync.Pool{New: func() any { return new([]byte) }}
	storedBuffers = sync.Pool{New: func() any { return new([]byte) }}
)

// Append returns nil when all records are durable (see Config.Durability), each once, in the order of the batch;
// batches that one goroutine appends to one stream lie in the order of the calls. The error is ErrBusy, ErrDiskFull,
// ErrClosed, ErrTooLarge, ErrRecord or ErrStream when nothing was stored, and ErrUnconfirmed when that is not known: the log did
// not answer within Config.Timeout, or ctx ended first. The batch may be reused at once. A batch without records
// stores nothing.
func (e *Engine) Append(ctx context.Context, s Stream, b *Batch) (Receipt, error) {
	if len(b.ends) == 0 && b.err == nil {
		return Receipt{}, nil
	}
	if err := e.admit(s, b); err != nil {
		e.metrics.refused(err)
		return Receipt{}, err
	}
	size := int64(len(b.buf) + len(b.Note))
	if e.queued.Add(size) > e.cfg.QueueBytes {
		e.queued.Add(-size)
		e.metrics.refused(ErrBusy)
		return Receipt{}, ErrBusy
	}
	first, last, rest, from, to, err := e.writers[s.Shard].enqueue(s.ID, b)
	if err != nil {
		e.queued.Add(-size)
		e.metrics.refused(err)
		return Receipt{}, err
	}
	select {
	case <-last.done:
	default:
		select {
		case <-last.done:
		case <-ctx.Done():
			e.metrics.refused(ErrUnconfirmed)
			return Receipt{}, ErrUnconfirmed
		}
	}
	if err := outcome(first, last, rest); err != nil {
		e.metrics.refused(err)
		return Receipt{}, err
	}
	return Receipt{First: MakeOffset(first.seq, from), Last: MakeOffset(last.seq, to)}, nil
}

// outcome is the error of a batch over several blocks: nothing stored only if that holds for each of them. A stream's
// blocks are answered in order, so that all are answered when the last is.
func outcome(first, last *pending, rest []*pending) error {
	if first == last {
		return last.err
	}
	stored, failed := false, error(nil)
	for _, p := range rest {
		switch p.err {
		case nil:
			stored = true
		default:
			failed = p.err
		}
		if p.err == ErrUnconfirmed {
			return ErrUnconfirmed
		}
	}
	if failed != nil && stored {
		return ErrUnconfirmed
	}
	return failed
}

// admit refuses what will never fit or cannot be taken now.
func (e *Engine) admit(s Stream, b *Batch) error {
	switch {
	case !e.has(s):
		return ErrStream
	case e.closing.Load():
		return ErrClosed
	case b.err != nil:
		return b.err
	case b.largest > e.cfg.maxStored() || len(b.Note) > maxNote:
		return ErrTooLarge
	case b.Atomic && (len(b.ends) > MaxBlockEvents || len(b.ends) > 1 && len(b.buf) > maxBlockBytes):
		return ErrTooLarge
	case e.disk.low.Load():
		return ErrDiskFull
	}
	return nil
}

// enqueue copies the batch into the stream's open block and, where that is full, into new ones. rest is nil when one
// block holds it all, else all of its blocks.
func (w *writer) enqueue(id StreamID, b *Batch) (first, last *pending, rest []*pending, from, to int, err error) {
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return nil, nil, nil, 0, 0, ErrClosed
	}
	src := w.sources[id]
	if src == nil {
		src = &source{id: id}
		w.sources[id] = src
	}
	var open *pending
	if n := len(src.queue); n > 0 {
		open = src.queue[n-1]
	}
	if b.Atomic && open != nil && !open.fits(len(b.ends), len(b.buf)) {
		open = nil
	}
	for done := 0; done < len(b.ends); {
		start := b.start(done)
		n := b.room(open, done)
		if n == 0 {
			open = w.newPending(src)
			n = max(b.room(open, done), 1) // one record larger than a block has a block of its own
		}
		end := int(b.ends[done+n-1])
		open.records = append(open.records, b.buf[start:end]...)
		open.size += int64(end - start)
		w.bytes += end - start
		if first == nil {
			first, from = open, open.count
		} else {
			if rest == nil {
				rest = append(rest, first)
			}
			rest = append(rest, open)
		}
		open.count += n
		done += n
	}
	last, to = open, open.count-1
	if len(b.Note) > 0 {
		last.notes = le.AppendUint32(last.notes, uint32(len(b.Note)))
		last.notes = append(last.notes, b.Note...)
		last.size += int64(len(b.Note))
	}
	if !src.waiting {
		src.waiting = true
		w.ready = append(w.ready, src)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default: // the writer has been told and has not looked yet
	}
	return first, last, rest, from, to, nil
}

func (b *Batch) start(record int) int {
	if record == 0 {
		return 0
	}
	return int(b.ends[record-1])
}

// room is how many records from the given one on p still takes.
func (b *Batch) room(p *pending, record int) int {
	if p == nil {
		return 0
	}
	n := min(len(b.ends)-record, MaxBlockEvents-p.count)
	start, space := b.start(record), maxBlockBytes-len(p.records)
	if n > 0 && int(b.ends[record+n-1])-start <= space {
		return n
	}
	for n > 0 && int(b.ends[record+n-1])-start > space {
		n-- // at most MaxBlockEvents steps for 256 KiB of copying
	}
	return max(n, 0)
}

func (p *pending) fits(records, bytes int) bool {
	return p.count+records <= MaxBlockEvents && len(p.records)+bytes <= maxBlockBytes
}

func (w *writer) newPending(src *source) *pending {
	p := &pending{of: src, since: time.Now(), done: make(chan struct{}), records: (*recordBuffers.Get().(*[]byte))[:0]}
	src.queue = append(src.queue, p)
	w.blocks++
	return p
}

// take moves blocks from the queues into one commit: one of each stream in turn, until the commit is full. Where a
// batch would cost more than its blocks one by one it takes a single block.
func (w *writer) take(into []*pending) []*pending {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := maxBatchMessages
	if !w.e.batchPays(w.blocks, w.bytes) {
		most = 1
	}
	size := 0
	for len(w.ready) > 0 && len(into) < most && size < maxCommitBytes {
		src := w.ready[0]
		w.ready[0] = nil
		w.ready = w.ready[1:]
		p := src.queue[0]
		src.queue[0] = nil
		src.queue = src.queue[1:]
		if len(src.queue) > 0 {
			w.ready = append(w.ready, src)
		} else {
			src.queue, src.waiting = nil, false
		}
		size += len(p.records)
		into = append(into, p)
		w.blocks--
		w.bytes -= len(p.records)
	}
	if len(w.ready) == 0 {
		w.ready = nil
	}
	return into
}

// batchPays says whether so many blocks of so many bytes are stored sooner by an atomic batch than one by one. The
// embedded server stages a batch in files of its own, which costs as much as a dozen fsyncs and writes every byte
// twice; measured, a batch pays from 16 small blocks on, and later for large ones. In a cluster each publish is a
// round of the quorum and nothing is staged on disk, so it always pays.
func (e *Engine) batchPays(blocks, bytes int) bool {
	return e.leader && blocks > 1 || blocks >= 16+bytes>>15
}

// maxCommitBytes ends a commit, before compression. More in one commit makes those who wait for it wait longer and
// the log no faster.
const maxCommitBytes = 4 << 20

// expire answers every queued block that has waited for Config.Timeout: nothing of it was handed to the log.
func (w *writer) expire(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.ready[:0]
	for _, src := range w.ready {
		n := 0
		for n < len(src.queue) && now.Sub(src.queue[n].since) >= w.e.cfg.Timeout {
			p := src.queue[n]
			w.blocks--
			w.bytes -= len(p.records)
			w.answer(p, 0, ErrBusy)
			p.recycle()
			n++
		}
		if src.queue = src.queue[n:]; len(src.queue) > 0 {
			kept = append(kept, src)
		} else {
			src.queue, src.waiting = nil, false
		}
	}
	w.ready = kept
}

// recycle gives a block's memory back. Who waited for it reads its answer only.
func (p *pending) recycle() {
	if cap(p.records) <= 2*maxBlockBytes {
		buf := p.records[:0]
		recordBuffers.Put(&buf)
	}
	if p.stored != nil && cap(p.stored) <= 2*maxBlockBytes {
		buf := p.stored[:0]
		storedBuffers.Put(&buf)
	}
	p.records, p.notes, p.stored = nil, nil, nil
}
