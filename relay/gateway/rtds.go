package gateway

import (
	"fmt"
	"net/http"

	"sluice/auth"
	"sluice/delivery/stream"
	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/filter"
)

const (
	rtdsMaxBody = 1 << 20
	// typeRTDS is the media type that the streaming API documents; no known client looks at it.
	typeRTDS = "application/vnd.urbanairship+x-ndjson; version=3;"
)

// postRTDS opens an endless stream in the Airship envelope: POST /api/events. Neither Content-Type nor Accept is
// asked for: real clients send neither, or anything.
func (g *Gateway) postRTDS(rq *request, rs *response) {
	gr, no, err := g.admit(rq, auth.ReadRTDS, "")
	switch {
	case err != nil:
		g.fail(rq, rs, shapeAirship, err)
		return
	case no.status != 0:
		no.write(rs, shapeAirship)
		return
	}
	if !wantsVersion3(rq.header) {
		rs.refuse(shapeAirship, http.StatusNotAcceptable, "Header Accept names a version that is not offered; there is version 3")
		return
	}
	body, err := rq.unpacked(rtdsMaxBody)
	if err != nil {
		g.fail(rq, rs, shapeAirship, err)
		return
	}
	want, err := filter.Parse(body)
	if err != nil {
		rs.refuse(shapeAirship, http.StatusBadRequest, err.Error())
		return
	}
	from, err := rtdsPosition(want)
	if err != nil {
		rs.refuse(shapeAirship, http.StatusBadRequest, err.Error())
		return
	}
	if !rq.http11 {
		rs.refuse(shapeAirship, http.StatusHTTPVersionNotSupported, "Reading needs HTTP/1.1 or later")
		return
	}
	g.openRTDS(rq, rs, gr, relay.Spec{
		Stream: gr.stream, From: from, Format: relay.Airship, Filter: want.Filter, Subset: want.Subset,
	}, want.EnableOffsetUpdates)
}

func (g *Gateway) openRTDS(rq *request, rs *response, gr grant, spec relay.Spec, offsetUpdates bool) {
	token := gr.who.TokenID
	if !g.rtds.enter(token) {
		rs.refuse(shapeAirship, http.StatusPaymentRequired,
			fmt.Sprintf("This token has %d connections open, which is as many as it may have; close one", g.cfg.MaxConnections))
		return
	}
	reader, err := g.relay.OpenReader(rq.ctx, spec)
	if err != nil {
		g.rtds.leave(token)
		g.fail(rq, rs, shapeAirship, err)
		return
	}
	a := stream.Answer{
		Label:  stream.Label{Stream: gr.stream.Name, Kind: "airship"},
		Reader: reader, Gzip: acceptEncoding(rq.header).allowed(), Keepalive: g.cfg.Keepalive, OffsetUpdates: offsetUpdates,
		Alive: g.alive(rq, gr, auth.ReadRTDS), Done: func() { g.rtds.leave(token) },
	}
	head := streamHead{contentType: typeRTDS, gzip: a.Gzip, extra: []field{{"UA-Operation-Id", rq.idText()}}}
	if from, moved := reader.Started(); moved {
		head.extra = append(head.extra, field{"Sluice-From", from.String()})
	}
	a.Header = head.append(nil)
	rs.status = http.StatusOK
	rs.takeover = &takeover{answer: a}
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
