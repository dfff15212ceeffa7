package relay_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/relay"
	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/filter"
	"sluice/relay/registry"
)

// opened is one of Airship's own events.
func opened(id string) []byte {
	return fmt.Appendf(nil, `{"id":%q,"type":"OPEN","occurred":%q,"device":{"channel":"c","device_type":"IOS"},"body":{"session_id":"s"}}`,
		id, time.Now().UTC().Format(time.RFC3339Nano))
}

func lines(ids ...string) (body []byte) {
	for _, id := range ids {
		body = append(append(body, opened(id)...), '\n')
	}
	return body
}

// ids are those in a stream, in their order.
func (n *node) ids(st *registry.Stream) (ids []string) {
	n.t.Helper()
	rd := n.open(relay.Spec{Stream: st, From: relay.Earliest(), Format: relay.Airship})
	for {
		c, err := rd.Next(n.t.Context(), 20*time.Millisecond, 0)
		if err != nil {
			n.t.Fatal(err)
		}
		if c == nil {
			return ids
		}
		for line := range strings.Lines(string(c.Bytes())) {
			var e struct{ ID string }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				n.t.Fatal(err)
			}
			ids = append(ids, e.ID)
		}
		c.Release()
	}
}

func (n *node) wantIDs(st *registry.Stream, want string) {
	n.t.Helper()
	if got := strings.Join(n.ids(st), " "); got != want {
		n.t.Fatalf("stored: %s\nwanted: %s", got, want)
	}
}

func (n *node) send(st *registry.Stream, accepted int, b relay.Bulk) {
	n.t.Helper()
	res, err := n.AcceptBulk(n.t.Context(), st, b)
	if err != nil || res.Accepted != accepted {
		n.t.Fatalf("%+v, %v", res, err)
	}
}

// The same id within ten minutes is accepted again and stored once, however it comes, also across a restart.
func TestSeen(t *testing.T) {
	dir, ahead := t.TempDir(), new(atomic.Int64)
	cfg := relay.Config{Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }}
	n := start(t, dir, cfg)
	spec := registry.StreamSpec{Name: "app", Contract: contract.AirshipRef}
	st := n.stream(spec)
	other := n.stream(registry.StreamSpec{Name: "other", Contract: contract.AirshipRef})

	for range 3 {
		n.accept(st, opened("a"))
	}
	n.accept(other, opened("a")) // ids are a stream's own
	n.send(st, 5, relay.Bulk{Body: lines("b", "a", "b", "c", "b")})
	n.send(st, 2, relay.Bulk{Body: lines("a", "c")})
	n.send(st, 2, relay.Bulk{Body: lines("c", "d"), Atomic: true})
	n.wantIDs(st, "a b c d")
	n.wantIDs(other, "a")

	// A body under a key is remembered as a whole, and its events each.
	keyed := relay.Bulk{Body: lines("d", "e", "a")}
	for _, wantAgain := range []bool{false, true} {
		if res, again, err := n.AcceptOnce(t.Context(), st, keyed, "k"); err != nil || again != wantAgain || res.Accepted != 3 {
			t.Fatalf("%+v %v %v", res, again, err)
		}
	}
	if res, again, err := n.AcceptOnce(t.Context(), st, relay.Bulk{Body: lines("d", "e")}, "none is new"); err != nil || again || res.Accepted != 2 {
		t.Fatalf("%+v %v %v", res, again, err)
	}
	n.wantIDs(st, "a b c d e")

	// An event that was refused has no claim on its id.
	late := strings.Replace(string(opened("f")), `"OPEN"`, `"SEND"`, 1)
	if err := n.Accept(t.Context(), st, relay.Event{Body: []byte(late)}); err == nil {
		t.Fatal("a SEND without a push was taken")
	}
	n.send(st, 0, relay.Bulk{Body: []byte(late + "\n" + string(opened("f"))), Atomic: true})
	n.accept(st, opened("f"))
	n.wantIDs(st, "a b c d e f")

	n.stop()
	n = start(t, dir, cfg)
	st = n.registry.Snapshot().Stream(n.project(), "app")
	n.accept(st, opened("f"))
	n.send(st, 3, relay.Bulk{Body: lines("a", "g", "e")})
	n.wantIDs(st, "a b c d e f g")

	// Nearly ten minutes later it still is the same event, and then it is not.
	ahead.Store(int64(9*time.Minute + 30*time.Second))
	n.accept(st, opened("g"))
	n.stop()
	n = start(t, dir, cfg)
	st = n.registry.Snapshot().Stream(n.project(), "app")
	n.accept(st, opened("g"))
	n.wantIDs(st, "a b c d e f g")
	ahead.Store(int64(11 * time.Minute))
	n.accept(st, opened("g"))
	n.send(st, 2, relay.Bulk{Body: lines("a", "g")})
	n.wantIDs(st, "a b c d e f g g a")
}

// Copies that are in hand at the same time, one by one and in bodies of any order, are stored once.
func TestSeenStorm(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	st := n.stream(registry.StreamSpec{Name: "app", Contract: contract.AirshipRef})
	const events = 200
	var all []string
	for i := range events {
		all = append(all, fmt.Sprintf("e%03d", i))
	}
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			mine := append([]string(nil), all...)
			rng.Shuffle(len(mine), func(a, b int) { mine[a], mine[b] = mine[b], mine[a] })
			for len(mine) > 0 {
				k := 1 + rng.IntN(min(40, len(mine)))
				if k == 1 {
					n.accept(st, opened(mine[0]))
				} else if res, _, err := n.AcceptOnce(t.Context(), st, relay.Bulk{Body: lines(mine[:k]...)}, mine[0]+fmt.Sprint(i)); err != nil || res.Accepted != k {
					t.Errorf("%+v, %v", res, err)
				}
				mine = mine[k:]
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, id := range n.ids(st) {
		seen[id]++
	}
	for _, id := range all {
		if seen[id] != 1 {
			t.Errorf("%s is there %d times", id, seen[id])
		}
	}
	if len(seen) != events {
		t.Errorf("%d events", len(seen))
	}
}

// An append whose end nobody knows may or may not have been stored: the copy that follows looks into the log.
func TestSeenAfterDoubt(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	st := n.stream(registry.StreamSpec{Name: "app", Contract: contract.AirshipRef})
	n.accept(st, opened("a"))
	// What another core on this log stored is what this one does not know it stored.
	second := relay.New(n.engine, n.vault, n.registry, relay.Config{})
	if err := second.Accept(t.Context(), st, relay.Event{Body: opened("b")}); err != nil {
		t.Fatal(err)
	}
	relay.Doubt(n.Relay, st.Log.ID)
	n.accept(st, opened("b"))
	n.accept(st, opened("c"))
	n.wantIDs(st, "a b c")
}

// Any contract that says where its events' ids are has the same rule; one that does not has none.
func TestSeenOfOtherContracts(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	schema := `{"type":"record","name":"E","fields":[{"name":"strmMeta","type":{"type":"record","name":"M","fields":[
		{"name":"eventContractRef","type":"string"},{"name":"consentLevels","type":{"type":"array","items":"int"}}]}},
		{"name":"id","type":"string"},{"name":"key","type":"string"}]}`
	for _, d := range []contract.Definition{
		{Ref: "acme/named/1.0.0", Envelope: &contract.Envelope{ID: "id"}}, {Ref: "acme/plain/1.0.0"},
	} {
		d.SchemaType, d.Schema, d.KeyField = contract.SchemaTypeAvro, schema, "key"
		if _, err := n.registry.CreateContract(t.Context(), n.project(), d, false); err != nil {
			t.Fatal(err)
		}
		if _, err := n.registry.SetContractState(t.Context(), n.project(), d.Ref, registry.Active); err != nil {
			t.Fatal(err)
		}
	}
	st := n.stream(registry.StreamSpec{Name: "app"})
	for _, ref := range []string{"acme/named/1.0.0", "acme/plain/1.0.0"} {
		for range 2 {
			n.accept(st, fmt.Appendf(nil, `{"strmMeta":{"eventContractRef":%q,"consentLevels":[]},"id":"x","key":"k"}`, ref))
		}
	}
	if got := n.ids(st); len(got) != 3 || got[0] != "x" || got[1] == "x" || got[1] == got[2] {
		t.Errorf("%q", got)
	}
}

// How Airship's own events are shown: as the envelope, whatever is asked for, and nothing of them is lost.
func TestAirshipEventsAreShown(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	n := start(t, t.TempDir(), relay.Config{Now: func() time.Time { return now }})
	st := n.stream(registry.StreamSpec{Name: "app"})
	body := `{"offset":"17","id":"q\"\u00e9","type":"CONTROL","occurred":"2026-03-01T11:59:59.5Z","processed":"1999-01-01T00:00:00Z",
		"device":{"channel":"c","device_type":"IOS"},"experiment_id":"x","user":{"contact_id":"u"},"body":{"group_id":"g"}}`
	ref := []byte(contract.AirshipRef)
	for _, b := range []string{
		body,
		`{"id":"bare","type":"NEW","occurred":"2026-03-01T12:05:00.000Z"}`,
		`{"id":"fast clock","type":"NEW","occurred":"2026-03-01T12:05:00.001Z","body":{}}`,
		`{"id":"long ago","type":"NEW","occurred":"2025-12-01T12:00:00.000Z"}`,
	} {
		if err := n.Accept(t.Context(), st, relay.Event{Ref: ref, Body: []byte(b)}); err != nil {
			t.Fatal(err)
		}
	}
	err := n.Accept(t.Context(), st, relay.Event{Ref: ref, Body: []byte(`{"id":"too old","type":"NEW","occurred":"2025-12-01T11:59:59.999Z"}`)})
	if err == nil || !strings.HasSuffix(err.Error(), "it occurred more than 90 days ago") {
		t.Errorf("%v", err)
	}
	want := []string{
		`{"id":"q\"é","type":"CONTROL","offset":"OFFSET","occurred":"2026-03-01T11:59:59.500Z","processed":"2026-03-01T12:00:00.000Z",` +
			`"device":{"channel":"c","device_type":"IOS"},"experiment_id":"x","user":{"contact_id":"u"},"body":{"group_id":"g"}}`,
		`{"id":"bare","type":"NEW","offset":"OFFSET","occurred":"2026-03-01T12:05:00.000Z","processed":"2026-03-01T12:00:00.000Z"}`,
		`{"id":"fast clock","type":"NEW","offset":"OFFSET","occurred":"2026-03-01T12:00:00.000Z","processed":"2026-03-01T12:00:00.000Z","body":{}}`,
		`{"id":"long ago","type":"NEW","offset":"OFFSET","occurred":"2025-12-01T12:00:00.000Z","processed":"2026-03-01T12:00:00.000Z"}`,
	}
	for _, f := range []relay.Format{relay.Raw, relay.Airship, relay.Offsets} {
		got := read(t, n.open(relay.Spec{Stream: st, From: relay.Earliest(), Format: f}), len(want))
		for i := range want {
			var e struct{ Offset string }
			if err := json.Unmarshal([]byte(got[i]), &e); err != nil {
				t.Fatal(err)
			}
			if _, err := engine.ParseOffset(e.Offset); err != nil {
				t.Errorf("offset %q: %v", e.Offset, err)
			}
			line := strings.ReplaceAll(want[i], "OFFSET", e.Offset)
			if f == relay.Offsets {
				line = `{"offset":"` + e.Offset + `","event":` + line + `}`
			}
			if got[i] != line {
				t.Errorf("format %d\n got %s\nwant %s", f, got[i], line)
			}
		}
	}
	// A filter sees them as they are shown.
	for request, events := range map[string]int{
		`{"predicates":[{"scope":["body"],"key":"group_id","value":{"equals":"g"}}]}`:                 1,
		`{"predicates":[{"key":"experiment_id","value":{"equals":"x"}}]}`:                             1,
		`{"predicates":[{"scope":["body","body"],"key":"group_id","value":{"is_present":true}}]}`:     0,
		`{"notifications":{"group_id":"g"},"devices":[{"channel":"c"}],"users":[{"contact_id":"u"}]}`: 1,
		`{"types":["CONTROL"],"device_types":["ios"]}`:                                                1,
		`{"latency":500}`: 3,
		`{"latency":499}`: 2,
	} {
		rd := n.open(relay.Spec{Stream: st, From: relay.Earliest(), Format: relay.Airship, Filter: parseFilter(t, request)})
		if events > 0 {
			read(t, rd, events)
		}
		nothing(t, rd)
	}
}

func parseFilter(t *testing.T, object string) *filter.Filter {
	t.Helper()
	f, err := filter.New(nil, []byte(object))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
