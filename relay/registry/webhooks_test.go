package registry_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/relay/registry"
)

func hookSpec(stream string) registry.WebhookSpec {
	return registry.WebhookSpec{
		Stream: stream, URL: "https://example.com/in", BatchSize: 10, Ordering: "fifo", Envelope: "none", Secret: "whsec_1",
		Authorization: "Basic x", Retry: []time.Duration{time.Second}, Timeout: time.Second,
	}
}

func hook(t *testing.T, r *registry.Registry, p *registry.Project, spec registry.WebhookSpec) *registry.Webhook {
	t.Helper()
	w, err := r.CreateWebhook(t.Context(), p, spec)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWebhooks(t *testing.T) {
	s := openStore(t, t.TempDir())
	a, b := node(t, s, registry.Config{}), node(t, s, registry.Config{})
	p := defaultProject(t, a)
	create(t, a, p, registry.StreamSpec{Name: "web"})
	first, second := hook(t, a, p, hookSpec("web")), hook(t, a, p, hookSpec("web"))
	if first.Name != "web" || second.Name != "web-2" || !first.Enabled {
		t.Errorf("%+v %+v", first, second)
	}
	// The other node finds it by name and by id, at once.
	for _, name := range []string{"web", first.ID} {
		if w := b.FindWebhook(t.Context(), defaultProject(t, b), name); w == nil || w.ID != first.ID || w.Version != first.Version {
			t.Errorf("%s: %+v", name, w)
		}
	}
	secrets, authorization, err := b.WebhookSecrets(b.Snapshot().WebhookByID(first.ID))
	if err != nil || len(secrets) != 1 || secrets[0].Text != "whsec_1" || !secrets[0].Until.IsZero() || authorization != "Basic x" {
		t.Errorf("%+v %q %v", secrets, authorization, err)
	}
	// Nothing of them lies open in the store.
	cells, err := s.engine.Cells().List(t.Context(), "registry")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cells {
		if strings.Contains(string(c.Value), "whsec_1") || strings.Contains(string(c.Value), "Basic x") {
			t.Errorf("cell %s holds a secret", c.Key)
		}
	}
	for range 3 {
		if _, err := a.RotateWebhookSecret(t.Context(), first.ID, "whsec_2", ""); err != nil {
			t.Fatal(err)
		}
	}
	if secrets, _, err = a.WebhookSecrets(a.Snapshot().WebhookByID(first.ID)); err != nil || len(secrets) != 2 || secrets[0].Text != "whsec_2" ||
		secrets[1].Until.Before(time.Now().Add(23*time.Hour)) {
		t.Errorf("rotated: %+v %v", secrets, err)
	}
	renamed, err := a.UpdateWebhook(t.Context(), first.ID, registry.WebhookPatch{Name: ptr("orders"), Enabled: ptr(false), Reason: "why"})
	if err != nil || renamed.Name != "orders" || renamed.Enabled || renamed.Reason != "why" || renamed.Version == first.Version {
		t.Errorf("%+v %v", renamed, err)
	}
	if w := a.Snapshot().Webhook(p, "web"); w != nil {
		t.Error("it is still found by its former name")
	}
	if _, err := a.UpdateWebhook(t.Context(), second.ID, registry.WebhookPatch{Name: ptr("orders")}); !errors.Is(err, registry.ErrExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	hook(t, a, p, hookSpec("web")) // its name is free again
	if err := a.AddReplay(t.Context(), second.ID, registry.Replay{ID: "rp-1", Ranges: []registry.ReplayRange{{After: 1, To: 2}}}); err != nil {
		t.Fatal(err)
	}
	asked := a.Snapshot().WebhookByID(second.ID)
	if len(asked.Replays) != 1 {
		t.Errorf("%+v", asked)
	}
	for range 2 {
		if err := a.FinishReplay(t.Context(), second.ID, "rp-1"); err != nil {
			t.Fatal(err)
		}
	}

	var inUse *registry.InUse
	if _, err := a.DeleteStream(t.Context(), p, "web", false); !errors.As(err, &inUse) ||
		inUse.Text != "Cannot delete stream web: it still has webhooks orders, web and web-2. Delete them first, or use --recursive" {
		t.Errorf("%v", err)
	}
	gone, err := a.DeleteStream(t.Context(), p, "web", true)
	if err != nil || len(gone.Webhooks) != 3 || len(a.Snapshot().Webhooks(nil)) != 0 {
		t.Errorf("%+v %v", gone, err)
	}
	for _, prefix := range []string{"registry.webhook", "registry.webhookname"} {
		if cells, err = s.engine.Cells().List(t.Context(), prefix); err != nil || len(cells) != 0 {
			t.Errorf("%d cells left below %s, %v", len(cells), prefix, err)
		}
	}
}

// Every change of what a delivery depends on is another version; a replay is none, for it needs no new start.
func TestWebhookVersion(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	create(t, r, p, registry.StreamSpec{Name: "web"})
	create(t, r, p, registry.StreamSpec{DerivedFrom: "web", Levels: []int{1}})
	w := hook(t, r, p, hookSpec("web-1"))
	version := func() string { return r.Snapshot().WebhookByID(w.ID).Version }
	seen := map[string]bool{version(): true}
	fresh := func(what string, want bool) {
		t.Helper()
		if seen[version()] == want {
			t.Errorf("%s: another version: %t, want %t", what, !want, want)
		}
		seen[version()] = true
	}
	change := func(what string, patch registry.WebhookPatch) {
		t.Helper()
		if _, err := r.UpdateWebhook(t.Context(), w.ID, patch); err != nil {
			t.Fatal(err)
		}
		fresh(what, true)
	}
	change("url", registry.WebhookPatch{URL: ptr("https://example.com/other")})
	change("batch size", registry.WebhookPatch{BatchSize: ptr(50)})
	if _, err := r.UpdateStream(t.Context(), p, "web-1", registry.StreamPatch{Levels: ptr([]int{2})}); err != nil {
		t.Fatal(err)
	}
	fresh("the stream's rule", true)
	if err := r.AddReplay(t.Context(), w.ID, registry.Replay{ID: "rp-1"}); err != nil {
		t.Fatal(err)
	}
	fresh("a replay", false)
}
