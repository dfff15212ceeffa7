package registry

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"sluice/relay/contract"
)

const (
	// askTime bounds one question to the store, and the wait for the watch to show what it said.
	askTime = 2 * time.Second
	// maxAsking is how many questions are on their way at once, askRate how many of one kind may be put in a
	// second. Who comes beyond that is answered from what this node knows: whoever hammers with names that do
	// not exist must not hammer the store. Of one kind, for anybody can hammer with client ids.
	maxAsking = 8
	askRate   = 50
	// maxMissing bounds the memory of what was asked for in vain, and missingFor how long that is believed.
	maxMissing = 4096
	missingFor = time.Second
	// maxAskedName bounds a name that is asked for, in bytes.
	maxAskedName = 512
)

// asker bounds what is asked of the store on account of names this node does not know.
type asker struct {
	now    func() time.Time
	flight singleflight.Group
	places chan struct{}

	mu      sync.Mutex
	second  int64
	asked   map[string]int       // by kind, in that second
	missing map[string]time.Time // until when
}

func newAsker(now func() time.Time) *asker {
	return &asker{now: now, places: make(chan struct{}, maxAsking), missing: map[string]time.Time{}}
}

// allowed takes one of this second's questions, unless the same was asked in vain a moment ago.
func (a *asker) allowed(key string) bool {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if until, ok := a.missing[key]; ok {
		if now.Before(until) {
			return false
		}
		delete(a.missing, key)
	}
	if second := now.Unix(); second != a.second {
		a.second, a.asked = second, map[string]int{}
	}
	kind, _ := splitKey(key)
	if a.asked[kind] >= askRate {
		return false
	}
	a.asked[kind]++
	return true
}

func (a *asker) inVain(key string) {
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.missing) >= maxMissing {
		for k, until := range a.missing {
			if !now.Before(until) {
				delete(a.missing, k)
			}
		}
	}
	if len(a.missing) < maxMissing {
		a.missing[key] = now.Add(missingFor)
	}
}

// lookUp asks the store for a cell that this node has not heard of, and returns when the Snapshot shows it
// or it is known not to exist. It errs on the side of not asking.
func (r *Registry) lookUp(ctx context.Context, key string) {
	if ctx.Err() != nil {
		return
	}
	// One question serves all who have it at this moment, so it is not ended by the one who put it first.
	_, _, _ = r.ask.flight.Do(key, func() (any, error) {
		if !r.ask.allowed(key) {
			return nil, nil
		}
		select {
		case r.ask.places <- struct{}{}:
			defer func() { <-r.ask.places }()
		default:
			return nil, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
		defer cancel()
		if err := r.refresh(ctx, []string{key}); err != nil {
			return nil, nil //nolint:nilerr // not to know is the answer; Ready tells of a store that does not answer
		}
		r.mu.Lock()
		known := r.state.revisions[key] != 0
		r.mu.Unlock()
		if !known {
			r.ask.inVain(key)
		}
		return nil, nil
	})
}

// FindProject is Snapshot.Project that asks the store before it says that there is none.
func (r *Registry) FindProject(ctx context.Context, name string) *Project {
	if p := r.Snapshot().Project(name); p != nil || len(name) > maxAskedName {
		return p
	}
	r.lookUp(ctx, projectNameKey(name))
	return r.Snapshot().Project(name)
}

// FindStream is Snapshot.Stream that asks the store before it says that there is none.
func (r *Registry) FindStream(ctx context.Context, p *Project, name string) *Stream {
	if st := r.Snapshot().Stream(p, name); st != nil || p == nil || len(name) > maxAskedName {
		return st
	}
	r.lookUp(ctx, nameKey(p.ID, name))
	return r.Snapshot().Stream(p, name)
}

// FindPublic is Snapshot.StreamByPublicID that asks the store before it says that there is none.
func (r *Registry) FindPublic(ctx context.Context, id string) *Stream {
	if st := r.Snapshot().StreamByPublicID(id); st != nil || len(id) > maxAskedName {
		return st
	}
	r.lookUp(ctx, publicKey(id))
	return r.Snapshot().StreamByPublicID(id)
}

// FindClient is Snapshot.StreamByClient that asks the store before it says that there is none.
func (r *Registry) FindClient(ctx context.Context, clientID string) *Stream {
	if st := r.Snapshot().StreamByClient(clientID); st != nil || len(clientID) > maxAskedName {
		return st
	}
	r.lookUp(ctx, clientKey(clientID))
	return r.Snapshot().StreamByClient(clientID)
}

// FindContract is Snapshot.Contract that asks the store before it says that there is none. It costs no
// allocation when the contract is known.
func (r *Registry) FindContract(ctx context.Context, p *Project, ref []byte) (c *contract.Contract, active bool) {
	if c, active = r.Snapshot().Contract(p, ref); c != nil || len(ref) > maxAskedName {
		return c, active
	}
	if _, _, err := parseRef(string(ref)); err != nil {
		return nil, false // a short id has no cell of its own
	}
	r.lookUp(ctx, contractKey(string(ref)))
	return r.Snapshot().Contract(p, ref)
}
