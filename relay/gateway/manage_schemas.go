package gateway

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/registry"
)

// manageSchema is the schema of a data contract, by the contract's ref.
type manageSchema struct {
	Ref          string                 `json:"ref" example:"example/clicks/1.0.0"`
	SchemaType   string                 `json:"schemaType" enum:"AVRO,JSONSCHEMA,AIRSHIP"`
	Definition   string                 `json:"definition" doc:"The schema as its author wrote it, or as it was made from simpleSchema."`
	SimpleSchema string                 `json:"simpleSchema,omitempty" doc:"The Simple Schema as its author wrote it."`
	Fingerprint  string                 `json:"fingerprint,omitempty" example:"8732795727104664750" doc:"Of an Avro schema: CRC-64-AVRO of its parsing canonical form, as a signed number."`
	State        registry.ContractState `json:"state" enum:"DRAFT,ACTIVE,ARCHIVED"`
	IsPublic     bool                   `json:"isPublic"`
}

func manageShowSchema(e *registry.ContractEntry) manageSchema {
	return manageSchema{Ref: e.Ref, SchemaType: e.SchemaType, Definition: e.Schema, SimpleSchema: e.SimpleSchema, Fingerprint: e.Fingerprint, State: e.State, IsPublic: e.Public}
}

type manageSchemaOut struct{ Body manageSchema }

type manageSchemasOut struct {
	Body []manageSchema `nullable:"false"`
}

func (m *manageAPI) registerSchemas(api huma.API) {
	tags := []string{"data contracts"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-schemas", Method: http.MethodGet, Path: "/v1/schemas", Tags: tags,
		Summary: "List the schemas of the data contracts a project can use",
	}, func(ctx context.Context, in *ManageScope) (*manageSchemasOut, error) {
		snap, p, err := m.project(ctx, in.Project)
		if err != nil {
			return nil, err
		}
		out := &manageSchemasOut{Body: []manageSchema{}}
		for _, e := range snap.Contracts(p) {
			out.Body = append(out.Body, manageShowSchema(&e))
		}
		return out, nil
	})
	manageRegister(m, api, huma.Operation{
		OperationID: "get-schema", Method: http.MethodGet, Path: "/v1/schemas/{handle}/{name}/{version}", Tags: tags,
		Summary: "Get the schema of a data contract",
	}, func(ctx context.Context, in *ManageContractName) (*manageSchemaOut, error) {
		_, e, err := m.contractEntry(ctx, in)
		if err != nil {
			return nil, err
		}
		return &manageSchemaOut{manageShowSchema(e)}, nil
	})
}
