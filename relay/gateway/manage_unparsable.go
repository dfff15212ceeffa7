package gateway

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/registry"
)

// unparsableMost is how many payloads are listed where nothing else is asked for.
const unparsableMost = 100

type manageUnparsableIn struct {
	ManageStreamName
	Date  string `query:"date" example:"2026-11-20" doc:"The day (UTC) of acceptance; left out: today."`
	From  string `query:"from" example:"12288" doc:"An offset: those behind it."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" doc:"How many at most; left out: 100."`
}

// manageUnparsable is a payload that was accepted and could not be read.
type manageUnparsable struct {
	Offset    string    `json:"offset" example:"12288"`
	RequestID string    `json:"requestId" format:"uuid"`
	Received  time.Time `json:"receivedAt"`
	Reason    string    `json:"reason" example:"XML cannot be read: it ends early at line 3"`
	XML       string    `json:"xml,omitempty" doc:"What the producer sent."`
	Base64    []byte    `json:"base64,omitempty" doc:"Likewise, where it is not UTF-8."`
}

type manageUnparsablesOut struct {
	Body []manageUnparsable `nullable:"false"`
}

func (m *manageAPI) registerUnparsable(api huma.API) {
	manageRegister(m, api, huma.Operation{
		OperationID: "list-unparsable", Method: http.MethodGet, Path: "/v1/streams/{stream}/unparsable", Tags: []string{"streams"},
		Summary: "List the payloads of a day that were accepted and could not be read",
		Description: "XML is looked at after it was accepted. What cannot be read is not shown to readers of the stream, lands in a file of its own " +
			"and is listed from there, a minute after it was accepted at the latest. An answer holds about 4 MiB at most; `from` goes on.",
	}, m.listUnparsable)
}

func (m *manageAPI) listUnparsable(ctx context.Context, in *manageUnparsableIn) (*manageUnparsablesOut, error) {
	_, st, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	if st.Payload == "" {
		return nil, manageErrorf(http.StatusBadRequest, "Stream '%s' takes events, which are checked before they are accepted", st.Name)
	}
	day, behind := time.Now(), uint64(0)
	if in.Date != "" {
		if day, err = time.Parse(time.DateOnly, in.Date); err != nil {
			return nil, &registry.Invalid{Field: "query parameter date", Reason: "must be a day like 2026-11-20"}
		}
	}
	if in.From != "" {
		if behind, err = strconv.ParseUint(in.From, 10, 64); err != nil {
			return nil, &registry.Invalid{Field: "query parameter from", Reason: "must be an offset"}
		}
	}
	all, err := m.exports.Unparsable(ctx, st, day, behind, manageOr(in.Limit, unparsableMost))
	if err != nil {
		return nil, manageStoreRefused(err)
	}
	out := &manageUnparsablesOut{Body: make([]manageUnparsable, 0, len(all))}
	for _, a := range all {
		received, err := time.Parse(time.RFC3339, a.Received)
		if err != nil {
			return nil, err
		}
		out.Body = append(out.Body, manageUnparsable{
			Offset: a.Offset.String(), RequestID: a.RequestID, Received: received, Reason: a.Reason, XML: a.XML, Base64: a.Base64,
		})
	}
	return out, nil
}
