package auth_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuer = "https://gateway.example/auth/realms/streams"

// clock is a clock that a test moves.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// Keys are slow to make, so the tests share two.
var signingKeys = sync.OnceValue(func() [2]auth.SigningKey {
	var keys [2]auth.SigningKey
	for i := range keys {
		key, err := auth.NewSigningKey()
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

func newTokens(t *testing.T, now func() time.Time, keys ...auth.SigningKey) *auth.Tokens {
	t.Helper()
	if len(keys) == 0 {
		keys = []auth.SigningKey{signingKeys()[0]}
	}
	tokens, err := auth.NewTokens(auth.TokensConfig{Issuer: issuer, TTL: time.Hour, Keys: keys, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func issue(t *testing.T, tokens *auth.Tokens, client string) auth.Issued {
	t.Helper()
	issued, err := tokens.Issue(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}
