package gateway

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"sluice/auth"
	"sluice/relay"
)

// What opens a route.
var (
	byToken   = [][]string{{manageScheme}}
	byBrowser = [][]string{{manageScheme}, {queryScheme}}
)

// The noes that routes of a kind have in common.
var (
	storeNoes = []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
		http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
	}
	readNoes  = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone, http.StatusServiceUnavailable}
	loginNoes = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable}
)

// nativeSaid is what the document says of the native routes, by method and path.
func nativeSaid(schemas huma.Registry) map[string]said {
	of := func(t reflect.Type) *huma.Schema { return schemas.Schema(t, true, "") }
	answer := func(text string, t reflect.Type) *huma.Response {
		return &huma.Response{Description: text, Content: jsonContent(of(t))}
	}
	takes := func(t reflect.Type) *huma.RequestBody {
		return &huma.RequestBody{Required: true, Content: jsonContent(of(t))}
	}
	form := func(s *huma.Schema) *huma.RequestBody {
		return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: s}}}
	}
	document := func(text string) *huma.Response {
		return &huma.Response{Description: text, Content: jsonContent(objectSchema())}
	}
	plain := func(text string) *huma.Response {
		return &huma.Response{Description: text, Content: map[string]*huma.MediaType{"text/plain": {Schema: textSchema()}}}
	}
	binary := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	ref := parameter("header", "Strm-Schema-Ref", "The contract of the event: handle/name/version, or a contract's shortId. A JSON event may name it itself, in strmMeta.eventContractRef. Strm-Schema-Id is another name of the header.", textSchema())
	tenant := required(parameter("header", "X-Amperity-Tenant", "The project of the token.", textSchema()))
	stream := parameter("path", "stream", "The name of the stream.", textSchema())

	return map[string]said{
		"POST /event": {
			id: "send-event", tag: "events in", summary: "Send an event", security: byToken,
			text: "204 means stored. Without Strm-Serialization-Type and a Content-Type that says it, the body tells whether it is JSON or Avro.",
			params: slices.Concat(streamParams(), []*huma.Param{ref, parameter("header", "Strm-Serialization-Type", "How the event is written.",
				&huma.Schema{Type: huma.TypeString, Enum: []any{typeJSON, string(avroBinary)}})}),
			body: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
				typeJSON: {Schema: objectSchema()}, string(avroBinary): {Schema: binary},
			}},
			status: http.StatusNoContent, answer: &huma.Response{Description: "The event is stored."}, refusals: storeNoes,
		},
		"POST /stream/v0/data/{stream-id}": {
			id: "send-payload", tag: "events in", summary: "Send a JSON object or an XML document to a payload stream", security: byToken,
			params: []*huma.Param{parameter("path", "stream-id", "The id of the stream, like is-AbCDefGH.", textSchema()), tenant},
			body: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
				typeJSON: {Schema: objectSchema()}, "application/xml": {Schema: textSchema()}, "text/xml": {Schema: textSchema()},
			}},
			status: http.StatusAccepted, answer: &huma.Response{Description: "The payload is stored."}, refusals: storeNoes,
		},
		"POST /v1/streams/{stream}/events": {
			id: "send-events", tag: "events in", summary: "Send many events", security: byToken,
			text: fmt.Sprintf("One event a line, or a JSON array of them; Content-Type is not looked at. At most %d bytes, unpacked. A rejected event does not keep the others out, "+
				"unless atomic says so (at most %d bytes): then the answer is 400, with the same members. Every other answer means that nothing was accepted.", bulkMaxBytes, bulkMaxAtomic),
			params: slices.Concat([]*huma.Param{
				stream, projectParam(), ref,
				parameter("query", "atomic", "All events or none.", &huma.Schema{Type: huma.TypeBoolean, Default: false}),
				parameter("header", "Idempotency-Key", "The same key within 10 minutes gets the first answer again.", textSchema()),
				parameter("header", "Content-Encoding", "How the body is packed.", &huma.Schema{Type: huma.TypeString, Enum: []any{"gzip", "identity"}}),
			}),
			body: &huma.RequestBody{Content: map[string]*huma.MediaType{
				typeNDJSON: {Schema: textSchema()}, typeJSON: {Schema: &huma.Schema{Type: huma.TypeArray, Items: objectSchema()}},
			}},
			status: http.StatusOK, answer: answer("How many events were stored, and why others were not.", reflect.TypeFor[relay.BulkResult]()),
			refusals: append([]int{http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity}, storeNoes...),
		},
		"GET /v1/streams/{stream}/events": {
			id: "read-events", tag: "events out", summary: "Read a stream, as lines or as server-sent events", security: byToken,
			text: "Without limit and timeout the answer has no end; an idle one gets a blank line now and then. With Accept: text/event-stream it is what /sse answers. " +
				"With an envelope and a limit or timeout the last line is {\"type\":\"OFFSET_UPDATE\",\"offset\":\"…\"}, from where the next call goes on.",
			params: slices.Concat([]*huma.Param{stream, projectParam()}, readParams()),
			status: http.StatusOK, answer: endlessAnswer("The events.", typeNDJSON, typeServerEvents), refusals: readNoes,
		},
		"GET /sse": {
			id: "read-server-events", tag: "events out", summary: "Read a stream as server-sent events", security: byBrowser,
			text: "The id of each is its offset.",
			params: slices.Concat(streamParams(), readParams(), []*huma.Param{
				parameter("header", "Last-Event-ID", "Where to go on; it counts more than from.", textSchema()),
				parameter("query", "lastEventId", "The same, for clients that cannot set a header.", textSchema()),
			}),
			status: http.StatusOK, answer: endlessAnswer("The events.", typeServerEvents), refusals: readNoes,
		},
		"GET /ws": {
			id: "read-websocket", tag: "events out", summary: "Read a stream over a websocket", security: byBrowser,
			text:   "One text frame an event. It takes HTTP/1.1.",
			params: slices.Concat(streamParams(), readParams()),
			status: http.StatusSwitchingProtocols, answer: &huma.Response{Description: "The websocket is open."},
			refusals: append([]int{http.StatusUpgradeRequired}, readNoes...),
		},
		"POST /api/events": {
			id: "read-airship", tag: "events out", summary: "Read events in the Airship envelope",
			text:     "With an integration's token and its project's app key, or a stream's own token. Basic is for the test server alone.",
			security: [][]string{{manageScheme, keyScheme}, {manageScheme}, {basicScheme}}, params: streamParams(), body: airshipBody(),
			status: http.StatusOK, answer: endlessAnswer("The events, one a line, without end.", typeRTDS),
			refusals: append([]int{http.StatusPaymentRequired, http.StatusNotAcceptable, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}, readNoes...),
		},
		"POST /api/events/general": {
			id: "read-airship-compliance", tag: "events out", summary: "Read the compliance events of a project's event stream", security: [][]string{{basicScheme}},
			body: airshipBody(), status: http.StatusOK, answer: endlessAnswer("The events, one a line, without end.", typeRTDS),
			refusals: append([]int{http.StatusPaymentRequired, http.StatusNotAcceptable, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType}, readNoes...),
		},
		"POST " + realm + "/protocol/openid-connect/token": {
			id: "token", tag: "tokens", summary: "Get an access token for a stream's own credentials", security: [][]string{{basicScheme}, {}},
			text:   "RFC 6749. The credentials come by Basic, or as client_id and client_secret in the form.",
			body:   form(formSchema([]any{"client_credentials", "refresh_token"}, "client_id", "client_secret", "refresh_token")),
			status: http.StatusOK, answer: answer("The tokens; times are in seconds.", reflect.TypeFor[auth.Issued]()), refusals: loginNoes,
		},
		"GET " + realm + "/protocol/openid-connect/certs": {
			id: "certs", tag: "tokens", summary: "The public keys that access tokens are signed with", status: http.StatusOK, answer: document("A JSON Web Key Set."),
		},
		"GET " + realm + "/.well-known/openid-configuration": {
			id: "discovery", tag: "tokens", summary: "Where tokens and keys are", status: http.StatusOK, answer: document("An OpenID Connect discovery document."),
		},
		"POST /auth": {
			id: "login-2021", tag: "tokens", summary: "Get tokens for a stream's own credentials, as in 2021", body: takes(reflect.TypeFor[login2021]()),
			status: http.StatusOK, answer: answer("The tokens.", reflect.TypeFor[session2021]()), refusals: loginNoes,
		},
		"POST /refresh": {
			id: "refresh-2021", tag: "tokens", summary: "Get new tokens for a refresh token, as in 2021", body: takes(reflect.TypeFor[refresh2021]()),
			status: http.StatusOK, answer: answer("The tokens.", reflect.TypeFor[session2021]()), refusals: loginNoes,
		},
		"POST /v1/auth": {
			id: "login", tag: "tokens", summary: "Log a user in", body: takes(reflect.TypeFor[userLogin]()),
			status: http.StatusOK, answer: answer("The user's tokens.", reflect.TypeFor[userSession]()),
			refusals: append([]int{http.StatusTooManyRequests}, loginNoes...),
		},
		"POST /v1/refresh": {
			id: "refresh", tag: "tokens", summary: "Get a user's new tokens for a refresh token", body: takes(reflect.TypeFor[userRefresh]()),
			status: http.StatusOK, answer: answer("The user's tokens.", reflect.TypeFor[userSession]()), refusals: loginNoes,
		},
		"POST /v1/revoke": {
			id: "revoke", tag: "tokens", summary: "End all sessions of the user whose token it comes with", security: byToken,
			status: http.StatusOK, answer: answer("The sessions are ended.", reflect.TypeFor[revoked]()),
			refusals: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable},
		},
		"POST /api/v0/oauth2/token": {
			id: "key-token", tag: "tokens", summary: "Get an access token for an API key's client credentials", security: [][]string{{basicScheme}, {}},
			text:   "RFC 6749. The client id is the key's id; the credentials come by Basic, or as client_id and client_secret in the form.",
			params: []*huma.Param{tenant}, body: form(formSchema([]any{"client_credentials"}, "client_id", "client_secret")),
			status: http.StatusOK, answer: answer("The token.", reflect.TypeFor[clientToken]()), refusals: loginNoes,
		},
		"POST /api/v0/admin/api-keys/{id}/tokens": {
			id: "issue-key-token", tag: "tokens", summary: "Get an access token of an API key with an issuer's token", security: byToken,
			params: []*huma.Param{parameter("path", "id", "The id of the API key, like ak-AbCDefGH.", textSchema()), tenant},
			body:   takes(reflect.TypeFor[keyTokenEnd]()), status: http.StatusOK, answer: answer("The token.", reflect.TypeFor[manageKeyToken]()),
			refusals: append([]int{http.StatusForbidden, http.StatusNotFound}, loginNoes...),
		},
		"GET /ready": {
			id: "ready", tag: "health", summary: "Whether work is welcome", status: http.StatusOK, answer: plain("It is."),
			refusals: []int{http.StatusServiceUnavailable},
		},
		"GET /is-alive": {id: "is-alive", tag: "health", summary: "Whether the process answers", status: http.StatusOK, answer: plain("It does.")},
	}
}

// airshipBody is what a reader of the Airship envelope asks for.
func airshipBody() *huma.RequestBody {
	return &huma.RequestBody{
		Description: "Where to begin and what to leave out. An empty body begins at the end and leaves nothing out.",
		Content: jsonContent(&huma.Schema{
			Type: huma.TypeObject, AdditionalProperties: true, Properties: map[string]*huma.Schema{
				"start":                 {Type: huma.TypeString, Enum: []any{"EARLIEST", "LATEST"}},
				"resume_offset":         {Type: huma.TypeString, Description: "An offset that the stream gave; it counts more than start."},
				"filters":               {Type: huma.TypeArray, Items: objectSchema(), Description: "An event is shown when one of them fits."},
				"subset":                {Type: huma.TypeObject, AdditionalProperties: true, Description: "The part of all events that this reader takes."},
				"enable_offset_updates": {Type: huma.TypeBoolean, Description: "Say how far the stream is while nothing of it is shown."},
			},
		}),
	}
}
