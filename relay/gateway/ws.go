package gateway

import (
	"errors"
	"net/http"

	"sluice/auth"
	"sluice/delivery/stream"
	"sluice/relay"
)

// handshakeFields are what a websocket's handshake is made of, names in the library's spelling.
var handshakeFields = [...]string{"Connection", "Upgrade", "Sec-Websocket-Version", "Sec-Websocket-Key"}

// getSocket opens a websocket of a stream's events: GET /ws. Whatever is wrong is answered as HTTP before the upgrade.
// Parameter asJson, which clients of 2021 send, changes nothing: events are JSON.
func (g *Gateway) getSocket(rq *request, rs *response) {
	rq.takeQueryToken()
	gr, no, err := g.admit(rq, auth.Read, "")
	switch {
	case err != nil:
		g.fail(rq, rs, shapePlain, err)
		return
	case no.status != 0:
		no.write(rs, shapePlain)
		return
	}
	// First of all: of a connection of another version no header can make a websocket, and fasthttp says close in place of what it asks for.
	if rq.http2 || !rq.http11 {
		refuseVersion(rq, rs)
		return
	}
	handshake := handshakeOf(rq.header)
	if err := stream.CheckHandshake(handshake); err != nil {
		refuseHandshake(rs, err)
		return
	}
	q, err := parseReadQuery(rq)
	if err != nil {
		rs.refuse(shapePlain, http.StatusBadRequest, err.Error())
		return
	}
	reader, err := g.relay.OpenReader(rq.ctx, relay.Spec{Stream: gr.stream, From: q.from, Format: q.format, Framing: relay.SocketFrames})
	if err != nil {
		g.fail(rq, rs, shapePlain, err)
		return
	}
	so := &stream.Socket{
		Label:  stream.Label{Stream: gr.stream.Name, Kind: "websocket"},
		Reader: reader, Handshake: handshake, Header: http.Header{}, Ping: g.cfg.Ping, Limit: q.limit, Until: q.until(rq),
		Alive: g.alive(rq, gr, auth.Read),
	}
	if from, moved := reader.Started(); moved {
		so.Header.Set("Sluice-From", from.String())
	}
	rs.status = http.StatusSwitchingProtocols
	rs.takeover = &takeover{socket: so}
}

// handshakeOf copies what a websocket's handshake is made of.
func handshakeOf(h headers) http.Header {
	out := make(http.Header, len(handshakeFields))
	for _, name := range handshakeFields {
		for _, v := range h.PeekAll(name) {
			out[name] = append(out[name], string(v))
		}
	}
	return out
}

// refuseVersion answers a request for a websocket by another version of HTTP than the one that has them.
func refuseVersion(rq *request, rs *response) {
	text := "A websocket needs HTTP/1.1: send the request by that version"
	if rq.http2 {
		text = "A websocket needs HTTP/1.1: offer that protocol alone when the connection is opened (ALPN http/1.1)"
	}
	rs.refuse(shapePlain, http.StatusHTTPVersionNotSupported, text)
}

// refuseHandshake answers a request that no websocket can come of.
func refuseHandshake(rs *response, err error) {
	if errors.Is(err, stream.ErrKey) {
		rs.refuse(shapePlain, http.StatusBadRequest, err.Error())
		return
	}
	rs.refuse(shapePlain, http.StatusUpgradeRequired, err.Error())
	rs.set("Upgrade", "websocket")
	rs.set("Connection", "Upgrade")
	rs.set("Sec-WebSocket-Version", "13")
}
