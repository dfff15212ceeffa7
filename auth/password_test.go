package auth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/argon2"

	"sluice/auth"
)

func TestPasswords(t *testing.T) {
	p := auth.NewPasswords()
	const password = "pässword of Ann"
	hash, err := p.Hash(t.Context(), password)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p.Hash(t.Context(), password)
	if err != nil || again == hash || !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hashes %q and %q, %v", hash, again, err)
	}
	for name, tc := range map[string]struct {
		hash, password string
		want           bool
	}{
		"right": {hash, password, true}, "wrong": {hash, password + " ", false}, "empty": {hash, "", false},
		"of nobody": {"", password, false}, "nothing of nobody": {"", "", false}, "as wide as the sea": {hash, strings.Repeat("x", 1<<20), false},
	} {
		if got, err := p.Verify(t.Context(), tc.hash, tc.password); got != tc.want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestPasswordVector reads a hash of the reference implementation's own test suite (phc-winner-argon2, test.c).
func TestPasswordVector(t *testing.T) {
	const hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := auth.NewPasswords().Verify(t.Context(), hash, "password"); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	if argon2.Version != 19 {
		t.Errorf("version %d", argon2.Version)
	}
}

// TestPasswordHashesAreBounded: a record that was tampered with takes neither the memory nor the processor.
func TestPasswordHashesAreBounded(t *testing.T) {
	p := auth.NewPasswords()
	for _, hash := range []string{
		"x", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ", "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=16$m=19456,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=19456,t=4000000000,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=19456,t=2,p=0$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=19456,t=2,p=1$!$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$",
	} {
		if ok, err := p.Verify(t.Context(), hash, "password"); ok || err == nil {
			t.Errorf("%s: %v, %v", hash, ok, err)
		}
	}
}

// TestPasswordQueue: who hammers is sent away, and what was let in is answered.
func TestPasswordQueue(t *testing.T) {
	p := auth.NewPasswords()
	var mu sync.Mutex
	var busy, done int
	var all sync.WaitGroup
	for range 400 {
		all.Go(func() {
			_, err := p.Verify(context.Background(), "", "x")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, auth.ErrLoginsBusy):
				busy++
			case err == nil:
				done++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if busy == 0 || done == 0 || busy+done != 400 {
		t.Errorf("%d were sent away, %d answered", busy, done)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Hash(t.Context(), "x"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := p.Verify(ended, "", "x"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}

func TestCheckPassword(t *testing.T) {
	for password, fine := range map[string]bool{
		"1234567": false, "12345678": true, "": false, "日本語日本語日本": true, strings.Repeat("x", 1024): true, strings.Repeat("x", 1025): false, "\xff1234567890": false,
	} {
		if err := auth.CheckPassword(password); (err == nil) != fine || err != nil && password != "" && strings.Contains(err.Error(), password) {
			t.Errorf("%.20q: %v", password, err)
		}
	}
}

// TestGrant: versions, tenant and scope go into a token, and the version comes out of it and of its refresh token.
func TestGrant(t *testing.T) {
	c := newClock()
	tokens := newTokens(t, c.now)
	issued, err := tokens.Grant(t.Context(), auth.Grant{ClientID: "ak-1", Version: 7, Tenant: "shop", Scope: "a b", TTL: 72 * 3600e9, Refresh: true})
	if err != nil {
		t.Fatal(err)
	}
	if claims, err := tokens.Verify([]byte(issued.AccessToken)); err != nil || claims.Version != 7 || claims.ClientID != "ak-1" || !claims.Expires.Equal(c.now().Add(72*3600e9)) {
		t.Errorf("%+v, %v", claims, err)
	}
	if claims, err := tokens.RefreshClaims(t.Context(), issued.RefreshToken); err != nil || claims.Version != 7 {
		t.Errorf("%+v, %v", claims, err)
	}
	if _, err := tokens.RefreshClaims(t.Context(), issued.AccessToken); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("an access token refreshes: %v", err)
	}
	if plain, err := tokens.Grant(t.Context(), auth.Grant{ClientID: "ak-1"}); err != nil || plain.RefreshToken != "" || plain.ExpiresIn != 3600 {
		t.Errorf("%+v, %v", plain, err)
	}
	for _, g := range []auth.Grant{{}, {ClientID: "a", TTL: -1}} {
		if _, err := tokens.Grant(t.Context(), g); err == nil {
			t.Errorf("%+v was granted", g)
		}
	}
	for k := auth.Nobody; k <= auth.Integration; k++ {
		if auth.ParseKind(k.String()) != k {
			t.Errorf("%v is read as %v", k, auth.ParseKind(k.String()))
		}
	}
}
