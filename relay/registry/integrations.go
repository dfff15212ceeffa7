package registry

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/auth"
	"sluice/relay/engine"
)

// Integration is a direct integration: it reads one stream over /api/events, with tokens of its own. Immutable.
type Integration struct {
	Project     *Project
	ID          string // in-…
	Name        string // unique in the project
	Description string
	Stream      *Stream
	Types       []string           // the event types it is entitled to; nil: all. Shared: read only
	Location    bool               // location events too
	Tokens      []IntegrationToken // the oldest first. Shared: read only
	Created     time.Time

	record *integrationRecord
}

// Entitled tells whether the integration may see events of a type.
func (i *Integration) Entitled(eventType string) bool {
	return i.Types == nil || slices.Contains(i.Types, eventType)
}

// IntegrationToken is a token as far as it is known: only its hash is kept.
type IntegrationToken struct {
	ID      string // tk-…; connections are counted by it
	Name    string // unique in the integration
	Created time.Time

	hash [sha256.Size]byte
}

// IntegrationSpec says what integration to make.
type IntegrationSpec struct {
	Name        string
	Description string
	Stream      string // empty: the project's event stream
	Types       []string
	Location    bool
}

// IntegrationPatch says what to change; nil leaves a member as it is.
type IntegrationPatch struct {
	Name        *string
	Description *string
	Types       *[]string // none: all
	Location    *bool
}

const (
	kindIntegration      = "integration"      // .<id>: integrationRecord
	kindIntegrationName  = "integrationname"  // .<project uuid>.<name>: pointer
	kindIntegrationToken = "integrationtoken" // .<hash>: pointer

	// MaxIntegrationTokens is how many tokens an integration may have.
	MaxIntegrationTokens = 25

	maxIntegrations     = 1000 // of one stream
	integrationIDLength = 12
	maxTypeName         = 64 // characters
	firstToken          = "first"

	// A token is the base64 of prefix:appKey:secret, which is how one known client comes by the app key. Its length divides by three, so
	// that it ends without the padding that URLs and shells mangle.
	integrationPrefix      = "sluice"
	integrationSecretBytes = 42
	integrationTokenLength = (len(integrationPrefix) + 1 + appKeyLength + 1 + integrationSecretBytes) / 3 * 4
)

func integrationKey(id string) string { return cellKey(kindIntegration, id) }
func integrationNameKey(project, name string) string {
	return cellKey(kindIntegrationName, project+"."+escaped(name))
}
func integrationTokenKey(hash string) string { return cellKey(kindIntegrationToken, hash) }

type integrationRecord struct {
	Version     int           `json:"v"`
	ID          string        `json:"id"`
	Project     string        `json:"project"`
	Name        string        `json:"name"`
	Description string        `json:"description,omitempty"`
	Stream      string        `json:"stream"` // uuid
	Types       []string      `json:"types,omitempty"`
	Location    bool          `json:"location,omitempty"`
	Tokens      []tokenRecord `json:"tokens,omitempty"`
	Created     int64         `json:"created"`
}

type tokenRecord struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Hash    string `json:"hash"`
	Created int64  `json:"created"`
}

func integrationOf(r *integrationRecord, p *Project, st *Stream) *Integration {
	i := &Integration{
		Project: p, ID: r.ID, Name: r.Name, Description: r.Description, Stream: st, Types: r.Types, Location: r.Location,
		Created: time.UnixMilli(r.Created), record: r,
	}
	for _, t := range r.Tokens {
		if hash, ok := hashOf(t.Hash); ok {
			i.Tokens = append(i.Tokens, IntegrationToken{ID: t.ID, Name: t.Name, Created: time.UnixMilli(t.Created), hash: hash})
		}
	}
	return i
}

// keys are the cells of an integration.
func (i *Integration) keys() []string {
	keys := []string{integrationKey(i.ID), integrationNameKey(i.Project.ID, i.Name)}
	for _, t := range i.record.Tokens {
		keys = append(keys, integrationTokenKey(t.Hash))
	}
	return keys
}

// IntegrationByID gives the integration of that id, which is the Subject of its Principal; nil if there is none.
func (s *Snapshot) IntegrationByID(id string) *Integration { return s.integrations.get(id) }

// Integration gives a project's integration by its name or id, nil if the project is nil or has none.
func (s *Snapshot) Integration(p *Project, name string) *Integration {
	if p == nil {
		return nil
	}
	if i := s.integrationsNamed.get(scoped{p.ID, name}); i != nil {
		return i
	}
	if i := s.integrations.get(name); i != nil && i.Project.ID == p.ID {
		return i
	}
	return nil
}

// Integrations gives a project's integrations by name.
func (s *Snapshot) Integrations(p *Project) []*Integration {
	var all []*Integration
	for _, i := range s.integrations.all() {
		if p != nil && i.Project.ID == p.ID {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b *Integration) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// IntegrationsOf gives the integrations of a stream by name; the slice is shared, do not change it.
func (s *Snapshot) IntegrationsOf(st *Stream) []*Integration {
	if st == nil {
		return nil
	}
	return s.integrationsOf.get(st.UUID)
}

// FindIntegration is Snapshot.Integration that asks the store before it says that there is none.
func (r *Registry) FindIntegration(ctx context.Context, p *Project, name string) *Integration {
	if i := r.Snapshot().Integration(p, name); i != nil || p == nil || len(name) > maxAskedName {
		return i
	}
	r.lookUp(ctx, integrationNameKey(p.ID, name))
	if i := r.Snapshot().Integration(p, name); i != nil {
		return i
	}
	if checkToken(name) {
		r.lookUp(ctx, integrationKey(name))
	}
	return r.Snapshot().Integration(p, name)
}

// integration says which integration a token is of. It costs no allocation where this node knows the token; the store is asked about others
// only where they look like ours and name an app key that there is.
func (r *Registry) integration(bearer []byte) (auth.Principal, bool) {
	if len(bearer) != integrationTokenLength {
		return auth.Principal{}, false
	}
	hash := sha256.Sum256(bearer)
	s := r.Snapshot()
	held := s.integrationTokens.get(hash)
	if held.integration == nil {
		text, err := base64.StdEncoding.DecodeString(string(bearer))
		if err != nil {
			return auth.Principal{}, false
		}
		prefix, rest, _ := strings.Cut(string(text), ":")
		appKey, _, _ := strings.Cut(rest, ":")
		if prefix != integrationPrefix || s.ProjectByAppKey(appKey) == nil {
			return auth.Principal{}, false
		}
		r.lookUp(context.Background(), integrationTokenKey(hex.EncodeToString(hash[:])))
		if held = r.Snapshot().integrationTokens.get(hash); held.integration == nil {
			return auth.Principal{}, false
		}
	}
	i := held.integration
	return auth.Principal{
		Kind: auth.Integration, Project: i.Project.ID, Subject: i.ID, Stream: i.Stream.UUID, TokenID: held.token,
	}, true
}

// newToken makes a token for a project and its record.
func (r *Registry) newToken(p *Project, name string) (string, tokenRecord) {
	token := base64.StdEncoding.EncodeToString([]byte(integrationPrefix + ":" + p.AppKey + ":" + auth.NewSecret(integrationSecretBytes)))
	return token, tokenRecord{
		ID: "tk-" + auth.NewRandom(integrationIDLength, lowerAlnum), Name: name, Hash: auth.Hash(token), Created: r.now().UnixMilli(),
	}
}

// CreateIntegration makes an integration and its first token, which is shown this once. Errors: *Invalid, ErrExists where the name is taken,
// *InUse where the stream has too many, ErrNotFound where the project is gone.
func (r *Registry) CreateIntegration(ctx context.Context, p *Project, spec IntegrationSpec) (*Integration, string, error) {
	if p == nil {
		return nil, "", ErrNotFound
	}
	if err := checkName(spec.Name); err != nil {
		return nil, "", err
	}
	token, first := r.newToken(p, firstToken)
	record := integrationRecord{
		Version: recordVersion, ID: "in-" + auth.NewRandom(integrationIDLength, lowerAlnum), Project: p.ID, Name: spec.Name,
		Tokens: []tokenRecord{first}, Created: r.now().UnixMilli(),
	}
	patch := IntegrationPatch{Description: &spec.Description, Types: &spec.Types, Location: &spec.Location}
	if err := patch.apply(&record); err != nil {
		return nil, "", err
	}
	noteMade(ctx, record.ID)
	if spec.Stream != "" {
		r.FindStream(ctx, p, spec.Stream) // another node may have made it a moment ago
	}
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		return planIntegration(s, at, p.ID, spec.Stream, record)
	})
	if err != nil {
		return nil, "", err
	}
	if i := r.Snapshot().IntegrationByID(record.ID); i != nil {
		return i, token, nil
	}
	return nil, "", ErrNotFound // somebody deleted it while we looked
}

// planIntegration fits a new integration in, behind the same fence as planWebhook.
func planIntegration(s *Snapshot, at revisions, project, stream string, record integrationRecord) ([]engine.Write, error) {
	p := s.ProjectByID(project)
	if p == nil {
		return nil, ErrNotFound
	}
	if stream == "" {
		if stream = p.EventStream; stream == "" {
			return nil, &Invalid{"stream", "is missing, and the project has no event stream to take instead"}
		}
	}
	st := s.Stream(p, stream)
	if st == nil {
		return nil, &Invalid{"stream", fmt.Sprintf("there is no stream %s", stream)}
	}
	if len(s.IntegrationsOf(st)) >= maxIntegrations {
		return nil, &InUse{fmt.Sprintf("Stream %s has %d integrations, which is as many as it may have; delete one first", st.Name, maxIntegrations)}
	}
	name := integrationNameKey(project, record.Name)
	if at[name] != 0 {
		return nil, ErrExists
	}
	record.Stream = st.UUID
	to := encode(&pointer{Version: recordVersion, ID: record.ID})
	return []engine.Write{
		{Key: integrationKey(record.ID), Value: encode(&record)},
		{Key: streamKey(st.UUID), Value: encode(st.record), Revision: at[streamKey(st.UUID)]},
		{Key: name, Value: to},
		{Key: integrationTokenKey(record.Tokens[0].Hash), Value: to},
	}, nil
}

func (patch *IntegrationPatch) apply(record *integrationRecord) error {
	if patch.Description != nil {
		if err := checkDescription(*patch.Description); err != nil {
			return err
		}
		record.Description = *patch.Description
	}
	if patch.Types != nil {
		if err := checkEventTypes(*patch.Types); err != nil {
			return err
		}
		if record.Types = slices.Clone(*patch.Types); len(record.Types) == 0 {
			record.Types = nil
		}
	}
	if patch.Location != nil {
		record.Location = *patch.Location
	}
	return nil
}

func checkEventTypes(types []string) error {
	if len(types) > maxTypes {
		return &Invalid{"types", fmt.Sprintf("there are %d, at most %d are allowed", len(types), maxTypes)}
	}
	for n, t := range types {
		switch {
		case t == "" || utf8.RuneCountInString(t) > maxTypeName:
			return &Invalid{"types", fmt.Sprintf("one has not 1 to %d characters", maxTypeName)}
		case strings.Trim(t, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "":
			return &Invalid{"types", "one is not of A-Z, 0-9 and _, as event types are"}
		case slices.Contains(types[:n], t):
			return &Invalid{"types", t + " is there twice"}
		}
	}
	return nil
}

// changeIntegration changes a record; do may give further writes.
func (r *Registry) changeIntegration(ctx context.Context, id string, do func(s *Snapshot, at revisions, i *Integration, record *integrationRecord) ([]engine.Write, error)) (*Integration, error) {
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		i := s.IntegrationByID(id)
		if i == nil {
			return nil, ErrNotFound
		}
		changed := *i.record
		more, err := do(s, at, i, &changed)
		if err != nil {
			return nil, err
		}
		return append([]engine.Write{{Key: integrationKey(id), Value: encode(&changed), Revision: at[integrationKey(id)]}}, more...), nil
	})
	if err != nil {
		return nil, err
	}
	if i := r.Snapshot().IntegrationByID(id); i != nil {
		return i, nil
	}
	return nil, ErrNotFound
}

// UpdateIntegration changes an integration and gives the whole. Connections that are open see it within a second. Errors: *Invalid,
// ErrExists, ErrNotFound.
func (r *Registry) UpdateIntegration(ctx context.Context, id string, patch IntegrationPatch) (*Integration, error) {
	noteEntity(ctx, id)
	return r.changeIntegration(ctx, id, func(_ *Snapshot, at revisions, _ *Integration, record *integrationRecord) ([]engine.Write, error) {
		if err := patch.apply(record); err != nil {
			return nil, err
		}
		if patch.Name == nil || *patch.Name == record.Name {
			return nil, nil
		}
		if err := checkName(*patch.Name); err != nil {
			return nil, err
		}
		from, to := integrationNameKey(record.Project, record.Name), integrationNameKey(record.Project, *patch.Name)
		if at[to] != 0 {
			return nil, ErrExists
		}
		record.Name = *patch.Name
		return append(erasing(at, from), engine.Write{Key: to, Value: encode(&pointer{Version: recordVersion, ID: record.ID})}), nil
	})
}

// AddIntegrationToken makes one more token, which is shown this once; the empty name becomes token-N. Errors: *Invalid, ErrExists where the
// name is taken, *InUse at MaxIntegrationTokens, ErrNotFound.
func (r *Registry) AddIntegrationToken(ctx context.Context, id, name string) (IntegrationToken, string, error) {
	if name != "" {
		if err := checkName(name); err != nil {
			return IntegrationToken{}, "", err
		}
	}
	i := r.Snapshot().IntegrationByID(id)
	if i == nil {
		return IntegrationToken{}, "", ErrNotFound
	}
	token, made := r.newToken(i.Project, name)
	noteEntity(ctx, id+"/"+made.ID)
	_, err := r.changeIntegration(ctx, id, func(_ *Snapshot, _ revisions, i *Integration, record *integrationRecord) ([]engine.Write, error) {
		taken := func(name string) bool {
			return slices.ContainsFunc(record.Tokens, func(t tokenRecord) bool { return t.Name == name })
		}
		switch {
		case len(record.Tokens) >= MaxIntegrationTokens:
			return nil, &InUse{fmt.Sprintf("Integration %s has %d tokens, which is as many as it may have; delete one first", i.Name, MaxIntegrationTokens)}
		case name != "" && taken(name):
			return nil, ErrExists
		}
		for n := len(record.Tokens) + 1; name == "" && (made.Name == "" || taken(made.Name)); n++ {
			made.Name = fmt.Sprintf("token-%d", n)
		}
		record.Tokens = append(slices.Clone(record.Tokens), made)
		return []engine.Write{{Key: integrationTokenKey(made.Hash), Value: encode(&pointer{Version: recordVersion, ID: id})}}, nil
	})
	if err != nil {
		return IntegrationToken{}, "", err
	}
	return IntegrationToken{ID: made.ID, Name: made.Name, Created: time.UnixMilli(made.Created)}, token, nil
}

// DeleteIntegrationToken takes a token, by its id or name, away; what it holds open ends within a second. Errors: ErrNotFound.
func (r *Registry) DeleteIntegrationToken(ctx context.Context, id, token string) (IntegrationToken, error) {
	var gone tokenRecord
	_, err := r.changeIntegration(ctx, id, func(_ *Snapshot, at revisions, _ *Integration, record *integrationRecord) ([]engine.Write, error) {
		n := slices.IndexFunc(record.Tokens, func(t tokenRecord) bool { return t.ID == token })
		if n < 0 {
			n = slices.IndexFunc(record.Tokens, func(t tokenRecord) bool { return t.Name == token })
		}
		if n < 0 {
			return nil, ErrNotFound
		}
		gone = record.Tokens[n]
		record.Tokens = slices.Delete(slices.Clone(record.Tokens), n, n+1)
		return erasing(at, integrationTokenKey(gone.Hash)), nil
	})
	if err != nil {
		return IntegrationToken{}, err
	}
	return IntegrationToken{ID: gone.ID, Name: gone.Name, Created: time.UnixMilli(gone.Created)}, nil
}

// DeleteIntegration deletes an integration with its tokens; what they hold open ends within a second. Errors: ErrNotFound.
func (r *Registry) DeleteIntegration(ctx context.Context, id string) (*Integration, error) {
	noteEntity(ctx, id)
	var gone *Integration
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		if gone = s.IntegrationByID(id); gone == nil {
			return nil, ErrNotFound
		}
		return erasing(at, gone.keys()...), nil
	})
	return gone, err
}
