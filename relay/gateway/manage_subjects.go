package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/consent"
)

type manageForgetIn struct {
	ManageScope
	ID     string `path:"id" example:"customer-17" doc:"The data subject, percent-encoded: the value of the contract's dataSubjectField, or of its key field where it names none."`
	Stream string `query:"stream" doc:"The one source stream to forget the person in; left out: all streams of the project."`
}

type manageForgotten struct {
	Forgotten bool     `json:"forgotten" doc:"Always true: that nobody by this id was known looks the same."`
	Streams   []string `json:"streams" nullable:"false" doc:"The source streams in which nothing opens their fields any more, nor in what is derived from them."`
}

type manageForgetOut struct{ Body manageForgotten }

func (m *manageAPI) registerSubjects(api huma.API) {
	manageRegister(m, api, huma.Operation{
		OperationID: "forget-data-subject", Method: http.MethodDelete, Path: "/v1/data-subjects/{id}", Tags: []string{"data subjects"},
		Summary: "Forget a person",
		Description: "Erases the keys of their personal fields: what was stored stays ciphertext, in streams in progress, in replays and " +
			"after a restart. It cannot be undone. A later event of the same person opens again.",
	}, m.forget)
	m.registerKeyLinks(api)
}

// forget must not let the id out: neither in its answer nor in an error nor in the log.
func (m *manageAPI) forget(ctx context.Context, in *manageForgetIn) (*manageForgetOut, error) {
	sources, err := m.sources(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	out := &manageForgetOut{manageForgotten{Forgotten: true, Streams: make([]string, 0, len(sources))}}
	for _, st := range sources {
		out.Body.Streams = append(out.Body.Streams, st.Name)
	}
	if err := m.relay.Forget(ctx, in.ID, sources...); err != nil {
		e := manageErrorOf(err)
		e.Err.Message = "The person is not forgotten in all streams yet; send it again, it may be repeated"
		if errors.Is(err, consent.ErrFull) {
			// To send it again is of no use.
			e.Err.Code, e.Err.Status = http.StatusInsufficientStorage, http.StatusText(http.StatusInsufficientStorage)
			e.Err.Message = "A stream has forgotten as many people of one era as it can; the person's keys there end with the retention, or with the stream"
		}
		return nil, e
	}
	return out, nil
}
