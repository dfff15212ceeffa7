package consent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/relay/engine"
)

// changeWait is how long the part of a change may take that must not stop half-way because its caller
// went away.
const changeWait = 30 * time.Second

// change is a new state of a stream's keys after which the former is to be noise.
type change struct {
	stream engine.StreamID
	from   *path          // what it was made from
	record *record        // nil: the stream goes
	below  []engine.Write // the cells of eras that changed
}

// commit puts a change in place and destroys the erase key of the former state. It returns the mark of
// the stream's new cell.
//
// The steps, and what a crash after each leaves:
//
//  1. The next erase key is stored: two erase keys, the top cell names the former. Nothing else
//     happened; Open destroys the next one.
//  2. One batch replaces top, bucket, stream and eras, all or none: two erase keys, the top cell names
//     the next. Everything is in place; Open destroys the former.
//  3. The former erase key is destroyed: one erase key, the top cell names it.
//
// So the erase key that the top cell names is the one to keep, whatever happened. Between 1 and 2 it
// is the former, under which nobody's keys have changed; from 2 on the former opens only former
// revisions. commit returns nil after 3, so what it erased stays erased.
//
// When the batch is not answered it may still be on its way. Then the next erase key must live until
// the batch can no longer succeed: settle sees to that.
//
// engine.ErrConflict: somebody else changed the stream first, and nothing was changed. errLeft: the
// change is in place but the former erase key may still be here.
func (v *Vault) commit(ctx context.Context, c change) (mark, error) {
	v.upper.Lock()
	defer v.upper.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeWait)
	defer cancel()

	u, err := v.readUpper(ctx, c.stream)
	if errors.Is(err, errStale) {
		return mark{}, engine.ErrConflict
	}
	if err != nil {
		return mark{}, err
	}
	if i, ok := u.bucket.find(c.stream); !ok || u.bucket[i].key != c.from.key {
		return mark{}, engine.ErrConflict
	}
	// Keys that others add after this list may be about to be used.
	former, err := v.keeper.list(ctx)
	if err != nil {
		return mark{}, err
	}
	next := nextEraseKey(u.eraseID)
	if err := v.keeper.add(ctx, next); err != nil {
		return mark{}, fmt.Errorf("storing the next erase key: %w", err)
	}
	if err := v.step("next erase key stored"); err != nil {
		return mark{}, err
	}

	writes, m := u.rewrite(c, next)
	if err = v.step("batch under way"); err == nil {
		err = v.cells.Batch(ctx, writes)
	}
	if err == nil {
		err = v.step("batch answered")
	}
	if err != nil {
		if errors.Is(err, engine.ErrConflict) {
			return mark{}, errors.Join(err, v.keeper.destroy(ctx, next.id))
		}
		done, settled := v.settle(ctx, next.id)
		if settled != nil || !done {
			return mark{}, fmt.Errorf("replacing the key cells: %w", errors.Join(err, settled))
		}
	}
	v.erase.Store(&next)
	if err := v.step("cells replaced"); err != nil {
		return mark{}, err
	}
	if err := v.keeper.destroy(ctx, former...); err != nil {
		return m, errors.Join(errLeft, err)
	}
	return m, v.step("former erase key destroyed")
}

// errLeft: the keys were erased from the store, but the key that former revisions of the store are
// sealed under could not be destroyed.
var errLeft = errors.New("the former erase key is still there; forget again to destroy it")

// rewrite is the batch that puts a change in place: every cell from the top to the stream under a new
// key. It gives the mark of the stream's cell.
func (u *upper) rewrite(c change, next eraseKey) ([]engine.Write, mark) {
	b := bucketOf(c.stream)
	t := *u.top
	t[b] = newNode()
	streams := u.bucket.without(c.stream)
	stream := engine.Write{Key: streamName(c.stream), Revision: c.from.rev}
	if c.record != nil {
		key := newNode()
		streams = u.bucket.with(c.stream, key)
		stream.Value = seal(&key, stream.Key, "", c.record.encode())
	}
	return append([]engine.Write{
		{Key: topName, Value: seal(&next.key, topName, next.id, t.encode()), Revision: u.topRev},
		{Key: bucketName(b), Value: seal(&t[b], bucketName(b), "", streams.encode()), Revision: u.bucketRev},
		stream,
	}, c.below...), markOf(stream.Value)
}

func (v *Vault) step(name string) error {
	if v.fault == nil {
		return nil
	}
	return v.fault(name)
}

// settle finds out whether a batch that was not answered succeeded, that is, whether the top cell is
// sealed under the erase key id. If not, it writes the top cell once more as it is: on a new revision
// the batch can no longer succeed, so id can be destroyed.
func (v *Vault) settle(ctx context.Context, id string) (bool, error) {
	u, err := v.readTop(ctx)
	if err != nil {
		return false, err
	}
	if u.eraseID == id {
		return true, nil
	}
	if err := v.fence(ctx, u); err != nil {
		return false, err
	}
	return false, v.keeper.destroy(ctx, id)
}

func (v *Vault) fence(ctx context.Context, u upper) error {
	k := v.erase.Load()
	_, err := v.cells.Put(ctx, topName, seal(&k.key, topName, k.id, u.top.encode()), u.topRev)
	return err
}

// openTop makes the top cell of a new store, or clears up what an interrupted commit left.
func (v *Vault) openTop(ctx context.Context) error {
	for range rereads {
		listed, err := v.keeper.list(ctx)
		if err != nil {
			return err
		}
		u, err := v.readTop(ctx)
		if errors.Is(err, engine.ErrNotFound) {
			err = v.makeTop(ctx, listed)
			if err == nil || !errors.Is(err, engine.ErrConflict) {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		left := slices.DeleteFunc(listed, func(id string) bool { return id == u.eraseID })
		if len(left) == 0 {
			return nil
		}
		// One of them may belong to a batch that is still on its way: no longer after this.
		if err := v.fence(ctx, u); errors.Is(err, engine.ErrConflict) {
			continue
		} else if err != nil {
			return fmt.Errorf("fencing the top key cell: %w", err)
		}
		v.cfg.Log.InfoContext(ctx, "destroying erase keys that an interrupted change left", "count", len(left))
		return v.keeper.destroy(ctx, left...)
	}
	return fmt.Errorf("opening the top key cell: %w", engine.ErrConflict)
}

// makeTop makes the top cell. An erase key that is already there is used and kept: either a first
// start was interrupted, or the store it belongs to is elsewhere for the moment.
func (v *Vault) makeTop(ctx context.Context, listed []string) error {
	var k eraseKey
	for _, id := range listed {
		key, err := v.keeper.get(ctx, id)
		if err != nil {
			return err
		}
		k = eraseKey{id, key}
	}
	if k.id == "" {
		k = nextEraseKey("")
		if err := v.keeper.add(ctx, k); err != nil {
			return fmt.Errorf("storing the first erase key: %w", err)
		}
	} else {
		v.cfg.Log.WarnContext(ctx, "the log is new and the key files are not: unless the first start was interrupted, look where the log has gone",
			"keys", v.cfg.Dir)
	}
	if err := v.step("first erase key stored"); err != nil {
		return err
	}
	t := &top{}
	for i := range t {
		t[i] = newNode()
	}
	_, err := v.cells.Put(ctx, topName, seal(&k.key, topName, k.id, t.encode()), 0)
	if err != nil {
		return fmt.Errorf("making the top key cell: %w", err)
	}
	v.erase.Store(&k)
	return nil
}
