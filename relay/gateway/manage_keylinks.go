package gateway

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/engine"
	"sluice/relay/registry"
)

const (
	// keyLinksMost bounds one answer.
	keyLinksMost = 10_000
	// keyLinksTime is how long one call reads, well below the time a management request has.
	keyLinksTime = 15 * time.Second
)

type manageKeyLinksIn struct {
	ManageScope
	ID     string `path:"id" example:"customer-17" doc:"The data subject, percent-encoded."`
	Stream string `query:"stream" doc:"The one source stream to look in; left out: all streams of the project."`
	From   string `query:"from" doc:"What an answer before gave as next: go on there."`
}

// manageKeyLinks is what a data subject's events are sealed under.
type manageKeyLinks struct {
	DataSubjectID string          `json:"dataSubjectId"`
	KeyLinks      []manageKeyLink `json:"keylinksAndTimestamps" nullable:"false"`
	Next          string          `json:"next,omitempty" doc:"There may be more: call again with from set to this."`
}

type manageKeyLink struct {
	KeyLink    string `json:"keyLink" format:"uuid"`
	ExpiryTime string `json:"expiryTime" format:"date-time" doc:"No event from then on has it."`
}

type manageKeyLinksOut struct{ Body manageKeyLinks }

func (m *manageAPI) registerKeyLinks(api huma.API) {
	manageRegister(m, api, huma.Operation{
		OperationID: "get-key-links", Method: http.MethodGet, Path: "/v1/data-subjects/{id}/keylinks", Tags: []string{"data subjects"},
		Summary: "The key links of a person",
		Description: "Found by reading the retained events, for there is no list of people: each link once in a stream, in the order of its first event. " +
			"Those from before the person was last forgotten are not among them. A long log takes several calls: `next` says where to go on.",
	}, m.getKeyLinks)
}

func (m *manageAPI) getKeyLinks(ctx context.Context, in *manageKeyLinksIn) (*manageKeyLinksOut, error) {
	sources, err := m.sources(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	// A place to go on is a stream and an offset in it.
	at, offset, _ := strings.Cut(in.From, "/")
	var from engine.Offset
	if in.From != "" {
		if from, err = engine.ParseOffset(offset); err != nil {
			return nil, &registry.Invalid{Field: "query parameter from", Reason: "is not what an answer gave as next"}
		}
	}
	out := &manageKeyLinksOut{manageKeyLinks{DataSubjectID: in.ID, KeyLinks: []manageKeyLink{}}}
	until := time.Now().Add(keyLinksTime)
	begun := in.From == ""
	for _, st := range sources {
		if begun = begun || st.UUID == at; !begun {
			continue
		}
		room := keyLinksMost - len(out.Body.KeyLinks)
		if room == 0 || !time.Now().Before(until) {
			out.Body.Next = st.UUID + "/" + from.String()
			return out, nil
		}
		links, next, err := m.relay.KeyLinks(ctx, st, in.ID, from, room, until)
		if err != nil {
			return nil, err
		}
		for _, l := range links {
			out.Body.KeyLinks = append(out.Body.KeyLinks, manageKeyLink{KeyLink: l.String(), ExpiryTime: l.Ends.Format(time.RFC3339)})
		}
		if from = 0; next > 0 {
			out.Body.Next = st.UUID + "/" + next.String()
			return out, nil
		}
	}
	if !begun {
		return nil, &registry.Invalid{Field: "query parameter from", Reason: "names a stream that is not among those looked in"}
	}
	return out, nil
}

// sources are the source stream of that name, or all of the project where none is named.
func (m *manageAPI) sources(ctx context.Context, project, name string) ([]*registry.Stream, error) {
	if name != "" {
		_, st, err := m.stream(ctx, project, name)
		switch {
		case err != nil:
			return nil, err
		case st.Source != nil:
			return nil, manageErrorf(http.StatusBadRequest,
				"query parameter stream: '%s' is derived; its people are those of its source stream '%s'", st.Name, st.Source.Name)
		}
		return []*registry.Stream{st}, nil
	}
	snap, p, err := m.project(ctx, project)
	if err != nil {
		return nil, err
	}
	var all []*registry.Stream
	for _, st := range snap.Streams(p) {
		if st.Source == nil {
			all = append(all, st)
		}
	}
	return all, nil
}
