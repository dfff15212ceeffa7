package consent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"

	"sluice/relay/engine"
)

// word is how a node tells the others which leaves of a stream are going, before it cuts them: a cell of its own for each
// stream, sealed under a key that whoever can open the stream has. One goroutine. nil where no other node can be.
//
// The cut erases the cell in the same batch and is fenced by its revision. So a word that somebody has taken back is never
// made true without being said, and waited for, again; and one that stands tells all that there may be a cut at any moment.
type word struct {
	stream engine.StreamID
	cell   string
	said   bool   // it may be stored
	rev    uint64 // as it was stored last; 0: it was not, or was taken back
	leaves map[leafID]struct{}
}

// leafIDSize is what a leaf takes in a word: its era, 4 bytes, and itself, 8.
const leafIDSize = 4 + 8

func (p *peers) word(id engine.StreamID) *word {
	if p == nil {
		return nil
	}
	return &word{stream: id, cell: goingPrefix + "." + id.String() + "." + p.name}
}

// end is the part of a cut that ends the word.
func (w *word) end() []engine.Write {
	if w == nil {
		return nil
	}
	return []engine.Write{{Key: w.cell, Revision: w.rev}}
}

// announce tells the other nodes that leaves are going, and returns when none of them opens or seals with these any more.
// What was announced before is not announced again. engine.ErrConflict: the word was taken back meanwhile.
func (v *Vault) announce(ctx context.Context, w *word, shift *node, eras []*era, leaves [][]uint64) error {
	if w == nil {
		return nil
	}
	going, news := map[leafID]struct{}{}, false
	var plain []byte
	for i, e := range eras {
		for _, leaf := range leaves[i] {
			id := leafID{e.number, leaf}
			going[id] = struct{}{}
			_, said := w.leaves[id]
			news = news || !said
			plain = binary.BigEndian.AppendUint32(plain, id.era)
			plain = binary.BigEndian.AppendUint64(plain, id.leaf)
		}
	}
	if !news && w.rev != 0 {
		return nil
	}
	sc := getScratch()
	key := derive(sc, shift, forGoing)
	sc.put()
	sealed := seal(&key, w.cell, "", plain)
	p := v.peers
	p.keep(w.stream, p.name, heardWord{cell: engine.Cell{Key: w.cell, Value: sealed}, at: time.Now()})
	w.said = true
	rev, err := v.cells.Put(ctx, w.cell, sealed, w.rev)
	if err != nil {
		if errors.Is(err, engine.ErrConflict) {
			err = errors.Join(err, v.stillSaid(ctx, w))
		}
		return fmt.Errorf("telling the other nodes: %w", err)
	}
	w.rev, w.leaves = rev, going
	if err := p.wait(ctx, rev, time.Now().Add(silentAfter)); err != nil {
		return fmt.Errorf("waiting for the other nodes: %w", err)
	}
	return nil
}

// stillSaid looks, after a conflict, whether the word still stands; if not, it has to be said again.
func (v *Vault) stillSaid(ctx context.Context, w *word) error {
	if w == nil {
		return nil
	}
	cell, err := v.cells.Get(ctx, w.cell)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	if cell.Revision != w.rev {
		w.rev, w.leaves = cell.Revision, nil
	}
	return nil
}

// said lets go of a word that was made true.
func (p *peers) said(w *word) {
	if w == nil {
		return
	}
	p.keep(w.stream, p.name, heardWord{})
	w.said, w.rev, w.leaves = false, 0, nil
}

// takeBack takes back a word that was not made true.
func (v *Vault) takeBack(ctx context.Context, s *stream, w *word) {
	if w == nil || !w.said {
		return
	}
	p := v.peers
	p.keep(w.stream, p.name, heardWord{})
	s.invalidate()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), changeWait)
	defer cancel()
	if err := p.unsay(ctx, w.cell); err != nil {
		p.log.Warn("the others still wait for a forgetting that did not succeed; it is taken back later", slog.Any("error", err))
		p.mu.Lock()
		p.left[w.cell] = struct{}{}
		p.mu.Unlock()
	}
}

// unsay erases the cell of an own word, if it is there.
func (p *peers) unsay(ctx context.Context, name string) error {
	cell, err := p.cells.Get(ctx, name)
	if err == nil {
		err = p.cells.Erase(ctx, name, cell.Revision)
	}
	if errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrConflict) {
		return nil
	}
	return err
}

// heardWord takes in that another node forgets people of a stream, or does so no more.
func (p *peers) heardWord(c engine.Cell) (id engine.StreamID, other bool) {
	text, name, ok := strings.Cut(strings.TrimPrefix(c.Key, goingPrefix+"."), ".")
	parsed, err := uuid.Parse(text)
	if !ok || err != nil || name == p.name {
		return engine.StreamID(parsed), false
	}
	h := heardWord{cell: c, at: time.Now()}
	if c.Gone {
		h = heardWord{}
	}
	p.keep(engine.StreamID(parsed), name, h)
	return engine.StreamID(parsed), true
}

// keep remembers what a node says of a stream; the zero word: nothing any more.
func (p *peers) keep(id engine.StreamID, name string, h heardWord) {
	p.mu.Lock()
	defer p.mu.Unlock()
	words := p.words[id]
	switch {
	case h.cell.Key != "" && words == nil:
		p.words[id] = map[string]heardWord{name: h}
	case h.cell.Key != "":
		words[name] = h
	default:
		if delete(words, name); len(words) == 0 {
			delete(p.words, id)
		}
	}
}

// goingIn is the leaves of a stream that somebody is erasing, this node among them. ErrDamaged: a word cannot be read, so
// that nobody knows whose keys may be used.
func (p *peers) goingIn(id engine.StreamID, shift *node) (map[leafID]struct{}, error) {
	if p == nil {
		return nil, nil
	}
	p.mu.Lock()
	words := maps.Clone(p.words[id])
	p.mu.Unlock()
	if len(words) == 0 {
		return nil, nil
	}
	sc := getScratch()
	key := derive(sc, shift, forGoing)
	sc.put()
	going := map[leafID]struct{}{}
	for _, w := range words {
		plain, err := unseal(&key, w.cell.Key, "", w.cell.Value)
		if err != nil || len(plain)%leafIDSize != 0 {
			return nil, fmt.Errorf("a word of who is being forgotten: %w", ErrDamaged)
		}
		for ; len(plain) > 0; plain = plain[leafIDSize:] {
			going[leafID{binary.BigEndian.Uint32(plain), binary.BigEndian.Uint64(plain[4:])}] = struct{}{}
		}
	}
	return going, nil
}

// untilGone waits until a Forget that was under way when a view was read has ended, here or on another node.
func (s *stream) untilGone(ctx context.Context, w *view) error {
	if err := s.acquire(ctx); err != nil {
		return err
	}
	s.release()
	p := s.vault.peers
	if p == nil {
		return nil
	}
	news := p.news() // before the look, so that what comes after it is told
	if s.view.Load() != w {
		return nil
	}
	select {
	case <-news:
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.vault.Ready()
}
