package gateway

import (
	"bytes"
	"net/http"
	"time"

	"sluice/relay"
)

// postEvent takes one event: POST /event. 204 means stored. What is checked first is answered first: token 401, right
// 403, rate 429, size 413, then all that can be wrong with the event, 400. It allocates nothing of its own.
func (g *Gateway) postEvent(rq *request, rs *response) {
	gr, it, no, err := g.inlet(rq, apiEvent, "", 1)
	switch {
	case err != nil:
		g.fail(rq, rs, shapePlain, err)
	case no.status != 0:
		no.write(rs, shapePlain)
	default:
		g.acceptEvent(rq, rs, gr)
	}
	g.count(it, apiEvent, rs, 1, rq.body.begun)
}

func (g *Gateway) acceptEvent(rq *request, rs *response, gr grant) {
	body, err := rq.body.all(int64(g.cfg.MaxEventBytes))
	if err != nil {
		g.fail(rq, rs, shapePlain, err)
		return
	}
	if text := eventHeaders(rq.header); text != "" {
		rs.reason = resultInvalid
		rs.refuse(shapePlain, http.StatusBadRequest, text)
		return
	}
	ref := rq.header.Peek("Strm-Schema-Ref")
	if len(ref) == 0 {
		ref = rq.header.Peek("Strm-Schema-Id")
	}
	err = g.relay.Accept(rq.ctx, gr.stream, relay.Event{Ref: ref, RequestID: rq.id, Body: body})
	if err != nil {
		g.fail(rq, rs, shapePlain, err)
		return
	}
	rs.status, rs.reason = http.StatusNoContent, resultAccepted
}

var (
	avroBinary   = []byte("application/x-avro-binary")
	typeJSONName = []byte(typeJSON)
	identity     = []byte("identity")
)

// eventHeaders is what the headers say that an event cannot be: a sentence, or nothing.
func eventHeaders(h headers) string {
	if enc := h.Peek("Content-Encoding"); len(enc) > 0 && !bytes.EqualFold(enc, identity) {
		return "Header Content-Encoding must be left out: an event is sent as it is"
	}
	kind := h.Peek("Strm-Serialization-Type")
	if len(kind) == 0 {
		return ""
	}
	kind, _, _ = bytes.Cut(kind, []byte{';'})
	switch kind = bytes.TrimSpace(kind); {
	case bytes.EqualFold(kind, typeJSONName):
		return ""
	case bytes.EqualFold(kind, avroBinary):
		return "Header Strm-Serialization-Type must be application/json: this gateway takes events as JSON"
	}
	return "Header Strm-Serialization-Type must be application/json"
}

// count notes what became of an ingest request. One that was only told to send its body is not over.
func (g *Gateway) count(it *inlet, a api, rs *response, n int, began time.Time) {
	if rs.status == http.StatusContinue {
		return
	}
	g.ingest.count(it, a, rs.reason, n)
	g.ingest.took(a, time.Since(began))
}
