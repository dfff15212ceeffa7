package auth

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

const (
	algorithm = "RS256"

	// defaultTTL is how long an access token lives where the configuration does not say.
	defaultTTL = time.Hour
	// refreshTTL is how long a refresh token lives: long enough for a producer that sends once a month.
	refreshTTL = 30 * 24 * time.Hour
	// maxSkew is how far in the future a token may have been issued: the clocks of two nodes differ. Expiry
	// has no leeway: the nodes that issue tokens are the ones that check them, and an hour is long enough.
	maxSkew = 30 * time.Second

	accessUse  = "Bearer"
	refreshUse = "Refresh"
)

// TokensConfig is what Tokens are made of.
type TokensConfig struct {
	// Issuer is the `iss` of the tokens and the root of the documents' addresses: <public url>/auth/realms/streams.
	Issuer string
	// TTL is how long access tokens live; default an hour. Seconds are the unit that tokens know: it is rounded up.
	TTL time.Duration
	// Keys sign and verify: the first signs, all verify. At least one.
	Keys []SigningKey
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Tokens issues access tokens, which are JWTs (RFC 7519) signed with RS256, and verifies them. Safe for
// concurrent use.
type Tokens struct {
	issuer    string
	ttl       time.Duration
	now       func() time.Time
	keys      map[string]*rsa.PrivateKey
	order     []string // the ids of keys, newest first
	parser    *jwt.Parser
	seen      *seen
	jwks      []byte
	discovery []byte
}

// claims are what our tokens say. Use tells an access token from a refresh token.
type claims struct {
	jwt.RegisteredClaims
	ClientID string `json:"clientId"`
	Use      string `json:"typ"`
	Tenant   string `json:"tenant,omitempty"`
	Scope    string `json:"scope,omitempty"`
	Version  int64  `json:"ver,omitempty"`
}

// NewTokens is ready to issue and verify. The error says which key or setting is wrong.
func NewTokens(cfg TokensConfig) (*Tokens, error) {
	if cfg.Issuer == "" {
		return nil, errors.New("the tokens have no issuer")
	}
	if len(cfg.Keys) == 0 {
		return nil, errors.New("there is no key to sign tokens with")
	}
	if cfg.TTL < 0 {
		return nil, fmt.Errorf("a token cannot live for %v", cfg.TTL)
	}
	t := &Tokens{
		issuer: strings.TrimRight(cfg.Issuer, "/"),
		ttl:    cfg.TTL,
		now:    cfg.Now,
		keys:   make(map[string]*rsa.PrivateKey, len(cfg.Keys)),
		seen:   newSeen(),
	}
	if t.ttl == 0 {
		t.ttl = defaultTTL
	}
	if t.now == nil {
		t.now = time.Now
	}
	for _, k := range cfg.Keys {
		key, err := k.parse()
		if err != nil {
			return nil, err
		}
		t.keys[k.ID] = key
		t.order = append(t.order, k.ID)
	}
	t.parser = jwt.NewParser(
		jwt.WithValidMethods([]string{algorithm}),
		jwt.WithIssuer(t.issuer),
		jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(t.now),
	)
	return t, t.document()
}

// Issued is the answer of the token endpoint. Times are in seconds, ExpiresAt since 1970.
type Issued struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	ExpiresAt    int64  `json:"expires_at"`
	RefreshToken string `json:"refresh_token"`
}

// Grant says whom tokens are for. Only ClientID is needed.
type Grant struct {
	ClientID string
	// Version is that of the secret the tokens were issued for, from 1 on: whoever keeps the client's versions ends all
	// tokens of one by forgetting it. 0: the client's tokens live as long as the client.
	Version int64
	Tenant  string        // the project's name, for a reader of the token; nothing is decided by it
	Scope   string        // permissions by spaces, likewise
	TTL     time.Duration // of the access token; 0: as configured
	Refresh bool          // with a refresh token
	// Until is when the access token ends, to the second, instead of TTL.
	Until time.Time
}

// Issue makes an access token and a refresh token for a client. That the client exists and showed its
// secret is the caller's part.
func (t *Tokens) Issue(ctx context.Context, clientID string) (Issued, error) {
	return t.Grant(ctx, Grant{ClientID: clientID, Refresh: true})
}

// Grant makes the tokens of a grant, as Issue does.
func (t *Tokens) Grant(ctx context.Context, g Grant) (Issued, error) {
	if err := ctx.Err(); err != nil {
		return Issued{}, err
	}
	switch {
	case g.ClientID == "":
		return Issued{}, errors.New("a token needs a client id")
	case g.TTL < 0:
		return Issued{}, fmt.Errorf("a token cannot live for %v", g.TTL)
	case g.TTL == 0:
		g.TTL = t.ttl
	}
	// All in whole seconds, from the one of issue: what a reader of the token computes is what the answer says.
	now := t.now().Truncate(time.Second)
	expires := now.Add(wholeSeconds(g.TTL))
	if !g.Until.IsZero() {
		expires = g.Until.Truncate(time.Second)
	}
	access, err := t.sign(g, accessUse, now, expires)
	if err != nil {
		return Issued{}, err
	}
	issued := Issued{
		AccessToken: access,
		TokenType:   "Bearer",
		ExpiresIn:   int64(expires.Sub(now) / time.Second),
		ExpiresAt:   expires.Unix(),
	}
	if g.Refresh {
		if issued.RefreshToken, err = t.sign(g, refreshUse, now, now.Add(refreshTTL)); err != nil {
			return Issued{}, err
		}
	}
	return issued, nil
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

func (t *Tokens) sign(g Grant, use string, now, expires time.Time) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    t.issuer,
			Subject:   g.ClientID,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(expires),
			ID:        uuid.NewString(),
		},
		ClientID: g.ClientID,
		Use:      use,
		Tenant:   g.Tenant,
		Scope:    g.Scope,
		Version:  g.Version,
	})
	token.Header["kid"] = t.order[0]
	signed, err := token.SignedString(t.keys[t.order[0]])
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return signed, nil
}

// Refresh gives the client that a refresh token was issued to: ErrMissing, ErrExpired or ErrInvalid.
// Whether that client still exists is the caller's to ask, who then calls Issue. A refresh token may be
// used again until it expires.
func (t *Tokens) Refresh(ctx context.Context, refreshToken string) (clientID string, err error) {
	c, err := t.RefreshClaims(ctx, refreshToken)
	return c.ClientID, err
}

// RefreshClaims is Refresh for clients whose secrets have versions.
func (t *Tokens) RefreshClaims(ctx context.Context, refreshToken string) (Claims, error) {
	if err := ctx.Err(); err != nil {
		return Claims{}, err
	}
	return t.check(refreshToken, refreshUse)
}
