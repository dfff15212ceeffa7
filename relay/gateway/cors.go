package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// anyOrigin in Config.Origins lets pages of every origin read.
const anyOrigin = "*"

// preflightAge is how many seconds a browser may remember a preflight's answer.
const preflightAge = "600"

// checkOrigin holds an allowed origin to its form, scheme://host or scheme://host:port as a browser spells it.
func checkOrigin(origin string) error {
	if origin == anyOrigin {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin || strings.Contains(origin, "*") {
		return errors.New("must be * or an origin like https://app.example.com")
	}
	return nil
}

// allowOrigin lets the page that a browser asks for read the answer, whatever it will be, where its origin is allowed.
// Never with credentials: a browser adds no token by itself, and nothing else opens a stream.
func (g *Gateway) allowOrigin(rq *request, rs *response) (allowed bool) {
	if len(g.cfg.Origins) == 0 {
		return false
	}
	every := slices.Contains(g.cfg.Origins, anyOrigin)
	if !every {
		rs.set("Vary", "Origin") // a cache must not give one origin's answer to another
	}
	origin := string(rq.header.Peek("Origin"))
	switch {
	case origin == "":
		return false
	case every:
		origin = anyOrigin
	case !slices.Contains(g.cfg.Origins, origin):
		return false
	}
	rs.set("Access-Control-Allow-Origin", origin)
	rs.set("Access-Control-Expose-Headers", "Sluice-From, Retry-After, X-Request-Id")
	return true
}

// preflight answers a browser that asks whether a page of another origin may read with a token.
func (g *Gateway) preflight(rs *response) {
	rs.status = http.StatusNoContent
	rs.set("Access-Control-Allow-Methods", "GET")
	rs.set("Access-Control-Allow-Headers", "Authorization, Last-Event-ID, Cache-Control")
	rs.set("Access-Control-Max-Age", preflightAge)
}
