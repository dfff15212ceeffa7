package registry_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"sluice/auth"
	"sluice/relay/registry"
)

func integration(t *testing.T, r *registry.Registry, name, stream string) (*registry.Integration, []byte) {
	t.Helper()
	i, token, err := r.CreateIntegration(t.Context(), defaultProject(t, r), registry.IntegrationSpec{Name: name, Stream: stream})
	if err != nil {
		t.Fatal(err)
	}
	return i, []byte(token)
}

func TestIntegrations(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	st, _ := create(t, r, p, registry.StreamSpec{Name: "web"})
	i, token := integration(t, r, "warehouse", "web")
	if len(i.Tokens) != 1 || i.Tokens[0].Name != "first" || i.Types != nil || i.Location || !i.Entitled("OPEN") {
		t.Errorf("%+v", i)
	}
	text, err := base64.StdEncoding.DecodeString(string(token))
	if parts := strings.Split(string(text), ":"); err != nil || len(parts) != 3 || parts[1] != p.AppKey || strings.ContainsAny(string(token), "=+/ ") {
		t.Errorf("token %s: %q, %v", token, text, err)
	}
	who, err := r.Authenticate(token)
	if want := (auth.Principal{Kind: auth.Integration, Project: p.ID, Subject: i.ID, Stream: st.UUID, TokenID: i.Tokens[0].ID}); err != nil || who != want {
		t.Errorf("%+v, %v", who, err)
	}
	s := r.Snapshot()
	for action, want := range map[auth.Action]registry.Verdict{auth.ReadRTDS: registry.Allowed, auth.Read: registry.Forbidden, auth.Send: registry.Forbidden, auth.Manage: registry.Forbidden} {
		if got := s.Authorize(who, action, st); got != want {
			t.Errorf("%v: %v", action, got)
		}
	}
	other, _ := create(t, r, p, registry.StreamSpec{Name: "other"})
	if got := r.Snapshot().Authorize(who, auth.ReadRTDS, other); got != registry.Forbidden {
		t.Errorf("another stream: %v", got)
	}

	// What looks like a token and is none.
	for _, bad := range []string{
		string(token[:95]) + "A", string(token) + "A", strings.ToUpper(string(token)), strings.Repeat("A", len(token)), strings.Repeat("!", len(token)),
		base64.StdEncoding.EncodeToString([]byte("sluice:" + strings.Repeat("x", 22) + ":" + strings.Repeat("y", 42))),
		base64.StdEncoding.EncodeToString([]byte("sluice:" + p.AppKey + ":" + strings.Repeat("y", 42))),
	} {
		refused(t, r, bad, []byte(bad))
	}

	// 25 tokens and no more; each works, one that is taken away no longer.
	second, text2, err := r.AddIntegrationToken(t.Context(), i.ID, "")
	if err != nil || second.Name != "token-2" || kindOf(t, r, []byte(text2)) != auth.Integration {
		t.Fatalf("%+v, %v", second, err)
	}
	if _, _, err := r.AddIntegrationToken(t.Context(), i.ID, "first"); !errors.Is(err, registry.ErrExists) {
		t.Errorf("the same name: %v", err)
	}
	for n := 3; n <= registry.MaxIntegrationTokens; n++ {
		if _, _, err := r.AddIntegrationToken(t.Context(), i.ID, ""); err != nil {
			t.Fatalf("token %d: %v", n, err)
		}
	}
	var full *registry.InUse
	if _, _, err := r.AddIntegrationToken(t.Context(), i.ID, ""); !errors.As(err, &full) {
		t.Errorf("one too many: %v", err)
	}
	if gone, err := r.DeleteIntegrationToken(t.Context(), i.ID, "first"); err != nil || gone.ID != i.Tokens[0].ID {
		t.Errorf("%+v, %v", gone, err)
	}
	refused(t, r, "a token taken away", token)
	if kindOf(t, r, []byte(text2)) != auth.Integration {
		t.Error("another token ended with it")
	}
	if _, err := r.DeleteIntegrationToken(t.Context(), i.ID, "first"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("again: %v", err)
	}

	changed, err := r.UpdateIntegration(t.Context(), i.ID, registry.IntegrationPatch{
		Name: ptr("lake"), Description: ptr("d"), Types: ptr([]string{"OPEN", "CUSTOM"}), Location: ptr(true),
	})
	if err != nil || changed.Name != "lake" || changed.Entitled("TAG_CHANGE") || !changed.Entitled("OPEN") || !changed.Location ||
		r.Snapshot().Integration(p, "warehouse") != nil || r.Snapshot().Integration(p, "lake") != changed || r.Snapshot().Integration(p, i.ID) != changed {
		t.Errorf("%+v, %v", changed, err)
	}
	for _, types := range [][]string{{""}, {"open"}, {"OPEN", "OPEN"}, {strings.Repeat("X", 65)}} {
		var invalid *registry.Invalid
		if _, err := r.UpdateIntegration(t.Context(), i.ID, registry.IntegrationPatch{Types: &types}); !errors.As(err, &invalid) || invalid.Field != "types" {
			t.Errorf("%q: %v", types, err)
		}
	}
	if _, err := r.DeleteIntegration(t.Context(), i.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, r, "of a deleted integration", []byte(text2))
	if _, again := integration(t, r, "lake", "web"); kindOf(t, r, again) != auth.Integration {
		t.Error("the name was not free again")
	}
}

// TestIntegrationsOfStreams: the project's event stream is the default, a stream with an integration is not deleted by chance, and a
// recursive delete takes them along, however many.
func TestIntegrationsOfStreams(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	create(t, r, p, registry.StreamSpec{Name: "web"})
	create(t, r, p, registry.StreamSpec{Name: "web-1", DerivedFrom: "web", Levels: []int{1}})
	var invalid *registry.Invalid
	for _, stream := range []string{"", "nothing"} {
		if _, _, err := r.CreateIntegration(t.Context(), p, registry.IntegrationSpec{Name: "in", Stream: stream}); !errors.As(err, &invalid) || invalid.Field != "stream" {
			t.Errorf("stream %q: %v", stream, err)
		}
	}
	p, _, err := r.UpdateProject(t.Context(), "default", registry.ProjectPatch{EventStream: ptr("web-1")})
	if err != nil {
		t.Fatal(err)
	}
	tokens := [][]byte{}
	for n := range 23 {
		i, token := integration(t, r, "in-"+string(rune('a'+n)), []string{"", "web"}[n%2])
		if want := []string{"web-1", "web"}[n%2]; i.Stream.Name != want {
			t.Fatalf("reads %s", i.Stream.Name)
		}
		tokens = append(tokens, token)
	}
	var inUse *registry.InUse
	if _, err := r.DeleteStream(t.Context(), p, "web-1", false); !errors.As(err, &inUse) || !strings.Contains(inUse.Text, "integrations in-a, in-c") {
		t.Errorf("deleting: %v", err)
	}
	if tree := r.Snapshot().Tree(r.Snapshot().Stream(p, "web")); len(tree.Integrations) != 23 {
		t.Errorf("the tree has %d", len(tree.Integrations))
	}
	gone, err := r.DeleteStream(t.Context(), p, "web", true)
	if err != nil || len(gone.Integrations) != 23 || len(gone.Derived) != 1 {
		t.Errorf("%d integrations, %d derived, %v", len(gone.Integrations), len(gone.Derived), err)
	}
	refused(t, r, "of a deleted stream", tokens...)
	if left := r.Snapshot().Integrations(p); len(left) != 0 {
		t.Errorf("%d are left", len(left))
	}
}

func TestIntegrationsAcrossNodes(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	one, two := node(t, s, registry.Config{}), node(t, s, registry.Config{})
	create(t, one, defaultProject(t, one), registry.StreamSpec{Name: "web"})
	for n := range 20 {
		if _, token := integration(t, one, "in-"+string(rune('a'+n)), "web"); kindOf(t, two, token) != auth.Integration {
			t.Fatal("not an integration")
		}
	}
	i, token := integration(t, two, "last", "web")
	if one.FindIntegration(t.Context(), defaultProject(t, one), i.ID) == nil { // as every route does first
		t.Fatal("not found on the other node")
	}
	_, more, err := one.AddIntegrationToken(t.Context(), i.ID, "more")
	if err != nil || kindOf(t, two, []byte(more)) != auth.Integration {
		t.Fatal(err)
	}
	if _, err := two.DeleteIntegrationToken(t.Context(), i.ID, "first"); err != nil {
		t.Fatal(err)
	}
	until(t, "taken away on the other node", func() bool { _, err := one.Authenticate(token); return errors.Is(err, auth.ErrInvalid) })
	s.close()
	again := node(t, openStore(t, dir), registry.Config{})
	refused(t, again, "taken away before the restart", token)
	if kindOf(t, again, []byte(more)) != auth.Integration {
		t.Error("a token did not survive the restart")
	}
}

// TestCredentialsAllocateNothing: producers come by the thousand a second, and open readers ask every second.
func TestCredentialsAllocateNothing(t *testing.T) {
	r := single(t)
	create(t, r, defaultProject(t, r), registry.StreamSpec{Name: "web"})
	_, opening := integration(t, r, "in", "web")
	k, _ := apiKey(t, r, "web", registry.StreamingIngest)
	for name, token := range map[string][]byte{"an API key's": keyToken(t, r, k.ID, k.Created.AddDate(0, 0, 1))} {
		kindOf(t, r, token)
		if n := testing.AllocsPerRun(200, func() { _, _ = r.Authenticate(token) }); n != 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if kindOf(t, r, opening) != auth.Integration {
		t.Error("not an integration's")
	}
}
