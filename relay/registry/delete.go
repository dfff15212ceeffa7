package registry

import (
	"context"
	"fmt"
	"time"

	"sluice/relay/engine"
	"sluice/relay/usage"
)

const (
	// settleAfter is how long after a delete a node may still have an event on its way into the log. What came
	// in late is erased when it is over.
	settleAfter = time.Minute
	// eraseEvery is how often it is looked whether deleted streams are left to erase.
	eraseEvery = 10 * time.Second
)

// DeleteStream deletes a stream, and with recursive those derived from it. It takes away names and
// credentials first, so nobody can use it any more, then erases its events and keys; what a crash in
// between leaves, Run finishes. Errors: ErrNotFound, *InUse.
func (r *Registry) DeleteStream(ctx context.Context, p *Project, name string, recursive bool) (Deleted, error) {
	var (
		deleted Deleted
		id      string
		whole   bool
	)
	for !whole {
		var part Deleted
		err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
			st := s.Stream(p, name)
			// The name may have another stream by now, when derived streams went in a batch before.
			if st == nil || id != "" && id != st.UUID {
				return nil, ErrNotFound
			}
			id = st.UUID
			all := s.Tree(st)
			if err := all.inUse(); err != nil && !recursive {
				return nil, err
			}
			part, whole = all.batch()
			return append(r.planDelete(s, at, st, part.Derived, whole), planDependents(s, at, part)...), nil
		})
		if err != nil {
			return Deleted{}, err
		}
		deleted.add(part)
	}
	if deleted.Stream.Source == nil {
		if err := r.erase(ctx, deleted.Stream.Log); err != nil {
			r.log.Warn("the events of a deleted stream are not erased yet; it is tried again", "stream", id, "error", err)
		}
	}
	return deleted, nil
}

func (r *Registry) planDelete(s *Snapshot, at revisions, st *Stream, derived []*Stream, itself bool) []engine.Write {
	var writes []engine.Write
	erase := func(key string) {
		// A cell that is not there need not be erased, and to expect it would refuse the batch for ever.
		if at[key] != 0 {
			writes = append(writes, engine.Write{Key: key, Revision: at[key]})
		}
	}
	gone := derived
	if itself {
		gone = append(gone[:len(gone):len(gone)], st)
	}
	project := s.ProjectByID(st.Project.ID)
	for _, g := range gone {
		erase(streamKey(g.UUID))
		erase(nameKey(g.Project.ID, g.Name))
		erase(clientKey(g.ClientID))
		if g.PublicID != "" {
			erase(publicKey(g.PublicID))
		}
		if project.EventStream == g.Name {
			changed := *project.record
			changed.EventStream = ""
			key := projectKey(project.ID)
			writes = append(writes, engine.Write{Key: key, Value: encode(&changed), Revision: at[key]})
		}
	}
	if itself && st.Source == nil {
		writes = append(writes, engine.Write{Key: droppingKey(st.UUID), Value: encode(&droppingRecord{
			Version: recordVersion, ID: st.UUID, Shard: st.Log.Shard, Since: st.Log.Since, Deleted: r.now().UnixMilli(),
		})})
	}
	if !itself {
		// A fence: while derived streams go batch by batch, none is added without this delete noticing.
		key := streamKey(st.UUID)
		writes = append(writes, engine.Write{Key: key, Value: encode(st.record), Revision: at[key]})
	}
	return writes
}

// erase erases a deleted stream's events and keys. It may be repeated.
func (r *Registry) erase(ctx context.Context, at engine.Stream) error {
	// The keys first: without them the events are noise, whatever becomes of the log.
	if err := r.vault.DropStream(ctx, at.ID); err != nil {
		return fmt.Errorf("erasing a stream's keys: %w", err)
	}
	if err := r.engine.Drop(ctx, at); err != nil {
		return fmt.Errorf("erasing a stream's events: %w", err)
	}
	return usage.Drop(ctx, r.engine.Cells(), at.ID)
}

// finishDeletions erases what deletes left: at once what a crash left, and again a while after the delete,
// when no node can still be writing what it accepted before it heard. Nodes that do it at once do no harm.
func (r *Registry) finishDeletions(ctx context.Context) error {
	erased := map[string]bool{} // those that this Run erased once
	ticker := time.NewTicker(eraseEvery)
	defer ticker.Stop()
	for {
		for _, d := range r.deletions() {
			over := r.now().Sub(time.UnixMilli(d.Deleted)) >= settleAfter
			if erased[d.ID] && !over {
				continue
			}
			if err := r.finishDeletion(ctx, d, over); err != nil {
				if ctx.Err() == nil {
					r.log.Warn("a deleted stream is not erased yet; it is tried again", "stream", d.ID, "error", err)
				}
				continue
			}
			erased[d.ID] = true
			if over {
				delete(erased, d.ID)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (r *Registry) deletions() []*droppingRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*droppingRecord
	for _, d := range r.state.dropping {
		all = append(all, d)
	}
	return all
}

func (r *Registry) finishDeletion(ctx context.Context, d *droppingRecord, over bool) error {
	id, err := parseStreamID(d.ID)
	if err != nil {
		return err
	}
	if err := r.erase(ctx, engine.Stream{ID: id, Shard: d.Shard, Since: d.Since}); err != nil || !over {
		return err
	}
	return r.change(ctx, func(_ *Snapshot, at revisions) ([]engine.Write, error) {
		key := droppingKey(d.ID)
		if at[key] == 0 {
			return nil, nil
		}
		return []engine.Write{{Key: key, Revision: at[key]}}, nil
	})
}
