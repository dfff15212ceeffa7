package gateway

import (
	"bytes"
	"net/http"
)

// handler answers one request. It reads what it needs of the body itself; nothing of the request outlives it, but for
// what a takeover holds copies of.
type handler func(*Gateway, *request, *response)

// route is what answers at a path. The zero route is the management API's.
type route struct {
	get, post handler
	shape     shape
	// hidden routes do not exist for other methods: the gateway that is imitated knows no 405.
	hidden bool
	// always: answered while draining too.
	always bool
	// endless: what GET answers has no end, so that there is nothing that HEAD could tell.
	endless bool
	// pages: read by pages in browsers, which other origins' may too where that is allowed.
	pages bool
}

// native is a row of the table of native routes, which the OpenAPI document is made of too.
type native struct {
	// path is where the route is, as the document has it, aliases where it is as well.
	path    string
	aliases []string
	// takes tells which paths are meant where path has a parameter; nil: path is the only one.
	takes func(path []byte) bool
	route
}

const realm = "/auth/realms/streams"

var (
	streamsPrefix = []byte("/v1/streams/")
	eventsSuffix  = []byte("/events")
)

// natives are all routes but the management API's, /metrics and the documents.
var natives = []native{
	{path: "/event", route: route{post: (*Gateway).postEvent, shape: shapePlain, hidden: true}},
	{path: "/stream/v0/data/{stream-id}", takes: func(path []byte) bool { _, ok := payloadOf(path); return ok },
		route: route{post: (*Gateway).postPayload, shape: shapeAmperity}},
	{path: "/v1/streams/{stream}/events", takes: func(path []byte) bool { return streamOf(path) != "" },
		route: route{get: (*Gateway).getEvents, post: (*Gateway).postEvents, shape: shapeManage, endless: true, pages: true}},
	{path: "/api/events", aliases: []string{"/api/events/"}, route: route{post: (*Gateway).postRTDS, shape: shapeAirship}},
	{path: "/api/events/general", aliases: []string{"/api/events/general/"}, route: route{post: (*Gateway).postCompliance, shape: shapeAirship}},
	{path: "/ws", route: route{get: (*Gateway).getSocket, shape: shapePlain, endless: true}},
	{path: "/sse", route: route{get: (*Gateway).getServerEvents, shape: shapePlain, endless: true, pages: true}},
	{path: realm + "/protocol/openid-connect/token", aliases: []string{"/oauth2/token"}, route: route{post: (*Gateway).postToken, shape: shapeOAuth}},
	{path: realm + "/protocol/openid-connect/certs", route: route{get: (*Gateway).getCerts, shape: shapeManage}},
	{path: realm + "/.well-known/openid-configuration", route: route{get: (*Gateway).getDiscovery, shape: shapeManage}},
	{path: "/auth", route: route{post: (*Gateway).postStreamLogin, shape: shapeManage}},
	{path: "/refresh", route: route{post: (*Gateway).postStreamRefresh, shape: shapeManage}},
	{path: "/v1/auth", route: route{post: (*Gateway).postLogin, shape: shapeManage}},
	{path: "/v1/refresh", route: route{post: (*Gateway).postRefresh, shape: shapeManage}},
	{path: "/v1/revoke", route: route{post: (*Gateway).postRevoke, shape: shapeManage}},
	{path: "/api/v0/oauth2/token", route: route{post: (*Gateway).postKeyToken, shape: shapeOAuth}},
	{path: "/api/v0/admin/api-keys/{id}/tokens", takes: func(path []byte) bool { return issuedKey(path) != "" },
		route: route{post: (*Gateway).postIssue, shape: shapeAmperity}},
	{path: "/ready", route: route{get: (*Gateway).getReady, shape: shapePlain, always: true}},
	{path: "/is-alive", route: route{get: (*Gateway).getAlive, shape: shapePlain, always: true}},
}

// fixed are the natives without a parameter by path, aliases included; open are the others.
var fixed, open = func() (map[string]route, []native) {
	fixed, open := map[string]route{}, []native(nil)
	for _, n := range natives {
		if n.takes != nil {
			open = append(open, n)
			continue
		}
		for _, path := range append(n.aliases, n.path) {
			fixed[path] = n.route
		}
	}
	return fixed, open
}()

// routeOf finds the native route of a path; ok is false for all that the management API answers.
func routeOf(path []byte) (r route, ok bool) {
	if r, ok := fixed[string(path)]; ok {
		return r, true
	}
	for i := range open {
		if open[i].takes(path) {
			return open[i].route, true
		}
	}
	return route{}, false
}

// streamOf is the stream named in /v1/streams/{stream}/events, empty for other paths.
func streamOf(path []byte) string {
	name, ok := bytes.CutPrefix(path, streamsPrefix)
	if !ok {
		return ""
	}
	if name, ok = bytes.CutSuffix(name, eventsSuffix); !ok || bytes.IndexByte(name, '/') >= 0 {
		return ""
	}
	return string(name)
}

// handle answers a request of a native route.
func (g *Gateway) handle(r route, rq *request, rs *response) {
	rs.id = rq.id
	foreign := r.pages && g.allowOrigin(rq, rs)
	if g.draining.Load() && !r.always {
		rs.refuse(r.shape, http.StatusServiceUnavailable, errDraining.Error())
		rs.close = true
		return
	}
	var h handler
	switch rq.method {
	case http.MethodGet, http.MethodHead:
		h = r.get
	case http.MethodPost:
		h = r.post
	}
	switch {
	case foreign && rq.method == http.MethodOptions && len(rq.header.Peek("Access-Control-Request-Method")) > 0:
		g.preflight(rs)
	case h != nil && !(rq.method == http.MethodHead && r.endless):
		h(g, rq, rs)
	case r.hidden:
		rs.refuse(r.shape, http.StatusNotFound, "There is nothing at this path for this method")
	default:
		rs.refuse(r.shape, http.StatusMethodNotAllowed, "This path takes "+r.allow()+" only")
		rs.set("Allow", r.allow())
	}
}

func (r route) allow() string {
	switch {
	case r.get != nil && r.post != nil:
		return "GET, POST"
	case r.get != nil && r.endless:
		return "GET"
	case r.get != nil:
		return "GET, HEAD"
	default:
		return "POST"
	}
}
