package export

import (
	"context"
	"errors"

	"sluice/delivery"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Progress is how far an exporter or a landing has come.
type Progress struct {
	Reached engine.Offset // everything up to here that the stream shows is in an object, but for what expired
	Expired uint64        // events that left the log before they were in an object, before consent
}

// Reached is how far an exporter has come, as the working node stored it last.
func (x *Exports) Reached(ctx context.Context, e *registry.Exporter) (Progress, error) {
	return x.progress(ctx, Kind, e.ID, e.Start)
}

// ReachedLanding is Reached for the landing of a stream's payloads; there is none: false.
func (x *Exports) ReachedLanding(ctx context.Context, st *registry.Stream) (p Progress, ok bool, err error) {
	if x.landing == "" || st.Payload == "" {
		return p, false, nil
	}
	p, err = x.progress(ctx, Landing, st.UUID, 0)
	return p, true, err
}

func (x *Exports) progress(ctx context.Context, kind delivery.Kind, id string, start engine.Offset) (Progress, error) {
	h, err := x.runner.Look(ctx, kind, id)
	if errors.Is(err, delivery.ErrNotHeld) {
		return Progress{Reached: start}, nil
	}
	if err != nil {
		return Progress{}, err
	}
	s, err := decodeState(h.State, start)
	return Progress{Reached: s.Position, Expired: s.Expired}, err
}
