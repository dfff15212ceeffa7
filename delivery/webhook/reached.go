package webhook

import (
	"context"
	"errors"

	"sluice/delivery"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Reached is the offset up to which everything was delivered to a webhook, given up, or left out by its filter, as the working node stored
// it last, which is a tenth of a second old at most.
func (s *Service) Reached(ctx context.Context, w *registry.Webhook) (engine.Offset, error) {
	h, err := s.cfg.Runner.Look(ctx, Kind, w.ID)
	if errors.Is(err, delivery.ErrNotHeld) {
		return w.From, nil
	}
	if err != nil {
		return 0, err
	}
	st, err := decodeState(h.State, w.From)
	if err != nil {
		return 0, err
	}
	return st.reached(), nil
}
