package gateway

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/registry"
)

type manageNewOutput struct {
	Name             string       `json:"name,omitempty" example:"level0-1" doc:"Unique among the project's streams; left out: the source's name and the levels."`
	Description      string       `json:"description,omitempty" maxLength:"1000"`
	Tags             []string     `json:"tags,omitempty" nullable:"false" maxItems:"20"`
	ConsentLevels    []int        `json:"consentLevels" nullable:"false" minItems:"1" maxItems:"50" minimum:"0" maximum:"63" example:"[0,1]"`
	ConsentLevelType string       `json:"consentLevelType,omitempty" enum:"CUMULATIVE,GRANULAR" doc:"CUMULATIVE (the default) takes one level and means it and all below; GRANULAR means exactly the levels given."`
	MaskedFields     *manageMasks `json:"maskedFields,omitempty" doc:"What is shown as hashes."`
	MaskedFieldsToo  *manageMasks `json:"masked_fields,omitempty" doc:"The same, as answers call it."`
	DecrypterName    string       `json:"decrypterName,omitempty" maxLength:"100" doc:"Without effect: it is always shown as default."`
}

// ManageSource is a source stream in the path.
type ManageSource struct {
	ManageScope
	Stream string `path:"stream" example:"by-hand" doc:"The source stream's name."`
}

// ManageOutputName is a derived stream in the path.
type ManageOutputName struct {
	ManageSource
	Output string `path:"output" example:"by-hand-2" doc:"The derived stream's name."`
}

type manageListOutputsIn struct {
	ManageSource
	ManageShape
}

type manageNewOutputIn struct {
	ManageSource
	ManageShape
	Body manageNewOutput
}

type manageNewOutput2021In struct {
	ManageSource
	Body manageNewOutput
}

type manageGetOutputIn struct {
	ManageOutputName
	ManageShape
}

type managePatchOutputIn struct {
	ManageOutputName
	ManageShape
	Body manageStreamPatch
}

type manageOutputOut struct{ Body manageAnyOutput }

type manageOutputsOut struct {
	Body []manageAnyOutput `nullable:"false"`
}

func (m *manageAPI) registerOutputs(api huma.API) {
	const collection, one = "/v1/streams/{stream}/outputs", "/v1/streams/{stream}/outputs/{output}"
	tags := []string{"outputs"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-outputs", Method: http.MethodGet, Path: collection, Tags: tags,
		Summary: "List the derived streams of a source stream, by name",
	}, m.listOutputs)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-output", Method: http.MethodPost, Path: collection, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a derived stream", Description: "The answer shows the client secret, once.",
	}, m.createOutput)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-output-2021", Method: http.MethodPut, Path: collection, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a derived stream, in the shape of 2021",
	}, m.createOutput2021)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-output", Method: http.MethodGet, Path: one, Tags: tags,
		Summary: "Get a derived stream",
	}, m.getOutput)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-output", Method: http.MethodPatch, Path: one, Tags: tags,
		Summary: "Change a derived stream", Description: "A merge patch (RFC 7396): what is left out stays.",
	}, m.updateOutput)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-output", Method: http.MethodDelete, Path: one, Tags: tags,
		Summary: "Delete a derived stream", Description: "Its source keeps its events.",
	}, m.deleteOutput)
}

// output finds a derived stream by its own name and its source's.
func (m *manageAPI) output(ctx context.Context, in *ManageOutputName) (*registry.Stream, error) {
	snap, src, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	st := snap.Stream(src.Project, in.Output)
	if st == nil || st.Source == nil || st.Source.UUID != src.UUID {
		return nil, manageErrorf(http.StatusNotFound, "Stream '%s' has no derived stream '%s'", in.Stream, in.Output)
	}
	return st, nil
}

func (m *manageAPI) listOutputs(ctx context.Context, in *manageListOutputsIn) (*manageOutputsOut, error) {
	snap, src, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	out := &manageOutputsOut{Body: []manageAnyOutput{}}
	for _, st := range snap.Derived(src) {
		out.Body = append(out.Body, manageAnyOutput{manageShow(st, "", in.Shape)})
	}
	return out, nil
}

func (m *manageAPI) createOutput(ctx context.Context, in *manageNewOutputIn) (*manageOutputOut, error) {
	_, src, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	mask, err := manageMaskSpec(b.MaskedFields, b.MaskedFieldsToo)
	if err != nil {
		return nil, err
	}
	st, c, err := m.reg.CreateStream(ctx, src.Project, registry.StreamSpec{
		Name: b.Name, Description: b.Description, Tags: b.Tags,
		DerivedFrom: src.Name, Levels: b.ConsentLevels, LevelType: b.ConsentLevelType, Mask: mask,
	})
	if err != nil {
		return nil, manageTaken(err, "Stream", b.Name)
	}
	return &manageOutputOut{manageAnyOutput{manageShow(st, c.ClientSecret, in.Shape)}}, nil
}

func (m *manageAPI) createOutput2021(ctx context.Context, in *manageNewOutput2021In) (*manageOutputOut, error) {
	return m.createOutput(ctx, &manageNewOutputIn{ManageSource: in.ManageSource, ManageShape: ManageShape{manageShape2021}, Body: in.Body})
}

func (m *manageAPI) getOutput(ctx context.Context, in *manageGetOutputIn) (*manageOutputOut, error) {
	st, err := m.output(ctx, &in.ManageOutputName)
	if err != nil {
		return nil, err
	}
	return &manageOutputOut{manageAnyOutput{manageShow(st, "", in.Shape)}}, nil
}

func (m *manageAPI) updateOutput(ctx context.Context, in *managePatchOutputIn) (*manageOutputOut, error) {
	st, err := m.output(ctx, &in.ManageOutputName)
	if err != nil {
		return nil, err
	}
	st, err = m.patchStream(ctx, st, &in.Body)
	if err != nil {
		return nil, err
	}
	return &manageOutputOut{manageAnyOutput{manageShow(st, "", in.Shape)}}, nil
}

func (m *manageAPI) deleteOutput(ctx context.Context, in *manageGetOutputIn) (*manageOutputOut, error) {
	st, err := m.output(ctx, &in.ManageOutputName)
	if err != nil {
		return nil, err
	}
	gone, err := m.reg.DeleteStream(ctx, st.Project, st.Name, false)
	if err != nil {
		return nil, err
	}
	return &manageOutputOut{manageAnyOutput{manageShow(gone.Stream, "", in.Shape)}}, nil
}
