package gateway

import (
	"fmt"

	"sluice/relay"
)

// keyMostBytes bounds an Idempotency-Key: a UUID with a prefix of its sender's fits several times.
const keyMostBytes = 255

// idempotencyKey is the key that stands for a body, empty where there is none. text is what is wrong with it.
func idempotencyKey(h headers) (key, text string) {
	fields := h.PeekAll("Idempotency-Key")
	if len(fields) == 0 {
		return "", ""
	}
	key = string(fields[0])
	bad := len(fields) > 1 || len(key) < 1 || len(key) > keyMostBytes
	for _, c := range []byte(key) {
		bad = bad || c <= ' ' || c > '~'
	}
	if bad {
		return "", fmt.Sprintf("Header Idempotency-Key must be 1 to %d visible ASCII characters, once", keyMostBytes)
	}
	return key, ""
}

// storeBulk stores a body, or finds what became of it where it was sent before under the same key.
func (g *Gateway) storeBulk(rq *request, gr grant, b relay.Bulk, key string) (res relay.BulkResult, again bool, err error) {
	if key == "" {
		res, err = g.relay.AcceptBulk(rq.ctx, gr.stream, b)
		return res, false, err
	}
	return g.relay.AcceptOnce(rq.ctx, gr.stream, b, key)
}
