package auth_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/auth"
)

func TestIssuedTokenIsVerified(t *testing.T) {
	c := newClock()
	c.advance(700 * time.Millisecond) // the answer and the claims are of one second whatever is left of it
	tokens := newTokens(t, c.now)
	issued := issue(t, tokens, "stream-abc")
	if issued.TokenType != "Bearer" || issued.ExpiresIn != 3600 || issued.ExpiresAt != c.now().Add(time.Hour).Unix() {
		t.Errorf("issued %+v", issued)
	}
	for range 2 { // verified, then remembered
		claims, err := tokens.Verify([]byte(issued.AccessToken))
		if err != nil {
			t.Fatal(err)
		}
		if claims.ClientID != "stream-abc" || claims.TokenID == "" || claims.Expires.Unix() != issued.ExpiresAt {
			t.Errorf("claims %+v", claims)
		}
	}
	again := issue(t, tokens, "stream-abc")
	first, _ := tokens.Verify([]byte(issued.AccessToken))
	second, _ := tokens.Verify([]byte(again.AccessToken))
	if first.TokenID == second.TokenID {
		t.Error("two tokens have one jti")
	}
}

// TestClaimsAreWhatIsPromised reads a token as a stranger would: by its parts and the published keys alone.
func TestClaimsAreWhatIsPromised(t *testing.T) {
	c := newClock()
	c.advance(700 * time.Millisecond)
	tokens := newTokens(t, c.now)
	token := issue(t, tokens, "stream-abc").AccessToken
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	var header, body map[string]any
	decodePart(t, parts[0], &header)
	decodePart(t, parts[1], &body)
	if header["alg"] != "RS256" || header["kid"] != signingKeys()[0].ID {
		t.Errorf("header %v", header)
	}
	if body["iss"] != issuer || body["sub"] != "stream-abc" || body["clientId"] != "stream-abc" || body["jti"] == "" {
		t.Errorf("claims %v", body)
	}
	if body["iat"] != float64(c.now().Unix()) || body["exp"] != float64(c.now().Add(time.Hour).Unix()) {
		t.Errorf("times %v %v", body["iat"], body["exp"])
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	key := publishedKey(t, tokens, header["kid"].(string))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature); err != nil {
		t.Errorf("the published key does not verify the token: %v", err)
	}
}

func decodePart(t *testing.T, part string, into any) {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func publishedKey(t *testing.T, tokens *auth.Tokens, id string) *rsa.PublicKey {
	t.Helper()
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(tokens.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	for _, k := range set.Keys {
		if k["kid"] != id {
			continue
		}
		if k["kty"] != "RSA" || k["use"] != "sig" || k["alg"] != "RS256" {
			t.Errorf("published key %v", k)
		}
		if k["d"] != "" || k["p"] != "" || len(k) != 6 {
			t.Errorf("the key set shows members %v", k)
		}
		n, err := base64.RawURLEncoding.DecodeString(k["n"])
		if err != nil {
			t.Fatal(err)
		}
		e, err := base64.RawURLEncoding.DecodeString(k["e"])
		if err != nil {
			t.Fatal(err)
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	t.Fatalf("key %s is not published", id)
	return nil
}

func TestDiscovery(t *testing.T) {
	tokens := newTokens(t, nil)
	var doc struct {
		Issuer string   `json:"issuer"`
		Token  string   `json:"token_endpoint"`
		JWKS   string   `json:"jwks_uri"`
		Grants []string `json:"grant_types_supported"`
		Auth   []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := json.Unmarshal(tokens.Discovery(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Issuer != issuer || doc.Token != issuer+"/protocol/openid-connect/token" || doc.JWKS != issuer+"/protocol/openid-connect/certs" {
		t.Errorf("addresses %+v", doc)
	}
	if !slices.Equal(doc.Grants, []string{"client_credentials", "refresh_token"}) ||
		!slices.Equal(doc.Auth, []string{"client_secret_basic", "client_secret_post"}) {
		t.Errorf("methods %+v", doc)
	}
}

func TestExpiry(t *testing.T) {
	c := newClock()
	tokens := newTokens(t, c.now)
	remembered, fresh := issue(t, tokens, "a"), issue(t, tokens, "b")
	if _, err := tokens.Verify([]byte(remembered.AccessToken)); err != nil {
		t.Fatal(err)
	}
	c.advance(time.Hour - time.Millisecond)
	for _, token := range []string{remembered.AccessToken, fresh.AccessToken} {
		if _, err := tokens.Verify([]byte(token)); err != nil {
			t.Errorf("refused before its time: %v", err)
		}
	}
	c.advance(time.Millisecond)
	unseen := newTokens(t, c.now)
	for name, got := range map[string]func() error{
		"remembered": func() error { _, err := tokens.Verify([]byte(remembered.AccessToken)); return err },
		"never seen": func() error { _, err := unseen.Verify([]byte(fresh.AccessToken)); return err },
	} {
		if err := got(); !errors.Is(err, auth.ErrExpired) {
			t.Errorf("%s: %v at the second of its expiry", name, err)
		}
	}
}

func TestFutureTokens(t *testing.T) {
	ahead := newClock()
	token := []byte(issue(t, newTokens(t, ahead.now), "a").AccessToken)
	for _, tc := range []struct {
		behind time.Duration
		want   error
	}{{30 * time.Second, nil}, {31 * time.Second, auth.ErrInvalid}} {
		now := func() time.Time { return ahead.now().Add(-tc.behind) }
		if _, err := newTokens(t, now).Verify(token); !errors.Is(err, tc.want) {
			t.Errorf("issued %v ahead: %v, want %v", tc.behind, err, tc.want)
		}
	}
}

func TestRefreshTokens(t *testing.T) {
	c := newClock()
	tokens := newTokens(t, c.now)
	issued := issue(t, tokens, "stream-abc")

	if _, err := tokens.Verify([]byte(issued.RefreshToken)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a refresh token as an access token: %v", err)
	}
	if _, err := tokens.Refresh(t.Context(), issued.AccessToken); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("an access token as a refresh token: %v", err)
	}
	if _, err := tokens.Refresh(t.Context(), ""); !errors.Is(err, auth.ErrMissing) {
		t.Errorf("no refresh token: %v", err)
	}
	c.advance(29 * 24 * time.Hour)
	if client, err := tokens.Refresh(t.Context(), issued.RefreshToken); err != nil || client != "stream-abc" {
		t.Errorf("refresh after 29 days: %q, %v", client, err)
	}
	c.advance(24 * time.Hour)
	if _, err := tokens.Refresh(t.Context(), issued.RefreshToken); !errors.Is(err, auth.ErrExpired) {
		t.Errorf("refresh after 30 days: %v", err)
	}
	// Expired is said to one who held the right sort of token only.
	if _, err := tokens.Verify([]byte(issued.RefreshToken)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("an expired refresh token as an access token: %v", err)
	}
}

// TestForgeries: what is not signed by us as we sign is refused, also right after the true token was seen.
func TestForgeries(t *testing.T) {
	c := newClock()
	keys := signingKeys()
	tokens := newTokens(t, c.now)
	good := issue(t, tokens, "stream-abc").AccessToken
	if _, err := tokens.Verify([]byte(good)); err != nil {
		t.Fatal(err)
	}
	ours := private(t, keys[0])
	public, err := x509.MarshalPKIXPublicKey(&ours.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		m := jwt.MapClaims{
			"iss": issuer, "sub": "stream-abc", "clientId": "stream-abc", "jti": "x", "typ": "Bearer",
			"iat": c.now().Unix(), "exp": c.now().Add(time.Hour).Unix(),
		}
		if change != nil {
			change(m)
		}
		return m
	}
	sign := func(method jwt.SigningMethod, key any, kid any, m jwt.MapClaims) string {
		token := jwt.NewWithClaims(method, m)
		if kid != nil {
			token.Header["kid"] = kid
		}
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	rs := func(change func(jwt.MapClaims)) string {
		return sign(jwt.SigningMethodRS256, ours, keys[0].ID, claims(change))
	}
	if _, err := tokens.Verify([]byte(rs(nil))); err != nil {
		t.Fatalf("the claims the forgeries start from are refused: %v", err)
	}
	parts := strings.Split(good, ".")
	flipped := []byte(good)
	flipped[len(flipped)-10] ^= 1

	for name, tc := range map[string]struct {
		token string
		want  error
	}{
		"nothing":                    {"", auth.ErrMissing},
		"none":                       {sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, keys[0].ID, claims(nil)), auth.ErrInvalid},
		"signature cut off":          {parts[0] + "." + parts[1] + ".", auth.ErrInvalid},
		"HS256 with the public key":  {sign(jwt.SigningMethodHS256, public, keys[0].ID, claims(nil)), auth.ErrInvalid},
		"RS512":                      {sign(jwt.SigningMethodRS512, ours, keys[0].ID, claims(nil)), auth.ErrInvalid},
		"PS256":                      {sign(jwt.SigningMethodPS256, ours, keys[0].ID, claims(nil)), auth.ErrInvalid},
		"another's key, our kid":     {sign(jwt.SigningMethodRS256, private(t, keys[1]), keys[0].ID, claims(nil)), auth.ErrInvalid},
		"another's key, another kid": {sign(jwt.SigningMethodRS256, private(t, keys[1]), keys[1].ID, claims(nil)), auth.ErrInvalid},
		"no kid":                     {sign(jwt.SigningMethodRS256, ours, nil, claims(nil)), auth.ErrInvalid},
		"kid of another type":        {sign(jwt.SigningMethodRS256, ours, 7, claims(nil)), auth.ErrInvalid},
		"another issuer":             {rs(func(m jwt.MapClaims) { m["iss"] = "https://evil.example" }), auth.ErrInvalid},
		"no issuer":                  {rs(func(m jwt.MapClaims) { delete(m, "iss") }), auth.ErrInvalid},
		"no expiry":                  {rs(func(m jwt.MapClaims) { delete(m, "exp") }), auth.ErrInvalid},
		"no jti":                     {rs(func(m jwt.MapClaims) { delete(m, "jti") }), auth.ErrInvalid},
		"no iat":                     {rs(func(m jwt.MapClaims) { delete(m, "iat") }), auth.ErrInvalid},
		"no clientId":                {rs(func(m jwt.MapClaims) { delete(m, "clientId") }), auth.ErrInvalid},
		"sub is another":             {rs(func(m jwt.MapClaims) { m["sub"] = "stream-xyz" }), auth.ErrInvalid},
		"no typ":                     {rs(func(m jwt.MapClaims) { delete(m, "typ") }), auth.ErrInvalid},
		"expired and another issuer": {rs(func(m jwt.MapClaims) { m["exp"] = 1; m["iss"] = "x" }), auth.ErrInvalid},
		"expired":                    {rs(func(m jwt.MapClaims) { m["exp"] = c.now().Unix(); m["iat"] = c.now().Unix() - 3600 }), auth.ErrExpired},
		"one bit of the signature":   {string(flipped), auth.ErrInvalid},
		"a prefix":                   {good[:len(good)-1], auth.ErrInvalid},
		"something behind":           {good + "A", auth.ErrInvalid},
		"another's claims":           {parts[0] + "." + strings.Split(rs(func(m jwt.MapClaims) { m["sub"] = "b" }), ".")[1] + "." + parts[2], auth.ErrInvalid},
		"not a token":                {"0123456789abcdef", auth.ErrInvalid},
		"far too long":               {good + strings.Repeat("A", 1<<20), auth.ErrInvalid},
	} {
		for range 2 { // what was refused once is not remembered as good
			if _, err := tokens.Verify([]byte(tc.token)); !errors.Is(err, tc.want) {
				t.Errorf("%s: %v, want %v", name, err, tc.want)
			}
		}
	}
}

func private(t *testing.T, k auth.SigningKey) *rsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(k.DER)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*rsa.PrivateKey)
}

// TestKeysRollOver: tokens of the key before stay good beside those of the new one, and every node that has both verifies both.
func TestKeysRollOver(t *testing.T) {
	keys := signingKeys()
	old := newTokens(t, nil, keys[0])
	rolled := newTokens(t, nil, keys[1], keys[0])
	oldToken, newToken := issue(t, old, "a").AccessToken, issue(t, rolled, "a").AccessToken
	for _, token := range []string{oldToken, newToken} {
		if _, err := rolled.Verify([]byte(token)); err != nil {
			t.Error(err)
		}
	}
	if _, err := old.Verify([]byte(newToken)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a key that is not there verified a token: %v", err)
	}
	publishedKey(t, rolled, keys[0].ID)
	publishedKey(t, rolled, keys[1].ID)
}

func TestConfigFaults(t *testing.T) {
	key := signingKeys()[0]
	for name, cfg := range map[string]auth.TokensConfig{
		"no issuer":    {Keys: []auth.SigningKey{key}},
		"no key":       {Issuer: issuer},
		"negative TTL": {Issuer: issuer, TTL: -time.Second, Keys: []auth.SigningKey{key}},
		"broken key":   {Issuer: issuer, Keys: []auth.SigningKey{{ID: "a", DER: key.DER[1:]}}},
		"key sans id":  {Issuer: issuer, Keys: []auth.SigningKey{{DER: key.DER}}},
	} {
		if _, err := auth.NewTokens(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	tokens := newTokens(t, nil)
	if _, err := tokens.Issue(t.Context(), ""); err == nil {
		t.Error("a token for nobody was issued")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tokens.Issue(ended, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("issued for a caller that is gone: %v", err)
	}
}

func TestVerifyAllocatesNothing(t *testing.T) {
	tokens := newTokens(t, nil)
	token := []byte(issue(t, tokens, "stream-abc").AccessToken)
	if _, err := tokens.Verify(token); err != nil {
		t.Fatal(err)
	}
	n := testing.AllocsPerRun(1000, func() {
		if _, err := tokens.Verify(token); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 && !raceEnabled {
		t.Errorf("%v allocations for a token that was seen before", n)
	}
}

// TestManyAtOnce: many goroutines with many tokens each get the claims of their own token.
func TestManyAtOnce(t *testing.T) {
	tokens := newTokens(t, nil)
	var texts [24][]byte
	for i := range texts {
		texts[i] = []byte(issue(t, tokens, fmt.Sprint("client-", i)).AccessToken)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				n := (i*7 + g) % len(texts)
				claims, err := tokens.Verify(texts[n])
				if err != nil || claims.ClientID != fmt.Sprint("client-", n) {
					t.Errorf("token %d: %+v, %v", n, claims, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkVerifySeen(b *testing.B) {
	tokens, err := auth.NewTokens(auth.TokensConfig{Issuer: issuer, Keys: []auth.SigningKey{signingKeys()[0]}})
	if err != nil {
		b.Fatal(err)
	}
	issued, err := tokens.Issue(b.Context(), "stream-abc")
	if err != nil {
		b.Fatal(err)
	}
	token := []byte(issued.AccessToken)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tokens.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}
