package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/google/uuid"

	"sluice/auth"
	"sluice/relay"
	"sluice/relay/consent"
	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// Why a body could not be read. None of them leaves the connection usable.
var (
	// errTooLarge: the body is above the route's limit; send less (413).
	errTooLarge = errors.New("the body is too large")
	// errCut: the client left, or announced more than it sent (400, which hardly anybody reads).
	errCut = errors.New("the body ended early")
	// errCoding: the chunked coding is broken (400).
	errCoding = errors.New("the chunked coding of the body is broken")
	// errSlow: the body came below the least rate (408).
	errSlow = errors.New("the body came too slowly")
	// errGzip: the body is not what its Content-Encoding says (400).
	errGzip = errors.New("the body is not valid gzip")
	// errMemory: the bodies being read take all the memory there is for them; come back (503).
	errMemory = errors.New("too many large bodies are being read")
	// errUnreadable: the body is packed in a way that the route does not read (415).
	errUnreadable = errors.New("the content encoding is not known")
	// errContinue: not an error of the client's: the headers are fine, and the body has not been asked for yet.
	errContinue = errors.New("the body is still to be asked for")
)

// shape is how an API says no.
type shape uint8

const (
	shapePlain    shape = iota // STRM: text/plain
	shapeManage                // ours: {"error":{"code","status","message"}}
	shapeAirship               // {"ok":false,"error","error_code","details"}
	shapeOAuth                 // RFC 6749: {"error","error_description"}
	shapeAmperity              // {"status","message","request_id"}
)

// refuse makes an answer that says no.
func (rs *response) refuse(s shape, status int, text string) {
	switch s {
	case shapeManage:
		rs.sendJSON(status, manageErrorf(status, "%s", text))
	case shapeAirship:
		rs.sendJSON(status, airshipError{Error: text, Code: airshipCode(status), Details: struct{}{}})
	case shapeAmperity:
		rs.sendJSON(status, amperityError{Status: status, Message: text, RequestID: uuid.UUID(rs.id).String()})
	case shapeOAuth:
		rs.sendJSON(status, oauthError{Code: oauthCode(status), Text: text})
	default:
		rs.send(status, typeText, []byte(text))
	}
	switch status {
	case http.StatusUnauthorized:
		rs.set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		rs.set("Retry-After", "1")
	}
}

func (rs *response) sendJSON(status int, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // people read these: the regex of a refusal holds what would be escaped
	if err := enc.Encode(v); err != nil {
		rs.send(http.StatusInternalServerError, typeText, nil)
		return
	}
	rs.send(status, typeJSON, bytes.TrimSuffix(body.Bytes(), []byte{'\n'}))
}

// airshipError is an error of the streaming API. Clients decode error as text, error_code as a number and details as
// an object.
type airshipError struct {
	OK      bool     `json:"ok"`
	Error   string   `json:"error"`
	Code    int      `json:"error_code"`
	Details struct{} `json:"details"`
}

// airshipCode makes the five-digit number from the status: clients print it, and none tells codes of a status apart.
func airshipCode(status int) int { return status * 100 }

// amperityError is an error of the payload route.
type amperityError struct {
	Status    int    `json:"status"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
}

// oauthError is an error of the token endpoint (RFC 6749 §5.2).
type oauthError struct {
	Code string `json:"error"`
	Text string `json:"error_description"`
}

// oauthCode is the code of errors that are the edge's, not the grant's.
func oauthCode(status int) string {
	switch {
	case status == http.StatusServiceUnavailable:
		return "temporarily_unavailable"
	case status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request"
}

// refusal is one row of the table from an error to an answer.
type refusal struct {
	err    error
	status int
	result result
	text   string
}

// refusals is the one table of the data routes; the first row that fits counts.
var refusals = []refusal{
	{auth.ErrMissing, http.StatusUnauthorized, resultUnauthorized, auth.ErrMissing.Error()},
	{auth.ErrExpired, http.StatusUnauthorized, resultUnauthorized, auth.ErrExpired.Error()},
	{auth.ErrInvalid, http.StatusUnauthorized, resultUnauthorized, auth.ErrInvalid.Error()},

	{auth.ErrLoginsBusy, http.StatusServiceUnavailable, resultBusy, "Too many are logging in at once; try again"},
	{registry.ErrContended, http.StatusServiceUnavailable, resultBusy, "Too many are changing this at once; nothing was changed, try again"},

	{errTooLarge, http.StatusRequestEntityTooLarge, resultTooLarge, "Body is larger than this route takes"},
	{errCut, http.StatusBadRequest, resultInvalid, "Body is shorter than announced"},
	{errCoding, http.StatusBadRequest, resultInvalid, "Body is not valid chunked coding"},
	{errUnreadable, http.StatusUnsupportedMediaType, resultInvalid, "Header Content-Encoding must be gzip or left out"},
	{errGzip, http.StatusBadRequest, resultInvalid, "Body is not valid gzip"},
	{errSlow, http.StatusRequestTimeout, resultInvalid, "Body came too slowly"},
	{errMemory, http.StatusServiceUnavailable, resultBusy, "Too many large bodies at once; nothing was stored, try again"},

	{relay.ErrLineTooLarge, http.StatusRequestEntityTooLarge, resultTooLarge, "A line is larger than an event may be"},
	{relay.ErrKeyReused, http.StatusUnprocessableEntity, resultInvalid, "The Idempotency-Key was used for another body within the last 10 minutes; nothing was stored, use a new key for a new body"},
	{relay.ErrOffsetGone, http.StatusGone, resultInvalid, "The offset belongs to a former stream of this name; begin with EARLIEST"},
	{relay.ErrOffsetAhead, http.StatusBadRequest, resultInvalid, "The offset is ahead of the stream"},
	{relay.ErrClosed, http.StatusServiceUnavailable, resultBusy, "The server is stopping; nothing was stored, try again"},

	{consent.ErrCutOff, http.StatusServiceUnavailable, resultBusy, "This server does not hear of the others; nothing was stored, try again or at another one"},

	{engine.ErrTooLarge, http.StatusRequestEntityTooLarge, resultTooLarge, "The event is larger than the log takes"},
	{engine.ErrBusy, http.StatusServiceUnavailable, resultBusy, "The server is busy; nothing was stored, try again"},
	{engine.ErrDiskFull, http.StatusServiceUnavailable, resultDiskFull, "The disk is nearly full; nothing was stored"},
	{engine.ErrNoLog, http.StatusServiceUnavailable, resultBusy, "The log does not answer; nothing was stored or read, try again"},
	{engine.ErrClosed, http.StatusServiceUnavailable, resultBusy, "The server is stopping; nothing was stored, try again"},
	{engine.ErrUnconfirmed, http.StatusGatewayTimeout, resultUnconfirmed, "Storing was not confirmed in time; the event may or may not be stored"},
}

// fail answers with what the table says about an error; one that is not in it is 500 and logged, with the request's
// id on both sides.
func (g *Gateway) fail(rq *request, rs *response, s shape, err error) {
	if errors.Is(err, errContinue) {
		rs.status = http.StatusContinue
		return
	}
	var v *contract.Violation
	if errors.As(err, &v) {
		rs.reason = resultInvalid
		rs.refuse(s, http.StatusBadRequest, v.Text)
		return
	}
	for i := range refusals {
		r := &refusals[i]
		if !errors.Is(err, r.err) {
			continue
		}
		rs.reason = r.result
		text := r.text
		if r.err == errTooLarge {
			text = fmt.Sprintf("%s, %d bytes", text, rq.body.limit)
		}
		rs.refuse(s, r.status, text)
		if s == shapeAirship || s == shapeManage {
			rs.set("X-Request-Id", rq.idText())
		}
		return
	}
	rs.reason = resultFailed
	id := rq.idText()
	g.log.Error("request could not be completed", slog.String("request", id), slog.Any("error", err))
	rs.refuse(s, http.StatusInternalServerError, "The server could not complete the request "+id+"; its log says why")
	rs.set("X-Request-Id", id)
}
