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

const realm = "/auth/realms/streams"

var (
	streamsPrefix = []byte("/v1/streams/")
	eventsSuffix  = []byte("/events")
)

// routeOf finds the native route of a path; ok is false for all that the management API answers.
func routeOf(path []byte) (r route, ok bool) {
	switch string(path) {
	case "/event":
		return route{post: (*Gateway).postEvent, shape: shapePlain, hidden: true}, true
	case "/api/events", "/api/events/":
		return route{post: (*Gateway).postRTDS, shape: shapeAirship}, true
	case "/api/events/general", "/api/events/general/":
		return route{post: (*Gateway).postCompliance, shape: shapeAirship}, true
	case "/ws":
		return route{get: (*Gateway).getSocket, shape: shapePlain, endless: true}, true
	case "/sse":
		return route{get: (*Gateway).getServerEvents, shape: shapePlain, endless: true, pages: true}, true
	case realm + "/protocol/openid-connect/token", "/oauth2/token":
		return route{post: (*Gateway).postToken, shape: shapeOAuth}, true
	case realm + "/protocol/openid-connect/certs":
		return route{get: (*Gateway).getCerts, shape: shapeManage}, true
	case realm + "/.well-known/openid-configuration":
		return route{get: (*Gateway).getDiscovery, shape: shapeManage}, true
	case "/auth":
		return route{post: (*Gateway).postStreamLogin, shape: shapeManage}, true
	case "/refresh":
		return route{post: (*Gateway).postStreamRefresh, shape: shapeManage}, true
	case "/v1/auth":
		return route{post: (*Gateway).postLogin, shape: shapeManage}, true
	case "/v1/refresh":
		return route{post: (*Gateway).postRefresh, shape: shapeManage}, true
	case "/v1/revoke":
		return route{post: (*Gateway).postRevoke, shape: shapeManage}, true
	case "/api/v0/oauth2/token":
		return route{post: (*Gateway).postKeyToken, shape: shapeOAuth}, true
	case "/ready":
		return route{get: (*Gateway).getReady, shape: shapePlain, always: true}, true
	case "/is-alive":
		return route{get: (*Gateway).getAlive, shape: shapePlain, always: true}, true
	}
	if _, ok := payloadOf(path); ok {
		return route{post: (*Gateway).postPayload, shape: shapeAmperity}, true
	}
	if streamOf(path) != "" {
		return route{get: (*Gateway).getEvents, post: (*Gateway).postEvents, shape: shapeManage, endless: true, pages: true}, true
	}
	if issuedKey(path) != "" {
		return route{post: (*Gateway).postIssue, shape: shapeAmperity}, true
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
