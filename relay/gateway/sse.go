package gateway

import (
	"errors"
	"net/http"

	"sluice/auth"
	"sluice/delivery/stream"
	"sluice/relay"
	"sluice/relay/engine"
)

// getServerEvents shows the events of the stream that the token, or ?stream=, names: GET /sse.
func (g *Gateway) getServerEvents(rq *request, rs *response) {
	rq.takeQueryToken()
	gr, no, err := g.admit(rq, auth.Read, "")
	switch {
	case err != nil:
		g.fail(rq, rs, shapePlain, err)
	case no.status != 0:
		no.write(rs, shapePlain)
	default:
		g.openEvents(rq, rs, gr, shapePlain, true)
	}
}

// openEvents begins an answer of events: lines, or server-sent events.
func (g *Gateway) openEvents(rq *request, rs *response, gr grant, s shape, served bool) {
	q, err := parseReadQuery(rq)
	spec := relay.Spec{Stream: gr.stream, From: q.from, Format: q.format}
	kind, label := typeNDJSON, stream.Label{Stream: gr.stream.Name, Kind: "ndjson"}
	if served && err == nil {
		kind, label.Kind, spec.Framing = typeServerEvents, "sse", relay.ServerEvents
		err = resumeServed(rq, &spec.From)
	}
	if err != nil {
		rs.refuse(s, http.StatusBadRequest, err.Error())
		return
	}
	reader, err := g.relay.OpenReader(rq.ctx, spec)
	if err != nil {
		g.fail(rq, rs, s, err)
		return
	}
	a := stream.Answer{
		Label:  label,
		Reader: reader, Bare: !rq.http11, Gzip: acceptEncoding(rq.header).asked(), ServerEvents: served, Keepalive: g.cfg.Keepalive, Limit: q.limit,
		Until: q.until(rq), FinalOffset: q.poll() && q.format != relay.Raw, Alive: g.alive(rq, gr, auth.Read),
	}
	keepOpen := q.poll() && !rq.close && !a.Bare
	head := streamHead{contentType: kind, bare: a.Bare, gzip: a.Gzip, keepOpen: keepOpen, extra: rs.fields}
	if from, moved := reader.Started(); moved {
		head.extra = append(head.extra, field{"Sluice-From", from.String()})
	}
	rs.status = http.StatusOK
	rs.takeover = &takeover{answer: a, head: head, keepOpen: keepOpen}
}

// resumeServed finds where a client of server-sent events goes on: a browser says so by a header when it comes back by
// itself, a library that cannot set headers by a parameter. Either is newer than what the address says in from.
func resumeServed(rq *request, from *relay.Position) error {
	name, last := "Header Last-Event-ID", string(rq.header.Peek("Last-Event-Id"))
	if last == "" {
		name = "Parameter lastEventId"
		last, _ = rq.param("lastEventId")
	}
	if last == "" {
		return nil
	}
	at, err := engine.ParseOffset(last)
	if err != nil {
		return errors.New(name + " must be an offset, as an event's id gave it")
	}
	*from = relay.After(at)
	return nil
}
