package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/contract"
	"sluice/relay/registry"
)

// manageContract is a data contract as it is shown.
type manageContract struct {
	Ref              string                   `json:"ref" example:"example/clicks/1.0.0" doc:"handle/name/version"`
	ShortID          string                   `json:"shortId,omitempty" doc:"The name events of 2020 know it by."`
	SchemaType       string                   `json:"schemaType" enum:"AVRO,JSONSCHEMA,AIRSHIP"`
	Schema           string                   `json:"schema" doc:"The schema as its author wrote it, or as it was made from simpleSchema."`
	SimpleSchema     string                   `json:"simpleSchema,omitempty" doc:"The Simple Schema as its author wrote it."`
	KeyField         string                   `json:"keyField" example:"session" doc:"The field whose value ties a person's events of a day together."`
	PiiFields        map[string]int           `json:"piiFields,omitempty" example:"{\"customer/id\":1}" doc:"Personal fields by their slash paths, with the consent level that opens them."`
	FieldMetadata    []contract.FieldMetadata `json:"fieldMetadata,omitempty" nullable:"false" doc:"The same as piiFields in more words; where both are given this one counts."`
	Validations      []contract.Validation    `json:"validations,omitempty" nullable:"false" doc:"What values of fields must look like."`
	DataSubjectField string                   `json:"dataSubjectField,omitempty" example:"customer/id" doc:"The field that says whom the event is about, for DELETE /v1/data-subjects."`
	Envelope         *contract.Envelope       `json:"envelope,omitempty" doc:"gjson paths of what the Airship envelope shows beside the event."`
	Metadata         *contract.Metadata       `json:"metadata,omitempty" doc:"What people read about it."`
	State            registry.ContractState   `json:"state" enum:"DRAFT,ACTIVE,ARCHIVED" doc:"Only events of an ACTIVE contract are taken."`
	IsPublic         bool                     `json:"isPublic" doc:"Whether every project may use it."`
}

func manageShowContract(e *registry.ContractEntry) manageContract {
	return manageContract{
		Ref: e.Ref, ShortID: e.ShortID, SchemaType: e.SchemaType, Schema: e.Schema, SimpleSchema: e.SimpleSchema, KeyField: e.KeyField, PiiFields: e.PiiFields,
		FieldMetadata: e.FieldMetadata, Validations: e.Validations, DataSubjectField: e.DataSubjectField, Envelope: e.Envelope,
		Metadata: e.Metadata, State: e.State, IsPublic: e.Public,
	}
}

// manageContractRef is handle/name/version, read also as an object of the three.
type manageContractRef string

func (r *manageContractRef) UnmarshalJSON(data []byte) error {
	if data[0] != '{' {
		return json.Unmarshal(data, (*string)(r))
	}
	var parts struct{ Handle, Name, Version string }
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	*r = manageContractRef(parts.Handle + "/" + parts.Name + "/" + parts.Version)
	return nil
}

func (manageContractRef) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{
		{Type: huma.TypeString},
		r.Schema(reflect.TypeFor[manageContractRefParts](), true, ""),
	}}
}

type manageContractRefParts struct {
	Handle  string `json:"handle"`
	Name    string `json:"name"`
	Version string `json:"version"`
}

type manageNewContract struct {
	Ref              manageContractRef        `json:"ref" example:"\"example/clicks/1.0.0\"" doc:"handle/name/version; versions of a name ascend."`
	ShortID          string                   `json:"shortId,omitempty"`
	SchemaType       string                   `json:"schemaType,omitempty" example:"AVRO" doc:"AVRO, JSONSCHEMA or SIMPLE; left out, the schema itself tells. Of a Simple Schema an AVRO one is made."`
	Schema           manageText               `json:"schema" doc:"The schema, as an object or as text; a Simple Schema also in YAML."`
	KeyField         string                   `json:"keyField"`
	PiiFields        map[string]int           `json:"piiFields,omitempty"`
	FieldMetadata    []contract.FieldMetadata `json:"fieldMetadata,omitempty" nullable:"false"`
	Validations      []contract.Validation    `json:"validations,omitempty" nullable:"false"`
	DataSubjectField string                   `json:"dataSubjectField,omitempty"`
	Envelope         *contract.Envelope       `json:"envelope,omitempty"`
	Metadata         *contract.Metadata       `json:"metadata,omitempty"`
	Public           bool                     `json:"public,omitempty" doc:"Lets every project use it. A public contract cannot be deleted."`
	IsPublic         bool                     `json:"isPublic,omitempty" doc:"The same as public."`
}

// ManageContractName is a data contract in the path.
type ManageContractName struct {
	ManageScope
	Handle  string `path:"handle" example:"example"`
	Name    string `path:"name" example:"clicks"`
	Version string `path:"version" example:"1.0.0"`
}

func (n *ManageContractName) ref() string { return n.Handle + "/" + n.Name + "/" + n.Version }

type manageNewContractIn struct {
	ManageScope
	Body manageNewContract
}

type manageCheckIn struct {
	ManageContractName
	Serialization string `header:"Strm-Serialization-Type" doc:"application/json or application/x-avro-binary, as on /event."`
	ContentType   string `header:"Content-Type"`
	RawBody       []byte `contentType:"application/json"`
}

type manageContractOut struct{ Body manageContract }

type manageContractsOut struct {
	Body []manageContract `nullable:"false"`
}

type manageChecked struct {
	Valid   bool   `json:"valid"`
	Message string `json:"message,omitempty" doc:"Why not; personal values in it show as ****."`
}

type manageCheckOut struct{ Body manageChecked }

func (m *manageAPI) registerContracts(api huma.API) {
	const one = "/v1/data-contracts/{handle}/{name}/{version}"
	tags := []string{"data contracts"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-data-contracts", Method: http.MethodGet, Path: "/v1/data-contracts", Tags: tags,
		Summary: "List the data contracts a project can use, those built in included",
	}, m.listContracts)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-data-contract", Method: http.MethodPost, Path: "/v1/data-contracts", Tags: tags,
		DefaultStatus: http.StatusCreated, MaxBodyBytes: manageMaxBody,
		Summary: "Create a data contract, as a draft",
	}, m.createContract)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-data-contract", Method: http.MethodGet, Path: one, Tags: tags,
		Summary: "Get a data contract",
	}, m.getContract)
	m.registerContractUpdate(api, one, tags)
	manageRegister(m, api, huma.Operation{
		OperationID: "activate-data-contract", Method: http.MethodPost, Path: one + "/activate", Tags: tags,
		Summary: "Let events of a data contract in",
	}, m.setContract(registry.Active))
	manageRegister(m, api, huma.Operation{
		OperationID: "archive-data-contract", Method: http.MethodPost, Path: one + "/archive", Tags: tags,
		Summary: "Let no further events of a data contract in",
	}, m.setContract(registry.Archived))
	manageRegister(m, api, huma.Operation{
		OperationID: "check-data-contract", Method: http.MethodPost, Path: one + "/check", Tags: tags,
		MaxBodyBytes: manageMaxBody, SkipValidateBody: true,
		Summary:     "Hold an event to a data contract, whatever the contract's state, without storing it",
		Description: "The body is the event, as JSON or as an Avro datum, told apart as on /event.",
	}, m.checkContract)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-data-contract", Method: http.MethodDelete, Path: one, Tags: tags,
		Summary: "Delete a data contract that is a draft, or private and archived",
	}, m.deleteContract)
}

// contractEntry finds a data contract among those a project can use.
func (m *manageAPI) contractEntry(ctx context.Context, in *ManageContractName) (*registry.Project, *registry.ContractEntry, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, nil, err
	}
	e, ok := snap.ContractEntry(p, in.ref())
	if !ok {
		return nil, nil, manageNotFound("Data contract", in.ref())
	}
	return p, &e, nil
}

// ownContract finds a data contract that the project may change: not one that another project made public.
func (m *manageAPI) ownContract(ctx context.Context, in *ManageContractName) (*registry.Project, *registry.ContractEntry, error) {
	p, e, err := m.contractEntry(ctx, in)
	if err == nil && e.Project != nil && e.Project.ID != p.ID {
		return nil, nil, manageErrorf(http.StatusForbidden, "Data contract '%s' belongs to another project, which alone may change it", e.Ref)
	}
	return p, e, err
}

func (m *manageAPI) listContracts(ctx context.Context, in *ManageScope) (*manageContractsOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	out := &manageContractsOut{Body: []manageContract{}}
	for _, e := range snap.Contracts(p) {
		out.Body = append(out.Body, manageShowContract(&e))
	}
	return out, nil
}

func (m *manageAPI) createContract(ctx context.Context, in *manageNewContractIn) (*manageContractOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	e, err := m.reg.CreateContract(ctx, p, contract.Definition{
		Ref: string(b.Ref), ShortID: b.ShortID, SchemaType: b.SchemaType, Schema: string(b.Schema), KeyField: b.KeyField,
		PiiFields: b.PiiFields, FieldMetadata: b.FieldMetadata, Validations: b.Validations,
		DataSubjectField: b.DataSubjectField, Envelope: b.Envelope, Metadata: b.Metadata,
	}, b.Public || b.IsPublic)
	if err != nil {
		return nil, manageTaken(err, "Data contract", string(b.Ref))
	}
	return &manageContractOut{manageShowContract(&e)}, nil
}

func (m *manageAPI) getContract(ctx context.Context, in *ManageContractName) (*manageContractOut, error) {
	_, e, err := m.contractEntry(ctx, in)
	if err != nil {
		return nil, err
	}
	return &manageContractOut{manageShowContract(e)}, nil
}

// setContract moves a data contract to a state.
func (m *manageAPI) setContract(to registry.ContractState) func(context.Context, *ManageContractName) (*manageContractOut, error) {
	return func(ctx context.Context, in *ManageContractName) (*manageContractOut, error) {
		p, e, err := m.ownContract(ctx, in)
		if err != nil {
			return nil, err
		}
		now, err := m.reg.SetContractState(ctx, p, e.Ref, to)
		if err != nil {
			return nil, err
		}
		return &manageContractOut{manageShowContract(&now)}, nil
	}
}

func (m *manageAPI) deleteContract(ctx context.Context, in *ManageContractName) (*manageContractOut, error) {
	p, e, err := m.ownContract(ctx, in)
	if err != nil {
		return nil, err
	}
	gone, err := m.reg.DeleteContract(ctx, p, e.Ref)
	if err != nil {
		return nil, err
	}
	return &manageContractOut{manageShowContract(&gone)}, nil
}

func (m *manageAPI) checkContract(ctx context.Context, in *manageCheckIn) (*manageCheckOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	c, _ := snap.Contract(p, []byte(in.ref()))
	if c == nil {
		return nil, manageNotFound("Data contract", in.ref())
	}
	enc, text := serialization([]byte(in.Serialization), []byte(in.ContentType))
	if text != "" {
		return nil, manageErrorf(http.StatusBadRequest, "%s", text)
	}
	var violation *contract.Violation
	switch err := m.relay.CheckEvent(c, enc, in.RawBody); {
	case err == nil:
		return &manageCheckOut{manageChecked{Valid: true}}, nil
	case errors.As(err, &violation):
		return &manageCheckOut{manageChecked{Message: violation.Text}}, nil
	default:
		return nil, err
	}
}
