package consent

import (
	"context"
	"errors"

	"sluice/relay/engine"
)

// Places are where the events of a person are found again: of each living era the era, leaf and generation that stand in
// the locators of their events since they were last forgotten. Events from before that have other leaves, and are not
// told of: nothing opens them. It knows no more than the name it is given; a name that never came has places too, with
// nothing in them. ErrNoPerson; else the store's.
func (v *Vault) Places(ctx context.Context, id engine.StreamID, subject string) ([]engine.Locator, error) {
	if subject == "" {
		return nil, ErrNoPerson
	}
	s := v.stream(id)
	sc := getScratch()
	defer sc.put()
	for range rereads {
		w, err := s.get(ctx)
		if err != nil {
			return nil, err
		}
		places := make([]engine.Locator, 0, len(w.eras))
		for _, e := range w.eras {
			p := engine.Locator{Era: e.number}
			if p.Leaf, p.Generation, err = v.living(ctx, id, w, e, sc, []byte(subject)); err != nil {
				break
			}
			if _, going := w.going[leafID{e.number, p.Leaf}]; !going {
				places = append(places, p)
			}
		}
		if errors.Is(err, errStale) {
			s.view.CompareAndSwap(w, nil)
			continue
		}
		if err != nil {
			return nil, err
		}
		return places, nil
	}
	return nil, ErrDamaged
}
