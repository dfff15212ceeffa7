package consent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"sluice/relay/engine"
)

// Times of the protocol between nodes. They are not settings: the nodes of a cluster must agree on them.
const (
	beatEvery = time.Second
	// actFor is how long a node opens and seals after it sent a beat that it has heard back.
	actFor = 5 * time.Second
	// silentAfter is when a node acts no more whose last beat was heard so long ago: actFor, and what two clocks may
	// differ by in that time.
	silentAfter = actFor + actFor/20
	// tidyAfter is when the beat of a dead node is erased.
	tidyAfter = time.Minute
)

// peers is what a node knows of the others on its log, and whether it may act. Safe for concurrent use; nil stands for a
// log that no other node can be on, and knows of nobody.
//
// A node beats in a cell of its own and hears all beats, its own too, through the same watch as the words of those who
// forget. The watch keeps the order of the log, so a node that hears its own beat has heard every word that was stored
// before it, and has acted upon it. From when such a beat was sent it may act for actFor. So when a word was stored, a node
// that has not heard it acts for actFor at most from then on; that, or the beat by which it tells that it has heard, is what
// Forget waits for. All times are of one process's monotonic clock; two clocks are never compared.
type peers struct {
	cells  *engine.Cells
	log    *slog.Logger
	name   string // of this node in this run
	origin time.Time
	until  atomic.Int64  // may act until so many nanoseconds after origin
	hurry  chan struct{} // holds one; written when a word was heard, read by beat

	mu      sync.Mutex
	changed chan struct{}            // closed, and replaced, when anything was heard
	over    bool                     // the last beat was taken away
	seen    uint64                   // the revision up to which all was heard and acted upon
	beats   uint64                   // how many were sent
	sent    map[uint64]time.Duration // when after origin, of those that were not heard back yet
	nodes   map[string]peer
	words   map[engine.StreamID]map[string]heardWord // by who says it, this node among them
	left    map[string]struct{}                      // cells of own words that could not be erased yet
}

// peer is what was last heard of another node.
type peer struct {
	at       time.Time
	seen     uint64
	revision uint64 // of its cell
	gone     bool   // it took its beat away, and acts no more
}

// heardWord is that somebody forgets people of a stream.
type heardWord struct {
	cell engine.Cell
	at   time.Time
}

func newPeers(cells *engine.Cells, log *slog.Logger) *peers {
	return &peers{
		cells: cells, log: log, name: uuid.NewString(), origin: time.Now(), hurry: make(chan struct{}, 1),
		changed: make(chan struct{}), sent: map[uint64]time.Duration{}, nodes: map[string]peer{},
		words: map[engine.StreamID]map[string]heardWord{}, left: map[string]struct{}{},
	}
}

// Ready is nil while this node may open and seal: always when it is alone, else while it hears of the others. ErrCutOff.
func (v *Vault) Ready() error {
	if p := v.peers; p != nil && int64(time.Since(p.origin)) >= p.until.Load() {
		return ErrCutOff
	}
	return nil
}

// Withheld is nil while Ready is nil, else closed when it is worth asking again.
func (v *Vault) Withheld() <-chan struct{} {
	if v.peers == nil {
		return nil
	}
	again := v.peers.news() // before the look, so that what comes after it is told
	if v.Ready() == nil {
		return nil
	}
	return again
}

// Await waits until Ready is nil. Its error is ctx's.
func (v *Vault) Await(ctx context.Context) error {
	for {
		again := v.Withheld()
		if again == nil {
			return nil
		}
		select {
		case <-again:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Run takes notice of what other nodes change, until ctx ends, and tells them that this one is there. A node that shares its
// log with others must run it, or it opens and seals nothing; alone it does no harm.
func (v *Vault) Run(ctx context.Context) error {
	if v.peers == nil {
		return v.hear(ctx, streamPrefix)
	}
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		v.peers.beat(ctx)
	}()
	err := v.hear(ctx, streamPrefix, goingPrefix, nodePrefix)
	<-beating
	return err
}

func (v *Vault) hear(ctx context.Context, prefixes ...string) error {
	for {
		err := v.cells.WatchAll(ctx, prefixes, v.noticed, nil)
		if !errors.Is(err, engine.ErrSilent) {
			return err
		}
		// What happened meanwhile may never be told.
		v.peers.anew()
		v.mu.RLock()
		ids := make([]engine.StreamID, 0, len(v.streams))
		for id := range v.streams {
			ids = append(ids, id)
		}
		v.mu.RUnlock()
		for _, id := range ids {
			v.changed(id)
		}
	}
}

// noticed takes in one cell, in the order of the log.
func (v *Vault) noticed(c engine.Cell) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(c.Key, "consent."), ".")
	switch "consent." + kind {
	case nodePrefix:
		v.peers.heardBeat(rest, c)
	case goingPrefix:
		if id, other := v.peers.heardWord(c); other {
			v.changed(id)
			defer v.peers.answer()
		}
	case streamPrefix:
		v.noticedStream(c)
	}
	v.peers.heardAll(c.Revision)
}

func (v *Vault) noticedStream(c engine.Cell) {
	id, ok := streamOfName(c.Key)
	if !ok {
		return
	}
	// Each change has a new mark, so one's own, which is the view already, is told from another's.
	if s := v.known(id); s != nil {
		if w := s.view.Load(); w != nil && (!w.exists && c.Gone || w.exists && !c.Gone && w.mark == markOf(c.Value)) {
			return
		}
	}
	v.changed(id)
}

// changed has what is known of a stream looked up again, and what others made of it dropped.
func (v *Vault) changed(id engine.StreamID) {
	s := v.known(id)
	if s == nil {
		return
	}
	s.invalidate()
	v.told.tell(id)
}

// known is a stream that was asked for; nil when it was not.
func (v *Vault) known(id engine.StreamID) *stream {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.streams[id]
}

// news is closed when something is heard.
func (p *peers) news() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// heardBeat takes in a node's cell. Of this node's own it means that all before it was heard.
func (p *peers) heardBeat(name string, c engine.Cell) {
	if p == nil {
		return
	}
	var number, seen uint64
	if !c.Gone {
		if _, err := fmt.Sscanf(string(c.Value), "%d %d", &number, &seen); err != nil {
			p.log.Warn("the beat of a node cannot be read", slog.String("node", name))
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if name != p.name {
		p.nodes[name] = peer{at: time.Now(), seen: seen, revision: c.Revision, gone: c.Gone}
		return
	}
	at, known := p.sent[number]
	if c.Gone || p.over || !known {
		return
	}
	maps.DeleteFunc(p.sent, func(n uint64, _ time.Duration) bool { return n <= number })
	p.until.Store(int64(at + actFor))
}

// heardAll says that everything up to a revision was heard and acted upon.
func (p *peers) heardAll(revision uint64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = max(p.seen, revision)
	close(p.changed)
	p.changed = make(chan struct{})
}

// anew forgets what was heard, for some of it may be old.
func (p *peers) anew() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until.Store(0)
	clear(p.nodes)
	clear(p.sent)
	for id, words := range p.words {
		maps.DeleteFunc(words, func(name string, _ heardWord) bool { return name != p.name })
		if len(words) == 0 {
			delete(p.words, id)
		}
	}
}

// answer has the next beat go out at once: somebody waits for it.
func (p *peers) answer() {
	select {
	case p.hurry <- struct{}{}:
	default: // it is on its way already, and will tell all that was heard
	}
}

// beat beats until ctx ends; then it takes the beat away, so that nobody waits for this node.
func (p *peers) beat(ctx context.Context) {
	key := nodePrefix + "." + p.name
	var revision uint64
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		revision = p.beatOnce(ctx, key, revision)
		p.tidy(ctx)
		select {
		case <-ticker.C:
		case <-p.hurry:
		case <-ctx.Done():
		}
	}
	p.mu.Lock()
	p.over = true
	p.until.Store(0)
	p.mu.Unlock()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatEvery)
	defer cancel()
	if err := p.cells.Erase(last, key, revision); err != nil && !errors.Is(err, engine.ErrConflict) {
		p.log.Warn("this node's beat is left behind; whoever forgets somebody waits for it to fall silent", slog.Any("error", err))
	}
}

// beatOnce stores one beat and gives the cell's revision.
func (p *peers) beatOnce(ctx context.Context, key string, revision uint64) uint64 {
	ctx, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	now := time.Since(p.origin)
	p.mu.Lock()
	p.beats++
	maps.DeleteFunc(p.sent, func(_ uint64, at time.Duration) bool { return now-at > actFor })
	p.sent[p.beats] = now
	value := fmt.Appendf(nil, "%d %d", p.beats, p.seen)
	p.mu.Unlock()
	next, err := p.cells.Put(ctx, key, value, revision)
	if err == nil {
		return next
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		p.log.Warn("this node's beat was not stored", slog.Any("error", err))
	}
	// It may have been; or somebody who thought us dead erased it. The cell says where to go on.
	cell, err := p.cells.Get(ctx, key)
	switch {
	case err == nil:
		return cell.Revision
	case errors.Is(err, engine.ErrNotFound):
		return 0
	}
	return revision
}

// wait returns when no node acts any more that has not heard all up to a revision, which is at the latest at until. Its
// error is ctx's.
func (p *peers) wait(ctx context.Context, revision uint64, until time.Time) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p.mu.Lock()
		news, next := p.changed, until
		if p.seen >= revision { // so all beats from before it are known
			next = time.Time{}
			for _, n := range p.nodes {
				if silent := n.at.Add(silentAfter); !n.gone && n.seen < revision && silent.After(next) {
					next = silent
				}
			}
			if next.After(until) {
				next = until
			}
		}
		p.mu.Unlock()
		left := time.Until(next)
		if left <= 0 {
			return nil
		}
		timer.Reset(left)
		select {
		case <-news:
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tidy erases what dead nodes left: beats, and words that nobody will make true. A word that is erased so is one whose Forget
// never succeeds, for its cut is fenced by it.
func (p *peers) tidy(ctx context.Context) {
	var cells []engine.Cell
	p.mu.Lock()
	for name, n := range p.nodes {
		if time.Since(n.at) < tidyAfter {
			continue
		}
		if !n.gone {
			cells = append(cells, engine.Cell{Key: nodePrefix + "." + name, Revision: n.revision})
		}
		delete(p.nodes, name)
	}
	for _, words := range p.words {
		for name, w := range words {
			// A node that was never heard may only have been slow to be heard.
			last := w.at
			n, known := p.nodes[name]
			if known {
				last = n.at
			}
			if name != p.name && (n.gone || time.Since(last) > 2*silentAfter) {
				cells = append(cells, w.cell)
			}
		}
	}
	left := maps.Clone(p.left)
	p.mu.Unlock()
	for _, c := range cells {
		if err := p.cells.Erase(ctx, c.Key, c.Revision); err != nil && !errors.Is(err, engine.ErrConflict) && ctx.Err() == nil {
			p.log.Warn("what a dead node left is not erased yet", slog.Any("error", err))
		}
	}
	for name := range left {
		if p.unsay(ctx, name) == nil {
			p.mu.Lock()
			delete(p.left, name)
			p.mu.Unlock()
		}
	}
}
