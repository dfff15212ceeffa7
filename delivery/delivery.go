// Package delivery gives every subscription one node that works on it, and keeps how far the work has come. It hides who is alive, who
// owns what, how a late owner is kept from undoing the work of the next one, and when a cursor reaches the disk.
//
// # Ownership
//
// A subscription (a webhook, an exporter) is one cell {owner, term, state}, only ever written by compare-and-set. The Runner of each node
// beats once a second in a cell of its own and watches the beats of the others. Which live node should own a subscription is decided by
// rendezvous hashing, so all agree without talking. The chosen node takes the cell with the next term when it has no owner, or when its
// owner has missed three beats by the taker's own monotonic clock. A node that is no longer the chosen one finishes what it has in hand and
// gives the cell up.
//
// An owner whose own last beat is older than two seconds stops by itself, a second before anybody may take its place. A write that is
// refused means that somebody else took the cell: the Claim is lost and the Sink's work ends, whatever it is doing. What fencing cannot
// stop is a request that is already on the wire.
//
// On an embedded engine no other node can exist (its folder is locked): then nobody beats, an idle gateway writes nothing, and whatever a
// killed process left is taken at once.
//
// # Cursors
//
// A Sink saves its state as often as it likes; all that changed on a node goes out every 50 ms as one batch of cells, all or none. When a
// batch is refused, the stale claims are found and dropped and the rest is written. After a kill -9 the work of the last 50 ms and what was
// in flight is done again, by a Sink that derives its ids from offsets under the same ids.
//
// # What a crash can leave
//
// A cell with a dead owner: taken over. A beat of a dead node: erased after a minute by any other. A cell whose subscription was deleted
// while nobody owned it: erased a minute after the start or the deletion.
package delivery

import (
	"context"
	"log/slog"
	"time"

	"sluice/relay/engine"
)

// Kind is what sort of subscription it is, one token of a cell's key: "webhook", "exporter". Ids are unique within it.
type Kind string

// Sink is the work on one subscription. The Runner makes sure that one node at a time is in Run.
type Sink interface {
	// Run works until ctx ends, which means: take nothing new, finish what is in hand, save, and return nil. What it has in hand, requests
	// on the wire above all, must run under c.Work(), which ends when the claim is lost or the grace of a stop is over. When Run returns
	// no goroutine of it may be left. An error while ctx still lives is logged and Run is called again, under the same claim, after a
	// pause that doubles from 1 s to 30 s. Run is never called twice at once.
	Run(ctx context.Context, c *Claim) error
}

// Subscription is one thing to be worked on by one node.
type Subscription struct {
	// ID names it for ever: 1 to 100 of [A-Za-z0-9_-].
	ID string
	// Version stands for everything the Sink was made of. With another Version the Runner stops the old Sink (two-phase, as at the end) and
	// starts the new one with what the old one saved. With the same Version the Sink that is there stays, and the new value is not used.
	Version string
	// Sink does the work; nil: paused. A paused subscription keeps its cell, and so its state, and has no owner.
	Sink Sink
}

// Config is a Runner's.
type Config struct {
	// Alone says that no other node can exist on this engine, because it is embedded: no beats, and every owner that is found is dead.
	Alone bool
	// Grace is how long a stop lets the work in hand finish (default 10 s).
	Grace time.Duration
	// Log is where it logs to (default slog.Default()).
	Log *slog.Logger
}

// Times of the protocol. They are not settings: nodes of one cluster must agree on them.
const (
	beatEvery   = time.Second
	deadAfter   = 3 * time.Second        // an owner is dead when no beat of it was heard for so long
	aliveFor    = 2 * time.Second        // an owner works for so long after its own last beat, no longer
	flushEvery  = 50 * time.Millisecond  // dirty states go out this often
	askEvery    = 250 * time.Millisecond // how often the chosen node looks whether the cell is free
	checkEvery  = 250 * time.Millisecond // how often a node looks who is alive
	forgetAfter = time.Minute            // beats and cells that nobody needs are erased so long after
	defGrace    = 10 * time.Second
)

// New makes a Runner on an engine's cells. It does nothing before Run.
func New(cells *engine.Cells, cfg Config) *Runner { return newRunner(cells, cfg) }

// Holding is what a subscription's cell says, for those who only look.
type Holding struct {
	Owner string // the node's name for this run; empty: nobody
	Term  uint64 // grows with every taking
	State []byte // what the Sink saved last; nil: nothing yet
}
