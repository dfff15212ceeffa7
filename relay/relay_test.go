package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/relay"
	"sluice/relay/consent"
	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/registry"
	"sluice/relay/sample"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is the core on a real log in a folder of the test's.
type node struct {
	*relay.Relay
	t        *testing.T
	dir      string
	engine   *engine.Engine
	vault    *consent.Vault
	registry *registry.Registry
	stop     func()
}

func start(t *testing.T, dir string, cfg relay.Config) *node {
	t.Helper()
	n := &node{t: t, dir: dir}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	if os.Getenv("RELAY_TEST_LOG") != "" {
		quiet = slog.Default()
	}
	ctx := t.Context()
	var err error
	if n.engine, err = engine.Open(ctx, engine.Config{Dir: dir + "/log", MinFree: 1 << 20, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	if n.vault, err = consent.Open(ctx, n.engine.Cells(), consent.Config{Dir: dir, Now: cfg.Now, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	if n.registry, err = registry.Open(ctx, n.engine, n.vault, registry.Config{PublicURL: "http://127.0.0.1", Log: quiet}); err != nil {
		t.Fatal(err)
	}
	cfg.Log = quiet
	n.Relay = relay.New(n.engine, n.vault, n.registry, cfg)
	running, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, run := range []func(context.Context) error{n.engine.Run, n.vault.Run, n.registry.Run, n.Relay.Run} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := run(running); err != nil {
				t.Error(err)
			}
		}()
	}
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			cancel()
			wg.Wait()
			if err := n.engine.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(n.stop)
	return n
}

func (n *node) project() *registry.Project { return n.registry.Snapshot().Project("default") }

func (n *node) stream(spec registry.StreamSpec) *registry.Stream {
	n.t.Helper()
	st, _, err := n.registry.CreateStream(n.t.Context(), n.project(), spec)
	if err != nil {
		n.t.Fatal(err)
	}
	return st
}

func (n *node) derived(source string, typ string, levels ...int) *registry.Stream {
	return n.stream(registry.StreamSpec{DerivedFrom: source, Levels: levels, LevelType: typ})
}

// example is an event of the demo contract: person, session, secret have levels 1, 2, 3.
func example(person, session, secret, open string, levels ...int) []byte {
	body, err := json.Marshal(map[string]any{
		"strmMeta":         map[string]any{"eventContractRef": sample.ExampleRef, "consentLevels": append([]int{}, levels...)},
		"uniqueIdentifier": person, "consistentValue": session, "someSensitiveValue": secret, "notSensitiveValue": open,
	})
	if err != nil {
		panic(err)
	}
	return body
}

func (n *node) accept(st *registry.Stream, body []byte) {
	n.t.Helper()
	if err := n.Accept(n.t.Context(), st, relay.Event{Body: body}); err != nil {
		n.t.Fatal(err)
	}
}

// bulk accepts many numbered events and fails the test if one is rejected.
func (n *node) bulk(st *registry.Stream, from, to int, levels ...int) {
	n.t.Helper()
	var body []byte
	for i := from; i < to; i++ {
		body = append(append(body, example("unique-1", "session-"+strconv.Itoa(i%7), "secret", "n"+strconv.Itoa(i), levels...)...), '\n')
	}
	res, err := n.AcceptBulk(n.t.Context(), st, relay.Bulk{Body: body})
	if err != nil || res.Accepted != to-from {
		n.t.Fatalf("accepted %d of %d: %v %v", res.Accepted, to-from, err, res.Errors)
	}
}

func (n *node) open(s relay.Spec) *relay.Reader {
	n.t.Helper()
	rd, err := n.OpenReader(n.t.Context(), s)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(rd.Close)
	return rd
}

// read takes events until there are as many as wanted; patience bounds the wait for each chunk.
func read(t *testing.T, rd *relay.Reader, want int) []string {
	t.Helper()
	var got []string
	for len(got) < want {
		c, err := rd.Next(t.Context(), 10*time.Second, want-len(got))
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			t.Fatalf("nothing more after %d events of %d", len(got), want)
		}
		got = append(got, strings.Split(strings.TrimSuffix(string(c.Bytes()), "\n"), "\n")...)
		c.Release()
	}
	return got
}

// nothing makes sure that no further event arrives.
func nothing(t *testing.T, rd *relay.Reader) {
	t.Helper()
	c, err := rd.Next(t.Context(), 50*time.Millisecond, 0)
	if err != nil || c != nil {
		t.Fatalf("something arrived: %v", err)
	}
}

type event struct {
	Meta struct {
		Ref       string  `json:"eventContractRef"`
		Nonce     *int64  `json:"nonce"`
		Timestamp int64   `json:"timestamp"`
		KeyLink   string  `json:"keyLink"`
		Levels    []int64 `json:"consentLevels"`
	} `json:"strmMeta"`
	Person, Session, Secret, Open string
}

func parse(t *testing.T, line string) (e event) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	for name, to := range map[string]any{"strmMeta": &e.Meta, "uniqueIdentifier": &e.Person, "consistentValue": &e.Session, "someSensitiveValue": &e.Secret, "notSensitiveValue": &e.Open} {
		if err := json.Unmarshal(fields[name], to); err != nil {
			t.Fatalf("%s: %v in %q", name, err, line)
		}
	}
	return e
}

func TestWhatEachStreamShows(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	src := n.stream(registry.StreamSpec{Name: "by-hand"})
	streams := map[string]*registry.Stream{
		"source": src, "cumulative 2": n.derived("by-hand", "CUMULATIVE", 2),
		"granular 0 2": n.derived("by-hand", "GRANULAR", 0, 2), "granular 3": n.derived("by-hand", "GRANULAR", 3),
	}
	readers := map[string]*relay.Reader{}
	for name, st := range streams {
		readers[name] = n.open(relay.Spec{Stream: st})
	}
	before := time.Now().UnixMilli()
	for i, levels := range [][]int{{}, {0}, {0, 1, 2}, {3}, {2, 0, 0}} {
		n.accept(src, example("unique \"ü\" \n", "session-1", "🔐", strconv.Itoa(i), levels...))
	}
	// What each shows: the event's number and which of person, session, secret are open.
	want := map[string][]string{
		"source":       {"0---", "1---", "2---", "3---", "4---"},
		"cumulative 2": {"2ps-", "3ps-", "4ps-"},
		"granular 0 2": {"2-s-", "4-s-"},
		"granular 3":   {"3--x"},
	}
	links := map[string]bool{}
	for name, rd := range readers {
		var got []string
		for _, line := range read(t, rd, len(want[name])) {
			e := parse(t, line)
			shown := e.Open
			for _, f := range []struct{ value, plain, mark string }{{e.Person, "unique \"ü\" \n", "p"}, {e.Session, "session-1", "s"}, {e.Secret, "🔐", "x"}} {
				switch {
				case f.value == f.plain:
					shown += f.mark
				case strings.HasPrefix(f.value, "A"):
					shown += "-"
				default:
					t.Errorf("%s: neither clear nor ciphertext: %q", name, f.value)
				}
			}
			got = append(got, shown)
			links[e.Meta.KeyLink] = true
			if e.Meta.Nonce == nil || e.Meta.Timestamp < before || e.Meta.Timestamp > time.Now().UnixMilli() || e.Meta.Ref != sample.ExampleRef {
				t.Errorf("%s: strmMeta is not as the gateway fills it: %s", name, line)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want[name]) {
			t.Errorf("%s shows %v, want %v", name, got, want[name])
		}
		nothing(t, rd)
	}
	if len(links) != 1 {
		t.Errorf("one session of one person has %d key links", len(links))
	}
}

func TestEveryWayToBegin(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	src := n.stream(registry.StreamSpec{Name: "by-hand"})
	kept := n.derived("by-hand", "CUMULATIVE", 2)
	for i := range 40 {
		levels := []int{0}
		if i%4 == 0 {
			levels = []int{0, 1, 2}
		}
		n.bulk(src, i, i+1, levels...)
	}
	// Streams of the same shard have their places between and behind.
	for i := range 8 {
		n.bulk(n.stream(registry.StreamSpec{Name: "neighbour-" + strconv.Itoa(i)}), 0, 1)
	}
	rd := n.open(relay.Spec{Stream: src, From: relay.Earliest(), Format: relay.Offsets})
	var offsets []engine.Offset
	for _, line := range read(t, rd, 40) {
		var e struct{ Offset string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		o, err := engine.ParseOffset(e.Offset)
		if err != nil || (len(offsets) > 0 && o <= offsets[len(offsets)-1]) {
			t.Fatalf("offset %q after %v: %v", e.Offset, offsets, err)
		}
		offsets = append(offsets, o)
	}
	position := func(s string) relay.Position {
		p, err := relay.ParsePosition(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	east := time.FixedZone("", 2*60*60)
	for _, tc := range []struct {
		stream *registry.Stream
		from   string
		want   string // number of the first event
		count  int
	}{
		{src, "EARLIEST", "n0", 40}, {src, "0", "n0", 40}, {src, "-3", "n37", 3}, {src, "-400", "n0", 40}, {src, "-0", "", 0},
		{src, offsets[9].String(), "n10", 30}, {src, offsets[39].String(), "", 0}, {src, "LATEST", "", 0},
		{src, "2001-01-01T00:00:00Z", "n0", 40}, {src, time.Now().Add(time.Hour).Format(time.RFC3339), "", 0},
		{src, "2001-01-01T00:00:00 02:00", "n0", 40}, {src, strings.Replace(time.Now().Add(time.Hour).In(east).Format(time.RFC3339), "+", " ", 1), "", 0},
		{kept, "EARLIEST", "n0", 10}, {kept, "-2", "n32", 2}, {kept, "-10", "n0", 10}, {kept, "-11", "n0", 10},
		{kept, offsets[32].String(), "n36", 1}, {kept, offsets[33].String(), "n36", 1},
	} {
		rd := n.open(relay.Spec{Stream: tc.stream, From: position(tc.from)})
		if tc.count > 0 {
			got := read(t, rd, tc.count)
			if first := parse(t, got[0]).Open; first != tc.want {
				t.Errorf("%s from %s begins with %s, want %s", tc.stream.Name, tc.from, first, tc.want)
			}
		}
		nothing(t, rd)
		if rd.Position() != offsets[39] {
			t.Errorf("%s from %s: considered up to %s, the last event is %s", tc.stream.Name, tc.from, rd.Position(), offsets[39])
		}
		rd.Close()
	}
	if _, err := n.OpenReader(t.Context(), relay.Spec{Stream: src, From: relay.After(offsets[39] + 1)}); !errors.Is(err, relay.ErrOffsetAhead) {
		t.Errorf("an offset ahead of the stream: %v", err)
	}
	if _, err := n.registry.DeleteStream(t.Context(), n.project(), "by-hand", true); err != nil {
		t.Fatal(err)
	}
	again := n.stream(registry.StreamSpec{Name: "by-hand"})
	n.bulk(again, 0, 1)
	if _, err := n.OpenReader(t.Context(), relay.Spec{Stream: again, From: relay.After(offsets[39])}); !errors.Is(err, relay.ErrOffsetGone) {
		t.Errorf("an offset of a former stream: %v", err)
	}
}

func TestRefusedAndNothingStored(t *testing.T) {
	n := start(t, t.TempDir(), relay.Config{})
	src := n.stream(registry.StreamSpec{Name: "by-hand"})
	for _, tc := range []struct{ ref, body, want string }{
		{"", `{"a":1}`, "Header Strm-Schema-Ref is missing"},
		{"a/b/1.0.0", `{"a":1}`, "Schema 'a/b/1.0.0' is not known"},
		{sample.ExampleRef, `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[]},"consistentValue":"x"}`,
			"Event does not match schema 'strmprivacy/example/1.5.0': field 'strmMeta/eventContractRef' must be 'strmprivacy/example/1.5.0'"},
		{sample.ClickstreamRef, strings.Replace(sample.SeedEvent, `"producer"`, `""`, 1), "Key field 'producerSessionId' is empty"},
	} {
		err := n.Accept(t.Context(), src, relay.Event{Ref: []byte(tc.ref), Body: []byte(tc.body)})
		var v *contract.Violation
		if !errors.As(err, &v) || v.Text != tc.want {
			t.Errorf("%s: %v, want %s", tc.body, err, tc.want)
		}
	}
	good := string(example("p", "s", "x", "1", 0))
	for _, tc := range []struct {
		name, body         string
		atomic             bool
		accepted, rejected int
		lines              []int
		fails              bool
	}{
		{"mixed lines", good + "\n\n{}\nnot json\r\n" + good, false, 2, 2, []int{3, 4}, false},
		{"array", "[" + good + ", {\"a\":[1,2]}," + good + "]", false, 2, 1, []int{2}, false},
		{"atomic", good + "\n{}", true, 0, 1, []int{2}, false},
		{"empty", " \n", false, 0, 0, nil, false},
		{"empty array", "[ ]", false, 0, 0, nil, false},
		{"array cut off", "[" + good + "," + good, false, 0, 0, nil, true},
		{"array and more", "[" + good + "] x", false, 0, 0, nil, true},
		{"array with a hole", "[" + good + ",," + good + "]", false, 0, 0, nil, true},
	} {
		res, err := n.AcceptBulk(t.Context(), src, relay.Bulk{Body: []byte(tc.body), Atomic: tc.atomic})
		if (err != nil) != tc.fails || res.Accepted != tc.accepted || res.Rejected != tc.rejected {
			t.Errorf("%s: %+v %v", tc.name, res, err)
		}
		for i, line := range tc.lines {
			if i >= len(res.Errors) || res.Errors[i].Line != line || res.Errors[i].Message == "" {
				t.Errorf("%s: errors %+v, want lines %v", tc.name, res.Errors, tc.lines)
			}
		}
	}
	if _, err := n.AcceptBulk(t.Context(), src, relay.Bulk{Body: []byte(good + "\n" + good), MaxEvent: len(good) - 1}); !errors.Is(err, relay.ErrLineTooLarge) {
		t.Errorf("a line too large: %v", err)
	}
	rd := n.open(relay.Spec{Stream: src, From: relay.Earliest()})
	read(t, rd, 4)
	nothing(t, rd)
}
