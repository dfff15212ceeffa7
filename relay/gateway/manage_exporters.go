package gateway

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/delivery/export"
	"sluice/relay/registry"
)

// manageExporter2021 is an exporter in the shape of 2021.
type manageExporter2021 struct {
	Name         string `json:"name" example:"s3"`
	LinkedStream string `json:"linkedStream" example:"level0-1"`
	SinkName     string `json:"sinkName" example:"s3-bart"`
	SinkType     string `json:"sinkType" example:"S3"`
	IntervalSecs int    `json:"intervalSecs" example:"30"`
	Type         string `json:"type" enum:"BATCH"`
	PathPrefix   string `json:"pathPrefix" example:"level01"`
	ExportKeys   bool   `json:"exportKeys,omitempty"`
}

// manageExporter is an exporter.
type manageExporter struct {
	Ref                   manageRef `json:"ref"`
	Name                  string    `json:"name" example:"s3"`
	LinkedStream          string    `json:"linkedStream" example:"level0-1" doc:"The stream whose events are exported."`
	SinkName              string    `json:"sinkName" example:"s3-bart"`
	SinkType              string    `json:"sinkType" example:"S3"`
	IntervalSecs          int       `json:"intervalSecs" example:"30" doc:"How long a window is, in seconds; windows are aligned to it in UTC."`
	Type                  string    `json:"type" enum:"BATCH"`
	PathPrefix            string    `json:"pathPrefix" example:"level01" doc:"The objects are <pathPrefix>/<end of the window>-stream-<the stream's uuid>{0}.jsonl."`
	IncludeExistingEvents bool      `json:"includeExistingEvents" doc:"true: it began with the oldest event there was, not with the next."`
	ExportKeys            bool      `json:"exportKeys,omitempty" doc:"true: it writes the keys of the events, as <pathPrefix>/<end of the window>-keys-<the stream's uuid>{0}.csv."`
}

type manageNewExporter struct {
	Name                  string         `json:"name,omitempty" example:"s3" doc:"Unique among the stream's exporters; left out: the sink's name and the stream's, such as s3-bart-level0-1, for keys with -keys behind it."`
	LinkedStream          string         `json:"linkedStream,omitempty" doc:"If given, the stream of the path."`
	SinkName              string         `json:"sinkName,omitempty" example:"s3-bart" doc:"May be left out where the project has one sink."`
	SinkType              string         `json:"sinkType,omitempty" example:"S3" doc:"If given, the sink's."`
	IntervalSecs          int            `json:"intervalSecs,omitempty" example:"30" doc:"30 to 3600; left out: 60."`
	Type                  string         `json:"type,omitempty" enum:"BATCH"`
	PathPrefix            string         `json:"pathPrefix,omitempty" example:"level01" doc:"At most 900 bytes, without a '/' at its ends and without segments . and .. ."`
	IncludeExistingEvents bool           `json:"includeExistingEvents,omitempty" doc:"true: begin with the oldest event there is."`
	ExtraConfig           map[string]any `json:"extraConfig,omitempty" doc:"Empty; clients of 2021 send it."`
	ExportKeys            bool           `json:"exportKeys,omitempty" doc:"Of a source stream, true: write the keys that the events of each window are sealed under, not the events. Who has them opens the fields for ever, also of people who are forgotten later."`
}

type manageExporterPatch struct {
	IntervalSecs manageField[int]    `json:"intervalSecs,omitempty" doc:"null: 60."`
	PathPrefix   manageField[string] `json:"pathPrefix,omitempty" doc:"null: none."`
}

// ManageExported is the stream of exporters in the path.
type ManageExported struct {
	ManageScope
	Stream string `path:"stream" example:"level0-1" doc:"The exported stream's name, source or derived."`
}

// ManageExporterName is an exporter in the path.
type ManageExporterName struct {
	ManageExported
	Exporter string `path:"exporter" example:"s3" doc:"The exporter's name."`
}

type manageListExportersIn struct {
	ManageExported
	ManageShape
}

type manageNewExporterIn struct {
	ManageExported
	ManageShape
	Body manageNewExporter
}

type manageNewExporter2021In struct {
	ManageExported
	Body manageNewExporter
}

type manageGetExporterIn struct {
	ManageExporterName
	ManageShape
	ManageExportsKeys
}

type managePatchExporterIn struct {
	ManageExporterName
	ManageShape
	Body manageExporterPatch
}

// manageAnyExporter is an exporter in either shape.
type manageAnyExporter struct{ manageAny }

func (manageAnyExporter) Schema(r huma.Registry) *huma.Schema {
	return manageOneOf(r, manageType[manageExporter](), manageType[manageExporter2021]())
}

func manageType[T any]() reflect.Type { return reflect.TypeFor[T]() }

type manageExporterOut struct{ Body manageAnyExporter }

type manageExportersOut struct {
	Body []manageAnyExporter `nullable:"false"`
}

func (m *manageAPI) registerExporters(api huma.API) {
	const collection, one = "/v1/exporters/{stream}", "/v1/exporters/{stream}/{exporter}"
	tags := []string{"exporters"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-exporters", Method: http.MethodGet, Path: collection, Tags: tags,
		Summary: "List the exporters of a stream, by name",
	}, m.listExporters)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-exporter", Method: http.MethodPost, Path: collection, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create an exporter of a stream",
		Description: "It begins with what is accepted from now on, unless `includeExistingEvents`. An empty object is written under its prefix " +
			"and taken away again: 400 with the store's reason where the sink does not take it.",
	}, m.createExporter)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-exporter-2021", Method: http.MethodPut, Path: collection, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create an exporter of a stream, in the shape of 2021",
	}, m.createExporter2021)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-exporter", Method: http.MethodGet, Path: one, Tags: tags,
		Summary: "Get an exporter",
	}, m.getExporter)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-exporter", Method: http.MethodPatch, Path: one, Tags: tags,
		Summary: "Change an exporter (merge patch)",
		Description: "It goes on where it is: each event is in one object as before. An object that is being made keeps its window and its name. " +
			"Windows are of the new length, and aligned to it, from the next on.",
	}, m.updateExporter)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-exporter", Method: http.MethodDelete, Path: one, Tags: tags,
		Summary: "Delete an exporter", Description: "What it wrote stays; what it had not written yet it never will.",
	}, m.deleteExporter)
}

func manageShowExporter(e *registry.Exporter, shape string) manageAny {
	seconds := int(e.Interval / time.Second)
	if shape == manageShape2021 {
		return manageAny{manageExporter2021{
			Name: e.Name, LinkedStream: e.Stream.Name, SinkName: e.Sink.Name, SinkType: e.Sink.Type,
			IntervalSecs: seconds, Type: "BATCH", PathPrefix: e.PathPrefix, ExportKeys: e.Keys,
		}}
	}
	return manageAny{manageExporter{
		Ref: manageRef{Name: e.Name, ProjectID: e.Stream.Project.ID}, Name: e.Name, LinkedStream: e.Stream.Name,
		SinkName: e.Sink.Name, SinkType: e.Sink.Type, IntervalSecs: seconds, Type: "BATCH", PathPrefix: e.PathPrefix,
		IncludeExistingEvents: e.Existing, ExportKeys: e.Keys,
	}}
}

// manageShowExporters shows what went along with a delete.
func manageShowExporters(all []*registry.Exporter, shape string) []manageAnyExporter {
	var out []manageAnyExporter
	for _, e := range all {
		out = append(out, manageAnyExporter{manageShowExporter(e, shape)})
	}
	return out
}

func (m *manageAPI) listExporters(ctx context.Context, in *manageListExportersIn) (*manageExportersOut, error) {
	snap, st, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	out := &manageExportersOut{Body: []manageAnyExporter{}}
	for _, e := range snap.Exporters(st) {
		out.Body = append(out.Body, manageAnyExporter{manageShowExporter(e, in.Shape)})
	}
	return out, nil
}

func (m *manageAPI) createExporter(ctx context.Context, in *manageNewExporterIn) (*manageExporterOut, error) {
	snap, st, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	b := &in.Body
	if b.LinkedStream != "" && b.LinkedStream != st.Name {
		return nil, &registry.Invalid{Field: "linkedStream", Reason: "says another stream than the path"}
	}
	if len(b.ExtraConfig) > 0 {
		return nil, &registry.Invalid{Field: "extraConfig", Reason: "has no settings here; leave it empty or out"}
	}
	if err := export.CheckPrefix(b.PathPrefix); err != nil {
		return nil, &registry.Invalid{Field: "pathPrefix", Reason: err.Error()}
	}
	spec := registry.ExporterSpec{
		Name: b.Name, Sink: b.SinkName, SinkType: b.SinkType, Interval: time.Duration(b.IntervalSecs) * time.Second,
		PathPrefix: b.PathPrefix, Existing: b.IncludeExistingEvents, Keys: b.ExportKeys,
	}
	sink, err := snap.SinkFor(st.Project, spec)
	if err != nil {
		return nil, err
	}
	spec.Sink = sink.Name
	if err := m.exports.CheckSink(ctx, sink, spec.PathPrefix); err != nil {
		return nil, manageStoreRefused(err)
	}
	e, err := m.reg.CreateExporter(ctx, st, spec)
	if err != nil {
		return nil, manageTaken(err, "Exporter", b.Name)
	}
	return &manageExporterOut{manageAnyExporter{manageShowExporter(e, in.Shape)}}, nil
}

func (m *manageAPI) createExporter2021(ctx context.Context, in *manageNewExporter2021In) (*manageExporterOut, error) {
	return m.createExporter(ctx, &manageNewExporterIn{ManageExported: in.ManageExported, ManageShape: ManageShape{manageShape2021}, Body: in.Body})
}

// exporter finds an exporter by its own name and its stream's.
func (m *manageAPI) exporter(ctx context.Context, in *manageGetExporterIn) (*registry.Exporter, error) {
	snap, st, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	e := snap.Exporter(st, in.Exporter)
	if e == nil || !in.ManageExportsKeys.are(e) {
		return nil, manageErrorf(http.StatusNotFound, "Stream '%s' has no exporter '%s'", in.Stream, in.Exporter)
	}
	return e, nil
}

func (m *manageAPI) getExporter(ctx context.Context, in *manageGetExporterIn) (*manageExporterOut, error) {
	e, err := m.exporter(ctx, in)
	if err != nil {
		return nil, err
	}
	return &manageExporterOut{manageAnyExporter{manageShowExporter(e, in.Shape)}}, nil
}

func (m *manageAPI) updateExporter(ctx context.Context, in *managePatchExporterIn) (*manageExporterOut, error) {
	e, err := m.exporter(ctx, &manageGetExporterIn{ManageExporterName: in.ManageExporterName})
	if err != nil {
		return nil, err
	}
	patch := registry.ExporterPatch{PathPrefix: in.Body.PathPrefix.pointer("")}
	if s := in.Body.IntervalSecs.pointer(int(registry.DefaultInterval / time.Second)); s != nil {
		interval := time.Duration(*s) * time.Second
		patch.Interval = &interval
	}
	if p := patch.PathPrefix; p != nil && *p != e.PathPrefix {
		if err := export.CheckPrefix(*p); err != nil {
			return nil, &registry.Invalid{Field: "pathPrefix", Reason: err.Error()}
		}
		if err := m.exports.CheckSink(ctx, e.Sink, *p); err != nil {
			return nil, manageStoreRefused(err)
		}
	}
	if e, err = m.reg.UpdateExporter(ctx, e.Stream, e.ID, patch); err != nil {
		return nil, err
	}
	return &manageExporterOut{manageAnyExporter{manageShowExporter(e, in.Shape)}}, nil
}

func (m *manageAPI) deleteExporter(ctx context.Context, in *manageGetExporterIn) (*manageExporterOut, error) {
	e, err := m.exporter(ctx, in)
	if err != nil {
		return nil, err
	}
	gone, err := m.reg.DeleteExporter(ctx, e.Stream, e.Name)
	if err != nil {
		return nil, err
	}
	return &manageExporterOut{manageAnyExporter{manageShowExporter(gone, in.Shape)}}, nil
}
