package export

import (
	"context"
	"errors"

	"sluice/delivery"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Reached is the offset up to which everything that an exporter's stream shows is in an object, as the working node stored it last.
func (x *Exports) Reached(ctx context.Context, e *registry.Exporter) (engine.Offset, error) {
	h, err := x.runner.Look(ctx, Kind, e.ID)
	if errors.Is(err, delivery.ErrNotHeld) {
		return e.Start, nil
	}
	if err != nil {
		return 0, err
	}
	s, err := decodeState(h.State, e.Start)
	return s.Position, err
}
