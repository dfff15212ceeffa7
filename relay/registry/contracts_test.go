package registry_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/relay/contract"
	"sluice/relay/registry"
)

func TestContracts(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	other, _, err := r.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	find := func(p *registry.Project, ref string) string {
		c, active := r.Snapshot().Contract(p, []byte(ref))
		switch {
		case c == nil:
			return "none"
		case active:
			return c.Ref() + " active"
		}
		return c.Ref()
	}
	expect := func(p *registry.Project, ref, want string) {
		t.Helper()
		if got := find(p, ref); got != want {
			t.Errorf("%s in %s: %s, want %s", ref, p.Name, got, want)
		}
	}
	d := shopContract("acme/visit/1.0.0")
	d.ShortID = "visit"
	made, err := r.CreateContract(t.Context(), p, d, false)
	if err != nil || made.State != registry.Draft || made.Public || made.Builtin || made.Project.ID != p.ID {
		t.Fatalf("made %+v, %v", made, err)
	}
	expect(p, "acme/visit/1.0.0", "acme/visit/1.0.0")
	expect(p, "visit", "acme/visit/1.0.0")
	expect(other, "acme/visit/1.0.0", "none")
	expect(other, "visit", "none")

	if _, err := r.CreateContract(t.Context(), p, d, false); !errors.Is(err, registry.ErrExists) {
		t.Errorf("again: %v", err)
	}
	if _, err := r.CreateContract(t.Context(), other, shopContract("acme/visit/2.0.0"), false); !errors.Is(err, registry.ErrExists) {
		t.Errorf("another project's name: %v", err)
	}
	var invalid *registry.Invalid
	for _, ref := range []string{"acme/visit/0.9.0", "strmprivacy/mine/1.0.0", "airship/mine/1.0.0", "Airship/mine/1.0.0", "mystrm/mine/1.0.0",
		"ac/visit/1.0.0", "acme/abc/1.0.0", "acme/visit", "acme/visit/1.0", "acme/visit/1.0.x", "acme/vi/sit/1.0.0", ""} {
		if _, err := r.CreateContract(t.Context(), p, shopContract(ref), false); !errors.As(err, &invalid) || invalid.Field != "ref" {
			t.Errorf("%q: %v", ref, err)
		}
	}
	broken := shopContract("acme/broken/1.0.0")
	broken.KeyField = "nothing"
	if _, err := r.CreateContract(t.Context(), p, broken, false); !errors.As(err, &invalid) {
		t.Errorf("a contract that does not compile: %v", err)
	}
	huge := shopContract("acme/huge/1.0.0")
	huge.Schema = strings.Replace(huge.Schema, `"name":"Visit"`, `"name":"Visit","doc":"`+strings.Repeat("x", 300<<10)+`"`, 1)
	if _, err := r.CreateContract(t.Context(), p, huge, false); !errors.As(err, &invalid) {
		t.Errorf("a contract that is too large: %v", err)
	}

	set := func(ref string, to registry.ContractState) error {
		_, err := r.SetContractState(t.Context(), p, ref, to)
		return err
	}
	if err := set("acme/visit/1.0.0", registry.Archived); !errors.As(err, &invalid) {
		t.Errorf("a draft archived: %v", err)
	}
	if err := set("acme/visit/1.0.0", registry.Active); err != nil {
		t.Fatal(err)
	}
	expect(p, "acme/visit/1.0.0", "acme/visit/1.0.0 active")
	if err := set("acme/visit/1.0.0", registry.Active); err != nil {
		t.Errorf("activated twice: %v", err)
	}
	for _, to := range []registry.ContractState{registry.Draft, "", "REVIEWED"} {
		if err := set("acme/visit/1.0.0", to); !errors.As(err, &invalid) {
			t.Errorf("active to %q: %v", to, err)
		}
	}
	var inUse *registry.InUse
	remove := func(ref string) error { _, err := r.DeleteContract(t.Context(), p, ref); return err }
	if err := remove("acme/visit/1.0.0"); !errors.As(err, &inUse) {
		t.Errorf("an active one deleted: %v", err)
	}
	if _, err := r.SetContractState(t.Context(), other, "acme/visit/1.0.0", registry.Archived); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("another project's archived: %v", err)
	}
	if _, err := r.DeleteContract(t.Context(), other, "acme/visit/1.0.0"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("another project's deleted: %v", err)
	}

	// The newest active version is what a short id stands for.
	second := shopContract("acme/visit/1.10.0")
	second.ShortID = "visit"
	if _, err := r.CreateContract(t.Context(), p, shopContract("acme/visit/1.9.0"), false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.CreateContract(t.Context(), p, second, true); err != nil {
		t.Fatal(err)
	}
	expect(p, "visit", "acme/visit/1.0.0 active")
	if err := set("acme/visit/1.10.0", registry.Active); err != nil {
		t.Fatal(err)
	}
	expect(p, "visit", "acme/visit/1.10.0 active")
	expect(other, "visit", "acme/visit/1.10.0 active")
	var refs []string
	for _, e := range r.Snapshot().Contracts(p) {
		if !e.Builtin {
			refs = append(refs, e.Ref)
		}
	}
	if got := strings.Join(refs, " "); got != "acme/visit/1.0.0 acme/visit/1.9.0 acme/visit/1.10.0" {
		t.Errorf("contracts %s", got)
	}

	// In use, archived, and then gone.
	create(t, r, p, registry.StreamSpec{Name: "web", Contract: "acme/visit/1.0.0"})
	if err := set("acme/visit/1.0.0", registry.Archived); err != nil {
		t.Fatal(err)
	}
	expect(p, "acme/visit/1.0.0", "acme/visit/1.0.0")
	if err := remove("acme/visit/1.0.0"); !errors.As(err, &inUse) || !strings.Contains(err.Error(), "stream web") {
		t.Errorf("a stream's default deleted: %v", err)
	}
	if _, err := r.UpdateStream(t.Context(), p, "web", registry.StreamPatch{Contract: ptr("")}); err != nil {
		t.Fatal(err)
	}
	if err := remove("acme/visit/1.0.0"); err != nil {
		t.Error(err)
	}
	expect(p, "acme/visit/1.0.0", "none")
	if err := set("acme/visit/1.10.0", registry.Archived); err != nil {
		t.Fatal(err)
	}
	if err := remove("acme/visit/1.10.0"); !errors.As(err, &inUse) {
		t.Errorf("a public one deleted: %v", err)
	}
	expect(p, "visit", "acme/visit/1.10.0")
	if err := set("acme/visit/1.10.0", registry.Active); err != nil {
		t.Errorf("activated again: %v", err)
	}

	// A draft may be deleted and made anew, also as another schema.
	if err := remove("acme/visit/1.9.0"); err != nil {
		t.Error(err)
	}
	if _, err := r.DeleteProject(t.Context(), "default"); !errors.As(err, &inUse) || !strings.Contains(err.Error(), "data contract acme/visit/1.10.0") {
		t.Errorf("a project with a contract deleted: %v", err)
	}
	if _, err := r.CreateContract(t.Context(), other, shopContract("other/visit/1.0.0"), false); err != nil {
		t.Fatal(err)
	}
	if _, err := r.DeleteContract(t.Context(), other, "other/visit/1.0.0"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.CreateContract(t.Context(), p, shopContract("other/visit/0.1.0"), false); err != nil {
		t.Errorf("a name nobody has any more: %v", err)
	}
}

// TestBuiltins: they are everybody's, active, and nobody's to change.
func TestBuiltins(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	for _, d := range contract.Builtin() {
		c, active := r.Snapshot().Contract(p, []byte(d.Ref))
		if c == nil || !active || c.Ref() != d.Ref {
			t.Errorf("%s is not usable", d.Ref)
		}
		if c, active := r.Snapshot().Contract(nil, []byte(d.Ref)); c == nil || !active {
			t.Errorf("%s is not usable without a project", d.Ref)
		}
		e, ok := r.Snapshot().ContractEntry(p, d.Ref)
		if !ok || !e.Builtin || !e.Public || e.Project != nil || e.State != registry.Active {
			t.Errorf("entry %+v", e)
		}
		var inUse *registry.InUse
		if _, err := r.DeleteContract(t.Context(), p, d.Ref); !errors.As(err, &inUse) {
			t.Errorf("%s deleted: %v", d.Ref, err)
		}
		if _, err := r.SetContractState(t.Context(), p, d.Ref, registry.Archived); !errors.As(err, &inUse) {
			t.Errorf("%s archived: %v", d.Ref, err)
		}
	}
}

// TestShortIDsCannotBeHijacked: another project's public contract does not get between a project and its own.
func TestShortIDsCannotBeHijacked(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	other, _, err := r.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	draft := func(p *registry.Project, ref string) {
		t.Helper()
		d := shopContract(ref)
		d.ShortID = "clickstream"
		if _, err := r.CreateContract(t.Context(), p, d, true); err != nil {
			t.Fatal(err)
		}
	}
	make := func(p *registry.Project, ref string) {
		t.Helper()
		draft(p, ref)
		if _, err := r.SetContractState(t.Context(), p, ref, registry.Active); err != nil {
			t.Fatal(err)
		}
	}
	make(other, "zeal/clickstream/9.0.0")
	if c, _ := r.Snapshot().Contract(p, []byte("clickstream")); c == nil || c.Ref() != "strmprivacy/clickstream/1.0.0" {
		t.Error("another's contract took the built-in one's short id")
	}
	draft(p, "myown/clickstream/1.0.0")
	if c, active := r.Snapshot().Contract(p, []byte("clickstream")); c == nil || !active || c.Ref() != "strmprivacy/clickstream/1.0.0" {
		t.Error("a draft took events away from the contract in use")
	}
	make(p, "mine/clickstream/1.0.0")
	own := func(active bool) {
		t.Helper()
		if c, is := r.Snapshot().Contract(p, []byte("clickstream")); c == nil || c.Ref() != "mine/clickstream/1.0.0" || is != active {
			t.Error("the project's own contract does not come first")
		}
	}
	own(true)
	if _, err := r.SetContractState(t.Context(), p, "mine/clickstream/1.0.0", registry.Archived); err != nil {
		t.Fatal(err)
	}
	own(false) // its events must not come in under a contract that encrypts other fields
}

// TestSharedShortID: two contracts of a project may not answer to one short id; versions of one contract may, and so may
// contracts of two projects.
func TestSharedShortID(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	other, _, err := r.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	made := func(p *registry.Project, ref string) {
		t.Helper()
		d := shopContract(ref)
		d.ShortID = "visit"
		if _, err := r.CreateContract(t.Context(), p, d, false); err != nil {
			t.Fatal(err)
		}
	}
	set := func(p *registry.Project, ref string, to registry.ContractState) error {
		_, err := r.SetContractState(t.Context(), p, ref, to)
		return err
	}
	made(p, "acme/visit/1.0.0")
	made(p, "acme/visit/1.1.0")
	made(p, "acme/journey/1.0.0")
	made(other, "elsewhere/visit/1.0.0")
	for _, err := range []error{
		set(p, "acme/visit/1.0.0", registry.Active), set(p, "acme/visit/1.1.0", registry.Active), set(other, "elsewhere/visit/1.0.0", registry.Active),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var inUse *registry.InUse
	if err := set(p, "acme/journey/1.0.0", registry.Active); !errors.As(err, &inUse) ||
		!strings.Contains(inUse.Text, "acme/journey/1.0.0") || !strings.Contains(inUse.Text, "acme/visit/1.1.0") {
		t.Errorf("a second one: %v", err)
	}
	for _, ref := range []string{"acme/visit/1.0.0", "acme/visit/1.1.0"} {
		if err := set(p, ref, registry.Archived); err != nil {
			t.Fatal(err)
		}
	}
	if err := set(p, "acme/journey/1.0.0", registry.Active); err != nil {
		t.Errorf("after the first were archived: %v", err)
	}
	if err := set(p, "acme/visit/1.0.0", registry.Active); !errors.As(err, &inUse) {
		t.Errorf("an archived one again: %v", err)
	}
}
