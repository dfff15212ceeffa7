package webhook

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"sluice/relay/engine"
	"sluice/relay/registry"
)

// A feed that gives nothing for a while has not come to the end of a range: it may search for what passes a narrow filter,
// or wait for its turn to read the log.
func TestReplayGoesOnBehindSilence(t *testing.T) {
	ctx := t.Context()
	e, err := engine.Open(ctx, engine.Config{Dir: t.TempDir(), Durability: "os", MinFree: 1 << 20, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close() //nolint:errcheck // of a test
	st, err := e.NewStream(ctx, engine.StreamID{1}, "source")
	if err != nil {
		t.Fatal(err)
	}
	var batch engine.Batch
	for range 3 {
		batch.Add(&engine.Record{Kind: engine.KindJSON, Payload: []byte(`{}`), Processed: time.Now().UnixMilli()})
	}
	stored, err := e.Append(ctx, st, &batch)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{sink: &sink{service: &Service{cfg: Config{Engine: e}}, hook: &registry.Webhook{Stream: &registry.Stream{Log: st}}}}
	r.replay = &replay{asked: registry.Replay{ID: "rp", Ranges: []registry.ReplayRange{{To: stored.Last}}}}
	for _, position := range []engine.Offset{0, stored.First, 0} {
		if err := r.readAgain(ctx, fed{position: position}, time.Now()); err != nil {
			t.Fatal(err)
		}
		if r.replay.Range != 0 {
			t.Fatalf("the range is over at %s, it ends with %s", position, stored.Last)
		}
	}
	if r.replay.Position != stored.First {
		t.Errorf("the replay is at %s, it was searched up to %s", r.replay.Position, stored.First)
	}
	if r.atEnd(ctx, stored.Last-1) || !r.atEnd(ctx, stored.Last) {
		t.Error("the end of the log is not where it is")
	}
}
