// Package registry hides where and how the control plane is kept: the projects, streams, data contracts
// and credentials. All of them are cells of the engine, seen by every node through one watch. Readers get
// a Snapshot from memory, without a lock and without a round trip; changes are made by compare-and-set, so
// that two nodes which do the same at once cannot both succeed.
//
// # What a crash can leave
//
// Every change is one atomic batch of cells: a stream is there with its name, its public id and its
// credentials, or not at all. Only two things take more than a batch. A deleted stream's events and keys
// are erased after the batch that took the stream away; that batch leaves a note (dropping.<uuid>), and
// Run finishes what a crash left. The first admin token is shown to the operator after it was stored; until
// it was shown it is marked as unseen, and a start that finds it so makes another.
//
// # What a node sees
//
// A change returns on the node that made it when its own Snapshot has it. Other nodes see it some
// milliseconds later; the Find methods and Authenticate ask the store once before they say that something
// does not exist. A delete and a revocation reach the other nodes by the watch.
package registry

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/auth"
	"sluice/relay/consent"
	"sluice/relay/engine"
)

// Config is what a Registry is made of.
type Config struct {
	// PublicURL is where clients reach the gateway, the root of the token issuer's address; default http://127.0.0.1:8080.
	PublicURL string
	// TokenTTL is how long access tokens live; default one hour.
	TokenTTL time.Duration
	// AdminToken, where it is not empty, is the admin token of this run and the stored one is not: 16 or
	// more visible ASCII characters.
	AdminToken string
	// MinInterval lowers the shortest interval an exporter may have; default, and at most, MinInterval.
	MinInterval time.Duration
	// Now is the clock; default time.Now.
	Now func() time.Time
	// Log is where it logs to; default slog.Default().
	Log *slog.Logger
}

const (
	minAdminToken    = 16
	defaultPublicURL = "http://127.0.0.1:8080"
	realm            = "/auth/realms/streams"
)

// Validate reports all faults at once. The zero Config has none. It never shows the admin token.
func (c Config) Validate() error {
	var faults []error
	if c.AdminToken != "" {
		faults = append(faults, CheckAdminToken(c.AdminToken))
	}
	if c.TokenTTL < 0 || c.TokenTTL > 0 && c.TokenTTL < time.Second {
		faults = append(faults, fmt.Errorf("a token cannot live for %v, make it a second or more", c.TokenTTL))
	}
	if d := c.MinInterval; d != 0 && (d < time.Second || d > MinInterval || d%time.Second != 0) {
		faults = append(faults, fmt.Errorf("the least interval of exporters must be from 1s to %v in whole seconds", MinInterval))
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		faults = append(faults, errors.New("the public URL is none of http:// or https:// and a host"))
	}
	return errors.Join(faults...)
}

// Registry is the control plane. Safe for concurrent use.
type Registry struct {
	cells       *engine.Cells
	engine      *engine.Engine
	vault       *consent.Vault
	log         *slog.Logger
	now         func() time.Time
	minInterval time.Duration
	tokens      *auth.Tokens
	ask         *asker
	passwords   *auth.Passwords
	auditing    *auditing

	snapshot atomic.Pointer[Snapshot] // written under mu
	news     news

	// turn is held by the one that changes something: a place in it is the right to. Changes of one node
	// would only refuse each other; across nodes the compare-and-set decides.
	turn chan struct{}

	first atomic.Pointer[string] // the admin token that Open made, until it is taken

	mu       sync.Mutex // guards what follows; never held over I/O
	state    *state
	waiters  map[*waiter]struct{}
	watching chan struct{} // closed when the present Run ends, nil outside Run
	complete bool          // the watch of the present Run has said all there is
}

// Open loads everything. On an empty store it makes project default and an admin token, which
// FirstAdminToken gives once. Without Run the Registry works but sees no changes of others.
func Open(ctx context.Context, e *engine.Engine, v *consent.Vault, cfg Config) (*Registry, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MinInterval == 0 {
		cfg.MinInterval = MinInterval
	}
	if cfg.PublicURL == "" {
		cfg.PublicURL = defaultPublicURL
	}
	r := &Registry{
		cells: e.Cells(), engine: e, vault: v, log: cfg.Log, now: cfg.Now, minInterval: cfg.MinInterval,
		ask: newAsker(cfg.Now), passwords: auth.NewPasswords(), auditing: newAuditing(),
		turn: make(chan struct{}, 1),

		state:   newState(cfg.Log),
		waiters: map[*waiter]struct{}{},
	}
	if cfg.AdminToken != "" {
		r.state.override = &adminToken{hash: sha256.Sum256([]byte(cfg.AdminToken)), id: auth.Hash(cfg.AdminToken)}
	}
	r.snapshot.Store(r.state.first())
	if err := r.load(ctx); err != nil {
		return nil, fmt.Errorf("loading the control plane: %w", err)
	}
	keys, err := r.bootstrap(ctx)
	if err != nil {
		return nil, err
	}
	r.tokens, err = auth.NewTokens(auth.TokensConfig{
		Issuer: strings.TrimRight(cfg.PublicURL, "/") + realm,
		TTL:    cfg.TokenTTL,
		Keys:   keys,
		Now:    cfg.Now,
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// CheckAdminToken tells what is wrong with an admin token that an operator chose.
func CheckAdminToken(token string) error {
	if len(token) < minAdminToken {
		return fmt.Errorf("the admin token has %d characters, it needs %d or more", len(token), minAdminToken)
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c > '~' {
			return errors.New("the admin token has a character that is not visible ASCII")
		}
	}
	return nil
}

// Snapshot gives the control plane as this node knows it now.
func (r *Registry) Snapshot() *Snapshot { return r.snapshot.Load() }

// Tokens issues and verifies access tokens with the store's signing key.
func (r *Registry) Tokens() *auth.Tokens { return r.tokens }

// Ready says why this node should not be sent requests, nil when it may be.
func (r *Registry) Ready() error {
	r.mu.Lock()
	watching, complete := r.watching != nil, r.complete
	r.mu.Unlock()
	switch {
	case !watching:
		return errNotWatching
	case !complete:
		return errLoading
	case time.Since(r.cells.Heard()) > maxSilence: // not r.now: the engine's times are of the real clock
		return errSilent
	}
	return nil
}

// load takes in all cells by a listing. Only before Run, or when it has ended.
func (r *Registry) load(ctx context.Context) error {
	cells, err := r.cells.List(ctx, root)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range cells {
		r.state.apply(c)
	}
	r.publish()
	return nil
}

// publish makes the Snapshot of what was applied, and wakes those who waited for it. Under mu.
func (r *Registry) publish() {
	r.snapshot.Store(r.state.build(r.snapshot.Load()))
	r.news.tell()
	for w := range r.waiters {
		if len(w.want) == 0 {
			close(w.done)
			delete(r.waiters, w)
		}
	}
}
