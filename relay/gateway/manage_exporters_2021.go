package gateway

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

type manageAllExportersIn struct {
	ManageScope
	ManageShape
}

// registerAllExporters adds the list that clients of 2021 begin with.
func (m *manageAPI) registerAllExporters(api huma.API) {
	manageRegister(m, api, huma.Operation{
		OperationID: "list-all-exporters", Method: http.MethodGet, Path: "/v1/exporters", Tags: []string{"exporters"},
		Summary: "List the exporters of all streams of a project, by stream and name",
	}, func(ctx context.Context, in *manageAllExportersIn) (*manageExportersOut, error) {
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
	})
}
