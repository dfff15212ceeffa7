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

func apiKey(t *testing.T, r *registry.Registry, name string, of registry.APIKeyType) (*registry.APIKey, string) {
	t.Helper()
	k, secret, err := r.CreateAPIKey(t.Context(), defaultProject(t, r), name, of)
	if err != nil {
		t.Fatal(err)
	}
	return k, secret
}

func keyToken(t *testing.T, r *registry.Registry, id string, expires time.Time) []byte {
	t.Helper()
	token, err := r.IssueKeyToken(t.Context(), r.Snapshot().APIKeyByID(id), expires)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(token.AccessToken)
}

// refused holds tokens to be of nobody.
func refused(t *testing.T, r *registry.Registry, what string, tokens ...[]byte) {
	t.Helper()
	for _, token := range tokens {
		if _, err := r.Authenticate(token); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAPIKeyTokens(t *testing.T) {
	c := newClock()
	r := node(t, openStore(t, t.TempDir()), registry.Config{Now: c.now})
	p := defaultProject(t, r)
	k, _ := apiKey(t, r, "web", registry.StreamingIngest)
	issuer, _ := apiKey(t, r, "issuer", registry.TokenIssuer)
	if !strings.HasPrefix(k.ID, "ak-") || r.Snapshot().APIKey(p, "web") != k || r.Snapshot().APIKey(p, k.ID) != k || r.FindAPIKey(t.Context(), p, "none") != nil {
		t.Errorf("key %+v", k)
	}
	first := keyToken(t, r, k.ID, c.now().Add(90*24*time.Hour))
	who, err := r.Authenticate(first)
	if want := (auth.Principal{Kind: auth.APIKey, Project: p.ID, Subject: k.ID, TokenID: who.TokenID}); err != nil || who != want || who.TokenID == "" {
		t.Errorf("%+v, %v", who, err)
	}
	if kindOf(t, r, keyToken(t, r, issuer.ID, time.Time{})) != auth.Issuer {
		t.Error("an issuer's token is not one")
	}

	// A rotation leaves the old tokens 30 days, the next one ends them.
	if k, _, err = r.RotateAPIKey(t.Context(), k.ID); err != nil || !k.OldUntil.Equal(c.now().Add(registry.DeposedLife)) {
		t.Fatalf("%+v, %v", k, err)
	}
	second := keyToken(t, r, k.ID, c.now().Add(90*24*time.Hour))
	if kindOf(t, r, first) != auth.APIKey || kindOf(t, r, second) != auth.APIKey {
		t.Error("a token ended with the rotation")
	}
	c.advance(registry.DeposedLife - time.Second)
	if kindOf(t, r, first) != auth.APIKey {
		t.Error("a token of the old secret ended early")
	}
	c.advance(time.Second)
	refused(t, r, "30 days after the rotation", first)
	if k, _, err = r.RotateAPIKey(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	third := keyToken(t, r, k.ID, c.now().Add(24*time.Hour))
	if k, _, err = r.RotateAPIKey(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, r, "after two more rotations", first, second)
	if kindOf(t, r, third) != auth.APIKey {
		t.Error("the token before the last rotation ended with it")
	}

	// Revoked: the old, then all; the key can go on.
	fourth := keyToken(t, r, k.ID, c.now().Add(24*time.Hour))
	if k, err = r.RevokeAPIKey(t.Context(), k.ID, false); err != nil || !k.OldUntil.IsZero() {
		t.Fatalf("%+v, %v", k, err)
	}
	refused(t, r, "of the old secret, revoked", third)
	if kindOf(t, r, fourth) != auth.APIKey {
		t.Error("revoking the old ended the new")
	}
	if _, err = r.RevokeAPIKey(t.Context(), k.ID, true); err != nil {
		t.Fatal(err)
	}
	refused(t, r, "revoked", first, second, third, fourth)
	fifth := keyToken(t, r, k.ID, time.Time{})
	if kindOf(t, r, fifth) != auth.APIKey {
		t.Error("a token issued after the revocation is refused")
	}
	if _, err := r.DeleteAPIKey(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	refused(t, r, "of a deleted key", fifth)
	for name, err := range map[string]error{
		"rotate": second3(r.RotateAPIKey(t.Context(), k.ID)), "revoke": second2(r.RevokeAPIKey(t.Context(), k.ID, true)), "delete": second2(r.DeleteAPIKey(t.Context(), k.ID)),
	} {
		if !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s of a deleted key: %v", name, err)
		}
	}
}

func second2[A any](_ A, err error) error         { return err }
func second3[A, B any](_ A, _ B, err error) error { return err }

func TestAPIKeyCredentials(t *testing.T) {
	c := newClock()
	r := node(t, openStore(t, t.TempDir()), registry.Config{Now: c.now})
	k, old := apiKey(t, r, "web", registry.StreamingIngest)
	other, otherSecret := apiKey(t, r, "other", registry.StreamingIngest)
	_, fresh, err := r.RotateAPIKey(t.Context(), k.ID)
	if err != nil {
		t.Fatal(err)
	}
	try := func(id, secret string) []byte {
		t.Helper()
		_, token, ok, err := r.KeyCredentials(t.Context(), id, secret)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return nil
		}
		return []byte(token.AccessToken)
	}
	ofOld, ofNew := try(k.ID, old), try(k.ID, fresh)
	if ofOld == nil || ofNew == nil || try(other.ID, otherSecret) == nil {
		t.Fatal("right credentials are refused")
	}
	for name, tc := range map[string][2]string{
		"another's secret": {k.ID, otherSecret}, "no secret": {k.ID, ""}, "no key": {"", fresh}, "unknown": {"ak-unknown", fresh},
		"by name": {"web", fresh}, "a stream's": {"stream-x", fresh}, "hostile": {"ak-" + strings.Repeat(".", 3000), fresh},
	} {
		if try(tc[0], tc[1]) != nil {
			t.Errorf("%s is accepted", name)
		}
	}
	// What the old secret bought ends with it.
	if _, err := r.RevokeAPIKey(t.Context(), k.ID, false); err != nil {
		t.Fatal(err)
	}
	refused(t, r, "bought by the old secret", ofOld)
	if kindOf(t, r, ofNew) != auth.APIKey || try(k.ID, old) != nil || try(k.ID, fresh) == nil {
		t.Error("the old secret still opens, or the new one does not")
	}
}

func TestAPIKeyInput(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	apiKey(t, r, "web", registry.StreamingIngest)
	if _, _, err := r.CreateAPIKey(t.Context(), p, "web", registry.TokenIssuer); !errors.Is(err, registry.ErrExists) {
		t.Errorf("the same name: %v", err)
	}
	if _, _, err := r.CreateAPIKey(t.Context(), nil, "x", registry.TokenIssuer); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("no project: %v", err)
	}
	for _, name := range []string{"", "x", strings.Repeat("x", 101), "a/b", "a\nb"} {
		var invalid *registry.Invalid
		if _, _, err := r.CreateAPIKey(t.Context(), p, name, registry.TokenIssuer); !errors.As(err, &invalid) || invalid.Field != "name" {
			t.Errorf("%q: %v", name, err)
		}
	}
	var invalid *registry.Invalid
	if _, _, err := r.CreateAPIKey(t.Context(), p, "third", "ROOT"); !errors.As(err, &invalid) || invalid.Field != "type" {
		t.Errorf("type: %v", err)
	}
	var inUse *registry.InUse
	if _, err := r.DeleteProject(t.Context(), "default"); !errors.As(err, &inUse) || !strings.Contains(inUse.Text, "API key web") {
		t.Errorf("deleting its project: %v", err)
	}
}

// TestKeysAcrossNodes: what one node makes the other knows at once, what it takes away the other soon; a restart changes nothing.
func TestKeysAcrossNodes(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	one, two := node(t, s, registry.Config{}), node(t, s, registry.Config{})
	for n := range 20 {
		k, _ := apiKey(t, one, fmt.Sprint("key-", n), registry.StreamingIngest)
		if kindOf(t, two, keyToken(t, one, k.ID, time.Time{})) != auth.APIKey {
			t.Fatal("not an API key")
		}
	}
	k := one.Snapshot().APIKey(defaultProject(t, one), "key-7")
	before := keyToken(t, two, k.ID, time.Time{})
	kindOf(t, two, before)
	if _, err := one.RevokeAPIKey(t.Context(), k.ID, true); err != nil {
		t.Fatal(err)
	}
	until(t, "revoked on the other node", func() bool { _, err := two.Authenticate(before); return errors.Is(err, auth.ErrInvalid) })
	after := keyToken(t, one, k.ID, time.Time{})
	s.close()
	again := node(t, openStore(t, dir), registry.Config{})
	refused(t, again, "revoked before the restart", before)
	if kindOf(t, again, after) != auth.APIKey {
		t.Error("a token did not survive the restart")
	}
}
