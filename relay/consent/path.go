package consent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"sluice/relay/engine"
)

// The names of the vault's cells. A prefix is followed by a dot and what it is the prefix of.
const (
	topName      = "consent.top"
	masterName   = "consent.master"
	bucketPrefix = "consent.bucket"
	streamPrefix = "consent.stream"
	eraPrefix    = "consent.era"
	partPrefix   = "consent.part"
	erasePrefix  = "consent.erase"
	goingPrefix  = "consent.going"
	nodePrefix   = "consent.node"
)

func bucketName(b byte) string { return bucketPrefix + "." + strconv.Itoa(int(b)) }

func streamName(s engine.StreamID) string { return streamPrefix + "." + s.String() }

func streamOfName(name string) (engine.StreamID, bool) {
	text, ok := strings.CutPrefix(name, streamPrefix+".")
	id, err := uuid.Parse(text)
	return engine.StreamID(id), ok && err == nil
}

func eraName(s engine.StreamID, number uint32) string {
	return fmt.Sprintf("%s.%s.%d", eraPrefix, s, number)
}

func partsName(s engine.StreamID, number uint32) string {
	return fmt.Sprintf("%s.%s.%d", partPrefix, s, number)
}

func partName(s engine.StreamID, number uint32, cell uint64) string {
	return fmt.Sprintf("%s.%016x", partsName(s, number), cell)
}

// upper is the top cell and one bucket as they were read, with their revisions.
type upper struct {
	eraseID   string
	top       *top
	topRev    uint64
	bucket    bucket
	bucketRev uint64
}

// path is the cells from the top to a stream.
type path struct {
	upper
	key    node    // of the stream's cell
	record *record // nil: the stream has none
	rev    uint64
	mark   mark
}

// readTop reads the top cell. ErrEraseKey when its erase key is not here.
func (v *Vault) readTop(ctx context.Context) (upper, error) {
	cell, err := v.cells.Get(ctx, topName)
	for {
		if err != nil {
			return upper{}, fmt.Errorf("reading the top key cell: %w", err)
		}
		u, missing := v.openUpper(ctx, cell)
		if !errors.Is(missing, ErrEraseKey) {
			return u, missing
		}
		// Another node may have replaced the cell, and destroyed the key, after the cell was read.
		former := cell.Revision
		if cell, err = v.cells.Get(ctx, topName); err == nil && cell.Revision == former {
			return upper{}, missing
		}
	}
}

func (v *Vault) openUpper(ctx context.Context, cell engine.Cell) (upper, error) {
	id, err := topID(cell.Value)
	if err != nil {
		return upper{}, err
	}
	k := v.erase.Load()
	if k == nil || k.id != id {
		key, err := v.keeper.get(ctx, id)
		if err != nil {
			return upper{}, err
		}
		k = &eraseKey{id, key}
	}
	plain, err := unseal(&k.key, topName, id, cell.Value)
	if err != nil {
		return upper{}, err
	}
	t, err := decodeTop(plain)
	if err != nil {
		return upper{}, err
	}
	v.erase.Store(k)
	return upper{eraseID: id, top: t, topRev: cell.Revision}, nil
}

// readUpper reads the top cell and the bucket of a stream. errStale: a Forget came between.
func (v *Vault) readUpper(ctx context.Context, s engine.StreamID) (upper, error) {
	t, err := v.readTop(ctx)
	if err != nil {
		return upper{}, err
	}
	b := bucketOf(s)
	cell, err := v.cells.Get(ctx, bucketName(b))
	if errors.Is(err, engine.ErrNotFound) {
		return t, nil
	}
	if err != nil {
		return upper{}, fmt.Errorf("reading a bucket of stream keys: %w", err)
	}
	plain, err := unseal(&t.top[b], bucketName(b), "", cell.Value)
	if err != nil {
		return upper{}, errStale
	}
	t.bucketRev = cell.Revision
	t.bucket, err = decodeBucket(plain)
	return t, err
}

// readPath reads the cells above a stream's eras. The stream's record is nil when it has none.
//
// The cells are read one after the other. A Forget that commits in between leaves the cells read
// after it under keys that those read before it do not hold; then all are read again.
func (v *Vault) readPath(ctx context.Context, s engine.StreamID) (*path, error) {
	for range rereads {
		p, err := v.tryPath(ctx, s)
		if !errors.Is(err, errStale) {
			return p, err
		}
	}
	return nil, fmt.Errorf("reading the keys of stream %s: %w", s, ErrDamaged)
}

func (v *Vault) tryPath(ctx context.Context, s engine.StreamID) (*path, error) {
	u, err := v.readUpper(ctx, s)
	if err != nil {
		return nil, err
	}
	p := &path{upper: u}
	i, ok := u.bucket.find(s)
	if !ok {
		return p, nil
	}
	p.key = u.bucket[i].key
	name := streamName(s)
	cell, err := v.cells.Get(ctx, name)
	if errors.Is(err, engine.ErrNotFound) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keys of a stream: %w", err)
	}
	plain, err := unseal(&p.key, name, "", cell.Value)
	if err != nil {
		return nil, errStale
	}
	p.rev, p.mark = cell.Revision, markOf(cell.Value)
	p.record, err = decodeRecord(plain)
	return p, err
}

// viewOf is the view of a stream whose path was read. What has not changed since the former view is
// taken from it, with the covers loaded there. errStale: a Forget came between.
func (v *Vault) viewOf(ctx context.Context, s engine.StreamID, p *path, former *view) (*view, error) {
	w := &view{mark: p.mark}
	if p.record == nil {
		return w, nil
	}
	w.exists, w.shift, w.high = true, p.record.shift, p.record.high
	for _, entry := range p.record.eras {
		var old *era
		if former != nil {
			old = former.era(entry.number)
		}
		e, err := v.readEra(ctx, s, entry, old)
		if err != nil {
			return nil, err
		}
		w.eras = append(w.eras, e)
	}
	var err error
	w.going, err = v.peers.goingIn(s, &w.shift)
	return w, err
}

func (v *Vault) readEra(ctx context.Context, s engine.StreamID, entry eraEntry, old *era) (*era, error) {
	// An era's cell gets a new key whenever it changes, so an equal secret means an equal era.
	if old != nil && old.secret == entry.secret {
		e := *old
		e.eraEntry = entry
		return &e, nil
	}
	if !entry.cut {
		return seedEra(entry), nil
	}
	name := eraName(s, entry.number)
	cell, err := v.cells.Get(ctx, name)
	if errors.Is(err, engine.ErrNotFound) {
		return nil, errStale
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keys of an era: %w", err)
	}
	plain, err := unseal(&entry.secret, name, "", cell.Value)
	if err != nil {
		return nil, errStale
	}
	e := &era{eraEntry: entry}
	if err := decodeEra(e, plain); err != nil {
		return nil, err
	}
	if old != nil {
		e.adopt(old)
	}
	return e, nil
}

// seedEra is an era nobody was forgotten in: all its keys come from one seed.
func seedEra(entry eraEntry) *era {
	sc := getScratch()
	defer sc.put()
	e := &era{eraEntry: entry}
	e.link = derive(sc, &e.secret, forEraLink)
	e.index = derive(sc, &e.secret, forEraIndex)
	e.root = derive(sc, &e.secret, forEraTree)
	return e
}

// adopt takes over the parts that an older state of the era has too. A cell's name is never used
// twice.
func (e *era) adopt(old *era) {
	i := 0
	for j, p := range e.parts {
		for i < len(old.parts) && old.parts[i].start < p.start {
			i++
		}
		if i < len(old.parts) && p.cell != 0 && old.parts[i].cell == p.cell {
			e.parts[j] = old.parts[i]
		}
	}
}

// begin stores the era that when names for the stream, and the stream's record if it has none.
func (s *stream) begin(ctx context.Context, when func(shift *node) (start int64, number, end uint32)) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	for range rereads {
		p, _, err := s.read(ctx)
		if err != nil {
			return err
		}
		if s.dropped.Load() {
			return ErrForgotten
		}
		if p.record != nil {
			_, number, end := when(&p.record.shift)
			next, changed := p.record.with(number, end)
			if !changed {
				return nil
			}
			name := streamName(s.id)
			_, err = s.vault.cells.Put(ctx, name, seal(&p.key, name, "", next.encode()), p.rev)
		} else {
			err = s.vault.addStream(ctx, s.id, when)
		}
		if err == nil {
			_, _, err = s.read(ctx)
			return err
		}
		if !errors.Is(err, engine.ErrConflict) {
			return fmt.Errorf("storing the keys of an era: %w", err)
		}
	}
	return fmt.Errorf("storing the keys of an era: %w", engine.ErrConflict)
}

// with is the record with an era in it that lasts to end or longer.
func (r *record) with(number, end uint32) (*record, bool) {
	next := &record{shift: r.shift, high: max(r.high, number)}
	next.eras = append(next.eras, r.eras...)
	i, found := r.find(number)
	if found {
		if r.eras[i].end >= end {
			return r, false
		}
		next.eras[i].end = end
		return next, true
	}
	next.eras = slices.Insert(next.eras, i, eraEntry{number: number, end: end, secret: newNode()})
	return next, true
}

// addStream stores a stream's first record: its key in the bucket, which keeps its own, for nothing is
// erased here; then its cell. When it is interrupted in between, the bucket holds a key that is taken
// the next time.
func (v *Vault) addStream(ctx context.Context, s engine.StreamID, when func(shift *node) (start int64, number, end uint32)) error {
	v.upper.Lock()
	defer v.upper.Unlock()
	u, err := v.readUpper(ctx, s)
	if errors.Is(err, errStale) {
		return engine.ErrConflict
	}
	if err != nil {
		return err
	}
	var key node
	if i, ok := u.bucket.find(s); ok {
		key = u.bucket[i].key
	} else {
		key = newNode()
		b := bucketOf(s)
		sealed := seal(&u.top[b], bucketName(b), "", u.bucket.with(s, key).encode())
		if _, err := v.cells.Put(ctx, bucketName(b), sealed, u.bucketRev); err != nil {
			return err
		}
	}
	first := &record{shift: newNode()}
	_, number, end := when(&first.shift)
	first, _ = first.with(number, end)
	_, err = v.cells.Put(ctx, streamName(s), seal(&key, streamName(s), "", first.encode()), 0)
	return err
}
