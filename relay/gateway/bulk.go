package gateway

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"sluice/relay"
)

const (
	// bulkMaxBytes is the largest body of many events, unpacked; bulkMaxAtomic the largest that is all or nothing,
	// which the log holds in one block.
	bulkMaxBytes  = 32 << 20
	bulkMaxAtomic = 256 << 10
)

// postEvents takes many events: POST /v1/streams/{stream}/events. 200 says how many of them were stored; every other
// answer means that none was, but for 504, which does not know.
func (g *Gateway) postEvents(rq *request, rs *response) {
	gr, it, no, err := g.inlet(rq, apiBulk, streamOf(rq.path), 0)
	switch {
	case err != nil:
		g.fail(rq, rs, shapeManage, err)
	case no.status != 0:
		no.write(rs, shapeManage)
	default:
		g.acceptBulk(rq, rs, gr, it)
	}
	g.count(it, apiBulk, rs, 1, rq.body.begun)
}

// acceptBulk counts the events itself when they could be told apart; then nothing is left for the caller to count.
func (g *Gateway) acceptBulk(rq *request, rs *response, gr grant, it *inlet) {
	atomic, limit := false, int64(bulkMaxBytes)
	switch v, _ := rq.param("atomic"); v {
	case "", "false":
	case "true":
		atomic, limit = true, bulkMaxAtomic
	default:
		g.bad(rs, "Parameter atomic must be true or false")
		return
	}
	key, text := idempotencyKey(rq.header)
	if text != "" {
		g.bad(rs, text)
		return
	}
	body, err := rq.unpacked(limit)
	if err != nil {
		g.fail(rq, rs, shapeManage, err)
		return
	}
	res, again, err := g.storeBulk(rq, gr, relay.Bulk{
		Ref: schemaRef(rq.header), RequestID: rq.id, Body: body, Atomic: atomic, MaxEvent: g.cfg.MaxEventBytes,
		Admit: func(events int) error {
			if no := g.take(rq, it, gr.stream, events); no.status != 0 {
				return &limitError{no}
			}
			return nil
		},
	}, key)
	if over := (*limitError)(nil); errors.As(err, &over) {
		over.write(rs, shapeManage)
		return
	}
	if err != nil {
		g.fail(rq, rs, shapeManage, err)
		return
	}
	if again {
		rs.set("Idempotent-Replayed", "true")
	} else {
		g.ingest.count(it, apiBulk, resultAccepted, res.Accepted)
		g.ingest.count(it, apiBulk, resultInvalid, res.Rejected)
	}
	status := http.StatusOK
	if atomic && res.Rejected > 0 {
		status = http.StatusBadRequest
	}
	rs.sendJSON(status, res)
}

// bad refuses a request for what one of its parameters or headers says.
func (g *Gateway) bad(rs *response, text string) {
	rs.reason = resultInvalid
	rs.refuse(shapeManage, http.StatusBadRequest, text)
}

// unpacked reads the body whatever it is packed in, at most limit bytes of it either way. errUnreadable: it is packed
// in something else than gzip.
func (rq *request) unpacked(limit int64) ([]byte, error) {
	switch enc := bytes.TrimSpace(rq.header.Peek("Content-Encoding")); {
	case len(enc) == 0 || bytes.EqualFold(enc, identity):
		return rq.body.all(limit)
	case strings.EqualFold(string(enc), "gzip") || strings.EqualFold(string(enc), "x-gzip"):
		return rq.body.inflated(limit)
	}
	return nil, errUnreadable
}
