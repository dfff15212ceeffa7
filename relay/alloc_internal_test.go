package relay

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/avro"

	"sluice/relay/consent"
	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/registry"
	"sluice/relay/sample"
)

// prepared is the core with one checked and encrypted event, for measuring what an event costs.
func prepared(t testing.TB) (*Relay, *registry.Stream, *intake, []byte) {
	t.Helper()
	dir := t.TempDir()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	e, err := engine.Open(t.Context(), engine.Config{Dir: dir + "/log", MinFree: 1 << 20, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	v, err := consent.Open(t.Context(), e.Cells(), consent.Config{Dir: dir, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	reg, err := registry.Open(t.Context(), e, v, registry.Config{PublicURL: "http://127.0.0.1", Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	running, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- reg.Run(running) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	r := New(e, v, reg, Config{Log: quiet})
	t.Cleanup(r.cancel)
	p := reg.Snapshot().Project("default")
	st, _, err := reg.CreateStream(t.Context(), p, registry.StreamSpec{Name: "measured"})
	if err != nil {
		t.Fatal(err)
	}
	w := new(intake)
	body := []byte(sample.SeedEvent)
	if err := r.prepareLine(t.Context(), w, st, Bulk{}, body, time.Now()); err != nil {
		t.Fatal(err)
	}
	return r, st, w, body
}

func TestAcceptAllocatesNothingForAnEvent(t *testing.T) {
	r, st, w, body := prepared(t)
	now := time.Now()
	ctx := t.Context()
	got := testing.AllocsPerRun(1000, func() {
		w.batch.Reset()
		if err := r.prepareLine(ctx, w, st, Bulk{}, body, now); err != nil {
			t.Fatal(err)
		}
	})
	if got > allowed(0) {
		t.Errorf("a checked and encrypted event costs %v allocations", got)
	}
}

func TestAcceptAllocatesNothingForADatum(t *testing.T) {
	r, st, w, body := prepared(t)
	c, err := r.contractOf(t.Context(), st, []byte(sample.ClickstreamRef))
	if err != nil {
		t.Fatal(err)
	}
	schema := avro.MustParse(c.Definition().Schema)
	var event map[string]any
	if err := json.Unmarshal(body, &event); err != nil {
		t.Fatal(err)
	}
	event["conversion"] = 0
	meta := event["strmMeta"].(map[string]any)
	meta["consentLevels"] = []int{0}
	for _, name := range []string{"nonce", "timestamp", "keyLink", "billingId"} {
		meta[name] = nil
	}
	datum, err := schema.Encode(event)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ctx := t.Context()
	accept := func() {
		w.batch.Reset()
		if err := c.CheckAs(&w.checked, contract.Unknown, datum); err != nil {
			t.Fatal(err)
		}
		if err := r.complete(ctx, w, st, c, [16]byte{1}, now); err != nil {
			t.Fatal(err)
		}
	}
	accept()
	if got := testing.AllocsPerRun(1000, accept); got > allowed(0) {
		t.Errorf("a datum that is checked and encrypted costs %v allocations", got)
	}
}

func TestViewAllocatesNothingForAnEvent(t *testing.T) {
	r, st, w, _ := prepared(t)
	v := view{vault: r.vault, stream: st.Log.ID, rule: consent.Rule{Type: consent.Cumulative, Levels: 1}}
	rd := renderer{stream: st.Log.ID, format: Airship}
	var line []byte
	ctx := t.Context()
	got := testing.AllocsPerRun(1000, func() {
		e, err := v.open(ctx, 4096, &w.record)
		if err != nil || e == nil {
			t.Fatal(err)
		}
		line = rd.append(line[:0], e)
	})
	if got > allowed(0) {
		t.Errorf("an opened and rendered event costs %v allocations", got)
	}
}

func BenchmarkPrepare(b *testing.B) {
	r, st, w, body := prepared(b)
	now := time.Now()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		w.batch.Reset()
		if err := r.prepareLine(b.Context(), w, st, Bulk{}, body, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenAndRender(b *testing.B) {
	r, st, w, _ := prepared(b)
	v := view{vault: r.vault, stream: st.Log.ID, rule: consent.Rule{Type: consent.Cumulative, Levels: 1}}
	rd := renderer{stream: st.Log.ID, format: Raw}
	var line []byte
	b.ReportAllocs()
	for b.Loop() {
		e, err := v.open(b.Context(), 4096, &w.record)
		if err != nil {
			b.Fatal(err)
		}
		line = rd.append(line[:0], e)
	}
}
