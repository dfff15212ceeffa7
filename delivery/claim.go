package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	"sluice/relay/engine"
)

// Claim is this node's right to work on a subscription. Safe for concurrent use.
type Claim struct {
	runner *Runner
	key    string
	term   uint64

	work   context.Context
	cancel context.CancelCauseFunc
	gone   atomic.Bool // it is lost. Not only work's cause, which is another where the grace was over before

	mu       sync.Mutex
	revision uint64 // of the cell as this claim wrote it last; written by the flusher alone
	unsure   bool   // a write was not confirmed: what the cell holds must be read before the next. The flusher's alone
	over     bool   // the claim is being given up: what is written next names no owner
	state    json.RawMessage
	version  uint64        // of state: counts the saves
	stored   uint64        // the version that is in the cell
	changed  chan struct{} // closed when stored moved or the claim was lost
}

// Term counts the owners the subscription had up to and with this one.
func (c *Claim) Term() uint64 { return c.term }

// State is what was saved last, by this owner or one before; nil when nothing was. It is shared: read only.
func (c *Claim) State() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Work is the context of what the Sink has in hand. It ends, with ErrLost as its cause, when the claim is lost, and when the grace of a
// stop is over.
func (c *Claim) Work() context.Context { return c.work }

// Alive is nil while this node may act for the subscription, else ErrLost. Ask right before each effect on the world: a process that was
// stopped for a while finds out here, not a timer later.
func (c *Claim) Alive() error {
	if err := context.Cause(c.work); err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	if !c.runner.alive() {
		c.lose()
		return ErrLost
	}
	return nil
}

// Save says how far the work has come: one JSON value, which belongs to the claim from now on. It is on the disk at the latest 50 ms and
// a commit later, together with what other claims of the node saved. Of several saves in between only the last is written.
func (c *Claim) Save(state []byte) {
	c.mu.Lock()
	c.state = state
	c.version++
	c.mu.Unlock()
	c.runner.flusher.mark(c, false)
}

// Commit is Save that returns when the state is on the disk. ErrLost: it is not, another owns the subscription. ctx's error: not known; it
// is still going to be written unless the claim is lost.
func (c *Claim) Commit(ctx context.Context, state []byte) error {
	c.mu.Lock()
	c.state = state
	c.version++
	c.mu.Unlock()
	return c.flushed(ctx, true)
}

// flushed waits until everything saved so far is on the disk.
func (c *Claim) flushed(ctx context.Context, urgent bool) error {
	c.mu.Lock()
	want := c.version
	for c.stored < want {
		if c.lost() {
			c.mu.Unlock()
			return ErrLost
		}
		wait := c.changed
		c.mu.Unlock()
		c.runner.flusher.mark(c, urgent)
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
		c.mu.Lock()
	}
	c.mu.Unlock()
	return nil
}

// lose ends the work because the right to it is gone.
func (c *Claim) lose() {
	c.gone.Store(true)
	c.cancel(ErrLost)
	c.mu.Lock()
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
}

// giveUp stores the last state and lets go of the cell. The flusher goes on trying after ctx has ended.
func (c *Claim) giveUp(ctx context.Context) error {
	c.mu.Lock()
	c.over = true
	c.version++
	c.mu.Unlock()
	return c.flushed(ctx, true)
}

// lost tells whether the claim is gone, and not only its grace.
func (c *Claim) lost() bool { return c.gone.Load() }

// holding is what a subscription's cell holds.
type holding struct {
	Version int             `json:"v"`
	Owner   string          `json:"owner,omitempty"`
	Term    uint64          `json:"term"`
	State   json.RawMessage `json:"state,omitempty"`
}

const holdingVersion = 1

func (h holding) encode() ([]byte, error) {
	h.Version = holdingVersion
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("the state of a subscription is no JSON: %w", err)
	}
	return text, nil
}

func decodeHolding(c engine.Cell) (holding, error) {
	var h holding
	if err := json.Unmarshal(c.Value, &h); err != nil {
		return h, fmt.Errorf("cell %s: %w", c.Key, err)
	}
	if h.Version != holdingVersion {
		return h, fmt.Errorf("cell %s is of version %d, this Sluice knows %d", c.Key, h.Version, holdingVersion)
	}
	return h, nil
}
