package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/registry"
)

// ManageScope is the project a call acts on. It is exported because huma looks into embedded structs only if they are.
type ManageScope struct {
	Project string `query:"project" default:"default" doc:"The project's name."`
}

// ManageShape is the shape streams are shown in.
type ManageShape struct {
	Shape string `query:"shape" enum:"2021" doc:"2021: shows streams as the first version of this API did."`
}

// ManageStreamName is a stream in the path.
type ManageStreamName struct {
	ManageScope
	Stream string `path:"stream" example:"by-hand" doc:"The stream's name, source or derived."`
}

// ManageRecursive asks for what hangs on a stream.
type ManageRecursive struct {
	Recursive bool `query:"recursive" doc:"true: with everything that hangs on it."`
}

// manageNewRef names a stream to be made the way an answer names it.
type manageNewRef struct {
	Name      string `json:"name,omitempty"`
	ProjectID string `json:"projectId,omitempty" format:"uuid" doc:"If given, the project's own."`
}

type manageNewStream struct {
	Name             string        `json:"name,omitempty" example:"by-hand" doc:"Unique in the project. A derived stream may leave it out: its source's name and its levels, such as by-hand-2."`
	Ref              *manageNewRef `json:"ref,omitempty" doc:"The name as an answer shows it, instead of name."`
	Description      string        `json:"description,omitempty" maxLength:"1000"`
	Tags             []string      `json:"tags,omitempty" nullable:"false" maxItems:"20"`
	Contract         string        `json:"contract,omitempty" example:"example/example/1.0.0" doc:"The data contract of bulk lines that name none."`
	Payload          string        `json:"payload,omitempty" enum:"json,xml" doc:"Makes a stream for /stream/v0/data, which needs no contract."`
	Sink             string        `json:"sink,omitempty" doc:"Of a stream with a payload: the sink that its payloads land in; left out: the server's folder."`
	Gzip             bool          `json:"gzip,omitempty" doc:"Of a stream with a payload: its landing files are packed."`
	LinkedStream     string        `json:"linkedStream,omitempty" doc:"Makes a stream derived from this source stream."`
	ConsentLevels    []int         `json:"consentLevels,omitempty" nullable:"false" minItems:"1" maxItems:"50" minimum:"0" maximum:"63" doc:"Of a derived stream: the levels people must have agreed to."`
	ConsentLevelType string        `json:"consentLevelType,omitempty" enum:"CUMULATIVE,GRANULAR" doc:"Of a derived stream: CUMULATIVE (the default) takes one level and means it and all below; GRANULAR means exactly the levels given."`
	MaskedFields     *manageMasks  `json:"maskedFields,omitempty" doc:"Of a derived stream: what is shown as hashes."`
	MaskedFieldsToo  *manageMasks  `json:"masked_fields,omitempty" doc:"The same, as answers call it."`
}

type manageLimitsPatch struct {
	EventRate  manageField[manageCount] `json:"eventRate,omitempty" doc:"Events per second."`
	EventCount manageField[manageCount] `json:"eventCount,omitempty" doc:"Events per calendar month, UTC."`
}

type manageStreamPatch struct {
	Description      manageField[string]            `json:"description,omitempty" maxLength:"1000"`
	Tags             manageField[[]string]          `json:"tags,omitempty" maxItems:"20"`
	Enabled          manageField[bool]              `json:"enabled,omitempty"`
	Limits           manageField[manageLimitsPatch] `json:"limits,omitempty" doc:"null: the limits of a new stream."`
	Retention        manageField[string]            `json:"retention,omitempty" example:"7d" doc:"How long events are kept; null: as long as the server's retention.age says. Payloads stay five minutes at least, in which they land."`
	RetentionBytes   manageField[string]            `json:"retentionBytes,omitempty" example:"100GB" doc:"How many bytes are kept; null: as many as the server's retention.bytes says. Payloads of the last five minutes stay beside."`
	Contract         manageField[string]            `json:"contract,omitempty"`
	ConsentLevels    manageField[[]int]             `json:"consentLevels,omitempty" minItems:"1" maxItems:"50" minimum:"0" maximum:"63" doc:"Of a derived stream."`
	ConsentLevelType manageField[string]            `json:"consentLevelType,omitempty" doc:"Of a derived stream: CUMULATIVE or GRANULAR."`
}

// manageNewStream2021 is what a stream was made from in 2021.
type manageNewStream2021 struct {
	Name        string   `json:"name" example:"bart"`
	Description string   `json:"description,omitempty" maxLength:"1000"`
	Tags        []string `json:"tags,omitempty" nullable:"false" maxItems:"20"`
}

type manageListStreamsIn struct {
	ManageScope
	ManageShape
}

type manageNewStreamIn struct {
	ManageScope
	ManageShape
	Body manageNewStream
}

type manageNewStream2021In struct {
	ManageScope
	Body manageNewStream2021
}

type manageGetStreamIn struct {
	ManageStreamName
	ManageShape
	ManageRecursive
}

type managePatchStreamIn struct {
	ManageStreamName
	ManageShape
	Body manageStreamPatch
}

type manageStreamOut struct{ Body manageAnyStream }

type manageStreamsOut struct {
	Body []manageAnyStream `nullable:"false"`
}

type manageStreamOrTreeOut struct{ Body manageAnyStreamOrTree }

func (m *manageAPI) registerStreams(api huma.API) {
	tags := []string{"streams"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-streams", Method: http.MethodGet, Path: "/v1/streams", Tags: tags,
		Summary:     "List the streams of a project, by name",
		Description: "Source and derived streams; in the shape of 2021 the source streams only.",
	}, m.listStreams)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-stream", Method: http.MethodPost, Path: "/v1/streams", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary:     "Create a stream",
		Description: "With `linkedStream` and `consentLevels` a derived one. The answer shows the client secret, once.",
	}, m.createStream)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-stream-2021", Method: http.MethodPut, Path: "/v1/streams", Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a stream, in the shape of 2021",
	}, m.createStream2021)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-stream", Method: http.MethodGet, Path: "/v1/streams/{stream}", Tags: tags,
		Summary: "Get a stream",
	}, m.getStream)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-stream", Method: http.MethodPatch, Path: "/v1/streams/{stream}", Tags: tags,
		Summary:     "Change a stream",
		Description: "A merge patch (RFC 7396): what is left out stays, null sets back what may be unset.",
	}, m.updateStream)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-stream", Method: http.MethodDelete, Path: "/v1/streams/{stream}", Tags: tags,
		Summary:     "Delete a stream with its events and keys",
		Description: "409 while derived streams hang on it, unless `recursive` takes them along.",
	}, m.deleteStream)
}

// stream finds a stream of a project that the caller may manage.
func (m *manageAPI) stream(ctx context.Context, project, name string) (*registry.Snapshot, *registry.Stream, error) {
	snap, p, err := m.project(ctx, project)
	if err != nil {
		return nil, nil, err
	}
	if snap.Stream(p, name) == nil {
		m.reg.FindStream(ctx, p, name) // another node may have made it a moment ago
		snap = m.reg.Snapshot()
	}
	st := snap.Stream(p, name)
	if st == nil {
		return nil, nil, manageNotFound("Stream", name)
	}
	return snap, st, nil
}

func (m *manageAPI) listStreams(ctx context.Context, in *manageListStreamsIn) (*manageStreamsOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	out := &manageStreamsOut{Body: []manageAnyStream{}}
	for _, st := range snap.Streams(p) {
		if in.Shape == "" || st.Source == nil {
			out.Body = append(out.Body, manageAnyStream{manageShow(st, "", in.Shape)})
		}
	}
	return out, nil
}

func (m *manageAPI) createStream(ctx context.Context, in *manageNewStreamIn) (*manageStreamOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	if b.Ref != nil {
		if b.Name != "" && b.Ref.Name != "" && b.Name != b.Ref.Name {
			return nil, &registry.Invalid{Field: "ref.name", Reason: "says another name than name"}
		}
		if b.Ref.ProjectID != "" && b.Ref.ProjectID != p.ID {
			return nil, &registry.Invalid{Field: "ref.projectId", Reason: "is not the project's; ?project= says which project is meant"}
		}
		if b.Name == "" {
			b.Name = b.Ref.Name
		}
	}
	mask, err := manageMaskSpec(b.MaskedFields, b.MaskedFieldsToo)
	if err != nil {
		return nil, err
	}
	st, c, err := m.reg.CreateStream(ctx, p, registry.StreamSpec{
		Name: b.Name, Description: b.Description, Tags: b.Tags, Contract: b.Contract, Payload: b.Payload, Sink: b.Sink, Gzip: b.Gzip,
		DerivedFrom: b.LinkedStream, Levels: b.ConsentLevels, LevelType: b.ConsentLevelType, Mask: mask,
	})
	if err != nil {
		return nil, manageTaken(err, "Stream", b.Name)
	}
	return &manageStreamOut{manageAnyStream{manageShow(st, c.ClientSecret, in.Shape)}}, nil
}

func (m *manageAPI) createStream2021(ctx context.Context, in *manageNewStream2021In) (*manageStreamOut, error) {
	return m.createStream(ctx, &manageNewStreamIn{
		ManageScope: in.ManageScope, ManageShape: ManageShape{manageShape2021},
		Body: manageNewStream{Name: in.Body.Name, Description: in.Body.Description, Tags: in.Body.Tags},
	})
}

func (m *manageAPI) getStream(ctx context.Context, in *manageGetStreamIn) (*manageStreamOrTreeOut, error) {
	snap, st, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	if in.Recursive {
		return &manageStreamOrTreeOut{manageAnyStreamOrTree{manageShowTree(snap.Tree(st), in.Shape)}}, nil
	}
	return &manageStreamOrTreeOut{manageAnyStreamOrTree{manageShow(st, "", in.Shape)}}, nil
}

func (m *manageAPI) updateStream(ctx context.Context, in *managePatchStreamIn) (*manageStreamOut, error) {
	_, st, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	st, err = m.patchStream(ctx, st, &in.Body)
	if err != nil {
		return nil, err
	}
	return &manageStreamOut{manageAnyStream{manageShow(st, "", in.Shape)}}, nil
}

func (m *manageAPI) patchStream(ctx context.Context, st *registry.Stream, b *manageStreamPatch) (*registry.Stream, error) {
	patch := registry.StreamPatch{
		Description: b.Description.pointer(""), Tags: b.Tags.pointer([]string{}), Enabled: b.Enabled.pointer(true),
		Contract: b.Contract.pointer(""), LevelType: b.ConsentLevelType.pointer("CUMULATIVE"),
	}
	if b.ConsentLevels.Null {
		return nil, &registry.Invalid{Field: "consentLevels", Reason: "cannot be null: a derived stream has levels"}
	}
	patch.Levels = b.ConsentLevels.pointer(nil)
	if l := b.Limits; l.Set {
		if l.Null {
			l.Value = manageLimitsPatch{EventRate: manageField[manageCount]{Set: true, Null: true}, EventCount: manageField[manageCount]{Set: true, Null: true}}
		}
		patch.EventRate = (*int64)(l.Value.EventRate.pointer(registry.DefaultEventRate))
		patch.EventCount = (*int64)(l.Value.EventCount.pointer(registry.DefaultEventCount))
	}
	if s := b.Retention.pointer(""); s != nil {
		var age time.Duration
		if *s != "" {
			var err error
			if age, err = manageParseSpan(*s); err != nil {
				return nil, &registry.Invalid{Field: "retention", Reason: err.Error()}
			}
		}
		patch.Retention = &age
	}
	if s := b.RetentionBytes.pointer(""); s != nil {
		var size int64
		if *s != "" {
			var err error
			if size, err = manageParseSize(*s); err != nil {
				return nil, &registry.Invalid{Field: "retentionBytes", Reason: err.Error()}
			}
		}
		patch.RetentionBytes = &size
	}
	return m.reg.UpdateStream(ctx, st.Project, st.Name, patch)
}

func (m *manageAPI) deleteStream(ctx context.Context, in *manageGetStreamIn) (*manageStreamOrTreeOut, error) {
	_, st, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	gone, err := m.reg.DeleteStream(ctx, st.Project, st.Name, in.Recursive)
	if err != nil {
		return nil, err
	}
	if in.Recursive {
		return &manageStreamOrTreeOut{manageAnyStreamOrTree{manageShowTree(gone, in.Shape)}}, nil
	}
	return &manageStreamOrTreeOut{manageAnyStreamOrTree{manageShow(gone.Stream, "", in.Shape)}}, nil
}
