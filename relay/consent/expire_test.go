package consent_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"sluice/relay/consent"
)

func TestExpire(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	s, other := newStream(), newStream()
	const retention, people = 7 * 24 * time.Hour, 6
	var events []event
	var at []time.Time
	elsewhere := h.seal(other, "jane", "session")
	for d := range 120 {
		// Of several people some have a window that reaches over an era's end.
		for p := range people {
			events, at = append(events, h.seal(s, fmt.Sprint("person-", p), "session")), append(at, h.now())
		}
		if err := h.vault.Expire(ctx, s, retention); err != nil {
			t.Fatal(err)
		}
		// Nothing that retention keeps may be lost, and nothing is kept longer than its era, a window
		// and the retention.
		for i := range events {
			switch err := h.try(events[i]); {
			case err == nil && h.now().Sub(at[i]) > retention+32*24*time.Hour:
				t.Fatalf("an event of %v opens at %v", at[i], h.now())
			case err != nil && !errors.Is(err, consent.ErrForgotten):
				t.Fatal(err)
			case err != nil && h.now().Sub(at[i]) <= retention:
				t.Fatalf("an event of %v is gone at %v", at[i], h.now())
			}
		}
		if d == 40 {
			h.forget(s, "john") // so that an era with parts ends too
		}
		h.advance(24 * time.Hour)
	}
	h.forgotten(events[:60*people]...)
	h.opens(events[len(events)-7*people:]...)
	h.opens(elsewhere)
	h.reopen()
	h.forgotten(events[:60*people]...)
	h.opens(events[len(events)-7*people:]...)
	for _, prefix := range []string{consent.PartPrefix(s), "consent.era"} {
		if cells, err := h.log.Cells().List(ctx, prefix); err != nil || len(cells) != 0 {
			t.Errorf("%d cells of ended eras are still under %s, %v", len(cells), prefix, err)
		}
	}
	if err := h.vault.Expire(ctx, s, 0); err != nil {
		t.Fatal(err)
	}
	h.opens(events[len(events)-7*people:]...)
}

func TestExpireEndsHeldKeys(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	s := newStream()
	e := h.seal(s, "jane", "session")
	k, err := h.vault.KeyAt(ctx, s, e.link, e.at)
	if err != nil {
		t.Fatal(err)
	}
	h.advance(40 * 24 * time.Hour)
	if err := h.vault.Expire(ctx, s, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(nil, e.text); !errors.Is(err, consent.ErrForgotten) {
		t.Errorf("a held key of an ended era: %v", err)
	}
	h.opens(h.seal(s, "jane", "session"))
}

func TestDropStream(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	s, other := newStream(), newStream()
	other[15] = s[15]
	e, kept := h.seal(s, "jane", "session"), h.seal(other, "jane", "session")
	h.forget(s, "john")
	k, err := h.vault.KeyAt(ctx, s, e.link, e.at)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.vault.DropStream(ctx, s); err != nil {
			t.Fatal(err)
		}
		h.forgotten(e)
		if _, err := k.Open(nil, e.text); !errors.Is(err, consent.ErrForgotten) {
			t.Errorf("a held key of a dropped stream: %v", err)
		}
		if _, _, _, err := h.vault.KeyFor(ctx, s, nil, []byte("session"), h.now()); !errors.Is(err, consent.ErrForgotten) {
			t.Errorf("a new key of a dropped stream: %v", err)
		}
		h.forget(s, "jane")
		h.opens(kept)
	}
	for _, prefix := range []string{consent.PartPrefix(s), "consent.era", "consent.stream." + s.String()} {
		if cells, err := h.log.Cells().List(ctx, prefix); err != nil || len(cells) != 0 {
			t.Errorf("%d cells are still under %s, %v", len(cells), prefix, err)
		}
	}
	h.reopen()
	h.forgotten(e)
	h.opens(kept)
	if err := h.vault.DropStream(ctx, newStream()); err != nil {
		t.Errorf("dropping a stream without keys: %v", err)
	}
}
