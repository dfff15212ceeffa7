package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sluice/delivery"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

const (
	// maxRecent is how many attempts are kept of a webhook, maxDead how many dead letters. The oldest go.
	maxRecent = 100
	maxDead   = 1000
)

// Attempt is one try to deliver one batch. It holds positions and never a payload.
type Attempt struct {
	ID      string        `json:"id"` // the header webhook-id
	At      time.Time     `json:"at"`
	First   engine.Offset `json:"first"`
	Last    engine.Offset `json:"last"`
	Events  int           `json:"events"`
	Number  int           `json:"attempt"` // from 1
	Status  int           `json:"status"`  // 0: there was no answer
	Failure string        `json:"failure"` // empty: it is delivered
	Took    time.Duration `json:"took"`
	Next    time.Time     `json:"next"` // of the next attempt; zero: none
	Parked  bool          `json:"parked"`
	Replay  string        `json:"replay"`
}

// DeadLetter is a batch that was given up: where it lies in the log and why, never what it holds.
type DeadLetter struct {
	ID       string        `json:"id"`
	First    engine.Offset `json:"first"`
	Last     engine.Offset `json:"last"`
	Events   int           `json:"events"`
	Lane     int           `json:"lane,omitempty"`
	Bare     bool          `json:"bare,omitempty"` // its body is one event and not a list
	Attempts int           `json:"attempts"`
	Since    time.Time     `json:"since"` // of the first attempt that failed
	At       time.Time     `json:"at"`
	Status   int           `json:"status"`
	Failure  string        `json:"failure"`
}

// recents are the last attempts of the webhooks that this node works on, in memory; now and then they go into a cell, so that other nodes
// and later runs can show them. Safe for concurrent use.
type recents struct {
	mu    sync.Mutex
	hooks map[string]*recent
}

type recent struct {
	attempts []Attempt // the newest last
	dirty    bool
	storing  bool
	revision uint64 // of the cell
}

func newRecents() *recents { return &recents{hooks: map[string]*recent{}} }

func (l *recents) add(hook string, a Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.hooks[hook]
	if r == nil {
		r = &recent{attempts: make([]Attempt, 0, 2*maxRecent)}
		l.hooks[hook] = r
	}
	if len(r.attempts) == cap(r.attempts) {
		n := copy(r.attempts, r.attempts[len(r.attempts)-maxRecent+1:])
		r.attempts = r.attempts[:n]
	}
	r.attempts = append(r.attempts, a)
	r.dirty = true
}

func (l *recents) dirty(hook string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.hooks[hook]
	return r != nil && r.dirty
}

// keep forgets the webhooks that are not there any more.
func (l *recents) keep(hooks []*registry.Webhook) {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := make(map[string]struct{}, len(hooks))
	for _, w := range hooks {
		there[w.ID] = struct{}{}
	}
	for id := range l.hooks {
		if _, ok := there[id]; !ok {
			delete(l.hooks, id)
		}
	}
}

func (l *recents) list(hook string) []Attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.hooks[hook]
	if r == nil {
		return nil
	}
	return slices.Clone(r.attempts[max(0, len(r.attempts)-maxRecent):])
}

func attemptsKey(hook string) string { return delivery.Key(Kind, hook) + ".attempts" }
func deadKey(hook string) string     { return delivery.Key(Kind, hook) + ".dead" }

// store writes what changed into the cell, on top of whatever is there: only the owner writes, and what two owners write at once is a
// list for people to look at, not a state.
func (l *recents) store(ctx context.Context, cells *engine.Cells, hook string, log *slog.Logger) {
	l.mu.Lock()
	r := l.hooks[hook]
	if r == nil || !r.dirty || r.storing {
		l.mu.Unlock()
		return
	}
	r.dirty, r.storing = false, true
	text, err := json.Marshal(r.attempts[max(0, len(r.attempts)-maxRecent):])
	revision := r.revision
	l.mu.Unlock()
	if err == nil {
		revision, err = cells.Put(ctx, attemptsKey(hook), text, revision)
		if errors.Is(err, engine.ErrConflict) {
			var cell engine.Cell
			if cell, err = cells.Get(ctx, attemptsKey(hook)); err == nil || errors.Is(err, engine.ErrNotFound) {
				revision, err = cells.Put(ctx, attemptsKey(hook), text, cell.Revision)
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		log.Warn("the last attempts of a webhook are not stored", "webhook", hook, "error", err)
	}
	l.mu.Lock()
	r.storing = false
	if err == nil {
		r.revision = revision
	}
	l.mu.Unlock()
}

// Attempts are the last attempts at a webhook's deliveries, the newest first: from memory where this node makes them, else as they were
// stored, which is a few seconds old.
func (s *Service) Attempts(ctx context.Context, hook string) ([]Attempt, error) {
	list := s.recent.list(hook)
	cell, err := s.cells().Get(ctx, attemptsKey(hook))
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return nil, fmt.Errorf("read the last attempts: %w", err)
	}
	if err == nil {
		var stored []Attempt
		if err := json.Unmarshal(cell.Value, &stored); err != nil {
			return nil, fmt.Errorf("read the last attempts: %w", err)
		}
		list = merge(stored, list)
	}
	slices.Reverse(list)
	return list[:min(len(list), maxRecent)], nil
}

// merge joins two lists by time, each attempt once.
func merge(a, b []Attempt) []Attempt {
	type key struct {
		id     string
		number int
		at     int64
	}
	seen := map[key]struct{}{}
	var all []Attempt
	for _, list := range [][]Attempt{a, b} {
		for _, x := range list {
			k := key{x.ID, x.Number, x.At.UnixMicro()}
			if _, twice := seen[k]; !twice {
				seen[k] = struct{}{}
				all = append(all, x)
			}
		}
	}
	slices.SortStableFunc(all, func(x, y Attempt) int { return x.At.Compare(y.At) })
	return all
}

// DeadLetters are the batches of a webhook that were given up, the oldest first.
func (s *Service) DeadLetters(ctx context.Context, hook string) ([]DeadLetter, error) {
	letters, _, err := s.readDead(ctx, hook)
	return letters, err
}

func (s *Service) readDead(ctx context.Context, hook string) (letters []DeadLetter, revision uint64, err error) {
	cell, err := s.cells().Get(ctx, deadKey(hook))
	if errors.Is(err, engine.ErrNotFound) {
		return nil, 0, nil
	}
	if err == nil {
		err = json.Unmarshal(cell.Value, &letters)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the dead letters: %w", err)
	}
	return letters, cell.Revision, nil
}

// changeDead changes the list, again while somebody else does.
func (s *Service) changeDead(ctx context.Context, hook string, change func([]DeadLetter) []DeadLetter) error {
	for {
		letters, revision, err := s.readDead(ctx, hook)
		if err != nil {
			return err
		}
		text, err := json.Marshal(change(letters))
		if err != nil {
			return fmt.Errorf("write the dead letters: %w", err)
		}
		if _, err = s.cells().Put(ctx, deadKey(hook), text, revision); err == nil || !errors.Is(err, engine.ErrConflict) {
			return err
		}
	}
}

// park puts a batch on the list. It is on the disk before the batch is passed over.
func (s *Service) park(ctx context.Context, hook *registry.Webhook, b *batch, a Attempt) error {
	return s.changeDead(ctx, hook.ID, func(letters []DeadLetter) []DeadLetter {
		letters = slices.DeleteFunc(letters, func(d DeadLetter) bool { return d.ID == a.ID })
		letters = append(letters, DeadLetter{
			ID: a.ID, First: b.first, Last: b.last, Events: b.events, Lane: b.lane, Bare: b.bare, Attempts: b.attempts, Since: b.since, At: s.now(),
			Status: a.Status, Failure: a.Failure,
		})
		return letters[max(0, len(letters)-maxDead):]
	})
}

// pick gives the letters of some ids, all without ids.
func pick(letters []DeadLetter, ids []string) []DeadLetter {
	if len(ids) == 0 {
		return letters
	}
	var found []DeadLetter
	for _, d := range letters {
		if slices.Contains(ids, d.ID) {
			found = append(found, d)
		}
	}
	return found
}

func (s *Service) removeDead(ctx context.Context, hook string, gone []DeadLetter) error {
	return s.changeDead(ctx, hook, func(letters []DeadLetter) []DeadLetter {
		return slices.DeleteFunc(letters, func(d DeadLetter) bool {
			return slices.ContainsFunc(gone, func(g DeadLetter) bool { return g.ID == d.ID && g.At.Equal(d.At) })
		})
	})
}

// ForgetDead takes dead letters off the list for good; no ids: all. It returns those that went.
func (s *Service) ForgetDead(ctx context.Context, hook string, ids []string) ([]DeadLetter, error) {
	letters, err := s.DeadLetters(ctx, hook)
	if err != nil {
		return nil, err
	}
	gone := pick(letters, ids)
	if len(gone) == 0 {
		return nil, nil
	}
	return gone, s.removeDead(ctx, hook, gone)
}

func (s *Service) cells() *engine.Cells { return s.cfg.Engine.Cells() }
