package auth

import (
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// maxToken bounds what is looked at as a token, in bytes; ours are below a thousand.
const maxToken = 4 << 10

// Claims are what an access token says that is good.
type Claims struct {
	ClientID string
	TokenID  string // jti
	Expires  time.Time
	Version  int64 // as Grant has it
}

// Verify checks the signature and the times of an access token: ErrMissing for an empty one, ErrExpired,
// ErrInvalid. It remembers what it found good until the token expires; a token seen before costs no
// allocation and no cryptography. It does not know whether the client still exists. The token is not
// kept; the strings of the Claims are their own.
func (t *Tokens) Verify(token []byte) (Claims, error) {
	if len(token) == 0 {
		return Claims{}, ErrMissing
	}
	if len(token) > maxToken {
		return Claims{}, ErrInvalid
	}
	sum := t.seen.sum(token)
	if found := t.seen.find(sum, token); found != nil {
		if t.now().Before(found.claims.Expires) {
			return found.claims, nil
		}
		return Claims{}, ErrExpired
	}
	text := string(token)
	c, err := t.check(text, accessUse)
	if err != nil {
		return Claims{}, err
	}
	t.seen.keep(sum, &verified{token: text, claims: c}, t.now())
	return c, nil
}

// check verifies a token of one use. Only RS256 is accepted and the key is chosen by `kid` among ours, so
// that neither an unsigned token nor one "signed" with the public key as an HMAC secret passes.
func (t *Tokens) check(token, use string) (Claims, error) {
	if token == "" {
		return Claims{}, ErrMissing
	}
	if len(token) > maxToken {
		return Claims{}, ErrInvalid
	}
	var c claims
	_, err := t.parser.ParseWithClaims(token, &c, t.key)
	expired := onlyExpired(err)
	switch {
	case err != nil && !expired:
		return Claims{}, ErrInvalid
	case c.Use != use || c.ClientID == "" || c.Subject != c.ClientID || c.ID == "":
		return Claims{}, ErrInvalid
	case c.IssuedAt == nil || c.IssuedAt.After(t.now().Add(maxSkew)):
		return Claims{}, ErrInvalid
	case expired:
		return Claims{}, ErrExpired
	}
	return Claims{ClientID: c.ClientID, TokenID: c.ID, Expires: c.ExpiresAt.Time, Version: c.Version}, nil
}

// onlyExpired is true for a token of ours whose time is over. One that is expired and another issuer's too
// was never good, and its sender is to hear that and not to come back with a fresh one.
func onlyExpired(err error) bool {
	return errors.Is(err, jwt.ErrTokenExpired) &&
		!errors.Is(err, jwt.ErrTokenInvalidIssuer) && !errors.Is(err, jwt.ErrTokenNotValidYet)
}

func (t *Tokens) key(token *jwt.Token) (any, error) {
	id, ok := token.Header["kid"].(string)
	if !ok {
		return nil, jwt.ErrTokenUnverifiable
	}
	key, ok := t.keys[id]
	if !ok {
		return nil, jwt.ErrTokenUnverifiable
	}
	return &key.PublicKey, nil
}
