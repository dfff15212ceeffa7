package gateway

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"sluice/auth"
	"sluice/delivery/stream"
	"sluice/relay/usage"
)

// headers gives the header fields of a request, names in their canonical spelling. What it returns is borrowed until
// the handler returns. HTTP/1 has fasthttp's, HTTP/2 net/http's.
type headers interface {
	Peek(name string) []byte
	PeekAll(name string) [][]byte
}

// request is one request, whatever protocol brought it. Everything it refers to is borrowed from the transport and is
// gone when the handler has returned. One goroutine.
type request struct {
	ctx    context.Context // ends when the edge stops waiting for work in hand
	id     [16]byte        // a UUIDv4: shown in errors, kept with the event, in the log of what went wrong
	method string
	path   []byte // unescaped and cleaned
	query  []byte // as sent
	header headers
	given  []byte // a token that the address gave instead of a header
	peer   netip.AddrPort
	body   body
	http11 bool           // the chunked coding is understood
	http2  bool           // there is no connection of the request's own
	close  bool           // the client will not send another request on this connection
	month  *usage.Counter // whose count held events are a part of
	held   int
	ready  bool // this is the second look at a request that was told to continue: it has passed the rate limit
}

// begin gives the request its id.
func (rq *request) begin() {
	binary.LittleEndian.PutUint64(rq.id[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(rq.id[8:], rand.Uint64())
	rq.id[6] = rq.id[6]&0x0f | 0x40
	rq.id[8] = rq.id[8]&0x3f | 0x80
}

// appendID writes the request's id as a UUID's text.
func (rq *request) appendID(dst []byte) []byte {
	var b [36]byte
	hex.Encode(b[:8], rq.id[:4])
	hex.Encode(b[9:13], rq.id[4:6])
	hex.Encode(b[14:18], rq.id[6:8])
	hex.Encode(b[19:23], rq.id[8:10])
	hex.Encode(b[24:], rq.id[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return append(dst, b[:]...)
}

func (rq *request) idText() string { return string(rq.appendID(nil)) }

// bearer is the token of the Authorization header, or what takeQueryToken found; nil without either.
func (rq *request) bearer() []byte {
	if rq.given != nil {
		return rq.given
	}
	return auth.Bearer(rq.header.Peek("Authorization"))
}

// takeQueryToken lets the address give the token, by ?access_token= (RFC 6750 §2.3), where no header does: a browser
// cannot set a header on a websocket or an event source. Only routes that browsers open so allow it, for addresses are
// written down in more places than headers.
func (rq *request) takeQueryToken() {
	if len(rq.header.Peek("Authorization")) > 0 {
		return
	}
	if token, ok := rq.param("access_token"); ok {
		rq.given = []byte(token)
	}
}

// param is the first query parameter of that name; ok tells whether there is one. The text is a copy.
func (rq *request) param(name string) (value string, ok bool) {
	if len(rq.query) == 0 {
		return "", false
	}
	rest := string(rq.query)
	for rest != "" {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		key, val, _ := strings.Cut(pair, "=")
		if unescaped(key) == name {
			return unescaped(val), true
		}
	}
	return "", false
}

// project is the project that the address names; one without a name is none, as the management API has it.
func (rq *request) project() (name string, ok bool) {
	name, _ = rq.param("project")
	return name, name != ""
}

// unescaped decodes a part of a query. What is no valid escape stays as it was sent, for the name or value check
// that follows to refuse.
func unescaped(s string) string {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s
	}
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// methodName interns the method, so that it may be kept and compared without an allocation. What no route knows is
// the empty name.
func methodName(m []byte) string {
	switch string(m) {
	case http.MethodPost:
		return http.MethodPost
	case http.MethodGet:
		return http.MethodGet
	case http.MethodHead:
		return http.MethodHead
	case http.MethodOptions:
		return http.MethodOptions
	}
	return ""
}

// field is one header field of an answer.
type field struct{ name, value string }

// response is the answer to one request: either a status with a whole body, or a taken-over connection. It is reused;
// what body points into must stay valid until the transport has copied it, right after the handler returned.
type response struct {
	status      int
	contentType string
	body        []byte
	fields      []field
	close       bool // end the connection after the answer
	takeover    *takeover
	reason      result   // of an ingest request, for its metrics
	id          [16]byte // of the request, for shapes that show it
}

// takeover is an answer that is written by the endless responses' own writer, not by the server. Whoever gets it must
// serve or abandon it, or its reader stays open.
type takeover struct {
	answer   stream.Answer
	head     streamHead     // of answer
	socket   *stream.Socket // instead of answer
	keepOpen bool           // the connection may carry another request after an orderly end
}

// then has f called when the answer is over, after what was to be called before.
func (t *takeover) then(f func()) {
	done := &t.answer.Done
	if t.socket != nil {
		done = &t.socket.Done
	}
	before := *done
	*done = func() {
		if before != nil {
			before()
		}
		f()
	}
}

// abandon is for an answer that can never begin.
func (t *takeover) abandon() {
	if t.socket != nil {
		t.socket.Reader.Close()
		if t.socket.Done != nil {
			t.socket.Done()
		}
		return
	}
	t.answer.Reader.Close()
	if t.answer.Done != nil {
		t.answer.Done()
	}
}

func (rs *response) reset() {
	clear(rs.fields)
	*rs = response{fields: rs.fields[:0]}
}

// set adds a header field.
func (rs *response) set(name, value string) {
	rs.fields = append(rs.fields, field{name, value})
}

// send makes a whole answer. The body is borrowed until the transport has copied it.
func (rs *response) send(status int, contentType string, body []byte) {
	rs.status, rs.contentType, rs.body = status, contentType, body
}

const (
	typeText   = "text/plain; charset=utf-8"
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"

	typeServerEvents = "text/event-stream"
)
