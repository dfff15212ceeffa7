package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"sluice/auth"
	"sluice/delivery/export"
	"sluice/delivery/load"
	"sluice/delivery/stream"
	"sluice/delivery/webhook"
	"sluice/relay"
	"sluice/relay/backup"
	"sluice/relay/registry"
	"sluice/relay/usage"
)

const (
	// manageMaxBody bounds the body of every management request, in bytes: a data contract is the largest thing sent.
	manageMaxBody = 1 << 20
	// manageMaxSmallBody bounds the bodies that hold no schema and no event.
	manageMaxSmallBody = 64 << 10
	// manageTimeout is how long a management request may work, longer than the engine takes to give up a write.
	manageTimeout = 30 * time.Second
)

// manageConfig is what the management API works on.
type manageConfig struct {
	Registry *registry.Registry
	Relay    *relay.Relay
	Exports  *export.Exports  // nil: sinks and exporters have no routes
	Webhooks *webhook.Service // nil: webhooks have no routes
	Couriers *load.Service    // nil: couriers, their groups and feeds have no routes
	Usage    *usage.Meter     // nil: usage has no route
	Backup   *backup.Source   // nil: backups have no route
	Conns    *stream.Conns    // nil: consumers are those that are delivered to
	Version  string           // shown in the OpenAPI document
	Log      *slog.Logger     // nil: slog.Default()
}

// management is the management API: every route under /v1/ but the events of a stream, /openapi.json and /docs. Safe for
// concurrent use.
type management struct{ *fiber.App }

// Handler answers whole requests; take it once. It answers all methods and paths, every error in the shape
// {"error":{"code","status","message"}}, panics included, and keeps nothing of a request after it returned.
//
// The body is read with the limits above, whether it was received already or is still a stream, and it is never
// inflated: a Content-Encoding is 415.
func (m *management) Handler() fasthttp.RequestHandler {
	handle := m.App.Handler()
	return func(ctx *fasthttp.RequestCtx) {
		if !slices.Contains(fiber.DefaultMethods, string(ctx.Method())) {
			// fiber answers a method it does not know by itself, in plain text. As one that no route has it gets the
			// answers that all others get.
			ctx.Request.Header.SetMethod(fiber.MethodTrace)
		}
		handle(ctx)
	}
}

// newManagement builds the API. It starts no goroutine.
func newManagement(cfg manageConfig) *management {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	m := &manageAPI{reg: cfg.Registry, relay: cfg.Relay, exports: cfg.Exports, webhooks: cfg.Webhooks, couriers: cfg.Couriers, usage: cfg.Usage, backup: cfg.Backup, conns: cfg.Conns, log: cfg.Log}
	app := fiber.New(fiber.Config{
		// Names from the path and the query end up in the registry; without Immutable they would be views of the
		// request's buffer.
		Immutable:             true,
		CaseSensitive:         true,
		DisableStartupMessage: true,
		ErrorHandler:          m.fail,
	})
	app.Use(m.recover)
	app.Use("/v1", m.authenticate)
	api := newManageDocument(app, cfg.Version)
	m.registerProjects(api)
	m.registerStreams(api)
	m.registerOutputs(api)
	m.registerContracts(api)
	m.registerSchemas(api)
	m.registerSubjects(api)
	m.registerConsentLevels(api)
	m.registerConsumers(api)
	m.registerTrace(api)
	m.registerUsers(api)
	m.registerAPIKeys(api)
	m.registerIntegrations(api)
	m.registerAudit(api)
	if m.exports != nil {
		m.registerSinks(api)
		m.registerExporters(api)
		m.registerExporters2021(api)
		m.registerUnparsable(api)
	}
	if m.webhooks != nil {
		m.registerWebhooks(api)
	}
	if m.couriers != nil {
		m.registerFeeds(api)
		m.registerCouriers(api)
		m.registerCourierGroups(api)
	}
	if m.usage != nil {
		m.registerUsage(api)
	}
	if m.backup != nil {
		m.registerBackup(api)
	}
	describeNatives(api)
	serveDocument(app, api)
	serveDocs(app)
	return &management{app}
}

// manageAPI holds what the handlers share. Safe for concurrent use.
type manageAPI struct {
	reg      *registry.Registry
	relay    *relay.Relay
	exports  *export.Exports
	webhooks *webhook.Service
	couriers *load.Service
	usage    *usage.Meter
	backup   *backup.Source
	conns    *stream.Conns
	log      *slog.Logger

	backingUp atomic.Bool // one at a time, for each reads the whole log
}

type manageCallerKey struct{}

// manageCaller is who sent the request that ctx belongs to; Nobody outside of one.
func manageCaller(ctx context.Context) auth.Principal {
	p, _ := ctx.Value(manageCallerKey{}).(auth.Principal)
	return p
}

// authenticate lets nobody without a valid token further, not even to learn that a path does not exist. OPTIONS passes:
// a browser's preflight carries no token, and its answer says no more than the OpenAPI document.
func (m *manageAPI) authenticate(c *fiber.Ctx) error {
	if c.Method() == fiber.MethodOptions {
		return c.Next()
	}
	c.Set(fiber.HeaderCacheControl, "no-store") // secrets are shown once
	who, err := m.reg.Authenticate(auth.Bearer(c.Request().Header.Peek(fiber.HeaderAuthorization)))
	if err != nil {
		return manageUnauthorized()
	}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), manageCallerKey{}, who), manageTimeout)
	defer cancel()
	note := &registry.Audit{By: who, Project: who.Project}
	if p := m.reg.Snapshot().Project(c.Query("project", registry.DefaultProject)); who.Kind == auth.Admin && p != nil {
		note.Project = p.ID
	}
	c.SetUserContext(registry.WithAudit(ctx, note))
	err = c.Next()
	m.takeDown(note, c.Response().StatusCode())
	return err
}

// recover answers 500 for a panic. The log names the route, not the path, which may hold a data subject's id, and of the
// panic only what the runtime says: other values may carry parts of the request.
func (m *manageAPI) recover(c *fiber.Ctx) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		what := fmt.Sprintf("%T", r)
		if re, ok := r.(runtime.Error); ok {
			what = re.Error()
		}
		m.log.Error("management request panicked", slog.String("method", c.Method()), slog.String("route", c.Route().Path),
			slog.String("panic", what), slog.String("stack", string(debug.Stack())))
		c.Response().Reset()
		err = manageInternal()
	}()
	return c.Next()
}

// project finds the project a request names and checks that the caller may manage it. A project the caller does not
// belong to is 404, as if it did not exist.
func (m *manageAPI) project(ctx context.Context, name string) (*registry.Snapshot, *registry.Project, error) {
	return m.projectFor(ctx, auth.Manage, name)
}

// projectFor is project for what others than managers may do too.
func (m *manageAPI) projectFor(ctx context.Context, a auth.Action, name string) (*registry.Snapshot, *registry.Project, error) {
	m.reg.FindProject(ctx, name) // another node may have made it a moment ago
	snap := m.reg.Snapshot()
	p := snap.Project(name)
	if err := manageVerdict(snap.AuthorizeProject(manageCaller(ctx), a, p), a, name); err != nil {
		return nil, nil, err
	}
	if note := registry.AuditOf(ctx); note != nil {
		note.Project = p.ID
	}
	return snap, p, nil
}

// manageRegister adds an operation with what all operations have in common: the security scheme, the error answers, the
// body limit and the mapping of the core's errors.
func manageRegister[I, O any](m *manageAPI, api huma.API, op huma.Operation, do func(context.Context, *I) (*O, error)) {
	op.Security = []map[string][]string{{manageScheme: {}}}
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = manageMaxSmallBody
	}
	// huma refuses a body of exactly the limit.
	op.MaxBodyBytes++
	status := op.DefaultStatus
	if status == 0 {
		status = http.StatusOK
	}
	op.Responses = manageResponses(api, status)
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := do(ctx, in)
		if err != nil {
			e := manageErrorOf(err)
			m.note(op.Method, op.Path, e)
			return nil, e
		}
		return out, nil
	})
}
