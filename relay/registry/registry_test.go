package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/auth"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// clock is a clock that a test moves.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Now().Truncate(time.Second).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func TestFirstStart(t *testing.T) {
	s := openStore(t, t.TempDir())
	r := open(t, s, registry.Config{})
	p := defaultProject(t, r)
	if len(r.Snapshot().Projects()) != 1 || p.Name != "default" || !strings.HasPrefix(p.BillingID, "default") {
		t.Errorf("projects %+v", r.Snapshot().Projects())
	}
	admin := r.FirstAdminToken()
	if len(admin) < 16 {
		t.Fatalf("admin token %q", admin)
	}
	if again := r.FirstAdminToken(); again != "" {
		t.Error("it was given twice")
	}
	who, err := r.Authenticate([]byte(admin))
	if err != nil || who.Kind != auth.Admin || who.Project != "" || who.TokenID == "" || strings.Contains(who.TokenID, admin) {
		t.Errorf("admin %+v, %v", who, err)
	}
	if _, err := r.Authenticate([]byte(admin + "x")); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("nearly the admin token: %v", err)
	}
	cells, err := s.engine.Cells().List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cells {
		if strings.Contains(string(c.Value), admin) {
			t.Errorf("cell %s holds the token itself", c.Key)
		}
	}
}

// TestWithoutRun: what needs no other node works before Run, and for tools that never run.
func TestWithoutRun(t *testing.T) {
	s := openStore(t, t.TempDir())
	r := open(t, s, registry.Config{})
	if r.Ready() == nil {
		t.Error("ready without Run")
	}
	p := defaultProject(t, r)
	st, _ := create(t, r, p, registry.StreamSpec{Name: "web"})
	if _, err := r.UpdateStream(t.Context(), p, "web", registry.StreamPatch{Description: ptr("d")}); err != nil {
		t.Fatal(err)
	}
	if r.Snapshot().Stream(p, "web").Description != "d" {
		t.Error("it does not see its own write")
	}
	stop := start(t, r)
	if r.Snapshot().StreamByUUID(st.UUID) == nil {
		t.Error("Run lost it")
	}
	if err := r.Run(t.Context()); err == nil {
		t.Error("Run runs twice")
	}
	stop()
	if r.Ready() == nil {
		t.Error("ready after Run")
	}
	if _, err := r.DeleteStream(t.Context(), p, "web", false); err != nil || r.Snapshot().StreamByUUID(st.UUID) != nil {
		t.Errorf("deleted after Run: %v", err)
	}
	start(t, r)
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	r := open(t, s, registry.Config{})
	stop := start(t, r)
	admin := r.FirstAdminToken()
	p, master, err := r.CreateProject(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("ü𝄞", 50)
	source, credentials := create(t, r, p, registry.StreamSpec{Name: long, Tags: []string{"a"}, Description: "d", Contract: "clickstream"})
	derived, _ := create(t, r, p, registry.StreamSpec{Name: "out", DerivedFrom: long, Levels: []int{0, 63}, LevelType: "GRANULAR"})
	ref := "acme/" + strings.Repeat("w", 100) + "/1.0.0"
	if _, err := r.CreateContract(t.Context(), p, shopContract(ref), false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetContractState(t.Context(), p, ref, registry.Active); err != nil {
		t.Fatal(err)
	}
	bearer := token(t, r, source.ClientID)
	stop()
	s.close()

	s = openStore(t, dir)
	r = node(t, s, registry.Config{})
	if r.FirstAdminToken() != "" {
		t.Error("a second admin token was made")
	}
	if kindOf(t, r, []byte(admin)) != auth.Admin || kindOf(t, r, bearer) != auth.Stream {
		t.Error("a token from before is another's")
	}
	again := r.Snapshot().Project("acme")
	if again == nil || again.ID != p.ID || r.Master(p.AppKey, master) != again {
		t.Fatalf("project %+v", again)
	}
	st := r.Snapshot().Stream(again, long)
	if st == nil || st.UUID != source.UUID || st.Log != source.Log || st.Tags[0] != "a" || st.Description != "d" ||
		st.Contract != source.Contract || !st.Created.Equal(source.Created) || st.PublicID != source.PublicID {
		t.Fatalf("stream %+v, was %+v", st, source)
	}
	d := r.Snapshot().Stream(again, "out")
	if d == nil || d.Source != st || d.Rule != derived.Rule || d.Log != st.Log {
		t.Errorf("derived %+v", d)
	}
	if !r.Client(credentials.ClientID, credentials.ClientSecret) {
		t.Error("the credentials are refused")
	}
	if c, active := r.Snapshot().Contract(again, []byte(ref)); c == nil || !active {
		t.Error("the contract is gone")
	}
	if _, _, err := r.CreateStream(t.Context(), again, registry.StreamSpec{Name: long}); !errors.Is(err, registry.ErrExists) {
		t.Errorf("the name is free: %v", err)
	}
	if _, err := r.DeleteStream(t.Context(), again, long, true); err != nil {
		t.Errorf("deleting what was made before: %v", err)
	}
}

// TestCrashBeforeTheTokenWasShown: a token that nobody saw is replaced, one that was shown is not.
func TestCrashBeforeTheTokenWasShown(t *testing.T) {
	s := openStore(t, t.TempDir())
	open(t, s, registry.Config{}) // and the process ends
	r := open(t, s, registry.Config{})
	admin := r.FirstAdminToken()
	if admin == "" {
		t.Fatal("no admin token after a start that showed none")
	}
	if len(r.Snapshot().Projects()) != 1 {
		t.Errorf("projects %v", r.Snapshot().Projects())
	}
	r = open(t, s, registry.Config{})
	if r.FirstAdminToken() != "" || kindOf(t, r, []byte(admin)) != auth.Admin {
		t.Error("a token that was shown was replaced")
	}
}

func TestAdminTokens(t *testing.T) {
	s := openStore(t, t.TempDir())
	for _, bad := range []string{"short", "fifteen-charact", "with a space in it", "ümläuts-are-not-ASCII", "control\x7fcharacters-"} {
		if _, err := registry.Open(t.Context(), s.engine, s.vault, registry.Config{AdminToken: bad, Log: quiet}); err == nil {
			t.Errorf("%q is accepted", bad)
		} else if strings.Contains(err.Error(), bad) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
	const own = "sixteen-characts"
	r := open(t, s, registry.Config{AdminToken: own})
	if r.FirstAdminToken() != "" {
		t.Error("a token was made where the operator has one")
	}
	if kindOf(t, r, []byte(own)) != auth.Admin {
		t.Error("the operator's token is refused")
	}

	r = node(t, s, registry.Config{}) // the first without
	first := r.FirstAdminToken()
	if first == "" {
		t.Fatal("there is no admin token")
	}
	if _, err := r.Authenticate([]byte(own)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("the token of another run: %v", err)
	}
	other := node(t, s, registry.Config{})
	overridden := node(t, s, registry.Config{AdminToken: own})
	if _, err := overridden.Authenticate([]byte(first)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("the stored token beside the operator's: %v", err)
	}
	second, err := r.NewAdminToken(t.Context())
	if err != nil || kindOf(t, r, []byte(second)) != auth.Admin {
		t.Fatalf("a new one: %v", err)
	}
	if _, err := r.Authenticate([]byte(first)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("the one before: %v", err)
	}
	until(t, "known to the other node", func() bool { _, err := other.Authenticate([]byte(second)); return err == nil })
	if _, err := other.Authenticate([]byte(first)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("the one before, on the other node: %v", err)
	}
}

func TestConfigFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg registry.Config
		ok  bool
	}{
		"zero":              {registry.Config{}, true},
		"all":               {registry.Config{PublicURL: "https://a.example/sluice", TokenTTL: time.Second, AdminToken: "0123456789abcdef"}, true},
		"negative TTL":      {registry.Config{TokenTTL: -time.Hour}, false},
		"TTL of a moment":   {registry.Config{TokenTTL: time.Millisecond}, false},
		"no scheme":         {registry.Config{PublicURL: "a.example"}, false},
		"another scheme":    {registry.Config{PublicURL: "ftp://a.example"}, false},
		"no host":           {registry.Config{PublicURL: "https://"}, false},
		"short admin token": {registry.Config{AdminToken: "0123456789abcde"}, false},
	} {
		if err := tc.cfg.Validate(); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := registry.Config{TokenTTL: -1, PublicURL: "x", AdminToken: "short"}.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all faults at once: %v", err)
	}
}

// TestManyFirstStarts: nodes that start at once on an empty store agree on one project, key and token.
func TestManyFirstStarts(t *testing.T) {
	s := openStore(t, t.TempDir())
	var nodes [4]*registry.Registry
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			r, err := registry.Open(t.Context(), s.engine, s.vault, registry.Config{Log: quiet})
			if err != nil {
				t.Error(err)
				return
			}
			nodes[i] = r
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	var tokens []string
	for _, r := range nodes {
		start(t, r)
		if token := r.FirstAdminToken(); token != "" {
			tokens = append(tokens, token)
		}
	}
	if len(tokens) != 1 {
		t.Fatalf("%d admin tokens were shown", len(tokens))
	}
	bearer := token(t, nodes[0], "x")
	for i, r := range nodes {
		if len(r.Snapshot().Projects()) != 1 || r.Snapshot().Project("default").ID != nodes[0].Snapshot().Project("default").ID {
			t.Errorf("node %d: projects %v", i, r.Snapshot().Projects())
		}
		if _, err := r.Tokens().Verify(bearer); err != nil {
			t.Errorf("node %d has another key: %v", i, err)
		}
		until(t, "the one token known", func() bool { _, err := r.Authenticate([]byte(tokens[0])); return err == nil })
	}
}

// TestTwoNodes: what one does the other sees, asked for or not.
func TestTwoNodes(t *testing.T) {
	s := openStore(t, t.TempDir())
	a := node(t, s, registry.Config{})
	b := node(t, s, registry.Config{})
	p := defaultProject(t, a)
	for i := range 20 {
		name := fmt.Sprint("web", i)
		st, credentials := create(t, a, p, registry.StreamSpec{Name: name})
		// At once, while the watch may not have told b yet.
		switch i % 4 {
		case 0:
			if kindOf(t, b, token(t, a, st.ClientID)) != auth.Stream {
				t.Fatal("the other node takes the token for another's")
			}
		case 1:
			if !b.Client(credentials.ClientID, credentials.ClientSecret) {
				t.Fatal("the other node does not know the client")
			}
		case 2:
			if b.FindStream(t.Context(), defaultProject(t, b), name) == nil {
				t.Fatal("the other node does not find the stream")
			}
		case 3:
			if b.FindPublic(t.Context(), st.PublicID) == nil {
				t.Fatal("the other node does not find the public id")
			}
		}
	}
	q, _, err := a.CreateProject(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.FindProject(t.Context(), "acme"); got == nil || got.ID != q.ID {
		t.Error("the other node does not find the project")
	}
	if _, err := a.CreateContract(t.Context(), q, shopContract("acme/visit/1.0.0"), false); err != nil {
		t.Fatal(err)
	}
	if c, _ := b.FindContract(t.Context(), q, []byte("acme/visit/1.0.0")); c == nil {
		t.Error("the other node does not find the contract")
	}

	// Both change the same stream; no change is lost.
	create(t, a, p, registry.StreamSpec{Name: "shared"})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20 {
			if _, err := a.UpdateStream(t.Context(), p, "shared", registry.StreamPatch{EventRate: ptr(int64(i + 1))}); err != nil {
				t.Error(err)
			}
		}
	})
	if b.FindStream(t.Context(), p, "shared") == nil {
		t.Fatal("the other node does not find the stream")
	}
	wg.Go(func() {
		for i := range 20 {
			if _, err := b.UpdateStream(t.Context(), p, "shared", registry.StreamPatch{EventCount: ptr(int64(i + 1))}); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for _, r := range []*registry.Registry{a, b} {
		until(t, "both changes there", func() bool {
			st := r.Snapshot().Stream(p, "shared")
			return st.EventRate == 20 && st.EventCount == 20
		})
	}

	st := a.Snapshot().Stream(p, "shared")
	bearer := token(t, a, st.ClientID)
	if kindOf(t, b, bearer) != auth.Stream {
		t.Fatal("not a stream's token")
	}
	at := time.Now()
	if _, err := a.DeleteStream(t.Context(), p, "shared", false); err != nil {
		t.Fatal(err)
	}
	until(t, "the token refused by the other node", func() bool { _, err := b.Authenticate(bearer); return err != nil })
	if took := time.Since(at); took > time.Second {
		t.Errorf("a revocation took %v to the other node", took)
	}
}

func appendEvent(t *testing.T, s *store, at engine.Stream) {
	t.Helper()
	var b engine.Batch
	b.Add(&engine.Record{Kind: engine.KindJSON, Processed: time.Now().UnixMilli(), Payload: []byte(`{"a":1}`)})
	if _, err := s.engine.Append(t.Context(), at, &b); err != nil {
		t.Fatal(err)
	}
}

func events(t *testing.T, s *store, at engine.Stream) int {
	t.Helper()
	c := s.engine.Read(at, 0)
	defer c.Close()
	n := 0
	for {
		b, err := c.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		n += b.Count()
	}
}

// TestDeletionIsFinished: a delete erases the events; what a crash left of it, and what another node
// wrote before it heard, Run erases, and in the end nothing remembers the stream.
func TestDeletionIsFinished(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	c := newClock()
	r := open(t, s, registry.Config{Now: c.now})
	stop := start(t, r)
	p := defaultProject(t, r)
	st, _ := create(t, r, p, registry.StreamSpec{Name: "web"})
	kept, _ := create(t, r, p, registry.StreamSpec{Name: "kept"})
	_, link, locator, err := s.vault.KeyFor(t.Context(), st.Log.ID, nil, []byte("session"), c.now())
	if err != nil {
		t.Fatal(err)
	}
	appendEvent(t, s, st.Log)
	appendEvent(t, s, kept.Log)
	if events(t, s, st.Log) != 1 {
		t.Fatal("the event is not in the log")
	}
	if _, err := r.DeleteStream(t.Context(), p, "web", false); err != nil {
		t.Fatal(err)
	}
	if n := events(t, s, st.Log); n != 0 {
		t.Errorf("%d events are left", n)
	}
	if _, err := s.vault.KeyAt(t.Context(), st.Log.ID, link, locator); err == nil {
		t.Error("its keys are left")
	}
	appendEvent(t, s, st.Log) // from a node that has not heard, or: the process ended before the erasing
	stop()
	s.close()

	s = openStore(t, dir)
	r = open(t, s, registry.Config{Now: c.now})
	stop = start(t, r)
	until(t, "erased", func() bool { return events(t, s, st.Log) == 0 })
	notes := func() int {
		cells, err := s.engine.Cells().List(t.Context(), "registry.dropping")
		if err != nil {
			t.Fatal(err)
		}
		return len(cells)
	}
	if notes() != 1 {
		t.Error("the note went before its time")
	}
	appendEvent(t, s, st.Log)
	stop()
	c.advance(time.Minute)
	start(t, r)
	until(t, "done with it", func() bool { return events(t, s, st.Log) == 0 && notes() == 0 })
	if events(t, s, kept.Log) != 1 {
		t.Error("another stream's event was erased")
	}
	left, err := s.engine.Cells().List(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	for _, cell := range left {
		if strings.Contains(string(cell.Value), st.UUID) || strings.Contains(cell.Key, st.UUID) {
			t.Errorf("cell %s still knows of it", cell.Key)
		}
	}
}

// TestStopWhileWaiting: a change under way when Run ends is finished without it; one whose caller is gone
// says that it cannot tell.
func TestStopWhileWaiting(t *testing.T) {
	s := openStore(t, t.TempDir())
	r := open(t, s, registry.Config{})
	p := defaultProject(t, r)
	for round := range 10 {
		stop := start(t, r)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				name := fmt.Sprint("web-", round, "-", i)
				if _, _, err := r.CreateStream(t.Context(), p, registry.StreamSpec{Name: name}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		stop()
		wg.Wait()
	}
	if n := len(r.Snapshot().Streams(p)); n != 40 {
		t.Errorf("%d streams", n)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := r.CreateStream(ended, p, registry.StreamSpec{Name: "late"}); err == nil {
		t.Error("created for a caller that is gone")
	}
}
