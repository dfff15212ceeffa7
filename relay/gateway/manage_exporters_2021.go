package gateway

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/registry"
)

type manageAllExportersIn struct {
	ManageScope
	ManageShape
}

// manageOutputExporterIn is an exporter of a derived stream, below its source.
type manageOutputExporterIn struct {
	ManageOutputName
	Exporter string `path:"exporter" example:"s3" doc:"The exporter's name."`
	ManageExportsKeys
}

type manageStreamExporterIn struct {
	ManageExporterName
	ManageExportsKeys
}

// ManageExportsKeys is how clients of 2021 tell an exporter of events from one of keys.
type ManageExportsKeys struct {
	ExportKeys string `query:"exportKeys" enum:"true,false" doc:"If given: whether it is an exporter of keys; 404 where it is not so."`
}

// are tells whether an exporter is of the kind that was asked for.
func (k ManageExportsKeys) are(e *registry.Exporter) bool {
	return k.ExportKeys == "" || (k.ExportKeys == "true") == e.Keys
}

// registerExporters2021 adds the routes that only clients of 2021 use. What they answer has that shape.
func (m *manageAPI) registerExporters2021(api huma.API) {
	const ofStream, ofOutput = "/v1/streams/{stream}/exporters/{exporter}", "/v1/streams/{stream}/outputs/{output}/exporters/{exporter}"
	tags := []string{"exporters"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-all-exporters", Method: http.MethodGet, Path: "/v1/exporters", Tags: tags,
		Summary: "List the exporters of all streams of a project, by stream and name",
	}, m.listAllExporters)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-stream-exporter-2021", Method: http.MethodGet, Path: ofStream, Tags: tags,
		Summary: "Get an exporter of a stream, in the shape of 2021",
	}, m.ofStream2021(m.getExporter))
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-stream-exporter-2021", Method: http.MethodDelete, Path: ofStream, Tags: tags,
		Summary: "Delete an exporter of a stream, in the shape of 2021",
	}, m.ofStream2021(m.deleteExporter))
	manageRegister(m, api, huma.Operation{
		OperationID: "get-output-exporter-2021", Method: http.MethodGet, Path: ofOutput, Tags: tags,
		Summary: "Get an exporter of a derived stream, in the shape of 2021",
	}, m.ofOutput2021(m.getExporter))
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-output-exporter-2021", Method: http.MethodDelete, Path: ofOutput, Tags: tags,
		Summary: "Delete an exporter of a derived stream, in the shape of 2021",
	}, m.ofOutput2021(m.deleteExporter))
}

func (m *manageAPI) listAllExporters(ctx context.Context, in *manageAllExportersIn) (*manageExportersOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	out := &manageExportersOut{Body: []manageAnyExporter{}}
	for _, st := range snap.Streams(p) {
		for _, e := range snap.Exporters(st) {
			out.Body = append(out.Body, manageAnyExporter{manageShowExporter(e, in.Shape)})
		}
	}
	return out, nil
}

type manageExporterDo func(context.Context, *manageGetExporterIn) (*manageExporterOut, error)

func (m *manageAPI) ofStream2021(do manageExporterDo) func(context.Context, *manageStreamExporterIn) (*manageExporterOut, error) {
	return func(ctx context.Context, in *manageStreamExporterIn) (*manageExporterOut, error) {
		return do(ctx, &manageGetExporterIn{in.ManageExporterName, ManageShape{manageShape2021}, in.ManageExportsKeys})
	}
}

func (m *manageAPI) ofOutput2021(do manageExporterDo) func(context.Context, *manageOutputExporterIn) (*manageExporterOut, error) {
	return func(ctx context.Context, in *manageOutputExporterIn) (*manageExporterOut, error) {
		if _, err := m.output(ctx, &in.ManageOutputName); err != nil {
			return nil, err
		}
		name := ManageExporterName{ManageExported{in.ManageScope, in.Output}, in.Exporter}
		return do(ctx, &manageGetExporterIn{name, ManageShape{manageShape2021}, in.ManageExportsKeys})
	}
}
