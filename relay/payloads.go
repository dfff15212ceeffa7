package relay

import (
	"context"
	"errors"
	"fmt"
	"io"

	"sluice/relay/engine"
	"sluice/relay/registry"
)

// StoredPayload is a payload as it lies in the log. Body is valid until the function that was called with it returns.
type StoredPayload struct {
	Offset    engine.Offset
	RequestID [16]byte
	Accepted  int64 // Unix milliseconds
	Kind      engine.Kind
	Body      []byte
}

// Payloads calls fn with the payloads of a stream behind from, up to and with to, in order, XML as it came; an error of fn ends it. Like
// Between it reads the log for this caller alone. It is for streams that take payloads: of others it would show ciphertext.
func (r *Relay) Payloads(ctx context.Context, st *registry.Stream, from, to engine.Offset, fn func(*StoredPayload) error) error {
	cursor := r.engine.Read(st.Log, from)
	defer cursor.Close()
	for done := from; done < to; {
		block, err := r.payloadBlock(ctx, cursor, st)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read behind offset %s: %w", done, err)
		}
		var failed error
		err = block.Each(func(o engine.Offset, rec *engine.Record) bool {
			if o <= from || o > to {
				return o <= to
			}
			failed = fn(&StoredPayload{Offset: o, RequestID: rec.RequestID, Accepted: rec.Processed, Kind: rec.Kind, Body: rec.Payload})
			return failed == nil
		})
		if err := errors.Join(failed, err); err != nil {
			return err
		}
		done = block.Last()
		block.Recycle()
	}
	return nil
}

// payloadBlock reads a block when its turn has come among all who read the log.
func (r *Relay) payloadBlock(ctx context.Context, cursor *engine.Cursor, st *registry.Stream) (*engine.Block, error) {
	if err := r.catchUps.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer r.catchUps.Release(1)
	return r.nextBlock(ctx, cursor, st.Log.ID)
}
