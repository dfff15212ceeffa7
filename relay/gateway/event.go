package gateway

import (
	"bytes"
	"net/http"
	"time"

	"sluice/relay"
	"sluice/relay/contract"
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
	enc, text := eventHeaders(rq.header)
	if text != "" {
		rs.reason = resultInvalid
		rs.refuse(shapePlain, http.StatusBadRequest, text)
		return
	}
	err = g.relay.Accept(rq.ctx, gr.stream, relay.Event{Ref: schemaRef(rq.header), RequestID: rq.id, Encoding: enc, Body: body})
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

// schemaRef is what the producer's header says of the contract; clients of 2021 have an older name for it.
func schemaRef(h headers) []byte {
	if ref := h.Peek("Strm-Schema-Ref"); len(ref) > 0 {
		return ref
	}
	return h.Peek("Strm-Schema-Id")
}

// eventHeaders is how the headers say that an event is written, or a sentence on why it cannot be taken. Many clients
// name no serialization, and curl's Content-Type is one of forms: then the body tells.
func eventHeaders(h headers) (contract.Encoding, string) {
	if enc := h.Peek("Content-Encoding"); len(enc) > 0 && !bytes.EqualFold(enc, identity) {
		return 0, "Header Content-Encoding must be left out: an event is sent as it is"
	}
	return serialization(h.Peek("Strm-Serialization-Type"), h.Peek("Content-Type"))
}

func serialization(kind, content []byte) (contract.Encoding, string) {
	if kind = mediaType(kind); len(kind) > 0 {
		switch {
		case bytes.EqualFold(kind, typeJSONName):
			return contract.JSON, ""
		case bytes.EqualFold(kind, avroBinary):
			return contract.AvroBinary, ""
		}
		return 0, "Header Strm-Serialization-Type must be application/json or application/x-avro-binary"
	}
	switch content = mediaType(content); {
	case bytes.EqualFold(content, typeJSONName):
		return contract.JSON, ""
	case bytes.EqualFold(content, avroBinary):
		return contract.AvroBinary, ""
	}
	return contract.Unknown, ""
}

// mediaType is a media type without its parameters.
func mediaType(value []byte) []byte {
	value, _, _ = bytes.Cut(value, []byte{';'})
	return bytes.TrimSpace(value)
}

// count notes what became of an ingest request. One that was only told to send its body is not over.
func (g *Gateway) count(it *inlet, a api, rs *response, n int, began time.Time) {
	if rs.status == http.StatusContinue {
		return
	}
	g.ingest.count(it, a, rs.reason, n)
	g.ingest.took(a, time.Since(began))
}
