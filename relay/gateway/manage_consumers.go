package gateway

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"sluice/relay/engine"
	"sluice/relay/registry"
)

// manageMaxConsumers bounds how many consumers one answer lists: those that are furthest behind.
const manageMaxConsumers = 1000

// manageConsumer is somebody who gets a stream's events.
type manageConsumer struct {
	Kind     string      `json:"kind" enum:"ndjson,sse,websocket,airship,webhook,exporter,landing" doc:"How: over a connection to this node, delivered by a webhook or an exporter, or as the files that a payload stream lands in."`
	Name     string      `json:"name,omitempty" example:"by-hand-hook" doc:"The webhook's or exporter's; connections and landings have none."`
	Stream   string      `json:"stream" example:"by-hand-2"`
	Position manageCount `json:"position" example:"\"90067\"" doc:"The offset up to which everything was written to it, or left out as consent or its filter has it."`
	Lag      uint64      `json:"lag" doc:"Events of the source's log behind that position, before consent and filter."`
	Expired  uint64      `json:"expired,omitempty" doc:"Of an exporter or a landing: events that left the log before they were in an object, in all, before consent, because its sink was away for longer than the stream keeps them."`
}

type manageConsumersIn struct {
	ManageScope
	Stream string `path:"stream" example:"by-hand-2" doc:"The stream's name, source or derived."`
}

type manageConsumersOut struct {
	Body []manageConsumer `nullable:"false"`
}

func (m *manageAPI) registerConsumers(api huma.API) {
	manageRegister(m, api, huma.Operation{
		OperationID: "list-consumers", Method: http.MethodGet, Path: "/v1/consumers/{stream}", Tags: []string{"streams"},
		Summary: "List who gets a stream's events now, and how far each has come",
		Description: "The readers connected to this node, the stream's webhooks, its exporters and where its payloads land, those furthest behind first; at most 1,000. " +
			"Who reads a derived stream is listed with that one.",
	}, m.listConsumers)
}

func (m *manageAPI) listConsumers(ctx context.Context, in *manageConsumersIn) (*manageConsumersOut, error) {
	snap, st, err := m.stream(ctx, in.Project, in.Stream)
	if err != nil {
		return nil, err
	}
	type consumer struct {
		kind, name string
		at         engine.Offset
		expired    uint64
	}
	var all []consumer
	if m.conns != nil {
		for _, r := range m.conns.Readers(st.Log.ID, st.Name) {
			all = append(all, consumer{kind: r.Kind, at: r.Position})
		}
	}
	delivered, err := m.delivered(ctx, snap, st)
	if err != nil {
		return nil, err
	}
	for _, d := range delivered {
		all = append(all, consumer{d.kind, d.name, d.reached, d.expired})
	}
	if m.exports != nil {
		landing, ok, err := m.exports.ReachedLanding(ctx, st)
		if err != nil {
			return nil, err
		}
		if ok {
			all = append(all, consumer{kind: "landing", at: landing.Reached, expired: landing.Expired})
		}
	}
	slices.SortFunc(all, func(a, b consumer) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
	all = all[:min(len(all), manageMaxConsumers)]
	places := make([]engine.Offset, len(all))
	for i, c := range all {
		places[i] = c.at
	}
	lags, err := m.relay.Lags(ctx, st, places)
	if err != nil {
		return nil, err
	}
	out := &manageConsumersOut{Body: []manageConsumer{}}
	for i, c := range all {
		out.Body = append(out.Body, manageConsumer{Kind: c.kind, Name: c.name, Stream: st.Name, Position: manageCount(c.at), Lag: lags[i], Expired: c.expired})
	}
	return out, nil
}

// manageOnward is a webhook or an exporter of a stream, with how far it has come.
type manageOnward struct {
	kind, name     string
	start, reached engine.Offset
	expired        uint64            // of an exporter
	hook           *registry.Webhook // nil: an exporter
}

// delivered gives the webhooks and exporters of a stream.
func (m *manageAPI) delivered(ctx context.Context, snap *registry.Snapshot, st *registry.Stream) ([]manageOnward, error) {
	var all []manageOnward
	if m.webhooks != nil {
		for _, w := range snap.WebhooksOf(st) {
			at, err := m.webhooks.Reached(ctx, w)
			if err != nil {
				return nil, err
			}
			all = append(all, manageOnward{kind: "webhook", name: w.Name, start: w.From, reached: at, hook: w})
		}
	}
	if m.exports != nil {
		for _, e := range snap.Exporters(st) {
			at, err := m.exports.Reached(ctx, e)
			if err != nil {
				return nil, err
			}
			all = append(all, manageOnward{kind: "exporter", name: e.Name, start: e.Start, reached: at.Reached, expired: at.Expired})
		}
	}
	return all, nil
}
