package consent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/relay/engine"
)

// endOf is when the last window that began in an era is over.
func (e *eraEntry) endOf() time.Time {
	return time.UnixMilli(int64(e.end) * dayMillis).Add(window)
}

// Expire erases the eras whose last event is older than the retention, by the configured clock. A
// retention of 0 keeps everything. When it returns nil no event of these eras can be opened.
func (v *Vault) Expire(ctx context.Context, id engine.StreamID, retention time.Duration) error {
	if retention <= 0 {
		return nil
	}
	s := v.stream(id)
	w, err := s.get(ctx)
	if err != nil {
		return err
	}
	oldest := v.cfg.Now().Add(-retention)
	over := func(e *eraEntry) bool { return e.endOf().Before(oldest) }
	if !slices.ContainsFunc(w.eras, func(e *era) bool { return over(&e.eraEntry) }) {
		return nil
	}
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	var gone []uint32
	err = s.retry(ctx, func() error {
		p, w, err := s.read(ctx)
		if err != nil || p.record == nil {
			return err
		}
		next, after := *p.record, *w
		next.eras, after.eras, gone = nil, nil, nil
		for i, e := range w.eras {
			if over(&e.eraEntry) {
				gone = append(gone, e.number)
				continue
			}
			next.eras = append(next.eras, p.record.eras[i])
			after.eras = append(after.eras, e)
		}
		if len(gone) == 0 {
			return nil
		}
		since := s.epoch.Load()
		if after.going, err = v.peers.goingIn(id, &w.shift); err != nil {
			return err
		}
		after.mark, err = v.commit(ctx, change{stream: id, from: p, record: &next})
		if err != nil && !errors.Is(err, errLeft) {
			s.invalidate()
			return err
		}
		s.publish(&after, since)
		return err
	})
	if err != nil {
		return fmt.Errorf("ending eras of stream %s: %w", id, err)
	}
	v.cache.drop(func(k *Key) bool { return k.stream == s && slices.Contains(gone, k.era) })
	for _, number := range gone {
		v.clear(ctx, id, number)
	}
	return nil
}

// clear clears away the cells of an era that is gone: its own and its parts', also those that an
// interrupted Forget wrote ahead.
func (v *Vault) clear(ctx context.Context, id engine.StreamID, number uint32) {
	var cells []engine.Write
	for _, prefix := range []string{eraName(id, number), partsName(id, number)} {
		list, err := v.cells.List(ctx, prefix)
		if err != nil {
			v.warnLeft(ctx, err)
			return
		}
		for _, c := range list {
			cells = append(cells, engine.Write{Key: c.Key, Revision: c.Revision})
		}
	}
	v.eraseCells(ctx, cells)
}

// DropStream erases all keys of a deleted stream. When it returns nil no event of it can be opened,
// and KeyFor of this Vault gives no key for it any more. Dropping it again, or one that never had a
// key, is no error.
func (v *Vault) DropStream(ctx context.Context, id engine.StreamID) error {
	s := v.stream(id)
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	s.dropped.Store(true)
	s.epoch.Add(1)
	var eras []*era
	err := s.retry(ctx, func() error {
		p, w, err := s.read(ctx)
		if err != nil || p.record == nil {
			return err
		}
		eras = w.eras
		since := s.epoch.Load()
		_, err = v.commit(ctx, change{stream: id, from: p})
		if err != nil && !errors.Is(err, errLeft) {
			s.invalidate()
			return err
		}
		s.publish(&view{}, since)
		return err
	})
	if err != nil {
		return fmt.Errorf("dropping the keys of stream %s: %w", id, err)
	}
	v.cache.drop(func(k *Key) bool { return k.stream == s })
	for _, e := range eras {
		v.clear(ctx, id, e.number)
	}
	return nil
}
