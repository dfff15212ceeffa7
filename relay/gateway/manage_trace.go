package gateway

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"sluice/delivery/webhook"
	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/filter"
	"sluice/relay/registry"
)

// manageTracePatience is how long one request searches the log; a longer one is searched piece by piece.
const manageTracePatience = 5 * time.Second

// manageTraced is what became of one event.
type manageTraced struct {
	ID            string            `json:"id" doc:"As readers of the airship envelope see it: the event's own, where its contract names one."`
	Stream        string            `json:"stream" doc:"The source stream."`
	Offset        manageCount       `json:"offset" example:"\"90067\""`
	Type          string            `json:"type" example:"CUSTOM"`
	Contract      *string           `json:"contract" doc:"The data contract it was held to; null: a payload without one."`
	ConsentLevels []int             `json:"consentLevels" nullable:"false" doc:"What the person agreed to."`
	KeyLink       *string           `json:"keyLink" format:"uuid" doc:"Names the key of its personal fields; null: it has none."`
	RequestID     string            `json:"requestId" doc:"Of the request that it came with, as the server's log has it."`
	Occurred      time.Time         `json:"occurred"`
	Processed     time.Time         `json:"processed" doc:"When it was accepted."`
	Stored        time.Time         `json:"stored" doc:"When the block that it lies in was sealed, to be committed."`
	Bytes         int               `json:"bytes" doc:"Its length in the log."`
	Consumers     []manageTracedFor `json:"consumers" nullable:"false"`
}

// manageTracedFor is what became of the event at one consumer.
type manageTracedFor struct {
	Kind   string `json:"kind" enum:"stream,webhook,exporter"`
	Name   string `json:"name"`
	Stream string `json:"stream,omitempty" doc:"The stream that a webhook or exporter delivers."`
	State  string `json:"state" enum:"shown,delivered,exported,pending,parked,consent,filtered,before" doc:"shown: readers of the stream get it. delivered, exported: it is there. pending: it is to come. parked: it was given up, see the dead letters. consent: dropped, for the person did not agree to what the stream shows. filtered: left out by the webhook's types or filters. before: the consumer began behind it."`
}

type manageTrace struct {
	Events  []manageTraced `json:"events" nullable:"false" doc:"One, but where a producer sent an id again."`
	Scanned int            `json:"scanned" doc:"Events that were looked at for this answer."`
	Next    *manageCount   `json:"next,omitempty" doc:"Where to go on, as from: the search took too long for one answer. Left out: all was searched."`
}

type manageTraceIn struct {
	ManageScope
	Stream string `path:"stream" example:"by-hand" doc:"The stream's name; of a derived one its source is searched."`
	Event  string `path:"event" doc:"The event's id, percent-encoded."`
	From   string `query:"from" pattern:"^[0-9]{1,16}$" doc:"An offset to search behind; left out: from the oldest event there is."`
}

type manageTraceOut struct{ Body manageTrace }

func (m *manageAPI) registerTrace(api huma.API) {
	manageRegister(m, api, huma.Operation{
		OperationID: "trace-event", Method: http.MethodGet, Path: "/v1/trace/{stream}/{event}", Tags: []string{"streams"},
		Summary: "Find an event in the log, and tell what became of it",
		Description: "Searches what is retained of the source stream, some seconds for each answer: go on with `from` where `next` says. Nothing " +
			"of the payload is shown.",
	}, m.trace)
}

func (m *manageAPI) trace(ctx context.Context, in *manageTraceIn) (*manageTraceOut, error) {
	snap, st, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	if st.Source != nil {
		st = st.Source
	}
	var from engine.Offset
	if in.From != "" {
		if from, err = engine.ParseOffset(in.From); err != nil {
			return nil, manageErrorf(http.StatusBadRequest, "query parameter from: %v", err)
		}
	}
	found, err := m.relay.Find(ctx, st, in.Event, from, manageTracePatience)
	if err != nil {
		return nil, err
	}
	out := &manageTraceOut{manageTrace{Events: []manageTraced{}, Scanned: found.Scanned}}
	if !found.End {
		next := manageCount(found.At)
		out.Body.Next = &next
	}
	for _, e := range found.Events {
		shown := manageTraced{
			ID: e.ID, Stream: st.Name, Offset: manageCount(e.Offset), Type: e.Type, Contract: manageOptional(e.Contract), ConsentLevels: manageLevels(e.Consent),
			RequestID: uuid.UUID(e.RequestID).String(), Occurred: e.Occurred.UTC(), Processed: e.Processed.UTC(), Stored: e.Stored.UTC(), Bytes: e.Bytes,
		}
		if e.KeyLink != (engine.KeyLink{}) {
			link := uuid.UUID(e.KeyLink).String()
			shown.KeyLink = &link
		}
		if shown.Consumers, err = m.tracedFor(ctx, snap, st, e.Offset); err != nil {
			return nil, err
		}
		out.Body.Events = append(out.Body.Events, shown)
	}
	return out, nil
}

// tracedFor tells what became of an event at every consumer of a source stream and of those derived from it.
func (m *manageAPI) tracedFor(ctx context.Context, snap *registry.Snapshot, src *registry.Stream, at engine.Offset) ([]manageTracedFor, error) {
	var all []manageTracedFor
	for _, st := range append([]*registry.Stream{src}, snap.Derived(src)...) {
		verdict, err := m.relay.Judge(ctx, st, at, nil)
		if err != nil {
			return nil, err
		}
		state := "shown"
		if verdict == relay.Forbidden {
			state = "consent"
		}
		all = append(all, manageTracedFor{Kind: "stream", Name: st.Name, State: state})
		delivered, err := m.delivered(ctx, snap, st)
		if err != nil {
			return nil, err
		}
		for _, d := range delivered {
			if state, err = m.tracedAt(ctx, d, st, at, verdict); err != nil {
				return nil, err
			}
			all = append(all, manageTracedFor{Kind: d.kind, Name: d.name, Stream: st.Name, State: state})
		}
	}
	return all, nil
}

// tracedAt tells what became of an event at a webhook or exporter, whose stream has that verdict on it.
func (m *manageAPI) tracedAt(ctx context.Context, d manageOnward, st *registry.Stream, at engine.Offset, verdict relay.Verdict) (string, error) {
	if verdict == relay.Forbidden {
		return "consent", nil
	}
	if d.hook != nil {
		dead, err := m.webhooks.DeadLetters(ctx, d.hook.ID)
		if err != nil {
			return "", err
		}
		if f, err := filter.New(d.hook.Types, d.hook.Filters); err == nil && f != nil {
			if verdict, err = m.relay.Judge(ctx, st, at, f); err != nil {
				return "", err
			}
			if verdict == relay.Unwanted {
				return "filtered", nil
			}
		}
		if slices.ContainsFunc(dead, func(l webhook.DeadLetter) bool { return l.First <= at && at <= l.Last }) {
			return "parked", nil
		}
	}
	switch {
	case at <= d.start:
		return "before", nil
	case at > d.reached:
		return "pending", nil
	case d.hook != nil:
		return "delivered", nil
	}
	return "exported", nil
}
