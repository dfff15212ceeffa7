package registry_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"sluice/relay/registry"
)

func TestProjects(t *testing.T) {
	r := single(t)
	p, master, err := r.CreateProject(t.Context(), "acme-2")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^acme2[0-9]{10}$`).MatchString(p.BillingID) || !regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`).MatchString(p.AppKey) || len(master) != 40 {
		t.Errorf("project %+v, master secret of %d", p, len(master))
	}
	s := r.Snapshot()
	if s.Project("acme-2") != p || s.ProjectByID(p.ID) != p || s.ProjectByAppKey(p.AppKey) != p {
		t.Error("it is not found")
	}
	if all := s.Projects(); len(all) != 2 || all[0] != p || all[1].Name != "default" {
		t.Errorf("projects %v", all)
	}
	if r.Master(p.AppKey, master) != p || r.Master(p.AppKey, "x") != nil || r.Master("x", master) != nil || r.Master("", "") != nil {
		t.Error("master secret")
	}
	if _, _, err := r.CreateProject(t.Context(), "acme-2"); !errors.Is(err, registry.ErrExists) {
		t.Errorf("again: %v", err)
	}
	for _, name := range []string{"", "a", "a/b", "a b", "ä1", "..", strings.Repeat("a", 101), "a\n"} {
		var invalid *registry.Invalid
		if _, _, err := r.CreateProject(t.Context(), name); !errors.As(err, &invalid) || invalid.Field != "name" {
			t.Errorf("%q: %v", name, err)
		}
	}

	rotated, second, err := r.UpdateProject(t.Context(), "acme-2", registry.ProjectPatch{RotateMasterSecret: true})
	if err != nil || second == master || len(second) != 40 {
		t.Fatalf("rotated: %v", err)
	}
	if r.Master(p.AppKey, master) != nil || r.Master(p.AppKey, second) != rotated {
		t.Error("the secret before is still good, or the new one is not")
	}
	create(t, r, p, registry.StreamSpec{Name: "audit"})
	with, none, err := r.UpdateProject(t.Context(), "acme-2", registry.ProjectPatch{EventStream: ptr("audit")})
	if err != nil || with.EventStream != "audit" || none != "" {
		t.Errorf("event stream: %+v, %v", with, err)
	}
	if st := r.Snapshot().Stream(p, "audit"); st.Project != with {
		t.Error("a stream holds the project as it was")
	}
	var invalid *registry.Invalid
	if _, _, err := r.UpdateProject(t.Context(), "acme-2", registry.ProjectPatch{EventStream: ptr("nothing")}); !errors.As(err, &invalid) {
		t.Errorf("unknown event stream: %v", err)
	}
	if _, _, err := r.UpdateProject(t.Context(), "nothing", registry.ProjectPatch{}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("nothing: %v", err)
	}

	var inUse *registry.InUse
	if _, err := r.DeleteProject(t.Context(), "acme-2"); !errors.As(err, &inUse) ||
		err.Error() != "Cannot delete project acme-2: it still has stream audit. Delete what it has first" {
		t.Errorf("with a stream: %v", err)
	}
	if _, err := r.DeleteStream(t.Context(), p, "audit", false); err != nil {
		t.Fatal(err)
	}
	if gone, err := r.DeleteProject(t.Context(), "acme-2"); err != nil || gone.ID != p.ID {
		t.Errorf("deleted %v, %v", gone, err)
	}
	if r.Snapshot().Project("acme-2") != nil || r.Snapshot().ProjectByAppKey(p.AppKey) != nil || r.Master(p.AppKey, second) != nil {
		t.Error("something is left")
	}
	if _, err := r.DeleteProject(t.Context(), "acme-2"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if _, _, err := r.CreateStream(t.Context(), p, registry.StreamSpec{Name: "late"}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a stream of a project that is gone: %v", err)
	}
	anew, _, err := r.CreateProject(t.Context(), "acme-2")
	if err != nil || anew.ID == p.ID || anew.AppKey == p.AppKey {
		t.Errorf("anew: %+v, %v", anew, err)
	}
}
