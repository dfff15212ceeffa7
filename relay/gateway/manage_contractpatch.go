package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/contract"
)

// manageContractPatch is what of a data contract can be changed, for the document and the first look at a body.
type manageContractPatch struct {
	ShortID          manageField[string]                   `json:"shortId,omitempty"`
	SchemaType       manageField[string]                   `json:"schemaType,omitempty"`
	Schema           manageText                            `json:"schema,omitempty"`
	KeyField         string                                `json:"keyField,omitempty"`
	PiiFields        manageMerge                           `json:"piiFields,omitempty" doc:"A level of null takes a field out."`
	FieldMetadata    manageField[[]contract.FieldMetadata] `json:"fieldMetadata,omitempty"`
	Validations      manageField[[]contract.Validation]    `json:"validations,omitempty"`
	DataSubjectField manageField[string]                   `json:"dataSubjectField,omitempty"`
	Envelope         manageMerge                           `json:"envelope,omitempty"`
	Metadata         manageMerge                           `json:"metadata,omitempty" doc:"The only part that can be changed once the contract was active."`
	IsPublic         bool                                  `json:"isPublic,omitempty"`
}

// manageMerge is an object that is merged into another, or null.
type manageMerge struct{}

func (*manageMerge) UnmarshalJSON([]byte) error { return nil }

func (manageMerge) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Nullable: true}
}

// manageContractEdit is what of a data contract can be changed, as it is before and after.
type manageContractEdit struct {
	ShortID          string                   `json:"shortId,omitempty"`
	SchemaType       string                   `json:"schemaType,omitempty"`
	Schema           manageText               `json:"schema,omitempty"`
	KeyField         string                   `json:"keyField,omitempty"`
	PiiFields        map[string]int           `json:"piiFields,omitempty"`
	FieldMetadata    []contract.FieldMetadata `json:"fieldMetadata,omitempty"`
	Validations      []contract.Validation    `json:"validations,omitempty"`
	DataSubjectField string                   `json:"dataSubjectField,omitempty"`
	Envelope         *contract.Envelope       `json:"envelope,omitempty"`
	Metadata         *contract.Metadata       `json:"metadata,omitempty"`
	IsPublic         bool                     `json:"isPublic,omitempty"`
}

type managePatchContractIn struct {
	ManageContractName
	Body    manageContractPatch
	RawBody []byte
}

func (m *manageAPI) registerContractUpdate(api huma.API, path string, tags []string) {
	manageRegister(m, api, huma.Operation{
		OperationID: "update-data-contract", Method: http.MethodPatch, Path: path, Tags: tags, MaxBodyBytes: manageMaxBody,
		Summary:     "Change a data contract: all of a draft, later its metadata",
		Description: "A merge patch (RFC 7396): what is left out stays, null sets back what may be unset.",
	}, m.updateContract)
}

func (m *manageAPI) updateContract(ctx context.Context, in *managePatchContractIn) (*manageContractOut, error) {
	p, e, err := m.ownContract(ctx, &in.ManageContractName)
	if err != nil {
		return nil, err
	}
	now, err := m.reg.UpdateContract(ctx, p, e.Ref, func(d contract.Definition, public bool) (contract.Definition, bool, error) {
		return patchContract(d, public, in.RawBody)
	})
	if err != nil {
		return nil, err
	}
	return &manageContractOut{manageShowContract(&now)}, nil
}

// patchContract merges a patch into a definition. What it gives back shares nothing with what it was given.
func patchContract(d contract.Definition, public bool, patch []byte) (contract.Definition, bool, error) {
	before := manageContractEdit{
		ShortID: d.ShortID, SchemaType: d.SchemaType, Schema: manageText(d.Schema), KeyField: d.KeyField, PiiFields: d.PiiFields,
		FieldMetadata: d.FieldMetadata, Validations: d.Validations, DataSubjectField: d.DataSubjectField,
		Envelope: d.Envelope, Metadata: d.Metadata, IsPublic: public,
	}
	var was, change map[string]any
	text, err := json.Marshal(before)
	if err == nil {
		err = json.Unmarshal(text, &was)
	}
	if err == nil {
		err = json.Unmarshal(patch, &change)
	}
	if err != nil {
		return d, public, err
	}
	if schema, ok := change["schema"]; ok {
		// A schema is one value, however it is sent: as an object it is not merged into the one before.
		delete(was, "schema")
		if _, named := change["schemaType"]; !named {
			delete(was, "schemaType")
		}
		if _, isText := schema.(string); !isText {
			text, err := rawMember(patch, "schema")
			if err != nil {
				return d, public, err
			}
			change["schema"] = text
		}
		d.SimpleSchema = ""
	}
	if text, err = json.Marshal(mergePatch(was, change)); err != nil {
		return d, public, err
	}
	var after manageContractEdit
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&after); err != nil {
		return d, public, patchFault(err)
	}
	return contract.Definition{
		Ref: d.Ref, ShortID: after.ShortID, SchemaType: after.SchemaType, Schema: string(after.Schema), SimpleSchema: d.SimpleSchema,
		Fingerprint: d.Fingerprint, KeyField: after.KeyField, PiiFields: after.PiiFields, FieldMetadata: after.FieldMetadata,
		Validations: after.Validations, DataSubjectField: after.DataSubjectField, Envelope: after.Envelope, Metadata: after.Metadata,
	}, after.IsPublic, nil
}

// rawMember is a member of an object as compact text, in the order its author wrote.
func rawMember(object []byte, name string) (string, error) {
	var members map[string]json.RawMessage
	var text bytes.Buffer
	err := json.Unmarshal(object, &members)
	if err == nil {
		err = json.Compact(&text, members[name])
	}
	return text.String(), err
}

// mergePatch is RFC 7396 §2. It changes into.
func mergePatch(into map[string]any, patch map[string]any) map[string]any {
	if into == nil {
		into = map[string]any{}
	}
	for name, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(into, name)
		case map[string]any:
			below, _ := into[name].(map[string]any)
			into[name] = mergePatch(below, value)
		default:
			into[name] = value
		}
	}
	return into
}

// patchFault puts what the decoder of a merged contract says into the words of this API.
func patchFault(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return manageErrorf(http.StatusBadRequest, "body.%s: must be a %s", kind.Field, kind.Type)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return manageErrorf(http.StatusBadRequest, "body: %s is not known here", name)
	}
	return fmt.Errorf("merged contract: %w", err)
}
