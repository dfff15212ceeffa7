package registry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"sluice/auth"
	"sluice/relay/registry"
)

func entries(t *testing.T, r *registry.Registry, system bool, f registry.AuditFilter) []registry.AuditEntry {
	t.Helper()
	if f.Limit == 0 {
		f.Limit = registry.MaxAuditPage
	}
	found, err := r.AuditLog(t.Context(), defaultProject(t, r), system, f)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestAudit: the entry of a change is there with the change, once; a change that fails leaves none of its own, and is noted as refused.
func TestAudit(t *testing.T) {
	c := newClock()
	dir := t.TempDir()
	s := openStore(t, dir)
	r := node(t, s, registry.Config{Now: c.now})
	p := defaultProject(t, r)
	ann := auth.Principal{Kind: auth.User, Project: p.ID, Subject: "user-ann"}
	as := func(who auth.Principal, event string) (context.Context, *registry.Audit) {
		a := &registry.Audit{By: who, Project: p.ID, Event: event, Status: 201}
		return registry.WithAudit(t.Context(), a), a
	}
	ctx, a := as(ann, "api-key/created")
	k, _, err := r.CreateAPIKey(ctx, p, "web", registry.StreamingIngest)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.TakeDown(ctx, a, 201); err != nil { // what the edge does after every call
		t.Fatal(err)
	}
	got := entries(t, r, false, registry.AuditFilter{})
	if len(got) != 1 || got[0].Event != "api-key/created" || got[0].Entity != k.ID || got[0].Kind != auth.User || got[0].By != "user-ann" || got[0].Status != 201 || !got[0].At.Equal(c.now()) {
		t.Fatalf("%+v", got)
	}
	c.advance(time.Second)
	ctx, a = as(ann, "api-key/created")
	if _, _, err := r.CreateAPIKey(ctx, p, "web", registry.StreamingIngest); !errors.Is(err, registry.ErrExists) {
		t.Fatal(err)
	}
	if len(entries(t, r, false, registry.AuditFilter{})) != 1 {
		t.Error("a change that was not made is in the log")
	}
	if err := r.TakeDown(ctx, a, 409); err != nil {
		t.Fatal(err)
	}
	// The admin's token is not named, and what belongs to no project is the admin's to see.
	ctx, a = as(auth.Principal{Kind: auth.Admin, Subject: "", TokenID: "hash of the token"}, "project/created")
	a.Project = ""
	if _, _, err := r.CreateProject(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	if got = entries(t, r, false, registry.AuditFilter{}); len(got) != 2 || got[0].Status != 409 || got[1].Status != 201 {
		t.Errorf("%+v", got)
	}
	if got = entries(t, r, true, registry.AuditFilter{}); len(got) != 3 || !got[0].System && !got[1].System || got[0].By != "" && got[1].By != "" {
		t.Errorf("%+v", got)
	}
	s.close()
	if again := entries(t, node(t, openStore(t, dir), registry.Config{Now: c.now}), true, registry.AuditFilter{}); len(again) != 3 {
		t.Errorf("after a restart there are %d", len(again))
	}
}

func TestAuditPages(t *testing.T) {
	c := newClock()
	r := node(t, openStore(t, t.TempDir()), registry.Config{Now: c.now})
	p := defaultProject(t, r)
	begin := c.now()
	for n := range 30 {
		a := &registry.Audit{By: auth.Principal{Kind: auth.Admin}, Project: p.ID, Event: []string{"a/x", "b/x"}[n%2], Entity: fmt.Sprint("e", n%3)}
		if err := r.TakeDown(t.Context(), a, 200); err != nil {
			t.Fatal(err)
		}
		c.advance(12 * time.Hour)
	}
	all := entries(t, r, false, registry.AuditFilter{})
	if len(all) != 30 {
		t.Fatalf("there are %d", len(all))
	}
	var paged []registry.AuditEntry
	for before := ""; ; before = paged[len(paged)-1].ID {
		page := entries(t, r, false, registry.AuditFilter{Before: before, Limit: 7})
		if paged = append(paged, page...); len(page) < 7 {
			break
		}
		if !registry.CheckAuditID(page[0].ID) {
			t.Errorf("id %q", page[0].ID)
		}
	}
	if fmt.Sprint(paged) != fmt.Sprint(all) {
		t.Errorf("pages give %d entries or another order", len(paged))
	}
	for i := 1; i < len(all); i++ {
		if !all[i].At.Before(all[i-1].At) {
			t.Error("not the newest first")
		}
	}
	for name, tc := range map[string]struct {
		f    registry.AuditFilter
		want int
	}{
		"event": {registry.AuditFilter{Event: "a/x"}, 15}, "entity": {registry.AuditFilter{Entity: "e1"}, 10}, "both": {registry.AuditFilter{Event: "a/x", Entity: "e1"}, 5},
		"from": {registry.AuditFilter{From: begin.Add(5 * 24 * time.Hour)}, 20}, "to": {registry.AuditFilter{To: begin.Add(5 * 24 * time.Hour)}, 10},
		"between": {registry.AuditFilter{From: begin.Add(24 * time.Hour), To: begin.Add(48 * time.Hour)}, 2}, "never": {registry.AuditFilter{From: c.now().AddDate(1, 0, 0)}, 0},
	} {
		if got := entries(t, r, false, tc.f); len(got) != tc.want {
			t.Errorf("%s: %d, want %d", name, len(got), tc.want)
		}
	}
	for _, bad := range []string{"", "x", "../../etc", "1234567890123", "abcdefghijklm-0123456789"} {
		if registry.CheckAuditID(bad) {
			t.Errorf("%q is an id", bad)
		}
	}
}

// TestAuditIsBounded: by number, by age, and by how many refusals a second leaves.
func TestAuditIsBounded(t *testing.T) {
	c := newClock()
	r := node(t, openStore(t, t.TempDir()), registry.Config{Now: c.now})
	p := defaultProject(t, r)
	note := func(status int) {
		t.Helper()
		if err := r.TakeDown(t.Context(), &registry.Audit{By: auth.Principal{Kind: auth.Admin}, Project: p.ID, Event: "a/x"}, status); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		note(403)
	}
	if got := len(entries(t, r, false, registry.AuditFilter{})); got != 10 {
		t.Errorf("50 refusals of a second left %d", got)
	}
	c.advance(time.Minute)
	for range 20 {
		note(200)
	}
	if err := r.TrimAudit(t.Context(), 15); err != nil {
		t.Fatal(err)
	}
	got := entries(t, r, false, registry.AuditFilter{})
	if len(got) != 15 || got[14].Status != 200 {
		t.Errorf("trimmed to %d", len(got))
	}
	c.advance(registry.AuditAge + 48*time.Hour)
	note(200)
	if err := r.TrimAudit(t.Context(), 15); err != nil {
		t.Fatal(err)
	}
	c.advance(-registry.AuditAge)
	if got := entries(t, r, false, registry.AuditFilter{}); len(got) != 0 {
		t.Errorf("%d old entries are left", len(got))
	}
}
