package gateway

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
)

// manageScheme is the name of the security scheme in the document.
const manageScheme = "bearer"

const manageDescription = `All that Sluice answers to: events in, events out, tokens, and the management API.

Every call of the management API carries a bearer token: the admin token that the first start printed, or a user's.
` + "`?project=NAME`" + ` says which project is meant, ` + "`default`" + ` where it is left out. A resource stands at the top level of an answer, a list is a bare array. Members that are not described here are refused.
A secret is shown once, when it is made.`

// A member whose name differs in case from ours is unknown like any other; huma would let it pass for ours. The switch is
// huma's own, for the process: no configuration has one.
func init() { huma.ValidateStrictCasing = true }

// newManageDocument makes the API that operations register with; huma generates the OpenAPI 3.1 document from their types.
func newManageDocument(app *fiber.App, version string) huma.API {
	format := manageJSON()
	api := humafiber.NewWithGroup(app, manageRouter{app}, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info:    &huma.Info{Title: "Sluice", Version: version, Description: manageDescription},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", manageSchemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{manageScheme: {
					Type: "http", Scheme: "bearer", Description: "The admin token, or a user's. For events also a stream's, an integration's or an API key's.",
				}},
			},
			Tags: []*huma.Tag{
				{Name: "events in", Description: "What producers send to."},
				{Name: "events out", Description: "What readers open."},
				{Name: "tokens", Description: "How clients and users come by their tokens."},
				{Name: "health", Description: "What a process manager asks. Metrics for Prometheus are at /metrics."},
				{Name: "projects", Description: "Tenants. Everything else belongs to one."},
				{Name: "streams", Description: "What events are sent to, and what is derived from it."},
				{Name: "outputs", Description: "The derived streams of one source stream."},
				{Name: "data contracts", Description: "What an event of a kind looks like, and which of its fields are personal."},
				{Name: "sinks", Description: "Buckets and folders that events are exported to."},
				{Name: "exporters", Description: "What writes the events of a stream to a sink, one object for each window of time."},
				{Name: "webhooks", Description: "What delivers the events of a stream to an address, in signed batches."},
				{Name: "users", Description: "The people who manage a project. They log in with POST /v1/auth."},
				{Name: "api keys", Description: "What producers of /stream/v0/data get their tokens for."},
				{Name: "integrations", Description: "What reads a stream over /api/events, with tokens of its own."},
				{Name: "couriers", Description: "What loads the landed files of a payload stream into feeds."},
				{Name: "courier groups", Description: "Couriers that run together, on a schedule."},
				{Name: "feeds", Description: "The tables that couriers load into."},
				{Name: "consent levels", Description: "What the numbers of the consent levels are called."},
				{Name: "usage", Description: "How many events a stream took, and when."},
				{Name: "audit", Description: "Who changed what, and when."},
				{Name: "backup", Description: "A copy of everything, taken while all goes on."},
				{Name: "data subjects", Description: "The people events are about."},
			},
			Servers: []*huma.Server{{URL: "/", Description: "The server that the document came from."}},
		},
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{manageTransform},
	})
	api.UseMiddleware(manageMiddleware)
	return api
}

// manageRouter lets HEAD in wherever GET is; fasthttp leaves the body out.
type manageRouter struct{ fiber.Router }

func (r manageRouter) Add(method, path string, handlers ...fiber.Handler) fiber.Router {
	if method == fiber.MethodGet {
		r.Router.Add(fiber.MethodHead, path, handlers...)
	}
	return r.Router.Add(method, path, handlers...)
}

// manageSchemaName names the schemas of the document after their Go types, without the prefix that keeps those apart
// from the rest of the package.
func manageSchemaName(t reflect.Type, hint string) string {
	return strings.TrimPrefix(huma.DefaultSchemaNamer(t, hint), "Manage")
}

// manageResponses are the answers every operation may give beside its own. The schema of the successful one is filled in
// from the operation's output type.
func manageResponses(api huma.API, status int) map[string]*huma.Response {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[manageError](), true, "Error")
	refusal := func(text string) *huma.Response {
		return &huma.Response{Description: text, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
	}
	return map[string]*huma.Response{
		strconv.Itoa(status): {Description: http.StatusText(status)},
		"400":                refusal("A member, parameter or value is not allowed; the message names it."),
		"401":                refusal("No token, or one that is not valid any more."),
		"403":                refusal("The token is the project's, but may not do this."),
		"404":                refusal("It does not exist, or it belongs to a project the token cannot see."),
		"default":            refusal("Anything else: a conflict (409), a body that is too large (413), a server that is busy (503)."),
	}
}

// serveDocument serves what was registered until now at /openapi.json, to anybody: it holds no secret.
func serveDocument(app *fiber.App, api huma.API) {
	// huma adds its own problem document for each operation; no answer has that shape here.
	schemas := api.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	for _, s := range schemas {
		standardOnly(s)
	}
	document, err := json.MarshalIndent(api.OpenAPI(), "", " ")
	if err != nil {
		panic(err) // the document is made of our own types; a test reads it
	}
	app.Get("/openapi.json", func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		return c.Send(document)
	})
}

// standardOnly takes out of a schema the one keyword that huma adds to those of the standard, which strict readers refuse. The
// messages that it is for were made when the operations were registered.
func standardOnly(s *huma.Schema) {
	if s == nil {
		return
	}
	s.PatternDescription = ""
	standardOnly(s.Items)
	for _, p := range s.Properties {
		standardOnly(p)
	}
	for _, list := range [][]*huma.Schema{s.AnyOf, s.OneOf, s.AllOf} {
		for _, p := range list {
			standardOnly(p)
		}
	}
}
