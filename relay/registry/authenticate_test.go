package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/auth"
	"sluice/relay/registry"
)

func TestAuthenticate(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	source, credentials := create(t, r, p, registry.StreamSpec{Name: "web"})
	derived, own := create(t, r, p, registry.StreamSpec{Name: "out", DerivedFrom: "web", Levels: []int{1}})

	if !r.Client(credentials.ClientID, credentials.ClientSecret) || !r.Client(own.ClientID, own.ClientSecret) {
		t.Error("right credentials are refused")
	}
	for name, tc := range map[string][2]string{
		"another's secret": {credentials.ClientID, own.ClientSecret}, "no secret": {credentials.ClientID, ""},
		"unknown": {"stream-nobody", credentials.ClientSecret}, "unknown without secret": {"stream-nobody", ""}, "nothing": {"", ""},
		"a name as wide as the sea": {strings.Repeat("x", 100_000), "x"},
	} {
		if r.Client(tc[0], tc[1]) {
			t.Errorf("%s is accepted", name)
		}
	}

	for _, tc := range []struct {
		of   *registry.Stream
		kind auth.Kind
	}{{source, auth.Stream}, {derived, auth.Derived}} {
		got, err := r.Authenticate(token(t, r, tc.of.ClientID))
		if err != nil {
			t.Fatal(err)
		}
		want := auth.Principal{Kind: tc.kind, Project: p.ID, Subject: tc.of.ClientID, Stream: tc.of.UUID, TokenID: got.TokenID}
		if got != want || got.TokenID == "" {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if _, err := r.Authenticate(nil); !errors.Is(err, auth.ErrMissing) {
		t.Errorf("no token: %v", err)
	}
	if _, err := r.Authenticate([]byte("nonsense")); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("nonsense: %v", err)
	}
	if _, err := r.Authenticate(token(t, r, "stream-of-nobody")); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a token of nobody: %v", err)
	}

	// A disabled stream's token is good; what it may do is another question.
	if _, err := r.UpdateStream(t.Context(), p, "web", registry.StreamPatch{Enabled: ptr(false)}); err != nil {
		t.Fatal(err)
	}
	who, err := r.Authenticate(token(t, r, source.ClientID))
	if err != nil {
		t.Fatalf("of a disabled stream: %v", err)
	}
	s := r.Snapshot()
	if got := s.Authorize(who, auth.Send, s.Stream(p, "web")); got != registry.Disabled {
		t.Errorf("a disabled stream: %v", got)
	}
}

func TestTokensExpire(t *testing.T) {
	c := newClock()
	r := node(t, openStore(t, t.TempDir()), registry.Config{PublicURL: "https://gateway.example/", TokenTTL: time.Minute, Now: c.now})
	p := defaultProject(t, r)
	st, _ := create(t, r, p, registry.StreamSpec{Name: "web"})
	bearer := token(t, r, st.ClientID)
	if kindOf(t, r, bearer) != auth.Stream {
		t.Error("not a stream's")
	}
	c.advance(time.Minute)
	if _, err := r.Authenticate(bearer); !errors.Is(err, auth.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	if got := string(r.Tokens().Discovery()); !strings.Contains(got, `"https://gateway.example/auth/realms/streams/protocol/openid-connect/token"`) {
		t.Errorf("discovery %s", got)
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	s := openStore(t, t.TempDir())
	const admin = "an-admin-token-of-this-run"
	r := node(t, s, registry.Config{AdminToken: admin})
	p := defaultProject(t, r)
	st, _ := create(t, r, p, registry.StreamSpec{Name: "web"})
	bearer, ref, short := token(t, r, st.ClientID), []byte("strmprivacy/clickstream/1.0.0"), []byte("clickstream")
	principal, err := r.Authenticate(bearer)
	if err != nil {
		t.Fatal(err)
	}
	for name, run := range map[string]func() bool{
		"Authenticate":     func() bool { _, err := r.Authenticate(bearer); return err == nil },
		"Stream":           func() bool { return r.Snapshot().Stream(p, "web") != nil },
		"StreamByClient":   func() bool { return r.Snapshot().StreamByClient(st.ClientID) != nil },
		"StreamByPublicID": func() bool { return r.Snapshot().StreamByPublicID(st.PublicID) != nil },
		"Contract":         func() bool { c, active := r.Snapshot().Contract(p, ref); return c != nil && active },
		"Contract, short":  func() bool { c, active := r.Snapshot().Contract(p, short); return c != nil && active },
		"FindContract":     func() bool { c, _ := r.FindContract(t.Context(), p, ref); return c != nil },
		"Authorize":        func() bool { return r.Snapshot().Authorize(principal, auth.Send, st) == registry.Allowed },
		"ProjectByAppKey":  func() bool { return r.Snapshot().ProjectByAppKey(p.AppKey) != nil },
	} {
		if !run() { // also the first use, which may verify or compile
			t.Fatalf("%s does not work", name)
		}
		if n := testing.AllocsPerRun(200, func() { run() }); n != 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// TestHammering: names that do not exist are asked for in the store now and then only, and cost a
// moment, not a wait.
func TestHammering(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	begin := time.Now()
	for i := range 20_000 {
		if r.FindStream(t.Context(), p, fmt.Sprint("nothing", i)) != nil || r.FindClient(t.Context(), "nobody") != nil {
			t.Fatal("found what does not exist")
		}
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("20,000 in %v", took)
	}
	if c, _ := r.FindContract(t.Context(), p, []byte("acme/nothing/1.0.0")); c != nil {
		t.Error("found a contract that does not exist")
	}
	if r.FindProject(t.Context(), "nothing") != nil || r.FindPublic(t.Context(), "is-nothing0") != nil {
		t.Error("found what does not exist")
	}
}
