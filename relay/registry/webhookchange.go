package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"sluice/auth"
	"sluice/relay/engine"
	"sluice/relay/filter"
)

// CreateWebhook makes a webhook on a stream. Errors: *Invalid, ErrExists where the name is taken, ErrNotFound where the project is gone.
func (r *Registry) CreateWebhook(ctx context.Context, p *Project, spec WebhookSpec) (*Webhook, error) {
	if p == nil {
		return nil, ErrNotFound
	}
	record := &webhookRecord{
		Version: recordVersion, ID: "wh-" + auth.NewRandom(webhookIDLength, webhookAlphabet), Project: p.ID, Name: spec.Name,
		Created: r.now().UnixMilli(), From: spec.From, Disabled: spec.Disabled,
	}
	patch := WebhookPatch{
		Description: &spec.Description, URL: &spec.URL, Headers: &spec.Headers, Authorization: &spec.Authorization,
		BatchSize: &spec.BatchSize, Types: &spec.Types, Filters: &spec.Filters, Ordering: &spec.Ordering, Envelope: &spec.Envelope,
		Retry: &spec.Retry, Timeout: &spec.Timeout,
	}
	if err := patch.apply(r, record); err != nil {
		return nil, err
	}
	if spec.Name != "" {
		if err := checkName(spec.Name); err != nil {
			return nil, err
		}
	}
	sealed, err := r.sealWebhook(record.ID, "secret", spec.Secret)
	if err != nil {
		return nil, err
	}
	record.Secrets = []sealedSecret{{Sealed: sealed, Public: spec.PublicKey}}
	err = r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		return planWebhook(s, at, p.ID, spec.Stream, *record)
	})
	if err != nil {
		return nil, err
	}
	if w := r.Snapshot().WebhookByID(record.ID); w != nil {
		return w, nil
	}
	return nil, ErrNotFound // somebody deleted it while we looked
}

// planWebhook fits a new webhook in. Like planStream it rewrites what it depends on as it is, so that a delete of the stream that is under
// way at the same moment and this batch cannot both succeed.
func planWebhook(s *Snapshot, at revisions, project, stream string, record webhookRecord) ([]engine.Write, error) {
	p := s.ProjectByID(project)
	if p == nil {
		return nil, ErrNotFound
	}
	st := s.Stream(p, stream)
	if st == nil {
		return nil, &Invalid{"stream", fmt.Sprintf("there is no stream %s", stream)}
	}
	if len(s.WebhooksOf(st)) >= maxWebhooks {
		return nil, &InUse{fmt.Sprintf("Stream %s has %d webhooks, which is as many as it may have; delete one first", st.Name, maxWebhooks)}
	}
	if record.Name == "" {
		record.Name = freeName(st.Name, func(name string) bool { return at[webhookNameKey(project, name)] == 0 })
	}
	record.Stream = st.UUID
	name := webhookNameKey(project, record.Name)
	if at[name] != 0 {
		return nil, ErrExists
	}
	return []engine.Write{
		{Key: webhookKey(record.ID), Value: encode(&record)},
		{Key: streamKey(st.UUID), Value: encode(st.record), Revision: at[streamKey(st.UUID)]},
		{Key: name, Value: encode(&pointer{Version: recordVersion, ID: record.ID})},
	}, nil
}

// freeName is a name that is not taken: base, base-2, base-3 and so on.
func freeName(base string, free func(string) bool) string {
	name := base
	for n := 2; !free(name); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

// UpdateWebhook changes a webhook and gives the whole. Errors: *Invalid, ErrExists, ErrNotFound.
func (r *Registry) UpdateWebhook(ctx context.Context, id string, patch WebhookPatch) (*Webhook, error) {
	return r.changeWebhook(ctx, id, func(s *Snapshot, at revisions, record *webhookRecord) ([]engine.Write, error) {
		if err := patch.apply(r, record); err != nil {
			return nil, err
		}
		if patch.Name == nil || *patch.Name == record.Name {
			return nil, nil
		}
		if err := checkName(*patch.Name); err != nil {
			return nil, err
		}
		from, to := webhookNameKey(record.Project, record.Name), webhookNameKey(record.Project, *patch.Name)
		if at[to] != 0 {
			return nil, ErrExists
		}
		record.Name = *patch.Name
		writes := []engine.Write{{Key: to, Value: encode(&pointer{Version: recordVersion, ID: record.ID})}}
		if at[from] != 0 {
			writes = append(writes, engine.Write{Key: from, Revision: at[from]})
		}
		return writes, nil
	})
}

// changeWebhook changes a record; do may give further writes. A record that stays as it is, is not written.
func (r *Registry) changeWebhook(ctx context.Context, id string, do func(s *Snapshot, at revisions, record *webhookRecord) ([]engine.Write, error)) (*Webhook, error) {
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		w := s.WebhookByID(id)
		if w == nil {
			return nil, ErrNotFound
		}
		changed := *w.record
		writes, err := do(s, at, &changed)
		if err != nil {
			return nil, err
		}
		value := encode(&changed)
		if string(value) == string(encode(w.record)) {
			return writes, nil
		}
		key := webhookKey(id)
		return append(writes, engine.Write{Key: key, Value: value, Revision: at[key]}), nil
	})
	if err != nil {
		return nil, err
	}
	if w := r.Snapshot().WebhookByID(id); w != nil {
		return w, nil
	}
	return nil, ErrNotFound
}

// RotateWebhookSecret gives a webhook a new signing secret, with its public key where it has one; the one it had signs beside it for another
// 24 hours, until the time returned.
func (r *Registry) RotateWebhookSecret(ctx context.Context, id, secret, public string) (until time.Time, err error) {
	sealed, err := r.sealWebhook(id, "secret", secret)
	if err != nil {
		return time.Time{}, err
	}
	now := r.now()
	until = now.Add(rotatedFor)
	_, err = r.changeWebhook(ctx, id, func(_ *Snapshot, _ revisions, record *webhookRecord) ([]engine.Write, error) {
		// Of older ones that still sign the header would grow with every call: the newest two do.
		old := record.Secrets[0]
		old.Until = until.UnixMilli()
		record.Secrets = []sealedSecret{{Sealed: sealed, Public: public}, old}
		return nil, nil
	})
	return until, err
}

// AddReplay asks for a part of the log to be sent again. Whoever owns the webhook does it, and then says so by FinishReplay.
func (r *Registry) AddReplay(ctx context.Context, id string, replay Replay) error {
	_, err := r.changeWebhook(ctx, id, func(_ *Snapshot, _ revisions, record *webhookRecord) ([]engine.Write, error) {
		if len(record.Replays) >= maxReplays {
			return nil, &InUse{fmt.Sprintf("Webhook %s has %d replays to do already; wait for one to end", record.Name, maxReplays)}
		}
		if len(replay.Ranges) > maxReplayRanges {
			return nil, &Invalid{"deadLetters", fmt.Sprintf("at most %d can be sent again at once", maxReplayRanges)}
		}
		record.Replays = append(slices.Clone(record.Replays), replay)
		return nil, nil
	})
	return err
}

// FinishReplay takes away what AddReplay added. It may be repeated.
func (r *Registry) FinishReplay(ctx context.Context, id, replay string) error {
	_, err := r.changeWebhook(ctx, id, func(_ *Snapshot, _ revisions, record *webhookRecord) ([]engine.Write, error) {
		record.Replays = slices.DeleteFunc(slices.Clone(record.Replays), func(p Replay) bool { return p.ID == replay })
		if len(record.Replays) == 0 {
			record.Replays = nil
		}
		return nil, nil
	})
	return err
}

// DeleteWebhook deletes a webhook and gives what went. Errors: ErrNotFound.
func (r *Registry) DeleteWebhook(ctx context.Context, id string) (*Webhook, error) {
	var gone *Webhook
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		if gone = s.WebhookByID(id); gone == nil {
			return nil, ErrNotFound
		}
		return planDeleteWebhook(at, gone), nil
	})
	return gone, err
}

func planDeleteWebhook(at revisions, w *Webhook) []engine.Write {
	var writes []engine.Write
	for _, key := range []string{webhookKey(w.ID), webhookNameKey(w.Project.ID, w.Name)} {
		if at[key] != 0 {
			writes = append(writes, engine.Write{Key: key, Revision: at[key]})
		}
	}
	return writes
}

// WebhookSecrets opens what a webhook's deliveries are signed and authorized with: the signing secrets, the newest first, and the value of
// the header Authorization, empty for none.
func (r *Registry) WebhookSecrets(w *Webhook) (secrets []WebhookSecret, authorization string, err error) {
	for _, s := range w.record.Secrets {
		text, err := r.vault.OpenSecret(webhookSecretName(w.ID, "secret"), s.Sealed)
		if err != nil {
			return nil, "", fmt.Errorf("the signing secret of webhook %s: %w", w.ID, err)
		}
		secret := WebhookSecret{Text: string(text)}
		if s.Until != 0 {
			secret.Until = time.UnixMilli(s.Until)
		}
		secrets = append(secrets, secret)
	}
	if w.Authorization {
		text, err := r.vault.OpenSecret(webhookSecretName(w.ID, "authorization"), w.record.Authorization)
		if err != nil {
			return nil, "", fmt.Errorf("the authorization of webhook %s: %w", w.ID, err)
		}
		authorization = string(text)
	}
	return secrets, authorization, nil
}

func webhookSecretName(id, what string) string { return "webhook/" + id + "/" + what }

func (r *Registry) sealWebhook(id, what, text string) ([]byte, error) {
	sealed, err := r.vault.SealSecret(webhookSecretName(id, what), []byte(text))
	if err != nil {
		return nil, fmt.Errorf("the %s of a webhook: %w", what, err)
	}
	return sealed, nil
}

// apply holds the members to their rules and sets them in the record.
func (patch *WebhookPatch) apply(r *Registry, record *webhookRecord) error {
	if patch.Description != nil {
		if err := checkDescription(*patch.Description); err != nil {
			return err
		}
		record.Description = *patch.Description
	}
	if patch.URL != nil {
		record.URL = *patch.URL
	}
	if patch.Headers != nil {
		if err := checkHeaders(*patch.Headers); err != nil {
			return err
		}
		record.Headers = cloneHeaders(*patch.Headers)
	}
	if len(patch.SomeHeaders) > 0 {
		merged := mergeHeaders(record.Headers, patch.SomeHeaders)
		if err := checkHeaders(merged); err != nil {
			return err
		}
		record.Headers = cloneHeaders(merged)
	}
	if patch.Authorization != nil {
		if err := patch.authorize(r, record); err != nil {
			return err
		}
	}
	if n := patch.BatchSize; n != nil {
		if !slices.Contains([]int{1, 5, 10, 15, 20, 30, 50, 100}, *n) {
			return &Invalid{"batchSize", "must be 1, 5, 10, 15, 20, 30, 50 or 100"}
		}
		record.BatchSize = *n
	}
	if err := patch.applyFilter(record); err != nil {
		return err
	}
	if o := patch.Ordering; o != nil {
		if *o != "fifo" && *o != "key" && *o != "none" {
			return &Invalid{"ordering", "must be fifo, key or none"}
		}
		record.Ordering = *o
	}
	if e := patch.Envelope; e != nil {
		if *e != "airship" && *e != "none" {
			return &Invalid{"envelope", "must be airship or none"}
		}
		record.Envelope = *e
	}
	if err := patch.applyTimes(record); err != nil {
		return err
	}
	if patch.Enabled != nil {
		record.Disabled, record.Reason = !*patch.Enabled, patch.Reason
	}
	return nil
}

func (patch *WebhookPatch) authorize(r *Registry, record *webhookRecord) error {
	value := *patch.Authorization
	record.Authorization = nil
	if value == "" {
		return nil
	}
	if len(value) > maxAuthorization || !headerValue(value) {
		return &Invalid{"authorization", fmt.Sprintf("must be the value of a header, at most %d bytes", maxAuthorization)}
	}
	sealed, err := r.sealWebhook(record.ID, "authorization", value)
	record.Authorization = sealed
	return err
}

func (patch *WebhookPatch) applyFilter(record *webhookRecord) error {
	if patch.Types != nil {
		if len(*patch.Types) > maxTypes {
			return &Invalid{"types", fmt.Sprintf("there are %d, at most %d are allowed", len(*patch.Types), maxTypes)}
		}
		record.Types = slices.Clone(*patch.Types)
		if len(record.Types) == 0 {
			record.Types = nil
		}
	}
	if patch.Filters != nil {
		if len(*patch.Filters) > maxFilters {
			return &Invalid{"filters", fmt.Sprintf("have %d bytes, at most %d are allowed", len(*patch.Filters), maxFilters)}
		}
		record.Filters = slices.Clone(*patch.Filters)
		if len(record.Filters) == 0 || string(record.Filters) == "null" || string(record.Filters) == "[]" {
			record.Filters = nil
		}
	}
	if patch.Types == nil && patch.Filters == nil {
		return nil
	}
	if _, err := filter.New(record.Types, record.Filters); err != nil {
		var wrong *filter.Error
		if errors.As(err, &wrong) && wrong.Path != "" {
			return &Invalid{wrong.Path, wrong.Reason}
		}
		return &Invalid{"filters", err.Error()}
	}
	return nil
}

func (patch *WebhookPatch) applyTimes(record *webhookRecord) error {
	if patch.Retry != nil {
		if len(*patch.Retry) > maxRetries {
			return &Invalid{"retry", fmt.Sprintf("there are %d, at most %d are allowed", len(*patch.Retry), maxRetries)}
		}
		for _, d := range *patch.Retry {
			if d < time.Millisecond || d > maxRetryPause {
				return &Invalid{"retry", "each must be from 1ms to 7d"}
			}
		}
		record.RetryMS = milliseconds(*patch.Retry)
	}
	if d := patch.Timeout; d != nil {
		if *d < minWebhookTime || *d > maxWebhookTime {
			return &Invalid{"timeout", "must be from 100ms to 5m"}
		}
		record.TimeoutMS = int64(*d / time.Millisecond)
	}
	return nil
}

// ownHeaders are those that deliveries have of themselves, or that would change how the request is read.
var ownHeaders = []string{
	"Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host", "Keep-Alive", "Proxy-Connection", "Te",
	"Trailer", "Transfer-Encoding", "Upgrade", "User-Agent",
}

func checkHeaders(headers map[string]string) error {
	if len(headers) > maxHeaders {
		return &Invalid{"headers", fmt.Sprintf("there are %d, at most %d are allowed", len(headers), maxHeaders)}
	}
	seen := map[string]bool{}
	for name, value := range headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case name == "" || len(name) > maxHeaderName || !headerName(name):
			return &Invalid{"headers", "one has a name that no header can have"}
		case len(value) > maxHeaderValue || !headerValue(value) || strings.TrimSpace(value) != value:
			return &Invalid{"headers", fmt.Sprintf("%s has a value that no header can have", name)}
		case canonical == "Authorization":
			return &Invalid{"headers", "Authorization has a member of its own, authorization, which is kept sealed"}
		case slices.Contains(ownHeaders, canonical) || strings.HasPrefix(canonical, "Webhook-"):
			return &Invalid{"headers", fmt.Sprintf("%s is set by Sluice itself", name)}
		case seen[canonical]:
			return &Invalid{"headers", fmt.Sprintf("%s is there twice", name)}
		}
		seen[canonical] = true
	}
	return nil
}

// mergeHeaders gives headers with some of them set or taken away. What is set replaces the header of that name in whatever case it was written.
func mergeHeaders(headers map[string]string, some map[string]*string) map[string]string {
	merged := maps.Clone(headers)
	if merged == nil {
		merged = map[string]string{}
	}
	for name := range some {
		maps.DeleteFunc(merged, func(there, _ string) bool { return strings.EqualFold(there, name) })
	}
	for name, value := range some {
		if value != nil {
			merged[name] = *value
		}
	}
	return merged
}

// headerName tells whether a text is a token of RFC 9110.
func headerName(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") == ""
}

// headerValue tells whether a text can be sent as the value of a header as it is: visible ASCII, spaces and tabs.
func headerValue(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c != '\t' && (c < ' ' || c > '~') })
}
