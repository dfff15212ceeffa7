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

// Issue makes an access token and a refresh token for a client. That the client exists and showed its
// secret is the caller's part.
func (t *Tokens) Issue(ctx context.Context, clientID string) (Issued, error) {
	if err := ctx.Err(); err != nil {
		return Issued{}, err
	}
	if clientID == "" {
		return Issued{}, errors.New("a token needs a client id")
	}
	now := t.now()
	access, expires, err := t.sign(clientID, accessUse, now, t.ttl)
	if err != nil {
		return Issued{}, err
	}
	refresh, _, err := t.sign(clientID, refreshUse, now, refreshTTL)
	if err != nil {
		return Issued{}, err
	}
	return Issued{
		AccessToken:  access,
		TokenType:    "Bearer",
		ExpiresIn:    int64(t.ttl.Round(time.Second) / time.Second),
		ExpiresAt:    expires.Unix(),
		RefreshToken: refresh,
	}, nil
}

func (t *Tokens) sign(clientID, use string, now time.Time, ttl time.Duration) (string, time.Time, error) {
	// Rounded up: a token never lives shorter than was promised.
	expires := now.Add(ttl + time.Second - 1).Truncate(time.Second)
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, &claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    t.issuer,
			Subject:   clientID,
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(expires),
			ID:        uuid.NewString(),
		},
		ClientID: clientID,
		Use:      use,
	})
	token.Header["kid"] = t.order[0]
	signed, err := token.SignedString(t.keys[t.order[0]])
	if err != nil {
		return "", time.Time{}, fmt.Errorf("signing a token: %w", err)
	}
	return signed, expires, nil
}

// Refresh gives the client that a refresh token was issued to: ErrMissing, ErrExpired or ErrInvalid.
// Whether that client still exists is the caller's to ask, who then calls Issue. A refresh token may be
// used again until it expires.
func (t *Tokens) Refresh(ctx context.Context, refreshToken string) (clientID string, err error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	c, err := t.check(refreshToken, refreshUse)
	return c.ClientID, err
}
