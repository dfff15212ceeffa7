package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/delivery/webhook"
	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// manageWebhook is a webhook. Its secret is shown when it is made, its authorization never: only whether there is one.
type manageWebhook struct {
	ID          string            `json:"id" example:"wh-3k9c0q7m2x1v"`
	Name        string            `json:"name" example:"orders"`
	Description string            `json:"description"`
	Stream      string            `json:"stream" example:"web"`
	URL         string            `json:"url" example:"https://example.com/events"`
	Headers     map[string]string `json:"headers" nullable:"false"`
	// Authorization is manageSecret where there is one.
	Authorization string            `json:"authorization,omitempty" example:"****" doc:"**** where deliveries carry the header Authorization; left out where they do not."`
	BatchSize     int               `json:"batchSize" enum:"1,5,10,15,20,30,50,100" doc:"1: each request is one event, a bare object; else an array of up to so many."`
	Types         []string          `json:"types,omitempty" nullable:"false" doc:"The event types that are delivered; left out: all."`
	Filters       manageFilters     `json:"filters,omitempty" doc:"As in a request to /api/events; left out: none."`
	Ordering      string            `json:"ordering" enum:"fifo,key,none"`
	Envelope      string            `json:"envelope" enum:"airship,none"`
	Retry         []manageShortSpan `json:"retry" nullable:"false" doc:"The pauses before the second attempt, the third and so on; then the batch is a dead letter."`
	Timeout       manageShortSpan   `json:"timeout" doc:"For one attempt, from connecting to the end of the answer's head."`
	Enabled       bool              `json:"enabled"`
	Reason        string            `json:"reason,omitempty" doc:"Why Sluice switched it off."`
	CreatedAt     time.Time         `json:"createdAt"`
	PublicKey     string            `json:"publicKey,omitempty" example:"whpk_…" doc:"What the signatures are checked with, where they are of the kind v1a."`
	Secret        string            `json:"secret,omitempty" example:"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" doc:"What deliveries are signed with (Standard Webhooks). Shown once, when it is made."`
}

type manageNewWebhook struct {
	Name          string             `json:"name,omitempty" example:"orders" doc:"Unique in the project; left out: made of the stream's."`
	Description   string             `json:"description,omitempty" maxLength:"1000"`
	Stream        string             `json:"stream" example:"web" doc:"The stream whose events are delivered, source or derived."`
	URL           string             `json:"url" example:"https://example.com/events" doc:"https://; http:// only to loopback addresses that webhooks.allow_cidrs opens."`
	Headers       map[string]string  `json:"headers,omitempty" doc:"Sent with every delivery."`
	Authorization string             `json:"authorization,omitempty" example:"Basic dXNlcjpwYXNz" doc:"The value of the header Authorization. Kept sealed, shown as ****."`
	BatchSize     int                `json:"batchSize,omitempty" enum:"1,5,10,15,20,30,50,100" doc:"Left out: 10."`
	Types         []string           `json:"types,omitempty" nullable:"false" maxItems:"100"`
	Filters       manageFilters      `json:"filters,omitempty"`
	Ordering      string             `json:"ordering,omitempty" enum:"fifo,key,none" doc:"fifo (the default): one batch at a time, in order. key: in order for each key link, of Airship events for each device. none: up to 64 at a time."`
	Envelope      string             `json:"envelope,omitempty" enum:"airship,none" doc:"airship (the default): id, type, offset, occurred, processed, body around the event; none: the event itself."`
	Retry         *[]manageShortSpan `json:"retry,omitempty" doc:"Left out: 5s, 5m, 30m, 2h, 5h, 10h, 10h. [] gives up after the first attempt."`
	Timeout       *manageShortSpan   `json:"timeout,omitempty" example:"15s"`
	Enabled       *bool              `json:"enabled,omitempty"`
	Secret        string             `json:"secret,omitempty" doc:"whsec_ and 24 to 64 bytes in base64, or whsk_ and an ed25519 private key; left out: a new one."`
	Signature     string             `json:"signature,omitempty" enum:"v1,v1a" doc:"The kind of a new secret. v1 (the default): HMAC, the receiver has to know the secret. v1a: ed25519, the receiver knows the public key, and nobody but Sluice can sign."`
	From          string             `json:"from,omitempty" example:"EARLIEST" doc:"Where it begins: LATEST (the default), EARLIEST, an offset (exclusive), an RFC 3339 time, or -N."`
}

type manageWebhookPatch struct {
	Name          manageField[string]             `json:"name,omitempty"`
	Description   manageField[string]             `json:"description,omitempty" maxLength:"1000"`
	URL           manageField[string]             `json:"url,omitempty"`
	Headers       manageField[map[string]*string] `json:"headers,omitempty" doc:"Those to set, with null for one to take away; null instead of them: none is left."`
	Authorization manageField[string]             `json:"authorization,omitempty" doc:"null: none; ****, as it is shown: what there is."`
	BatchSize     manageField[int]                `json:"batchSize,omitempty"`
	Types         manageField[[]string]           `json:"types,omitempty" maxItems:"100" doc:"null: all."`
	Filters       manageField[manageFilters]      `json:"filters,omitempty" doc:"null: none."`
	Ordering      manageField[string]             `json:"ordering,omitempty"`
	Envelope      manageField[string]             `json:"envelope,omitempty"`
	Retry         manageField[[]manageShortSpan]  `json:"retry,omitempty" doc:"null: as of a new webhook."`
	Timeout       manageField[manageShortSpan]    `json:"timeout,omitempty" doc:"null: as of a new webhook."`
	Enabled       manageField[bool]               `json:"enabled,omitempty"`
}

// manageFilters are filters in the language of /api/events: an array of objects, or one object.
type manageFilters json.RawMessage

func (f manageFilters) MarshalJSON() ([]byte, error) { return f, nil }

func (f *manageFilters) UnmarshalJSON(data []byte) error {
	*f = append((*f)[:0], data...)
	return nil
}

// Schema says no more than that: the language is checked by the one who compiles it, whose message names the place.
func (manageFilters) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}
}

// manageShortSpan is a duration in its shortest spelling: 5m, 1d12h, 1.5s.
type manageShortSpan time.Duration

func (d manageShortSpan) MarshalJSON() ([]byte, error) {
	return json.Marshal(manageSpan(time.Duration(d)))
}

func (d *manageShortSpan) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	span, err := manageParseSpan(text)
	*d = manageShortSpan(span)
	return err
}

func (manageShortSpan) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Examples: []any{"15s"}, Pattern: manageSpanPattern, PatternDescription: manageSpanWords}
}

func manageSpans(all []manageShortSpan) []time.Duration {
	out := make([]time.Duration, len(all))
	for i, d := range all {
		out[i] = time.Duration(d)
	}
	return out
}

// ManageWebhookName is a webhook in the path.
type ManageWebhookName struct {
	ManageScope
	Webhook string `path:"webhook" example:"orders" doc:"The webhook's name or id."`
}

type manageNewWebhookIn struct {
	ManageScope
	Body manageNewWebhook
}

type managePatchWebhookIn struct {
	ManageWebhookName
	Body manageWebhookPatch
}

type manageWebhookOut struct{ Body manageWebhook }

type manageWebhooksOut struct {
	Body []manageWebhook `nullable:"false"`
}

func (m *manageAPI) registerWebhooks(api huma.API) {
	const all, one = "/v1/webhooks", "/v1/webhooks/{webhook}"
	tags := []string{"webhooks"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: all, Tags: tags, Summary: "List the webhooks of a project, by name",
	}, m.listWebhooks)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-webhook", Method: http.MethodPost, Path: all, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary:     "Create a webhook on a stream",
		Description: "It begins with what is accepted from now on, unless `from` says otherwise. Its secret is shown this once.",
	}, m.createWebhook)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-webhook", Method: http.MethodGet, Path: one, Tags: tags, Summary: "Get a webhook, without its secrets",
	}, m.getWebhook)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-webhook", Method: http.MethodPatch, Path: one, Tags: tags, Summary: "Change a webhook (merge patch)",
		Description: "It keeps its place in the stream. Disabled, it delivers nothing; enabled again, it goes on where it stopped.",
	}, m.updateWebhook)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-webhook", Method: http.MethodDelete, Path: one, Tags: tags, Summary: "Delete a webhook, with its place and its dead letters",
	}, m.deleteWebhook)
	m.registerDeliveries(api)
}

// webhook finds a webhook by its name or id.
func (m *manageAPI) webhook(ctx context.Context, in *ManageWebhookName) (*registry.Webhook, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	w := m.reg.FindWebhook(ctx, p, in.Webhook)
	if w == nil {
		return nil, manageNotFound("Webhook", in.Webhook)
	}
	return w, nil
}

func manageShowWebhook(w *registry.Webhook, secret string) manageWebhook {
	out := manageWebhook{
		ID: w.ID, Name: w.Name, Description: w.Description, Stream: w.Stream.Name, URL: w.URL, Headers: w.Headers, BatchSize: w.BatchSize,
		Types: w.Types, Filters: manageFilters(w.Filters), Ordering: w.Ordering, Envelope: w.Envelope, Retry: []manageShortSpan{},
		Timeout: manageShortSpan(w.Timeout), Enabled: w.Enabled, Reason: w.Reason, CreatedAt: w.Created.UTC(), PublicKey: w.PublicKey, Secret: secret,
	}
	if out.Headers == nil {
		out.Headers = map[string]string{}
	}
	if w.Authorization {
		out.Authorization = manageSecret
	}
	for _, d := range w.Retry {
		out.Retry = append(out.Retry, manageShortSpan(d))
	}
	return out
}

// manageShowWebhooks shows what went along with a delete.
func manageShowWebhooks(all []*registry.Webhook) []manageWebhook {
	var out []manageWebhook
	for _, w := range all {
		out = append(out, manageShowWebhook(w, ""))
	}
	return out
}

func (m *manageAPI) listWebhooks(ctx context.Context, in *ManageScope) (*manageWebhooksOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	return &manageWebhooksOut{manageList(manageShowWebhooks(snap.Webhooks(p)))}, nil
}

func (m *manageAPI) getWebhook(ctx context.Context, in *ManageWebhookName) (*manageWebhookOut, error) {
	w, err := m.webhook(ctx, in)
	if err != nil {
		return nil, err
	}
	return &manageWebhookOut{manageShowWebhook(w, "")}, nil
}

func (m *manageAPI) createWebhook(ctx context.Context, in *manageNewWebhookIn) (*manageWebhookOut, error) {
	b := &in.Body
	_, st, err := m.stream(ctx, in.Project, b.Stream)
	if err != nil {
		return nil, err
	}
	if err := m.checkURL(b.URL); err != nil {
		return nil, err
	}
	secret, public, err := manageSigning(b.Secret, b.Signature, "")
	if err != nil {
		return nil, err
	}
	spec := registry.WebhookSpec{
		Name: b.Name, Description: b.Description, Stream: st.Name, URL: b.URL, Headers: b.Headers, Authorization: b.Authorization,
		BatchSize: manageOr(b.BatchSize, 10), Types: b.Types, Filters: json.RawMessage(b.Filters), Ordering: manageOr(b.Ordering, "fifo"),
		Envelope: manageOr(b.Envelope, "airship"), Retry: webhook.DefaultRetry(),
		Timeout: m.webhooks.DefaultTimeout(), Disabled: b.Enabled != nil && !*b.Enabled, Secret: secret, PublicKey: public,
	}
	if b.Retry != nil {
		spec.Retry = manageSpans(*b.Retry)
	}
	if b.Timeout != nil {
		spec.Timeout = time.Duration(*b.Timeout)
	}
	if spec.From, err = m.position(ctx, st, "from", b.From); err != nil {
		return nil, err
	}
	w, err := m.reg.CreateWebhook(ctx, st.Project, spec)
	if err != nil {
		return nil, manageTaken(err, "Webhook", b.Name)
	}
	return &manageWebhookOut{manageShowWebhook(w, secret)}, nil
}

// manageOr is v, or where that is zero, the default.
func manageOr[T comparable](v, otherwise T) T {
	var none T
	if v == none {
		return otherwise
	}
	return v
}

func (m *manageAPI) checkURL(text string) error {
	if err := m.webhooks.CheckURL(text); err != nil {
		return &registry.Invalid{Field: "url", Reason: strings.TrimPrefix(err.Error(), webhook.ErrURL.Error()+": ")}
	}
	return nil
}

// position reads a position in a stream as a member says it.
func (m *manageAPI) position(ctx context.Context, st *registry.Stream, member, text string) (engine.Offset, error) {
	o, err := m.webhooks.Resolve(ctx, st, text)
	switch {
	case errors.Is(err, relay.ErrPosition):
		return 0, &registry.Invalid{Field: member, Reason: "is " + err.Error()}
	case errors.Is(err, relay.ErrOffsetAhead):
		return 0, &registry.Invalid{Field: member, Reason: "is ahead of the stream"}
	case errors.Is(err, relay.ErrOffsetGone):
		return 0, manageErrorf(http.StatusGone, "%s: belongs to a former stream of this name", member)
	}
	return o, err
}

func (m *manageAPI) updateWebhook(ctx context.Context, in *managePatchWebhookIn) (*manageWebhookOut, error) {
	w, err := m.webhook(ctx, &in.ManageWebhookName)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	patch := registry.WebhookPatch{
		Name: b.Name.pointer(""), Description: b.Description.pointer(""), URL: b.URL.pointer(""), SomeHeaders: b.Headers.Value,
		Authorization: b.Authorization.pointer(""), BatchSize: b.BatchSize.pointer(10), Types: b.Types.pointer(nil),
		Ordering: b.Ordering.pointer("fifo"), Envelope: b.Envelope.pointer("airship"), Enabled: b.Enabled.pointer(true),
	}
	if patch.Authorization != nil && *patch.Authorization == manageSecret {
		patch.Authorization = nil // it was read and is sent back
	}
	if b.Headers.Null {
		patch.Headers = &map[string]string{}
	}
	if b.Filters.Set {
		filters := json.RawMessage(b.Filters.Value)
		patch.Filters = &filters
	}
	if b.Retry.Set {
		retry := webhook.DefaultRetry()
		if !b.Retry.Null {
			retry = manageSpans(b.Retry.Value)
		}
		patch.Retry = &retry
	}
	if b.Timeout.Set {
		timeout := m.webhooks.DefaultTimeout()
		if !b.Timeout.Null {
			timeout = time.Duration(b.Timeout.Value)
		}
		patch.Timeout = &timeout
	}
	if patch.URL != nil {
		if err := m.checkURL(*patch.URL); err != nil {
			return nil, err
		}
	}
	if w, err = m.reg.UpdateWebhook(ctx, w.ID, patch); err != nil {
		return nil, manageTaken(err, "Webhook", b.Name.Value)
	}
	return &manageWebhookOut{manageShowWebhook(w, "")}, nil
}

func (m *manageAPI) deleteWebhook(ctx context.Context, in *ManageWebhookName) (*manageWebhookOut, error) {
	w, err := m.webhook(ctx, in)
	if err != nil {
		return nil, err
	}
	if w, err = m.reg.DeleteWebhook(ctx, w.ID); err != nil {
		return nil, err
	}
	return &manageWebhookOut{manageShowWebhook(w, "")}, nil
}
