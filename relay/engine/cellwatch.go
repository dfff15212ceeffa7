package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// watch is one Watch that is under way.
type watch struct {
	heard atomic.Int64 // Unix nanoseconds of the last word from the log
}

// silenceLimit is how long a watch may hear nothing before what it told is taken for old. A healthy one hears a
// heartbeat every pullBeat.
const silenceLimit = 10 * time.Second

// Watch calls fn with the present cells under prefix (see List), then with every change, in order, on the calling
// goroutine, until ctx ends, and then returns nil. ready is called once, after the present cells. After an
// interruption it goes on where it was, so that nothing is missed; of several writes to one cell in the meantime only
// the last is told. It returns an error when the interruption was so long that marks of erased cells may be gone; the
// caller must then begin anew. fn must not block: it holds up this watch alone, but makes what it told old.
func (c *Cells) Watch(ctx context.Context, prefix string, fn func(Cell), ready func()) error {
	return c.WatchAll(ctx, []string{prefix}, fn, ready)
}

// WatchAll is Watch of several prefixes, none of which begins with another, as one: the order of the changes is that of
// their revisions, across all of them.
func (c *Cells) WatchAll(ctx context.Context, prefixes []string, fn func(Cell), ready func()) error {
	var subjects []string
	for _, prefix := range prefixes {
		more, err := prefixSubjects(prefix)
		if err != nil {
			return err
		}
		subjects = append(subjects, more...)
	}
	if c.e.closing.Load() {
		return ErrClosed
	}
	w := &watch{}
	w.heard.Store(time.Now().UnixNano())
	c.mu.Lock()
	c.watches[w] = struct{}{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.watches, w)
		c.mu.Unlock()
	}()
	told := map[string]struct{}{} // the present cells, until ready; a mark of any other is old news
	complete := func() {
		if told != nil {
			told = nil
			if ready != nil {
				ready()
			}
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(c.e.ctx, cancel)
	defer stop()
	p := &puller{
		link: &c.e.cellConn, js: c.e.cellJS, log: c.e.log, stream: cellStream, filters: subjects,
		max: c.e.cfg.maxCell() + recordSlack, heard: &w.heard,
		started: func(pending uint64) error {
			if away := time.Since(time.Unix(0, w.heard.Load())); away > markLife/2 {
				return fmt.Errorf("watching cells: %w: %v", ErrSilent, away.Round(time.Minute))
			}
			w.heard.Store(time.Now().UnixNano())
			if pending == 0 {
				complete()
			}
			return nil
		},
		idle: complete,
		deliver: func(m stored, more bool) {
			cell := cellOf(m)
			if told != nil {
				if _, known := told[cell.Key]; cell.Gone && !known {
					if !more {
						complete()
					}
					return
				}
				told[cell.Key] = struct{}{}
			}
			fn(cell)
			if !more {
				complete()
			}
		},
	}
	return p.run(ctx)
}

// Heard is when the watch that has heard least lately last heard something of the log; the zero time without watches.
func (c *Cells) Heard() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	var oldest int64
	for w := range c.watches {
		if at := w.heard.Load(); oldest == 0 || at < oldest {
			oldest = at
		}
	}
	if oldest == 0 {
		return time.Time{}
	}
	return time.Unix(0, oldest)
}

// fresh is an error when a watch is silent.
func (c *Cells) fresh() error {
	if at := c.Heard(); !at.IsZero() && time.Since(at) > silenceLimit {
		return ErrSilent
	}
	return nil
}
