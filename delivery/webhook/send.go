package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"sluice/relay/registry"
)

// poster makes what sends a webhook's messages.
func (s *Service) poster(w *registry.Webhook) (*poster, error) {
	t, err := s.gate.target(w.URL)
	if err != nil {
		return nil, err
	}
	secrets, authorization, err := s.cfg.Registry.WebhookSecrets(w)
	if err != nil {
		return nil, err
	}
	p := &poster{target: t, limit: w.Timeout, now: s.now}
	for _, secret := range secrets {
		key, err := ParseSecret(secret.Text)
		if err != nil {
			return nil, fmt.Errorf("a stored secret of webhook %s: %w", w.ID, err)
		}
		p.secrets = append(p.secrets, signing{newSigner(key), secret.Until})
	}
	p.dialer = net.Dialer{Timeout: dialTimeout, ControlContext: s.gate.check(t.plain)}
	if !t.plain {
		p.tls = s.tls.Clone()
		p.tls.ServerName = t.serverName
	}
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json; charset=UTF-8\r\nUser-Agent: Sluice/%s\r\n", t.path, t.host, s.cfg.Version)
	for _, name := range slices.Sorted(mapKeys(w.Headers)) {
		head = fmt.Appendf(head, "%s: %s\r\n", name, w.Headers[name])
	}
	if authorization != "" {
		head = fmt.Appendf(head, "Authorization: %s\r\n", authorization)
	}
	p.head = head
	return p, nil
}

func mapKeys(m map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Test posts one made-up event to a webhook, at once and from this node, and tells what came of it. Nothing is stored but the attempt.
func (s *Service) Test(ctx context.Context, w *registry.Webhook) (Attempt, error) {
	p, err := s.poster(w)
	if err != nil {
		return Attempt{}, err
	}
	defer p.close()
	id := uuid.NewString()
	now := s.now()
	var event any = map[string]any{"test": true, "webhook": w.Name, "id": id}
	if w.Envelope == "airship" {
		at := now.UTC().Format("2006-01-02T15:04:05.000Z")
		event = map[string]any{"id": id, "type": "CUSTOM", "offset": "0", "occurred": at, "processed": at, "body": event}
	}
	if w.BatchSize > 1 {
		event = []any{event}
	}
	body, err := json.Marshal(event)
	if err != nil {
		return Attempt{}, fmt.Errorf("make a test event: %w", err)
	}
	m := message{id: "msg_test_" + id, body: body}
	o := p.post(ctx, m)
	a := Attempt{ID: m.id, At: o.at, Events: 1, Number: 1, Status: o.status, Failure: o.failure, Took: o.took}
	s.recent.add(w.ID, a)
	return a, nil
}

// switchOff disables a webhook whose receiver said 410 Gone, as Standard Webhooks asks. It stays in its place: who enables it again gets
// what came in between, as far as it is retained.
func (s *Service) switchOff(ctx context.Context, group *sync.WaitGroup, w *registry.Webhook) {
	off := false
	group.Go(func() {
		_, err := s.cfg.Registry.UpdateWebhook(ctx, w.ID, registry.WebhookPatch{
			Enabled: &off, Reason: "The receiver answered 410 Gone at " + s.now().UTC().Format(time.RFC3339) + ". Enable the webhook to go on where it stopped.",
		})
		if err != nil && ctx.Err() == nil {
			s.log.Warn("a webhook whose receiver is gone is not switched off", "webhook", w.ID, "error", err)
			return
		}
		s.log.Info("a webhook was switched off, for its receiver is gone", "webhook", w.ID)
	})
}
