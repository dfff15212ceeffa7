package consent_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

func TestForget(t *testing.T) {
	h := newHouse(t)
	s, other := newStream(), newStream()
	jane := []event{h.seal(s, "jane", "session-1"), h.seal(s, "jane", "session-2")}
	h.advance(20 * 24 * time.Hour) // so that two eras may be live
	jane = append(jane, h.seal(s, "jane", "session-3"))
	john := []event{h.seal(s, "john", "session-1"), h.seal(s, "john", "session-9"), h.seal(other, "jane", "session-1")}
	held, err := h.vault.KeyAt(context.Background(), s, jane[2].link, jane[2].at)
	if err != nil {
		t.Fatal(err)
	}
	johns, err := h.vault.KeyAt(context.Background(), s, john[0].link, john[0].at)
	if err != nil {
		t.Fatal(err)
	}

	h.forget(s, "jane")
	h.forgotten(jane...)
	h.opens(john...)
	if _, err := held.Open(nil, jane[2].text); !errors.Is(err, consent.ErrForgotten) {
		t.Errorf("a key that was handed out before: %v", err)
	}
	if _, err := held.Keyset(); !errors.Is(err, consent.ErrForgotten) {
		t.Errorf("its keyset: %v", err)
	}
	if _, err := johns.Open(nil, john[0].text); err != nil {
		t.Errorf("another person's key that was handed out before: %v", err)
	}

	// She comes back in the same window and session: a new key, under a new link.
	back := h.seal(s, "jane", "session-3")
	if back.link == jane[2].link || back.at.Leaf == jane[2].at.Leaf || back.at.Generation != 1 || string(back.text) == string(jane[2].text) {
		t.Errorf("after being forgotten she has a former key: %+v", back.at)
	}
	h.opens(back)
	h.forgotten(jane...)

	h.reopen()
	h.forgotten(jane...)
	h.opens(john...)
	h.opens(back)
	if e := h.seal(s, "jane", "session-3"); e.link != back.link {
		t.Error("after a restart she has another generation")
	}

	h.forget(s, "jane")
	h.forgotten(back)
	third := h.seal(s, "jane", "session-3")
	if third.at.Generation != 2 {
		t.Errorf("forgotten twice she is in generation %d", third.at.Generation)
	}
	h.opens(third)
	h.opens(john...)
	h.forgotten(jane...)
}

func TestForgetWhoWasNeverThere(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	h.forget(s, "nobody") // the stream has no keys
	if names, err := h.log.Cells().List(context.Background(), "consent.stream"); err != nil || len(names) != 0 {
		t.Errorf("forgetting in a stream without keys stored %d streams, %v", len(names), err)
	}
	e := h.seal(s, "jane", "session")
	h.forget(s, "nobody")
	h.forget(s)
	h.opens(e)
}

func TestForgetManyAtOnce(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	var gone, kept []event
	var names []string
	for i := range 1000 {
		name := fmt.Sprint("person-", i)
		names = append(names, name)
		if i%10 == 0 {
			gone = append(gone, h.seal(s, name, "session"))
		}
	}
	for i := range 300 {
		kept = append(kept, h.seal(s, fmt.Sprint("other-", i), "session"))
	}
	before, err := h.vault.KeptEraseKeys(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	top, err := h.log.Cells().Get(context.Background(), "consent.top")
	if err != nil {
		t.Fatal(err)
	}
	var steps int
	h.vault.SetFault(func(string) error { steps++; return nil })
	h.forget(s, names...)
	if steps != 5 {
		t.Errorf("%d steps, want the 5 of one change", steps)
	}
	after, err := h.vault.KeptEraseKeys(context.Background())
	if err != nil || len(after) != 1 || len(before) != 1 || after[0] == before[0] {
		t.Errorf("erase keys before %d, after %d, %v", len(before), len(after), err)
	}
	if c, err := h.log.Cells().Get(context.Background(), "consent.top"); err != nil || c.Revision == top.Revision {
		t.Error("the top was not rewritten")
	}
	h.forgotten(gone...)
	h.opens(kept...)
	h.reopen()
	h.forgotten(gone...)
	h.opens(kept...)

	// What the new parts replaced is cleared away.
	h.forget(s, "other-0")
	cells, err := h.log.Cells().List(context.Background(), consent.PartPrefix(s))
	if err != nil {
		t.Fatal(err)
	}
	if len(cells) > 256 {
		t.Errorf("%d tree parts are stored, want one a shard", len(cells))
	}
}

// A part that outgrows its cell is split, and its halves again.
func TestPartsSplit(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	var gone, kept []event
	for i := range 200 {
		kept = append(kept, h.seal(s, fmt.Sprint("other-", i), "session"))
	}
	const limit = 6 << 10 // three or four people
	for round := range 4 {
		h.vault.SplitAt(limit)
		var names []string
		for i := range 400 {
			names = append(names, fmt.Sprint("person-", round, "-", i))
			if i%20 == 0 {
				gone = append(gone, h.seal(s, names[i], "session"))
			}
		}
		h.forget(s, names...)
		h.forgotten(gone...)
		h.opens(kept...)
		h.reopen()
	}
	h.forgotten(gone...)
	h.opens(kept...)
	cells, err := h.log.Cells().List(context.Background(), consent.PartPrefix(s))
	if err != nil {
		t.Fatal(err)
	}
	if len(cells) <= 256 {
		t.Errorf("%d tree parts after forgetting 1,600 people, want more than one a shard", len(cells))
	}
	for _, c := range cells {
		if len(c.Value) > limit {
			t.Errorf("a part has %d bytes, the limit is %d", len(c.Value), limit)
		}
	}
}

// Readers and writers of many people run while some of those are forgotten. After Forget of a person
// returned, nobody may open an event that person had before, and everybody else is never disturbed.
func TestForgetWithConcurrentReaders(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	const people = 24
	events := make([]event, people)
	keys := make([]*consent.Key, people)
	gone := make([]atomic.Bool, people)  // its Forget returned
	begun := make([]atomic.Bool, people) // its Forget was called
	for i := range people {
		events[i] = h.seal(s, fmt.Sprint("person-", i), "session")
		var err error
		if keys[i], err = h.vault.KeyAt(context.Background(), s, events[i].link, events[i].at); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var readers sync.WaitGroup
	done := make(chan struct{})
	var opened, refused atomic.Int64
	reader := func(r int) {
		for n := r; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			i := n % people
			// The order matters: what is read first was true before the opening began.
			wasGone := gone[i].Load()
			var err error
			switch n % 4 {
			case 0:
				_, err = keys[i].Open(nil, events[i].text)
			case 1:
				err = h.try(events[i])
			case 2:
				h.vault.DropCaches()
				err = h.try(events[i])
			default:
				k, link, at, kerr := h.vault.KeyFor(ctx, s, fmt.Appendf(nil, "person-%d", i), []byte("session"), h.now())
				if kerr != nil {
					t.Errorf("KeyFor: %v", kerr)
					continue
				}
				if wasGone && (link == events[i].link || at.Generation == 0) {
					t.Errorf("person %d was given the erased key", i)
				}
				if !begun[i].Load() {
					if got, oerr := k.Open(nil, events[i].text); !begun[i].Load() && (oerr != nil || string(got) != secret) {
						t.Errorf("person %d: %v", i, oerr)
					}
				}
				continue
			}
			switch {
			case err == nil && wasGone:
				t.Errorf("person %d was opened after Forget returned", i)
			case err == nil:
				opened.Add(1)
			case !errors.Is(err, consent.ErrForgotten):
				t.Errorf("person %d: %v", i, err)
			case !begun[i].Load():
				t.Errorf("person %d was refused before anybody forgot them", i)
			default:
				refused.Add(1)
			}
		}
	}
	for r := range 4 {
		readers.Go(func() { reader(r) })
	}
	for i := 0; i < people; i += 2 {
		begun[i].Store(true)
		h.forget(s, fmt.Sprint("person-", i))
		gone[i].Store(true)
		if err := h.try(events[i]); !errors.Is(err, consent.ErrForgotten) {
			t.Errorf("person %d right after Forget: %v", i, err)
		}
		if _, err := keys[i].Open(nil, events[i].text); !errors.Is(err, consent.ErrForgotten) {
			t.Errorf("person %d by a held key right after Forget: %v", i, err)
		}
	}
	close(done)
	readers.Wait()
	if opened.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d opened and %d refused: the readers saw nothing", opened.Load(), refused.Load())
	}
}

// While a Forget is at work the person is already gone for readers, and a new event of theirs waits
// for its end.
func TestWhileForgetIsAtWork(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	jane, john := h.seal(s, "jane", "session"), h.seal(s, "john", "session")
	next := make(chan event, 1)
	h.vault.SetFault(func(step string) error {
		if step != "batch under way" {
			return nil
		}
		h.forgotten(jane)
		h.opens(john)
		h.seal(s, "john", "session")
		go func() { next <- h.seal(s, "jane", "session") }()
		select {
		case e := <-next:
			t.Errorf("a new event did not wait: %+v", e.at)
		case <-time.After(20 * time.Millisecond):
		}
		return nil
	})
	h.forget(s, "jane")
	e := <-next
	if e.at.Generation != 1 {
		t.Errorf("the new event is of generation %d", e.at.Generation)
	}
	h.opens(e)
	h.forgotten(jane)
}

// Two people of one stream and people of two streams of one bucket are forgotten at once.
func TestForgetsAtOnce(t *testing.T) {
	h := newHouse(t)
	a, b := newStream(), newStream()
	b[15] = a[15] // the same bucket
	var gone, kept []event
	var wg sync.WaitGroup
	for i := range 8 {
		s := []engine.StreamID{a, b}[i%2]
		name := fmt.Sprint("person-", i)
		gone = append(gone, h.seal(s, name, "session"))
		kept = append(kept, h.seal(s, name+"-other", "session"))
		wg.Go(func() {
			if err := h.vault.Forget(context.Background(), s, name); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h.forgotten(gone...)
	h.opens(kept...)
	h.reopen()
	h.forgotten(gone...)
	h.opens(kept...)
}
