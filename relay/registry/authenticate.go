package registry

import (
	"context"
	"strings"

	"sluice/auth"
)

// Authenticate says who a Bearer token stands for, now: a token of a deleted stream is ErrInvalid. Errors
// are auth.ErrMissing, ErrExpired and ErrInvalid. It costs no round trip and no allocation when the token was
// seen before. A disabled stream's token is good; Authorize says Disabled. The token is not kept.
//
// The Principal of an API key has its project and, as Subject, its id: auth.APIKey may do auth.Payload on every payload stream of the project,
// auth.Issuer auth.IssueTokens. That of an integration has the stream it reads, as Subject the id by which Snapshot.IntegrationByID gives
// its entitlement, and as TokenID the id of the token.
func (r *Registry) Authenticate(bearer []byte) (auth.Principal, error) {
	claims, err := r.tokens.Verify(bearer)
	if err != nil {
		if id, ok := r.Snapshot().adminID(bearer); ok {
			return auth.Principal{Kind: auth.Admin, TokenID: id}, nil
		}
		if p, ok := r.integration(bearer); ok {
			return p, nil
		}
		return auth.Principal{}, err
	}
	// The prefixes are ours: what follows verified says who of ours it was issued to.
	switch {
	case strings.HasPrefix(claims.ClientID, apiKeyPrefix):
		return r.keyPrincipal(claims)
	case strings.HasPrefix(claims.ClientID, userPrefix):
		return r.userPrincipal(claims)
	}
	st := r.Snapshot().StreamByClient(claims.ClientID)
	if st == nil {
		if st = r.FindClient(context.Background(), claims.ClientID); st == nil {
			return auth.Principal{}, auth.ErrInvalid
		}
	}
	kind := auth.Stream
	if st.Source != nil {
		kind = auth.Derived
	}
	return auth.Principal{
		Kind: kind, Project: st.Project.ID, Subject: st.ClientID, Stream: st.UUID, TokenID: claims.TokenID,
	}, nil
}

func (r *Registry) keyPrincipal(claims auth.Claims) (auth.Principal, error) {
	k := r.findAPIKeyByID(context.Background(), claims.ClientID)
	if k == nil || !k.honours(claims.Version, r.now()) || k.kind() == auth.Nobody {
		return auth.Principal{}, auth.ErrInvalid
	}
	return auth.Principal{Kind: k.kind(), Project: k.Project.ID, Subject: k.ID, TokenID: claims.TokenID}, nil
}

func (r *Registry) userPrincipal(claims auth.Claims) (auth.Principal, error) {
	u := r.findUserByID(context.Background(), claims.ClientID)
	if u == nil || claims.Version != u.record.Session {
		return auth.Principal{}, auth.ErrInvalid
	}
	return auth.Principal{Kind: auth.User, Project: u.Project.ID, Subject: u.ID, TokenID: claims.TokenID}, nil
}

// Client checks client credentials for the token endpoint, in constant time.
func (r *Registry) Client(clientID, secret string) bool {
	hash := auth.Hash("") // of no secret that is ever made, so that an unknown client takes as long
	st := r.FindClient(context.Background(), clientID)
	if st != nil {
		hash = st.record.SecretHash
	}
	return auth.Equal(hash, secret) && st != nil
}

// Master gives the project of an app key and its master secret, nil where they do not fit; in constant time.
func (r *Registry) Master(appKey, secret string) *Project {
	hash := auth.Hash("")
	p := r.Snapshot().ProjectByAppKey(appKey)
	if p != nil {
		hash = p.record.MasterHash
	}
	if !auth.Equal(hash, secret) || p == nil {
		return nil
	}
	return p
}
