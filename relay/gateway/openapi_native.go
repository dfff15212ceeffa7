package gateway

import (
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// The names of the security schemes that native routes have beside the bearer token.
const (
	queryScheme = "access_token" // the token in the address, for browsers
	basicScheme = "basic"
	keyScheme   = "appKey"
)

var nativeSchemes = map[string]*huma.SecurityScheme{
	queryScheme: {Type: "apiKey", In: "query", Name: "access_token", Description: "The token in the address, for browsers, which cannot set a header there."},
	basicScheme: {Type: "http", Scheme: "basic", Description: "Client id and client secret; on /api/events/general the app key and the master secret of a project."},
	keyScheme:   {Type: "apiKey", In: "header", Name: "X-UA-Appkey", Description: "The app key of the project that an integration's token belongs to."},
}

// said is what the document says of one method of a native route; all else it takes from the table of routes.
type said struct {
	id, tag, summary, text string
	// security lists what opens the route, of each entry all; none: anybody may call.
	security [][]string
	params   []*huma.Param
	body     *huma.RequestBody
	// status and answer are those of success.
	status int
	answer *huma.Response
	// refusals are the statuses of its noes, all in the route's shape.
	refusals []int
}

// refusalTexts say what a status means, on whatever route.
var refusalTexts = map[int]string{
	http.StatusBadRequest:            "Something of the request is not allowed; the text names it.",
	http.StatusUnauthorized:          "No credentials, or ones that are not valid (any more).",
	http.StatusPaymentRequired:       "The token has as many connections open as it may have.",
	http.StatusForbidden:             "The credentials are valid, but not for this; or the stream is disabled.",
	http.StatusNotFound:              "There is no such stream or key where the caller may look.",
	http.StatusNotAcceptable:         "The version that Accept names is not offered.",
	http.StatusRequestTimeout:        "The body came too slowly.",
	http.StatusGone:                  "The offset belongs to a former stream of this name.",
	http.StatusRequestEntityTooLarge: "The body is larger than the route takes; the text says how much it does.",
	http.StatusUnsupportedMediaType:  "Content-Encoding must be gzip or left out.",
	http.StatusUnprocessableEntity:   "The Idempotency-Key was used for another body.",
	http.StatusUpgradeRequired:       "It takes a websocket's handshake.",
	http.StatusTooManyRequests:       "The limit is reached; Retry-After says when to come back.",
	http.StatusServiceUnavailable:    "Nothing was stored: the server is busy or stopping; Retry-After says when to come back.",
	http.StatusGatewayTimeout:        "Storing was not confirmed in time: the events may or may not be stored.",
}

// describeNatives adds the native routes to the document. What is said of a route stands in openapi_said.go, under its
// method and path.
func describeNatives(api huma.API) {
	doc := api.OpenAPI()
	for name, s := range nativeSchemes {
		doc.Components.SecuritySchemes[name] = s
	}
	told := nativeSaid(doc.Components.Schemas)
	for _, n := range natives {
		for method, h := range map[string]handler{http.MethodGet: n.get, http.MethodPost: n.post} {
			if h == nil {
				continue
			}
			s, ok := told[method+" "+n.path]
			if !ok {
				panic("the OpenAPI document says nothing of " + method + " " + n.path) // at the first start of any test
			}
			doc.AddOperation(n.operation(doc.Components.Schemas, method, s))
		}
	}
}

func (n native) operation(schemas huma.Registry, method string, s said) *huma.Operation {
	text := s.text
	if len(n.aliases) > 0 {
		text = strings.TrimSpace(text + "\n\nAlso at " + strings.Join(n.aliases, ", ") + ".")
	}
	op := &huma.Operation{
		OperationID: s.id, Method: method, Path: n.path, Tags: []string{s.tag}, Summary: s.summary, Description: text,
		Parameters: s.params, RequestBody: s.body, Security: []map[string][]string{},
		Responses: map[string]*huma.Response{strconv.Itoa(s.status): s.answer},
	}
	for _, all := range s.security {
		need := map[string][]string{}
		for _, scheme := range all {
			need[scheme] = []string{}
		}
		op.Security = append(op.Security, need)
	}
	content := n.shape.content(schemas)
	for _, status := range s.refusals {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: refusalTexts[status], Content: content}
	}
	op.Responses["default"] = &huma.Response{Description: "Anything else that goes wrong, in the same shape.", Content: content}
	return op
}

// content is what a no of this shape looks like in the document.
func (s shape) content(schemas huma.Registry) map[string]*huma.MediaType {
	var t reflect.Type
	switch s {
	case shapeManage:
		return jsonContent(schemas.Schema(reflect.TypeFor[manageError](), true, "Error"))
	case shapeAirship:
		t = reflect.TypeFor[airshipError]()
	case shapeAmperity:
		t = reflect.TypeFor[amperityError]()
	case shapeOAuth:
		t = reflect.TypeFor[oauthError]()
	default:
		return map[string]*huma.MediaType{"text/plain": {Schema: &huma.Schema{Type: huma.TypeString}}}
	}
	return jsonContent(schemas.Schema(t, true, ""))
}

func jsonContent(s *huma.Schema) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{typeJSON: {Schema: s}}
}

func textSchema() *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

func objectSchema() *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
}

// formSchema is a form of grant_type, which must be one of grants, and of texts that may be left out.
func formSchema(grants []any, names ...string) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Required: []string{"grant_type"},
		Properties: map[string]*huma.Schema{"grant_type": {Type: huma.TypeString, Enum: grants}}}
	for _, name := range names {
		s.Properties[name] = textSchema()
	}
	return s
}

func parameter(in, name, text string, s *huma.Schema) *huma.Param {
	return &huma.Param{In: in, Name: name, Description: text, Schema: s, Required: in == "path"}
}

// required makes a parameter one that must be there.
func required(p *huma.Param) *huma.Param {
	p.Required = true
	return p
}

// readParams are the query parameters of parseReadQuery.
func readParams() []*huma.Param {
	most := float64(readMaxLimit)
	least := 1.0
	return []*huma.Param{
		parameter("query", "from", "Where to begin: LATEST, EARLIEST, an offset (exclusive), an RFC 3339 time, or -N for the last N events.",
			&huma.Schema{Type: huma.TypeString, Default: "LATEST"}),
		parameter("query", "limit", "The answer ends after so many events.", &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most}),
		parameter("query", "timeout", fmt.Sprintf("The answer ends after this time, like 30s, at most %s.", readMaxTimeout), textSchema()),
		parameter("query", "envelope", "What an event is wrapped in.", &huma.Schema{Type: huma.TypeString, Enum: []any{"none", "offset", "airship"}, Default: "none"}),
	}
}

// streamParams name the stream where the token does not.
func streamParams() []*huma.Param {
	return []*huma.Param{
		parameter("query", "stream", "The stream, where the token is the admin's or a user's; a stream's own token names it.", textSchema()),
		projectParam(),
	}
}

func projectParam() *huma.Param {
	return parameter("query", "project", "The project, where the token is the admin's.", &huma.Schema{Type: huma.TypeString, Default: defaultProject})
}

// endlessAnswer is an answer of events in some media types.
func endlessAnswer(text string, types ...string) *huma.Response {
	r := &huma.Response{Description: text, Content: map[string]*huma.MediaType{}, Headers: map[string]*huma.Param{
		"Sluice-From": {Description: "Where the answer begins, when what was asked for is older than the stream keeps.", Schema: textSchema()},
	}}
	for _, t := range types {
		r.Content[t] = &huma.MediaType{Schema: textSchema()}
	}
	return r
}
