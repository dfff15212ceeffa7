package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/delivery"
	"sluice/relay/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

const kind delivery.Kind = "webhook"

func openEngine(t *testing.T) *engine.Engine {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{Dir: t.TempDir(), Durability: "os", MinFree: 1 << 20, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// node is a Runner that runs.
type node struct {
	*delivery.Runner
	stop func()
}

func start(t *testing.T, e *engine.Engine, cfg delivery.Config) *node {
	t.Helper()
	cfg.Log = quiet
	n := &node{Runner: delivery.New(e.Cells(), cfg)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("Run does not end")
			}
		})
	}
	t.Cleanup(n.stop)
	return n
}

// ledger is what the counters of all nodes did to one subscription.
type ledger struct {
	mu      sync.Mutex
	working int
	most    int // how many were at it at one time
	steps   int
	owner   string
	by      map[string]int
}

// counter is a Sink that counts, one step a millisecond, and saves after every step.
type counter struct {
	name   string
	ledger *ledger
}

func (c *counter) Run(ctx context.Context, claim *delivery.Claim) error {
	var at int
	if s := claim.State(); s != nil {
		if err := json.Unmarshal(s, &at); err != nil {
			return err
		}
	}
	c.ledger.enter(c.name)
	defer c.ledger.leave()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Millisecond):
		}
		if err := claim.Alive(); err != nil {
			return err
		}
		at++
		c.ledger.step(c.name)
		claim.Save([]byte(fmt.Sprint(at)))
	}
}

func (l *ledger) enter(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.working++
	l.most = max(l.most, l.working)
	l.owner = name
}

func (l *ledger) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.working--
}

func (l *ledger) step(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps++
	if l.by == nil {
		l.by = map[string]int{}
	}
	l.by[name]++
}

func (l *ledger) look() (owner string, working, most, steps int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owner, l.working, l.most, l.steps
}

func until(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never %s", what)
		}
	}
}

func subs(name string, ledgers []*ledger) []delivery.Subscription {
	var all []delivery.Subscription
	for i, l := range ledgers {
		all = append(all, delivery.Subscription{ID: fmt.Sprintf("s%d", i), Version: "1", Sink: &counter{name, l}})
	}
	return all
}

func newLedgers(n int) []*ledger {
	all := make([]*ledger, n)
	for i := range all {
		all[i] = &ledger{}
	}
	return all
}

// Two nodes share the subscriptions, one owner each; a node that goes in order hands over at once and exactly.
func TestTwoNodesShare(t *testing.T) {
	e := openEngine(t)
	ledgers := newLedgers(20)
	a := start(t, e, delivery.Config{})
	a.Set(kind, subs("a", ledgers))
	owned := func(by string) (n int) {
		for _, l := range ledgers {
			if owner, working, _, _ := l.look(); owner == by && working == 1 {
				n++
			}
		}
		return n
	}
	until(t, 5*time.Second, "a owns all", func() bool { return owned("a") == 20 })
	b := start(t, e, delivery.Config{})
	b.Set(kind, subs("b", ledgers))
	until(t, 8*time.Second, "both own some", func() bool { n := owned("b"); return n >= 2 && n <= 18 && owned("a")+n == 20 })
	a.stop()
	until(t, 8*time.Second, "b owns all", func() bool { return owned("b") == 20 })
	b.stop()
	for i, l := range ledgers {
		_, working, most, steps := l.look()
		if working != 0 || most != 1 {
			t.Errorf("%d: %d at work, at most %d", i, working, most)
		}
		// Nobody died, so nothing was done twice: the cell counts as far as the steps.
		h, err := a.Look(t.Context(), kind, fmt.Sprintf("s%d", i))
		if err != nil || h.Owner != "" || string(h.State) != fmt.Sprint(steps) {
			t.Errorf("%d: %+v %v after %d steps", i, h, err, steps)
		}
	}
}

// cut is a Sink whose node dies: it goes on without asking, as a process would that was stopped and does not know.
type cut struct {
	claim chan *delivery.Claim
}

func (c *cut) Run(ctx context.Context, claim *delivery.Claim) error {
	c.claim <- claim
	<-claim.Work().Done()
	return context.Cause(claim.Work())
}

// A node that takes the cell fences the one before: its writes are refused, its claim is lost.
func TestFencing(t *testing.T) {
	e := openEngine(t)
	c := &cut{claim: make(chan *delivery.Claim, 4)}
	a := start(t, e, delivery.Config{Alone: true, Grace: 100 * time.Millisecond})
	a.Set(kind, []delivery.Subscription{{ID: "s", Version: "1", Sink: c}})
	claim := <-c.claim
	if err := claim.Commit(t.Context(), []byte(`{"at":1}`)); err != nil {
		t.Fatal(err)
	}
	// Another node writes the cell with the next term, as a taker does.
	cell, err := e.Cells().Get(t.Context(), delivery.Key(kind, "s"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Cells().Put(t.Context(), cell.Key, []byte(`{"v":1,"owner":"other","term":9,"state":{"at":5}}`), cell.Revision); err != nil {
		t.Fatal(err)
	}
	if err := claim.Commit(t.Context(), []byte(`{"at":2}`)); !errors.Is(err, delivery.ErrLost) {
		t.Errorf("Commit of a late owner: %v", err)
	}
	if err := claim.Alive(); !errors.Is(err, delivery.ErrLost) {
		t.Errorf("Alive of a late owner: %v", err)
	}
	// Alone, every other owner is a dead one: it comes back, with what the other one left.
	again := <-c.claim
	if again.Term() != 10 || string(again.State()) != `{"at":5}` {
		t.Errorf("taken again: term %d, state %s", again.Term(), again.State())
	}
}

// One stale claim in a batch does not keep the others from being stored.
func TestOneStaleClaimInABatch(t *testing.T) {
	e := openEngine(t)
	a := start(t, e, delivery.Config{Alone: true, Grace: 100 * time.Millisecond})
	const n = 10
	var all []delivery.Subscription
	c := &cut{claim: make(chan *delivery.Claim, 2*n)}
	for i := range n {
		all = append(all, delivery.Subscription{ID: fmt.Sprintf("s%d", i), Version: "1", Sink: c})
	}
	a.Set(kind, all)
	claims := make([]*delivery.Claim, n)
	for i := range claims {
		claims[i] = <-c.claim
	}
	cells, err := e.Cells().List(t.Context(), "delivery.sub")
	if err != nil || len(cells) != n {
		t.Fatalf("%d cells, %v", len(cells), err)
	}
	if _, err := e.Cells().Put(t.Context(), cells[3].Key, []byte(`{"v":1,"owner":"other","term":9}`), cells[3].Revision); err != nil {
		t.Fatal(err)
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i, claim := range claims {
		wg.Go(func() { errs[i] = claim.Commit(t.Context(), []byte(`1`)) })
	}
	wg.Wait()
	lost := 0
	for _, err := range errs {
		if errors.Is(err, delivery.ErrLost) {
			lost++
		} else if err != nil {
			t.Error(err)
		}
	}
	if lost != 1 {
		t.Errorf("%d claims were lost, want 1", lost)
	}
}

// A node that dies without a word is replaced within five seconds, and what it did in its last moments is done again, no more.
func TestSilentDeath(t *testing.T) {
	e := openEngine(t)
	l := &ledger{}
	// The dead node: a beat that is never repeated, and a cell in its name.
	if _, err := e.Cells().Put(t.Context(), "delivery.node.dead", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Cells().Put(t.Context(), delivery.Key(kind, "s"), []byte(`{"v":1,"owner":"dead","term":3,"state":41}`), 0); err != nil {
		t.Fatal(err)
	}
	b := start(t, e, delivery.Config{})
	began := time.Now()
	b.Set(kind, []delivery.Subscription{{ID: "s", Version: "1", Sink: &counter{"b", l}}})
	until(t, 5*time.Second, "taken over", func() bool { _, working, _, _ := l.look(); return working == 1 })
	if took := time.Since(began); took < 2900*time.Millisecond {
		t.Errorf("taken after %v, before the owner had missed three beats", took)
	}
	h, err := b.Look(t.Context(), kind, "s")
	if err != nil || h.Owner != b.Node() || h.Term != 4 {
		t.Errorf("%+v %v", h, err)
	}
}

// An owner that cannot beat stops by itself before anybody may take its place.
func TestStopsWithoutBeats(t *testing.T) {
	e, err := engine.Open(t.Context(), engine.Config{Dir: t.TempDir(), Durability: "os", MinFree: 1 << 20, Timeout: time.Second, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{}
	a := start(t, e, delivery.Config{Grace: 100 * time.Millisecond})
	a.Set(kind, []delivery.Subscription{{ID: "s", Version: "1", Sink: &counter{"a", l}}})
	until(t, 5*time.Second, "at work", func() bool { _, working, _, _ := l.look(); return working == 1 })
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	began := time.Now()
	until(t, 5*time.Second, "stopped", func() bool { _, working, _, _ := l.look(); return working == 0 })
	if took := time.Since(began); took > 2500*time.Millisecond {
		t.Errorf("it went on for %v", took)
	}
}

// Deleted subscriptions leave no cell; paused ones keep theirs; another version is another Sink with the same state.
func TestSetChanges(t *testing.T) {
	e := openEngine(t)
	a := start(t, e, delivery.Config{Alone: true, Grace: time.Second})
	first, second := &ledger{}, &ledger{}
	a.Set(kind, []delivery.Subscription{{ID: "s", Version: "1", Sink: &counter{"1", first}}, {ID: "gone", Version: "1", Sink: &counter{"1", &ledger{}}}})
	until(t, 5*time.Second, "first at work", func() bool { _, _, _, steps := first.look(); return steps > 20 })
	if _, err := e.Cells().Put(t.Context(), delivery.Key(kind, "gone")+".more", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	a.Set(kind, []delivery.Subscription{{ID: "s", Version: "2", Sink: &counter{"2", second}}})
	until(t, 5*time.Second, "second at work", func() bool { _, _, _, steps := second.look(); return steps > 20 })
	if _, working, _, _ := first.look(); working != 0 {
		t.Error("both sinks are at work")
	}
	until(t, 5*time.Second, "the deleted one's cells are gone", func() bool {
		cells, err := e.Cells().List(t.Context(), delivery.Key(kind, "gone"))
		return err == nil && len(cells) == 0
	})
	a.Set(kind, []delivery.Subscription{{ID: "s", Version: "2"}})
	until(t, 5*time.Second, "paused", func() bool {
		_, working, _, _ := second.look()
		h, err := a.Look(t.Context(), kind, "s")
		return working == 0 && err == nil && h.Owner == ""
	})
	h, err := a.Look(t.Context(), kind, "s")
	_, _, _, one := first.look()
	_, _, _, two := second.look()
	if err != nil || string(h.State) != fmt.Sprint(one+two) {
		t.Errorf("state %s %v after %d and %d steps", h.State, err, one, two)
	}
}

// clumsy is a Sink that ends when it should not, now and then.
type clumsy struct{ counter }

var errClumsy = errors.New("clumsy")

func (c *clumsy) Run(ctx context.Context, claim *delivery.Claim) error {
	if rand.IntN(4) == 0 {
		return errClumsy
	}
	return c.counter.Run(ctx, claim)
}

// Start and stop, set and unset, many times over, under load: nothing hangs, nothing leaks, no subscription has two workers of one node.
func TestLifecycle(t *testing.T) {
	e := openEngine(t)
	ledgers := newLedgers(30)
	var version atomic.Int64
	for round := range 25 {
		a := start(t, e, delivery.Config{Alone: true, Grace: 300 * time.Millisecond})
		for range rand.IntN(5) {
			var all []delivery.Subscription
			v := version.Add(1)
			for i, l := range ledgers {
				if rand.IntN(4) > 0 {
					s := delivery.Subscription{ID: fmt.Sprintf("s%d", i), Version: fmt.Sprint(v / (1 + rand.Int64N(2))), Sink: &clumsy{counter{fmt.Sprint(round), l}}}
					if rand.IntN(5) == 0 {
						s.Sink = nil
					}
					all = append(all, s)
				}
			}
			a.Set(kind, all)
			time.Sleep(rand.N(20 * time.Millisecond))
		}
		a.stop()
		for i, l := range ledgers {
			if _, working, most, _ := l.look(); working != 0 || most > 1 {
				t.Fatalf("round %d, %d: %d at work after the stop, at most %d", round, i, working, most)
			}
		}
	}
	if err := delivery.New(e.Cells(), delivery.Config{}).Run(canceled()); err != nil {
		t.Error(err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
