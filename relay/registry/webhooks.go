package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/relay/engine"
)

// Webhook sends a stream's events to an address. What it was told once and must use later (signing secrets, the authorization) is kept
// sealed; WebhookSecrets opens it.
type Webhook struct {
	Project       *Project
	ID            string // wh-…, in its project and in all others
	Name          string // unique in the project
	Description   string
	Stream        *Stream
	URL           string
	Headers       map[string]string // shared: read only
	Authorization bool              // deliveries carry one
	BatchSize     int               // 1: bare objects; else arrays of up to so many
	Types         []string          // nil: all
	Filters       json.RawMessage   // nil: none
	Ordering      string            // fifo, key or none
	Envelope      string            // airship or none
	Retry         []time.Duration   // pauses before the second attempt, the third and so on
	Timeout       time.Duration     // for one attempt
	Enabled       bool
	Reason        string        // why Sluice switched it off; empty when it did not
	From          engine.Offset // behind which the first delivery began
	Created       time.Time
	PublicKey     string   // of the signing secret, where it has one
	Replays       []Replay // asked for and not done; shared: read only
	Version       string   // another one whenever anything that a delivery depends on changed

	record *webhookRecord
}

// Replay is a part of the log that a webhook is to be sent again.
type Replay struct {
	ID     string        `json:"id"`
	Ranges []ReplayRange `json:"ranges"`
}

// ReplayRange are the events behind After up to and with To. A range that repeats one batch names its Lane, where its batches were formed
// by lanes.
type ReplayRange struct {
	After engine.Offset `json:"after"`
	To    engine.Offset `json:"to"`
	Lane  int           `json:"lane,omitempty"`
	Batch int           `json:"batch,omitempty"` // not 0: it repeats one batch of so many, which keeps its events and its id
	Bare  bool          `json:"bare,omitempty"`  // of that batch: its body is one event and not a list
}

// WebhookSpec says what webhook to make. Nothing has a default but Name, which is made of the stream's.
type WebhookSpec struct {
	Name          string
	Description   string
	Stream        string
	URL           string // checked by the caller, who knows what is allowed
	Headers       map[string]string
	Authorization string
	BatchSize     int
	Types         []string
	Filters       json.RawMessage
	Ordering      string
	Envelope      string
	Retry         []time.Duration
	Timeout       time.Duration
	Disabled      bool
	Secret        string        // as it is shown
	PublicKey     string        // the secret's, where it has one
	From          engine.Offset // behind which it begins
}

// WebhookPatch says what to change; nil leaves a member as it is.
type WebhookPatch struct {
	Name          *string
	Description   *string
	URL           *string
	Headers       *map[string]string // all of them
	SomeHeaders   map[string]*string // those to set, nil for those to take away; names are the same in either case
	Authorization *string            // "" for none
	BatchSize     *int
	Types         *[]string
	Filters       *json.RawMessage
	Ordering      *string
	Envelope      *string
	Retry         *[]time.Duration
	Timeout       *time.Duration
	Enabled       *bool
	Reason        string // why it is switched off, where Enabled says so and Sluice did it
}

// WebhookSecret is a signing secret as it is shown, and until when it signs; the zero time: for good.
type WebhookSecret struct {
	Text  string
	Until time.Time
}

type webhookRecord struct {
	Version       int               `json:"v"`
	ID            string            `json:"id"`
	Project       string            `json:"project"`
	Stream        string            `json:"stream"` // uuid
	Name          string            `json:"name"`
	Description   string            `json:"description,omitempty"`
	URL           string            `json:"url"`
	Headers       map[string]string `json:"headers,omitempty"`
	Authorization []byte            `json:"authorization,omitempty"` // sealed
	BatchSize     int               `json:"batchSize"`
	Types         []string          `json:"types,omitempty"`
	Filters       json.RawMessage   `json:"filters,omitempty"`
	Ordering      string            `json:"ordering"`
	Envelope      string            `json:"envelope"`
	RetryMS       []int64           `json:"retryMs"`
	TimeoutMS     int64             `json:"timeoutMs"`
	Disabled      bool              `json:"disabled,omitempty"`
	Reason        string            `json:"reason,omitempty"`
	From          engine.Offset     `json:"from"`
	Secrets       []sealedSecret    `json:"secrets"` // newest first
	Replays       []Replay          `json:"replays,omitempty"`
	Created       int64             `json:"created"`
}

type sealedSecret struct {
	Sealed []byte `json:"sealed"`
	Public string `json:"public,omitempty"` // its public key, where it has one
	Until  int64  `json:"until,omitempty"`  // 0: for good
}

const (
	kindWebhook     = "webhook"     // .<id>: webhookRecord
	kindWebhookName = "webhookname" // .<project uuid>.<name>: pointer

	// rotatedFor is how long a secret that was replaced still signs, beside the new one.
	rotatedFor = 24 * time.Hour

	maxWebhooks      = 1000 // of one stream
	maxHeaders       = 20
	maxHeaderName    = 100
	maxHeaderValue   = 2000
	maxTypes         = 100
	maxFilters       = 16 << 10 // bytes
	maxRetries       = 50
	maxRetryPause    = 7 * 24 * time.Hour
	webhookAlphabet  = "abcdefghijklmnopqrstuvwxyz0123456789"
	minWebhookTime   = 100 * time.Millisecond
	maxWebhookTime   = 5 * time.Minute
	maxReplays       = 20
	maxReplayRanges  = 1000
	webhookIDLength  = 12
	maxAuthorization = 4000
)

func webhookKey(id string) string { return cellKey(kindWebhook, id) }
func webhookNameKey(project, name string) string {
	return cellKey(kindWebhookName, project+"."+escaped(name))
}

// Webhook gives the webhook of that name or id in a project, nil if there is none.
func (s *Snapshot) Webhook(p *Project, name string) *Webhook {
	if p == nil {
		return nil
	}
	if w := s.hooksNamed.get(scoped{p.ID, name}); w != nil {
		return w
	}
	if w := s.hooks.get(name); w != nil && w.Project.ID == p.ID {
		return w
	}
	return nil
}

// WebhookByID gives the webhook of that id, nil if there is none.
func (s *Snapshot) WebhookByID(id string) *Webhook { return s.hooks.get(id) }

// Webhooks gives a project's webhooks by name; with a nil project those of all.
func (s *Snapshot) Webhooks(p *Project) []*Webhook {
	var all []*Webhook
	for _, w := range s.hooks.all() {
		if p == nil || w.Project.ID == p.ID {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, webhooksByName)
	return all
}

// WebhooksOf gives the webhooks of a stream by name; the slice is shared, do not change it.
func (s *Snapshot) WebhooksOf(st *Stream) []*Webhook {
	if st == nil {
		return nil
	}
	return s.hooksOf.get(st.UUID)
}

func webhooksByName(a, b *Webhook) int { return strings.Compare(a.Name, b.Name) }

// FindWebhook is Snapshot.Webhook that asks the store before it says that there is none.
func (r *Registry) FindWebhook(ctx context.Context, p *Project, name string) *Webhook {
	if w := r.Snapshot().Webhook(p, name); w != nil || p == nil || len(name) > maxAskedName {
		return w
	}
	r.lookUp(ctx, webhookNameKey(p.ID, name))
	if w := r.Snapshot().Webhook(p, name); w != nil {
		return w
	}
	if checkToken(name) {
		r.lookUp(ctx, webhookKey(name))
	}
	return r.Snapshot().Webhook(p, name)
}

// checkToken tells whether a text can stand in a key as it is.
func checkToken(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// webhookOf makes the published form of a record; nil when its project or stream is not there (yet).
func webhookOf(r *webhookRecord, project *Project, st *Stream) *Webhook {
	if project == nil || st == nil {
		return nil
	}
	w := &Webhook{
		Project: project, ID: r.ID, Name: r.Name, Description: r.Description, Stream: st, URL: r.URL, Headers: r.Headers,
		Authorization: len(r.Authorization) > 0, BatchSize: r.BatchSize, Types: r.Types, Filters: r.Filters, Ordering: r.Ordering,
		Envelope: r.Envelope, Timeout: time.Duration(r.TimeoutMS) * time.Millisecond, Enabled: !r.Disabled, Reason: r.Reason,
		From: r.From, Created: time.UnixMilli(r.Created), Replays: r.Replays, record: r,
	}
	if len(r.Secrets) > 0 {
		w.PublicKey = r.Secrets[0].Public
	}
	for _, ms := range r.RetryMS {
		w.Retry = append(w.Retry, time.Duration(ms)*time.Millisecond)
	}
	// Replays come and go while the deliveries go on.
	lasting := *r
	lasting.Replays = nil
	sum := sha256.New()
	sum.Write(encode(&lasting))
	fmt.Fprintf(sum, "|%d|%d|%t", st.Rule.Type, st.Rule.Levels, st.Enabled)
	w.Version = hex.EncodeToString(sum.Sum(nil)[:16])
	return w
}

func milliseconds(all []time.Duration) []int64 {
	ms := make([]int64, len(all))
	for i, d := range all {
		ms[i] = int64(d / time.Millisecond)
	}
	return ms
}

func cloneHeaders(h map[string]string) map[string]string {
	if len(h) == 0 {
		return nil
	}
	return maps.Clone(h)
}
