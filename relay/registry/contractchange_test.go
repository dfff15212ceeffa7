package registry_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/relay/contract"
	"sluice/relay/registry"
)

type contractEdit func(d *contract.Definition, public *bool)

func updateContract(t *testing.T, r *registry.Registry, p *registry.Project, ref string, edit contractEdit) (registry.ContractEntry, error) {
	t.Helper()
	return r.UpdateContract(t.Context(), p, ref, func(d contract.Definition, public bool) (contract.Definition, bool, error) {
		edit(&d, &public)
		return d, public, nil
	})
}

// TestUpdateContract: a draft changes in all parts and is compiled anew; what was active keeps all but its metadata.
func TestUpdateContract(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	r := open(t, s, registry.Config{})
	stop := start(t, r)
	p := defaultProject(t, r)
	other, _, err := r.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	const ref = "acme/visit/1.0.0"
	if _, err := r.CreateContract(t.Context(), p, shopContract(ref), false); err != nil {
		t.Fatal(err)
	}
	before, _ := r.Snapshot().Contract(p, []byte(ref))
	e, err := updateContract(t, r, p, ref, func(d *contract.Definition, public *bool) {
		d.ShortID, d.PiiFields, *public = "visit", map[string]int{"page": 3}, true
		d.Metadata = &contract.Metadata{Title: "Visits"}
	})
	if err != nil || e.ShortID != "visit" || !e.Public || e.State != registry.Draft || e.Metadata.Title != "Visits" {
		t.Fatalf("%+v: %v", e, err)
	}
	after, active := r.Snapshot().Contract(other, []byte("visit"))
	if after == nil || active || after == before || len(after.PersonalFields()) != 1 || len(before.PersonalFields()) != 0 {
		t.Error("the changed contract is not the one that is found")
	}

	var invalid *registry.Invalid
	var inUse *registry.InUse
	refused := func(what string, want any, says string, edit contractEdit) {
		t.Helper()
		if _, err := updateContract(t, r, p, ref, edit); !errors.As(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("another ref", &invalid, "ref: cannot be changed", func(d *contract.Definition, _ *bool) { d.Ref = "acme/visit/2.0.0" })
	refused("no key", &invalid, "keyField", func(d *contract.Definition, _ *bool) { d.KeyField = "" })
	refused("no schema", &invalid, "schema", func(d *contract.Definition, _ *bool) { d.Schema = "{" })
	if _, err := updateContract(t, r, other, ref, func(*contract.Definition, *bool) {}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("another project's: %v", err)
	}
	if _, err := r.DeleteContract(t.Context(), p, ref); !errors.As(err, &inUse) || !strings.Contains(err.Error(), "Make it private first") {
		t.Errorf("a public draft deleted: %v", err)
	}

	// The only version may change its type, a second may not.
	jsonSchema := `{"properties":{"strmMeta":{"properties":{"eventContractRef":{"type":"string"},"consentLevels":{"type":"array"}}},"session":{"type":"string"}}}`
	toJSON := func(d *contract.Definition, _ *bool) {
		d.SchemaType, d.Schema, d.KeyField, d.PiiFields = "", jsonSchema, "session", nil
	}
	if e, err := updateContract(t, r, p, ref, toJSON); err != nil || e.SchemaType != contract.SchemaTypeJSON || e.Fingerprint != "" {
		t.Fatalf("to JSON Schema: %+v %v", e, err)
	}
	if _, err := r.CreateContract(t.Context(), p, shopContract("acme/visit/1.1.0"), false); !errors.As(err, &invalid) || !strings.Contains(err.Error(), "JSONSCHEMA") {
		t.Errorf("a second version of another type: %v", err)
	}
	second := shopContract("acme/visit/1.1.0")
	toJSON(&second, nil)
	if _, err := r.CreateContract(t.Context(), p, second, false); err != nil {
		t.Fatal(err)
	}
	back := shopContract(ref)
	refused("one version of another type", &invalid, "schemaType: the other versions are of type JSONSCHEMA", func(d *contract.Definition, _ *bool) { *d = back })

	if _, err := r.SetContractState(t.Context(), p, ref, registry.Active); err != nil {
		t.Fatal(err)
	}
	frozen := func(state string) {
		t.Helper()
		for what, edit := range map[string]contractEdit{
			"key":    func(d *contract.Definition, _ *bool) { d.KeyField = "strmMeta" },
			"pii":    func(d *contract.Definition, _ *bool) { d.PiiFields = map[string]int{"session": 1} },
			"public": func(_ *contract.Definition, public *bool) { *public = false },
		} {
			refused(what, &inUse, "is "+state+": only its metadata can be changed", edit)
		}
		if e, err := updateContract(t, r, p, ref, func(d *contract.Definition, _ *bool) { d.Metadata = &contract.Metadata{Title: state} }); err != nil || e.Metadata.Title != state {
			t.Errorf("metadata: %v", err)
		}
	}
	frozen("active")
	if _, err := r.SetContractState(t.Context(), p, ref, registry.Archived); err != nil {
		t.Fatal(err)
	}
	frozen("archived")

	stop()
	again := node(t, s, registry.Config{})
	if e, ok := again.Snapshot().ContractEntry(defaultProject(t, again), ref); !ok || e.Metadata.Title != "archived" || e.SchemaType != contract.SchemaTypeJSON {
		t.Errorf("after a restart: %+v", e)
	}
}
