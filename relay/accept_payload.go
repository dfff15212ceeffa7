package relay

import (
	"context"
	"fmt"
	"time"

	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Payload is one payload to accept, of the kind that its stream takes. Body is borrowed until AcceptPayload returns.
type Payload struct {
	RequestID [16]byte
	Body      []byte
}

// AcceptPayload stores a payload of a stream that takes such. JSON must be one object of valid UTF-8 without a name twice, and is stored in
// one compact line, numbers and order unchanged. XML is stored as it came and looked at when it is read; only an empty one is refused. Nil
// means that it is durable. Errors: *contract.Violation, whose text is the answer for the producer and says that nothing was stored; what
// engine.Append returns.
func (r *Relay) AcceptPayload(ctx context.Context, st *registry.Stream, p Payload) error {
	w := intakes.Get().(*intake)
	defer w.release()
	now := r.now()
	switch st.Payload {
	case "json":
		if err := w.prepareJSON(p.RequestID, p.Body, now); err != nil {
			return err
		}
	case "xml":
		if len(p.Body) == 0 {
			return violation("Body is empty")
		}
		w.addPayload(engine.KindXML, p.RequestID, p.Body, now)
	default:
		return violation(fmt.Sprintf("Stream '%s' takes events of a contract, not payloads", st.Name))
	}
	_, err := r.engine.Append(ctx, st.Log, &w.batch)
	return err
}

// prepareJSON adds a JSON object that no contract is asked of.
func (w *intake) prepareJSON(request [16]byte, text []byte, now time.Time) error {
	var err error
	if w.payload, err = contract.CompactJSON(w.payload[:0], text); err != nil {
		return err
	}
	if err := contract.UniqueNames(text); err != nil {
		return err
	}
	w.addPayload(engine.KindJSON, request, w.payload, now)
	return nil
}

func (w *intake) addPayload(kind engine.Kind, request [16]byte, body []byte, now time.Time) {
	w.record = engine.Record{
		RequestID: request, Kind: kind, Occurred: now.UnixMilli(), Processed: now.UnixMilli(), Fields: w.record.Fields[:0], Payload: body,
	}
	w.batch.Add(&w.record)
	w.record.Payload = nil // it may be the caller's
}
