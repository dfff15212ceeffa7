package gateway

import (
	"bytes"
	"fmt"
	"net/http"

	"sluice/auth"
	"sluice/relay"
	"sluice/relay/registry"
)

var payloadPrefix = []byte("/stream/v0/data/")

// payloadOf is the stream id in /stream/v0/data/<stream-id>; ok is false for other paths.
func payloadOf(path []byte) (id []byte, ok bool) {
	id, ok = bytes.CutPrefix(path, payloadPrefix)
	return id, ok && bytes.IndexByte(id, '/') < 0
}

// postPayload takes one payload: POST /stream/v0/data/<stream-id>. 202 means stored. What is checked first is answered first: token 401,
// tenant 401, stream 404, right 403, rate 429, size 413, type 400, and for JSON what the body is, 400.
func (g *Gateway) postPayload(rq *request, rs *response) {
	st, it, no, err := g.payloadInlet(rq)
	switch {
	case err != nil:
		g.fail(rq, rs, shapeAmperity, err)
	case no.status != 0:
		no.write(rs, shapeAmperity)
	default:
		g.acceptPayload(rq, rs, st)
	}
	g.count(it, apiPayload, rs, 1, rq.body.begun)
}

// payloadInlet finds the stream that a payload is for, as far as its caller may send to it and its limits have room.
func (g *Gateway) payloadInlet(rq *request) (*registry.Stream, *inlet, denial, error) {
	who, err := g.registry.Authenticate(rq.bearer())
	if err != nil {
		return nil, nil, denial{}, err
	}
	tenant, text := g.tenant(rq, who)
	if text != "" {
		return nil, nil, denial{status: http.StatusUnauthorized, result: resultUnauthorized, text: text}, nil
	}
	id, _ := payloadOf(rq.path)
	st := g.registry.FindPublic(rq.ctx, string(id))
	if st != nil && st.Project != tenant {
		st = nil
	}
	snap := g.registry.Snapshot()
	switch snap.Authorize(who, auth.Payload, st) {
	case registry.Allowed:
	case registry.Disabled:
		return nil, nil, denied(fmt.Sprintf("Stream %s is disabled", shownName(string(id)))), nil
	case registry.Forbidden:
		return nil, nil, denied("This token may not send payloads"), nil
	default:
		return nil, nil, noStream(string(id)), nil
	}
	it := g.ingest.of(snap, st)
	return st, it, g.takeSingle(rq, it, st), nil
}

// tenant finds the project that the tenant header names, which must be the token's: the admin token's is any. A text says why there is
// none.
func (g *Gateway) tenant(rq *request, who auth.Principal) (*registry.Project, string) {
	name := rq.header.Peek("X-Amperity-Tenant")
	if len(name) == 0 {
		name = rq.header.Peek("Amperity-Tenant")
	}
	if len(name) == 0 {
		return nil, "Header X-Amperity-Tenant is missing"
	}
	p := g.registry.Snapshot().ProjectByID(who.Project)
	if who.Kind == auth.Admin {
		p = g.registry.FindProject(rq.ctx, string(name))
	}
	if p == nil || p.Name != string(name) {
		return nil, "Header X-Amperity-Tenant does not name the tenant of the token"
	}
	return p, ""
}

func (g *Gateway) acceptPayload(rq *request, rs *response, st *registry.Stream) {
	body, err := rq.body.all(int64(g.cfg.MaxPayloadBytes))
	if err == nil {
		if text := payloadHeaders(rq.header, st); text != "" {
			rs.reason = resultInvalid
			rs.refuse(shapeAmperity, http.StatusBadRequest, text)
			return
		}
		err = g.relay.AcceptPayload(rq.ctx, st, relay.Payload{RequestID: rq.id, Body: body})
	}
	if err != nil {
		g.fail(rq, rs, shapeAmperity, err)
		return
	}
	rs.status, rs.reason = http.StatusAccepted, resultAccepted
}

// payloadHeaders is why the headers do not fit the stream, empty when they do.
func payloadHeaders(h headers, st *registry.Stream) string {
	if enc := h.Peek("Content-Encoding"); len(enc) > 0 && !bytes.EqualFold(enc, identity) {
		return "Header Content-Encoding must be left out: a payload is sent as it is"
	}
	kind := mediaType(h.Peek("Content-Type"))
	is := func(name string) bool { return bytes.EqualFold(kind, []byte(name)) }
	switch st.Payload {
	case "xml":
		if !is("application/xml") && !is("text/xml") {
			return "Header Content-Type must be application/xml: the stream takes XML"
		}
	default:
		if !is(typeJSON) {
			return "Header Content-Type must be application/json: the stream takes JSON"
		}
	}
	return ""
}
