package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"sluice/auth"
	"sluice/relay/engine"
)

const (
	// DefaultProject is the project that an empty store gets.
	DefaultProject = "default"

	adminTokenLength = 40
	// takeTime is how long FirstAdminToken tries to note that the token was taken.
	takeTime = 5 * time.Second
)

// bootstrap makes what a store must have and has not, and gives the signing keys. The signing key and the
// first project go in one batch, so a store with the key is one that was made; a project that was deleted
// later does not come back.
func (r *Registry) bootstrap(ctx context.Context) ([]auth.SigningKey, error) {
	if r.state.revisions[signingKey] == 0 {
		if err := r.found(ctx); err != nil {
			return nil, fmt.Errorf("setting up an empty store: %w", err)
		}
		// Where another node was faster, this one has yet to learn what that one made.
		if err := r.load(ctx); err != nil {
			return nil, fmt.Errorf("loading the control plane: %w", err)
		}
	}
	if r.state.override == nil && (r.state.revisions[adminKey] == 0 || r.state.admin != nil && r.state.admin.Unseen) {
		if err := r.makeFirstAdminToken(ctx); err != nil {
			return nil, fmt.Errorf("making an admin token: %w", err)
		}
	}
	return r.signingKeys()
}

func (r *Registry) found(ctx context.Context) error {
	key, err := auth.NewSigningKey()
	if err != nil {
		return err
	}
	sealed, err := r.vault.SealSecret(secretName(key.ID), key.DER)
	if err != nil {
		return fmt.Errorf("sealing the signing key: %w", err)
	}
	return r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		if at[signingKey] != 0 {
			return nil, nil
		}
		writes := []engine.Write{{Key: signingKey, Value: encode(&signingRecord{
			Version: recordVersion, Keys: []sealedKey{{ID: key.ID, Sealed: sealed}},
		})}}
		if s.Project(DefaultProject) == nil {
			// Its master secret is known to nobody: who needs one rotates it.
			writes = append(writes, projectWrites(r.newProject(DefaultProject, auth.NewSecret(secretLength)))...)
		}
		return writes, nil
	})
}

func secretName(keyID string) string { return "signing key " + keyID }

func (r *Registry) signingKeys() ([]auth.SigningKey, error) {
	if r.state.signing == nil || len(r.state.signing.Keys) == 0 {
		return nil, errors.New("the store has no signing key that can be read")
	}
	var keys []auth.SigningKey
	for _, k := range r.state.signing.Keys {
		der, err := r.vault.OpenSecret(secretName(k.ID), k.Sealed)
		if err != nil {
			return nil, fmt.Errorf("opening the token signing key with the master key (is it the one this store was made with?): %w", err)
		}
		keys = append(keys, auth.SigningKey{ID: k.ID, DER: der})
	}
	return keys, nil
}

// makeFirstAdminToken makes one, unless another node just did.
func (r *Registry) makeFirstAdminToken(ctx context.Context) error {
	token := auth.NewSecret(adminTokenLength)
	before := r.state.revisions[adminKey]
	made := false
	err := r.change(ctx, func(_ *Snapshot, at revisions) ([]engine.Write, error) {
		made = at[adminKey] == before
		if !made {
			return nil, nil
		}
		return []engine.Write{adminWrite(token, true, before)}, nil
	})
	if err == nil && made {
		r.first.Store(&token)
	}
	return err
}

func adminWrite(token string, unseen bool, revision uint64) engine.Write {
	return engine.Write{
		Key:      adminKey,
		Value:    encode(&adminRecord{Version: recordVersion, Hash: auth.Hash(token), Unseen: unseen}),
		Revision: revision,
	}
}

// FirstAdminToken gives the admin token that Open made, once; empty when it made none or it was taken
// before. Show it to the operator: only its hash is stored. One that was never taken is replaced at the next start.
func (r *Registry) FirstAdminToken() string {
	token := r.first.Swap(nil)
	if token == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), takeTime)
	defer cancel()
	replaced := false
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		replaced = s.admin == nil || s.admin.id != auth.Hash(*token)
		if replaced {
			return nil, nil
		}
		return []engine.Write{adminWrite(*token, false, at[adminKey])}, nil
	})
	if err != nil {
		r.log.Warn("it was not noted that the admin token was shown; the next start makes another", "error", err)
	}
	if replaced {
		// Another node started between our Open and now and took this token for one that nobody saw.
		return ""
	}
	return *token
}

// NewAdminToken replaces the stored admin token and gives the new one, once. The one before is refused from then on.
func (r *Registry) NewAdminToken(ctx context.Context) (string, error) {
	token := auth.NewSecret(adminTokenLength)
	err := r.change(ctx, func(_ *Snapshot, at revisions) ([]engine.Write, error) {
		return []engine.Write{adminWrite(token, false, at[adminKey])}, nil
	})
	if err != nil {
		return "", err
	}
	return token, nil
}

// newProject is a project with ids of its own.
func (r *Registry) newProject(name, master string) *projectRecord {
	return &projectRecord{
		Version: recordVersion, ID: uuid.NewString(), Name: name,
		BillingID: billingID(name), AppKey: auth.NewRandom(appKeyLength, urlSafe),
		MasterHash: auth.Hash(master), Created: r.now().UnixMilli(),
	}
}
