package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Keep is what Trim leaves of a stream. Zero or less means without that limit.
type Keep struct {
	Age   time.Duration // a block goes when its last event is older
	Bytes int64         // of the newest
	Least time.Duration // nothing younger goes, however many bytes it is
}

// Trim deletes, whole blocks at a time, what is not to be kept. Nil means that all limits hold, at the moment of the call; after an error part
// of it may be deleted, and Trim may simply be called again.
func (e *Engine) Trim(ctx context.Context, s Stream, keep Keep) error {
	first, last, err := e.Bounds(ctx, s)
	if err != nil || first == last {
		return err
	}
	var cut uint64 // the first sequence to keep
	if keep.Age > 0 {
		if cut, err = e.cutByAge(ctx, s, max(keep.Age, keep.Least), last.Seq()); err != nil {
			return err
		}
	}
	if keep.Bytes > 0 {
		by, err := e.cutByBytes(ctx, s, keep.Bytes, first, last)
		if err != nil {
			return err
		}
		if keep.Least > 0 && by > cut {
			young, err := e.cutByAge(ctx, s, keep.Least, last.Seq())
			if err != nil {
				return err
			}
			by = min(by, young)
		}
		cut = max(cut, by)
	}
	if cut <= first.Seq()+1 {
		return nil
	}
	return e.purge(ctx, s, cut)
}

func (e *Engine) cutByAge(ctx context.Context, s Stream, age time.Duration, last uint64) (uint64, error) {
	since := time.Now().Add(-age)
	m, err := e.getFresh(ctx, &e.readConn, shardStream(s.Shard), getRequest{Since: &since, Next: streamSubjects(s)})
	if errors.Is(err, errNone) {
		return last + 1, nil
	}
	if err != nil {
		return 0, fmt.Errorf("trimming by age: %w", err)
	}
	return m.seq, nil
}

func (e *Engine) cutByBytes(ctx context.Context, s Stream, bytes int64, first, last Offset) (uint64, error) {
	subjects, err := e.subjects(ctx, s)
	if err != nil {
		return 0, err
	}
	end, err := e.totalsAt(ctx, s, subjects, last.Seq()+1)
	if err != nil {
		return 0, err
	}
	tooMuch := func(t totals) bool { return end.bytes-t.bytes > uint64(bytes) }
	begin, err := e.totalsAt(ctx, s, subjects, first.Seq()+1)
	if err != nil || !tooMuch(begin) {
		return 0, err
	}
	seq, _, err := e.search(ctx, s, subjects, first.Seq()+1, last.Seq(), tooMuch)
	if err != nil {
		return 0, err
	}
	return seq + 1, nil
}

// Drop deletes all that is stored of a stream. An Append that is under way may still store its block afterwards.
func (e *Engine) Drop(ctx context.Context, s Stream) error {
	if err := e.purge(ctx, s, 0); err != nil {
		return err
	}
	e.writers[s.Shard].forget(s.ID)
	return nil
}

// forget drops what the writer knows of a stream that is not being written to.
func (w *writer) forget(id StreamID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if src := w.sources[id]; src != nil && len(src.queue) == 0 {
		delete(w.sources, id)
	}
}

// smallShard is the size up to which a shard's blocks are purged by subject in one step. For that the server walks
// all files of the shard between the stream's first and last block while it holds off writes, which in a large log
// takes minutes; there the shard is swept instead.
const smallShard = 64 << 20

// purge deletes the stream's blocks before a sequence, or all of them when it is 0.
func (e *Engine) purge(ctx context.Context, s Stream, before uint64) error {
	state, err := e.shardState(ctx, s.Shard)
	if err != nil {
		return err
	}
	if before == 0 {
		before = state.LastSeq + 1
	}
	e.disk.makeRoom(e.log)
	if state.Bytes <= e.smallShard {
		return e.purgeUpTo(ctx, s.Shard, before, jetstream.WithPurgeSubject(streamSubjects(s)))
	}
	cuts := &e.cuts[s.Shard]
	cuts.set(s.ID, before)
	if err := e.sweepHead(ctx, s.Shard, cuts, state.FirstSeq, before); err != nil {
		return err
	}
	return e.deleteOneByOne(ctx, s, before)
}

func (e *Engine) purgeUpTo(ctx context.Context, shard int, before uint64, opts ...jetstream.StreamPurgeOpt) error {
	ctx, cancel := e.readConn.bounded(ctx)
	defer cancel()
	js, err := e.js.Stream(ctx, shardStream(shard))
	if err == nil {
		err = js.Purge(ctx, append(opts, jetstream.WithPurgeSequence(before))...)
	}
	if err != nil {
		return fmt.Errorf("deleting from shard %d: %w", shard, err)
	}
	return nil
}

// cuts remembers, for the streams of one shard, before which sequence nothing is wanted any more. It is a help for
// sweeping only: what it forgets with a restart is deleted a little later or a little slower.
type cuts struct {
	mu sync.Mutex
	at map[StreamID]uint64
}

func (c *cuts) set(id StreamID, before uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.at = map[StreamID]uint64{}
	}
	c.at[id] = max(c.at[id], before)
}

func (c *cuts) unwanted(m stored) bool {
	id, ok := subjectStream(m.subject)
	c.mu.Lock()
	defer c.mu.Unlock()
	return ok && m.seq < c.at[id]
}

// sweepHead deletes what lies at the shard's head, up to the first block that some stream still wants. That costs the
// server no more than removing files, so it is most of the work wherever streams have the same retention.
func (e *Engine) sweepHead(ctx context.Context, shard int, cuts *cuts, first, before uint64) error {
	next, wanted := first, false
	for more := true; more && !wanted && next < before; {
		var err error
		req := getRequest{Seq: next, Batch: mostAhead, MaxBytes: cursorBytes}
		more, err = getMany(ctx, &e.readConn, shardStream(shard), req, func(m stored) {
			if wanted = wanted || !cuts.unwanted(m); !wanted {
				next = m.seq + 1
			}
		})
		if err != nil {
			return fmt.Errorf("deleting from shard %d: %w", shard, err)
		}
	}
	if next == first {
		return nil
	}
	return e.purgeUpTo(ctx, shard, next)
}

// deletePage is how many blocks are looked up before they are deleted.
const deletePage = 64

// deleteOneByOne deletes blocks that lie among others' that stay.
func (e *Engine) deleteOneByOne(ctx context.Context, s Stream, before uint64) error {
	for next := s.Since + 1; ; {
		page := make([]uint64, 0, deletePage)
		for len(page) < deletePage {
			m, err := e.getFresh(ctx, &e.readConn, shardStream(s.Shard), getRequest{Seq: next, Next: streamSubjects(s)})
			if errors.Is(err, errNone) || err == nil && m.seq >= before {
				break
			}
			if err != nil {
				return fmt.Errorf("deleting from shard %d: %w", s.Shard, err)
			}
			page = append(page, m.seq)
			next = m.seq + 1
		}
		if len(page) == 0 {
			return nil
		}
		if err := each(page, func(seq uint64) error { return e.deleteBlock(ctx, s.Shard, seq) }); err != nil {
			return fmt.Errorf("deleting from shard %d: %w", s.Shard, err)
		}
	}
}

func (e *Engine) deleteBlock(ctx context.Context, shard int, seq uint64) error {
	body, err := json.Marshal(map[string]any{"seq": seq, "no_erase": true})
	if err != nil {
		return err
	}
	ctx, cancel := e.readConn.bounded(ctx)
	defer cancel()
	m, err := e.readConn.request(ctx, "$JS.API.STREAM.MSG.DELETE."+shardStream(shard), body)
	if err != nil {
		return err
	}
	a, err := parseAck(m)
	if err != nil {
		return err
	}
	if a.Err != nil && a.Err.ErrCode != codeNoMessage && a.Err.ErrCode != codeNoSequence {
		return a.Err
	}
	return nil // deleted, now or before
}

// subjects lists the subjects under which blocks of s lie: one for each node that wrote it.
func (e *Engine) subjects(ctx context.Context, s Stream) ([]string, error) {
	var info *jetstream.StreamInfo
	err := e.readConn.askLeader(ctx, func(ctx context.Context) error {
		js, err := e.js.Stream(ctx, shardStream(s.Shard))
		if err == nil {
			info, err = js.Info(ctx, jetstream.WithSubjectFilter(streamSubjects(s)))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("subjects of a stream: %w", err)
	}
	list := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		list = append(list, subject)
	}
	slices.Sort(list)
	return list, nil
}
