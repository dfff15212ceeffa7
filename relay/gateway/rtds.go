package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"sluice/delivery/stream"
	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/filter"
	"sluice/relay/registry"
)

const (
	rtdsMaxBody = 1 << 20
	// typeRTDS is the media type that the streaming API documents; no known client looks at it.
	typeRTDS = "application/vnd.urbanairship+x-ndjson; version=3;"
)

// postRTDS opens an endless stream in the Airship envelope: POST /api/events. Neither Content-Type nor Accept is
// asked for: real clients send neither, or anything.
func (g *Gateway) postRTDS(rq *request, rs *response) {
	c, no, err := g.rtdsCaller(rq)
	g.serveRTDS(rq, rs, c, no, err)
}

// postCompliance does the same for the compliance events of a project: POST /api/events/general.
func (g *Gateway) postCompliance(rq *request, rs *response) {
	c, no, err := g.complianceCaller(rq)
	g.serveRTDS(rq, rs, c, no, err)
	if rs.status == http.StatusUnauthorized {
		rs.set("WWW-Authenticate", `Basic realm="sluice"`)
	}
}

func (g *Gateway) serveRTDS(rq *request, rs *response, c rtdsCaller, no denial, err error) {
	switch {
	case err != nil:
		g.fail(rq, rs, shapeAirship, err)
	case no.status != 0:
		no.write(rs, shapeAirship)
	default:
		g.answerRTDS(rq, rs, c)
	}
	if rs.status == http.StatusBadRequest {
		// A known client counts its body in UTF-16 and so announces less than it sends: what follows is no request.
		rs.close = true
	}
}

func (g *Gateway) answerRTDS(rq *request, rs *response, c rtdsCaller) {
	if !wantsVersion3(rq.header) {
		rs.refuse(shapeAirship, http.StatusNotAcceptable, "Header Accept names a version that is not offered; there is version 3")
		return
	}
	body, err := rq.unpacked(rtdsMaxBody)
	if err != nil {
		g.fail(rq, rs, shapeAirship, err)
		return
	}
	parse := func(body []byte) (filter.Request, error) {
		return filter.ParseKnowing(body, func(string) bool { return g.namesTypes(c.stream) })
	}
	if c.compliance {
		parse = filter.ParseCompliance
	}
	want, err := parse(body)
	if err != nil {
		rs.refuse(shapeAirship, http.StatusBadRequest, err.Error())
		return
	}
	from, err := rtdsPosition(want)
	if err != nil {
		rs.refuse(shapeAirship, http.StatusBadRequest, err.Error())
		return
	}
	if outside := want.Outside(c.scope); len(outside) > 0 {
		// A known client reads the list behind these words, and asks again without what is in it.
		rs.refuse(shapeAirship, http.StatusForbidden,
			"Requested event types to which client is not entitled "+strings.Join(outside, ","))
		return
	}
	g.openRTDS(rq, rs, c, relay.Spec{
		Stream: c.stream, From: from, Format: relay.Airship, Filter: want.Filter.Within(c.scope), Subset: want.Subset,
	}, want.EnableOffsetUpdates)
}

// namesTypes tells whether events of the stream may be of types that are not Airship's: then a contract says where in
// the event its type is, and which there are is not known before they come.
func (g *Gateway) namesTypes(st *registry.Stream) bool {
	return slices.ContainsFunc(g.registry.Snapshot().Contracts(st.Project), func(c registry.ContractEntry) bool {
		return c.State == registry.Active && !c.Builtin && c.Definition.Envelope != nil && c.Definition.Envelope.Type != ""
	})
}

func (g *Gateway) openRTDS(rq *request, rs *response, c rtdsCaller, spec relay.Spec, offsetUpdates bool) {
	if !g.rtds.enter(rq.ctx, c.place) {
		rs.refuse(shapeAirship, http.StatusPaymentRequired,
			fmt.Sprintf("This token has %d connections open, which is as many as it may have; close one", g.cfg.MaxConnections))
		return
	}
	reader, err := g.relay.OpenReader(rq.ctx, spec)
	if err != nil {
		g.rtds.leave(c.place)
		g.fail(rq, rs, shapeAirship, err)
		return
	}
	a := stream.Answer{
		Label:  stream.Label{Stream: c.stream.Name, Kind: "airship"},
		Reader: reader, Bare: !rq.http11, Gzip: acceptEncoding(rq.header).allowed(), Keepalive: g.cfg.Keepalive, OffsetUpdates: offsetUpdates,
		Alive: c.alive, Done: func() { g.rtds.leave(c.place) },
	}
	head := streamHead{contentType: typeRTDS, bare: a.Bare, gzip: a.Gzip, extra: []field{{"UA-Operation-Id", rq.idText()}}}
	if from, moved := reader.Started(); moved {
		head.extra = append(head.extra, field{"Sluice-From", from.String()})
	}
	rs.status = http.StatusOK
	rs.takeover = &takeover{answer: a, head: head}
}

// rtdsPosition is where the stream begins. Where both are given the offset wins: the official Node client sends both
// at every reconnect. The error is a text for the user.
func rtdsPosition(want filter.Request) (relay.Position, error) {
	if want.ResumeOffset == "" {
		return relay.ParsePosition(want.Start)
	}
	o, err := engine.ParseOffset(want.ResumeOffset)
	if err != nil {
		return relay.Position{}, fmt.Errorf("'resume_offset' is %w", err)
	}
	return relay.After(o), nil
}
