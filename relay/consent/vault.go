package consent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tink-crypto/tink-go/v2/tink"

	"sluice/relay/engine"
)

// Config is the vault's.
type Config struct {
	// Dir is the folder of the key files, made with mode 0700 when it is not there. It must be beside
	// the store, never in it: what is in the store is in its backups.
	Dir string

	// Master is where the master key lies: a file path or a file:// URI; empty: master.key in Dir. It
	// is made when it is not there. Every node of a cluster needs the same one.
	Master string

	// Era is how much time one key tree serves, a whole number of days. Default 30 days. A tree is
	// erased when the retention has passed since its last event, so shorter eras erase sooner, and
	// each costs a little storage per stream and per forgotten person. May be changed at any time.
	Era time.Duration

	// Shared: several nodes work on one log. The erase key then lies in the log too, wrapped by the
	// master key, so what is forgotten is physically gone only when the log has been compacted.
	Shared bool

	// CacheBytes bounds the memory of the hot keys, 1.4 KB each. Default 64 MiB. A key that is not in
	// it costs 10 µs.
	CacheBytes int64

	// TreeBytes bounds the memory of key trees that people were forgotten in, 1.9 KB a person and era.
	// Default 64 MiB. A tree part that is not in it is read from the store.
	TreeBytes int64

	Now     func() time.Time      // default time.Now; Expire goes by it
	Log     *slog.Logger          // default slog.Default()
	Metrics prometheus.Registerer // nil: not registered
}

func (c Config) withDefaults() Config {
	if c.Era == 0 {
		c.Era = 30 * day
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 64 << 20
	}
	if c.TreeBytes == 0 {
		c.TreeBytes = 64 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// Validate reports all faults at once. The zero Config has none but Dir, which must be set.
func (c Config) Validate() error {
	var faults []error
	if c.Dir == "" {
		faults = append(faults, errors.New("keys: the folder of the key files is not set"))
	}
	if c.Era != 0 && (c.Era < day || c.Era%day != 0 || c.Era > math.MaxInt32*time.Second) {
		faults = append(faults, ErrEra)
	}
	if c.CacheBytes < 0 || c.TreeBytes < 0 {
		faults = append(faults, errors.New("keys: a memory bound may not be negative"))
	}
	if _, err := masterPath(c); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// Vault gives keys for people and days. Safe for concurrent use. It has no goroutine of its own but
// Run's, and nothing to close.
type Vault struct {
	cells   *engine.Cells
	cfg     Config
	eraDays uint32
	master  tink.AEAD
	keeper  keeper
	cache   *cache
	covers  covers
	metrics *metrics

	mu      sync.RWMutex
	streams map[engine.StreamID]*stream // every stream that was asked for since the start

	told  hearers
	peers *peers // nil: no other node can exist

	// list is held while the list of the forgotten is read or written.
	list sync.Mutex

	// upper is held while the cells above the streams are changed.
	upper sync.Mutex
	// erase is the erase key that the top cell was last read or written under.
	erase atomic.Pointer[eraseKey]

	partBytes int // the size at which a tree part's cell is split: maxCell, but in tests

	// fault stops a change between two steps, as a crash would. Tests set it.
	fault func(step string) error
}

// Open opens the vault whose cells these are, or makes a new one: master key, erase key, top cell.
// When it returns nil, what an interrupted Forget left has been finished or undone.
//
// Errors to act on: ErrPermissions, ErrMaster, ErrNoMaster, ErrMasterURI, ErrEraseKey, ErrEra.
func Open(ctx context.Context, cells *engine.Cells, cfg Config) (*Vault, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the key files: %w", err)
	}
	master, err := openOrMakeMaster(ctx, cells, cfg)
	if err != nil {
		return nil, err
	}
	metrics, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	v := &Vault{
		cells:   cells,
		cfg:     cfg,
		eraDays: uint32(cfg.Era / day),
		master:  master,
		cache:   newCache(cfg.CacheBytes),
		covers:  covers{limit: cfg.TreeBytes},
		metrics: metrics,
		streams: map[engine.StreamID]*stream{},

		partBytes: maxCell,
	}
	if v.keeper = (fileKeeper{dir: cfg.Dir, wrap: master}); cfg.Shared {
		v.keeper = cellKeeper{cells: cells, wrap: master}
		v.peers = newPeers(cells, cfg.Log)
	}
	if err := v.checkMaster(ctx); err != nil {
		return nil, err
	}
	if err := v.trimForgotten(); err != nil {
		// It is for a restore, which will not take it; nothing else needs it.
		v.cfg.Log.WarnContext(ctx, "the list of the forgotten cannot be read", "error", err)
	}
	if err := v.openTop(ctx); err != nil {
		return nil, err
	}
	return v, nil
}

func (v *Vault) stream(id engine.StreamID) *stream {
	v.mu.RLock()
	s := v.streams[id]
	v.mu.RUnlock()
	if s != nil {
		return s
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if s = v.streams[id]; s == nil {
		s = &stream{id: id, vault: v, lock: make(chan struct{}, 1)}
		v.streams[id] = s
	}
	return s
}

// KeyFor gives the key of a subject and key field value at a time, the keyLink that is shown with
// events sealed under it, and the locator that is stored with them. subject empty: the contract names
// none and the key field stands for it. Both are read only during the call.
//
// In the 24 hours of a person's window, the same subject and key field give the same key and link; the
// first call for a stream and era stores the era's seed. Who was forgotten gets a key of their next
// generation. While a Forget of the person is under way KeyFor waits for its end. A key in the cache
// costs no allocation.
//
// ErrNoPerson, ErrTime; ErrForgotten when the stream was dropped; ErrCutOff; else the store's.
func (v *Vault) KeyFor(ctx context.Context, s engine.StreamID, subject, keyField []byte, now time.Time) (*Key, engine.KeyLink, engine.Locator, error) {
	if err := v.Ready(); err != nil {
		return nil, engine.KeyLink{}, engine.Locator{}, err
	}
	if len(subject) == 0 {
		subject = keyField
	}
	hash := v.cache.hash(s, subject, keyField)
	millis := now.UnixMilli()
	if p := v.cache.person(hash, millis); p != nil && p.key.alive(ctx) == nil {
		return p.key, p.link, p.at, nil
	}
	if len(subject) == 0 {
		return nil, engine.KeyLink{}, engine.Locator{}, ErrNoPerson
	}
	if millis < firstMillis || millis > lastMillis {
		return nil, engine.KeyLink{}, engine.Locator{}, ErrTime
	}
	p, err := v.find(ctx, v.stream(s), subject, keyField, millis)
	if err != nil {
		return nil, engine.KeyLink{}, engine.Locator{}, err
	}
	p.hash = hash
	v.cache.putPerson(p)
	return p.key, p.link, p.at, nil
}

// find derives a person's key.
func (v *Vault) find(ctx context.Context, s *stream, subject, keyField []byte, millis int64) (*person, error) {
	sc := getScratch()
	defer sc.put()
	// The era depends on the window, and the window on the stream's shift key.
	when := func(shift *node) (start int64, number, end uint32) {
		start = windowStart(sc, shift, subject, millis)
		number, end = eraOf(start, v.eraDays)
		return start, number, end
	}
	for {
		w, err := s.get(ctx)
		if err != nil {
			return nil, err
		}
		if s.dropped.Load() {
			return nil, ErrForgotten
		}
		start, number, end := when(&w.shift)
		e := w.era(number)
		if !w.exists || e == nil || e.end < end {
			if err := s.begin(ctx, when); err != nil {
				return nil, err
			}
			continue
		}
		p := &person{from: start, until: start + dayMillis, at: engine.Locator{Era: number, Turn: turnOf(start)}}
		p.at.Leaf, p.at.Generation, err = v.living(ctx, s.id, w, e, sc, subject)
		if errors.Is(err, errStale) {
			s.view.CompareAndSwap(w, nil)
			continue
		}
		if err != nil {
			return nil, err
		}
		if _, going := w.going[leafID{number, p.at.Leaf}]; going {
			if err := s.untilGone(ctx, w); err != nil {
				return nil, err
			}
			continue
		}
		p.link = linkOf(sc, &e.link, start, p.at.Generation, subject, keyField)
		p.key, err = v.keyAt(ctx, s, p.link, p.at)
		if errors.Is(err, ErrForgotten) {
			// Forgotten between the two looks: the next generation's turn, if the stream is still there.
			continue
		}
		return p, err
	}
}

// living is a person's first leaf in an era that was not erased, and its generation.
func (v *Vault) living(ctx context.Context, id engine.StreamID, w *view, e *era, sc *scratch, subject []byte) (uint64, uint32, error) {
	for generation := uint32(0); ; generation++ {
		leaf := leafOf(sc, &e.index, subject, generation)
		_, _, err := v.covering(ctx, id, e, leaf)
		if !errors.Is(err, ErrForgotten) {
			return leaf, generation, err
		}
	}
}

// KeyAt gives the key of a stored event. ErrForgotten for ever after Forget returned, and when the era
// has ended or the stream was dropped; ErrNoKey for the zero locator; ErrCutOff. A key in the cache
// costs no allocation.
func (v *Vault) KeyAt(ctx context.Context, s engine.StreamID, link engine.KeyLink, at engine.Locator) (*Key, error) {
	if k := v.cache.stored(s, link, at); k != nil {
		if err := k.alive(ctx); err != nil {
			return nil, err
		}
		return k, nil
	}
	if at.Era == 0 {
		return nil, ErrNoKey
	}
	if err := v.Ready(); err != nil {
		return nil, err
	}
	return v.keyAt(ctx, v.stream(s), link, at)
}

func (v *Vault) keyAt(ctx context.Context, s *stream, link engine.KeyLink, at engine.Locator) (*Key, error) {
	if k := v.cache.stored(s.id, link, at); k != nil && k.alive(ctx) == nil {
		return k, nil
	}
	// The epoch is read before the tree: a Forget in between leaves the key with a former epoch.
	epoch := s.epoch.Load()
	n, depth, err := s.above(ctx, at.Era, at.Leaf)
	if err != nil {
		return nil, err
	}
	leaf := descend(n, depth, at.Leaf)
	sc := getScratch()
	defer sc.put()
	k, err := fieldKey(sc, &leaf, link)
	if err != nil {
		return nil, err
	}
	k.stream, k.era, k.leaf = s, at.Era, at.Leaf
	k.epoch.Store(epoch)
	v.cache.putStored(&stored{key: k, link: link, at: at})
	return k, nil
}

// Format prints the type for every verb, for fmt would otherwise print secret fields.
func (v *Vault) Format(f fmt.State, _ rune) { fmt.Fprint(f, "consent.Vault") }
