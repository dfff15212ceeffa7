package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/auth"
	"sluice/relay/engine"
)

// APIKeyType is what a key's tokens are for.
type APIKeyType string

// The types. An ingest key's tokens send to every payload stream of the project; an issuer's make tokens for those keys, and for itself.
const (
	StreamingIngest APIKeyType = "STREAMING_INGEST_WRITE"
	TokenIssuer     APIKeyType = "API_TOKEN_ISSUER"
)

// APIKey is a synthetic identity of a project, whose tokens are signed for one version of its secret. Immutable.
type APIKey struct {
	Project *Project
	ID      string // ak-…
	Name    string // unique in the project
	Type    APIKeyType
	Created time.Time
	Rotated time.Time // when its secret was last replaced; the zero time: never
	// OldUntil is how long tokens of the secret before live; the zero time: there is none.
	OldUntil time.Time

	record *apiKeyRecord
}

// Permission is what the tokens of a key say they may do.
func (k *APIKey) Permission() string {
	if k.Type == TokenIssuer {
		return "api-token-issuer:issue"
	}
	return "streaming-ingest-api:write"
}

// KeyToken is an access token of an API key.
type KeyToken struct {
	AccessToken string
	Expires     time.Time // in whole seconds
	Seconds     int64     // that it lives
}

// DeposedLife is how long the tokens of a secret live that was replaced.
const DeposedLife = 30 * 24 * time.Hour

const (
	kindAPIKey     = "apikey"     // .<id>: apiKeyRecord
	kindAPIKeyName = "apikeyname" // .<project uuid>.<name>: pointer

	apiKeyPrefix   = "ak-"
	apiKeyIDLength = 16
	maxAPIKeys     = 1000 // of one project
)

func apiKeyKey(id string) string { return cellKey(kindAPIKey, id) }
func apiKeyNameKey(project, name string) string {
	return cellKey(kindAPIKeyName, project+"."+escaped(name))
}

type apiKeyRecord struct {
	Version int        `json:"v"`
	ID      string     `json:"id"`
	Project string     `json:"project"`
	Name    string     `json:"name"`
	Type    APIKeyType `json:"type"`
	Secret  string     `json:"secret"` // the hash of the client secret
	// Active is the version that tokens are issued for. Versions count up and are never used again.
	Active int64 `json:"active"`
	// Old is the version before with its secret's hash, good until OldUntil; 0: there is none.
	Old       int64  `json:"old,omitempty"`
	OldSecret string `json:"oldSecret,omitempty"`
	OldUntil  int64  `json:"oldUntil,omitempty"`
	Rotated   int64  `json:"rotated,omitempty"`
	Created   int64  `json:"created"`
}

func apiKeyOf(r *apiKeyRecord, p *Project) *APIKey {
	k := &APIKey{Project: p, ID: r.ID, Name: r.Name, Type: r.Type, Created: time.UnixMilli(r.Created), record: r}
	if r.Rotated != 0 {
		k.Rotated = time.UnixMilli(r.Rotated)
	}
	if r.Old != 0 {
		k.OldUntil = time.UnixMilli(r.OldUntil)
	}
	return k
}

// kind is what a bearer of the key's tokens is.
func (k *APIKey) kind() auth.Kind {
	switch k.Type {
	case StreamingIngest:
		return auth.APIKey
	case TokenIssuer:
		return auth.Issuer
	default:
		return auth.Nobody // of a newer Sluice
	}
}

// honours tells whether tokens of a version of the secret are still good.
func (k *APIKey) honours(version int64, now time.Time) bool {
	r := k.record
	return version == r.Active || r.Old != 0 && version == r.Old && now.UnixMilli() < r.OldUntil
}

// APIKeyByID gives the key of that id, nil if there is none.
func (s *Snapshot) APIKeyByID(id string) *APIKey { return s.keys.get(id) }

// APIKey gives a project's key by its id or its name, nil if the project is nil or has none.
func (s *Snapshot) APIKey(p *Project, name string) *APIKey {
	if p == nil {
		return nil
	}
	if k := s.keys.get(name); k != nil && k.Project.ID == p.ID {
		return k
	}
	return s.keysNamed.get(scoped{p.ID, name})
}

// APIKeys gives a project's keys by name.
func (s *Snapshot) APIKeys(p *Project) []*APIKey {
	var all []*APIKey
	for _, k := range s.keys.all() {
		if p != nil && k.Project.ID == p.ID {
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b *APIKey) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// FindAPIKey is Snapshot.APIKey that asks the store before it says that there is none.
func (r *Registry) FindAPIKey(ctx context.Context, p *Project, name string) *APIKey {
	if k := r.Snapshot().APIKey(p, name); k != nil || p == nil || len(name) > maxAskedName {
		return k
	}
	if strings.HasPrefix(name, apiKeyPrefix) && checkToken(name) {
		r.lookUp(ctx, apiKeyKey(name))
	} else {
		r.lookUp(ctx, apiKeyNameKey(p.ID, name))
	}
	return r.Snapshot().APIKey(p, name)
}

// findAPIKeyByID is APIKeyByID that asks the store before it says that there is none.
func (r *Registry) findAPIKeyByID(ctx context.Context, id string) *APIKey {
	if k := r.Snapshot().APIKeyByID(id); k != nil || len(id) > maxAskedName || !strings.HasPrefix(id, apiKeyPrefix) || !checkToken(id) {
		return k
	}
	r.lookUp(ctx, apiKeyKey(id))
	return r.Snapshot().APIKeyByID(id)
}

// CreateAPIKey makes a key and its client secret, which is shown this once. Errors: *Invalid, ErrExists where the name is taken, *InUse where
// there are too many, ErrNotFound where the project is gone.
func (r *Registry) CreateAPIKey(ctx context.Context, p *Project, name string, of APIKeyType) (*APIKey, string, error) {
	if p == nil {
		return nil, "", ErrNotFound
	}
	if of != StreamingIngest && of != TokenIssuer {
		return nil, "", &Invalid{"type", fmt.Sprintf("must be %s or %s", StreamingIngest, TokenIssuer)}
	}
	if err := checkName(name); err != nil {
		return nil, "", err
	}
	secret := auth.NewSecret(secretLength)
	record := &apiKeyRecord{
		Version: recordVersion, ID: apiKeyPrefix + auth.NewSecret(apiKeyIDLength), Project: p.ID, Name: name, Type: of,
		Secret: auth.Hash(secret), Active: 1, Created: r.now().UnixMilli(),
	}
	noteMade(ctx, record.ID)
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		project := s.ProjectByID(p.ID)
		if project == nil {
			return nil, ErrNotFound
		}
		if at[apiKeyNameKey(p.ID, name)] != 0 {
			return nil, ErrExists
		}
		if len(s.APIKeys(project)) >= maxAPIKeys {
			return nil, &InUse{fmt.Sprintf("Project %s has %d API keys, which is as many as it may have; delete one first", project.Name, maxAPIKeys)}
		}
		return []engine.Write{
			{Key: apiKeyKey(record.ID), Value: encode(record)},
			// A fence: who deletes the project at this moment finds another revision, or this batch does.
			{Key: projectKey(p.ID), Value: encode(project.record), Revision: at[projectKey(p.ID)]},
			{Key: apiKeyNameKey(p.ID, name), Value: encode(&pointer{Version: recordVersion, ID: record.ID})},
		}, nil
	})
	if err != nil {
		return nil, "", err
	}
	if k := r.Snapshot().APIKeyByID(record.ID); k != nil {
		return k, secret, nil
	}
	return nil, "", ErrNotFound // somebody deleted it while we looked
}

// changeAPIKey changes a key's record.
func (r *Registry) changeAPIKey(ctx context.Context, id string, do func(record *apiKeyRecord)) (*APIKey, error) {
	noteEntity(ctx, id)
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		k := s.APIKeyByID(id)
		if k == nil {
			return nil, ErrNotFound
		}
		changed := *k.record
		do(&changed)
		return []engine.Write{{Key: apiKeyKey(id), Value: encode(&changed), Revision: at[apiKeyKey(id)]}}, nil
	})
	if err != nil {
		return nil, err
	}
	if k := r.Snapshot().APIKeyByID(id); k != nil {
		return k, nil
	}
	return nil, ErrNotFound
}

// RotateAPIKey replaces a key's secret and gives the new one, shown this once. The tokens of the secret before, and that secret itself, are good
// for DeposedLife more; those of the one before that end now. Errors: ErrNotFound.
func (r *Registry) RotateAPIKey(ctx context.Context, id string) (*APIKey, string, error) {
	secret, now := auth.NewSecret(secretLength), r.now()
	k, err := r.changeAPIKey(ctx, id, func(record *apiKeyRecord) {
		record.Old, record.OldSecret, record.OldUntil = record.Active, record.Secret, now.Add(DeposedLife).UnixMilli()
		record.Active, record.Secret, record.Rotated = record.Active+1, auth.Hash(secret), now.UnixMilli()
	})
	if err != nil {
		return nil, "", err
	}
	return k, secret, nil
}

// RevokeAPIKey ends the tokens of a key: those issued before its last rotation, or with all every one there is. The secret before the last
// rotation ends with either; the newest stays, so that the key can be used again. Errors: ErrNotFound.
func (r *Registry) RevokeAPIKey(ctx context.Context, id string, all bool) (*APIKey, error) {
	return r.changeAPIKey(ctx, id, func(record *apiKeyRecord) {
		record.Old, record.OldSecret, record.OldUntil = 0, "", 0
		if all {
			record.Active++
		}
	})
}

// DeleteAPIKey deletes a key; all its tokens end. Errors: ErrNotFound.
func (r *Registry) DeleteAPIKey(ctx context.Context, id string) (*APIKey, error) {
	noteEntity(ctx, id)
	var gone *APIKey
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		if gone = s.APIKeyByID(id); gone == nil {
			return nil, ErrNotFound
		}
		return erasing(at, apiKeyKey(id), apiKeyNameKey(gone.Project.ID, gone.Name)), nil
	})
	return gone, err
}

// IssueKeyToken makes an access token of a key's present secret that ends at expires, or with the zero time after the configured life. The
// token is shown this once: nothing of it is stored.
func (r *Registry) IssueKeyToken(ctx context.Context, k *APIKey, expires time.Time) (KeyToken, error) {
	return r.issueKeyToken(ctx, k, k.record.Active, expires)
}

func (r *Registry) issueKeyToken(ctx context.Context, k *APIKey, version int64, expires time.Time) (KeyToken, error) {
	issued, err := r.tokens.Grant(ctx, auth.Grant{
		ClientID: k.ID, Version: version, Tenant: k.Project.Name, Scope: k.Permission(), Until: expires,
	})
	if err != nil {
		return KeyToken{}, err
	}
	return KeyToken{AccessToken: issued.AccessToken, Expires: time.Unix(issued.ExpiresAt, 0).UTC(), Seconds: issued.ExpiresIn}, nil
}

// KeyCredentials checks a key's client credentials, in constant time, and makes a token of the secret that was shown. One of a secret that was
// replaced ends with that secret, like all its tokens. ok is false where they do not fit.
func (r *Registry) KeyCredentials(ctx context.Context, id, secret string) (k *APIKey, token KeyToken, ok bool, err error) {
	hash, old := auth.Hash(""), auth.Hash("") // of no secret that is ever made, so that an unknown key takes as long
	k = r.findAPIKeyByID(ctx, id)
	if k != nil {
		hash = k.record.Secret
		if k.record.Old != 0 && k.honours(k.record.Old, r.now()) {
			old = k.record.OldSecret
		}
	}
	isNew, isOld := auth.Equal(hash, secret), auth.Equal(old, secret)
	if k == nil || secret == "" || !isNew && !isOld {
		return nil, KeyToken{}, false, nil
	}
	version := k.record.Active
	if !isNew {
		version = k.record.Old
	}
	token, err = r.issueKeyToken(ctx, k, version, time.Time{})
	return k, token, err == nil, err
}
