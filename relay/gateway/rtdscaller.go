package gateway

import (
	"bytes"
	"net/http"
	"slices"

	"sluice/auth"
	"sluice/relay/filter"
	"sluice/relay/registry"
)

// testServer are the public credentials of the test server, which Airship's documents print.
const testServer = "sample_connection"

// rtdsCaller is who reads /api/events, and what they may see of which stream.
type rtdsCaller struct {
	stream     *registry.Stream
	scope      filter.Scope
	compliance bool        // compliance events alone
	place      string      // what its connections are counted by
	alive      func() bool // whether it may go on reading
}

// rtdsCaller finds out who calls: an integration with its project's app key, a stream's own token, one who may name a
// stream, or anybody where there is a test server.
func (g *Gateway) rtdsCaller(rq *request) (rtdsCaller, denial, error) {
	if basic := auth.BasicCredentials(rq.header.Peek("Authorization")); len(basic) > 0 {
		switch test := slices.Contains(basic, auth.Candidate{ID: testServer, Secret: testServer}); {
		case !test:
			return rtdsCaller{}, unauthorized("Basic credentials are for /api/events/general; here an access token is asked for as Bearer"), nil
		case g.cfg.TestStream == "":
			return rtdsCaller{}, unauthorized("There is no test server here: it is started with serve --test-server"), nil
		}
		return g.testCaller()
	}
	gr, no, err := g.admit(rq, auth.ReadRTDS, "")
	if err != nil || no.status != 0 {
		return rtdsCaller{}, no, err
	}
	c := rtdsCaller{stream: gr.stream, place: gr.who.TokenID, alive: g.alive(rq, gr, auth.ReadRTDS)}
	if gr.who.Kind != auth.Integration {
		return c, denial{}, nil
	}
	i := gr.snap.IntegrationByID(gr.who.Subject)
	if i == nil {
		return rtdsCaller{}, denial{}, auth.ErrInvalid
	}
	if text := appKeyFault(rq.header, i.Project, true); text != "" {
		return rtdsCaller{}, unauthorized(text), nil
	}
	c.scope.Types = i.Types
	if !i.Location {
		c.scope.Without = locationTypes
	}
	same := c.alive
	c.alive = func() bool {
		now := g.registry.Snapshot().IntegrationByID(i.ID)
		return now != nil && now.Location == i.Location && slices.Equal(now.Types, i.Types) && same()
	}
	return c, denial{}, nil
}

// locationTypes are what an integration gets only where it says so.
var locationTypes = []string{"LOCATION"}

// complianceCaller finds the project of the app key and master secret, and its stream of events.
func (g *Gateway) complianceCaller(rq *request) (rtdsCaller, denial, error) {
	candidates := auth.BasicCredentials(rq.header.Peek("Authorization"))
	var p *registry.Project
	var by auth.Candidate
	for _, by = range candidates {
		if p = g.registry.Master(by.ID, by.Secret); p != nil {
			break
		}
	}
	switch {
	case len(candidates) == 0:
		return rtdsCaller{}, unauthorized("App key and master secret are missing: they are asked for as Basic credentials"), nil
	case p == nil:
		return rtdsCaller{}, unauthorized("App key or master secret is wrong"), nil
	}
	if text := appKeyFault(rq.header, p, false); text != "" {
		return rtdsCaller{}, unauthorized(text), nil
	}
	var st *registry.Stream
	if p.EventStream != "" {
		st = g.registry.FindStream(rq.ctx, p, p.EventStream)
	}
	switch {
	case st == nil:
		return rtdsCaller{}, denial{status: http.StatusNotFound, result: resultUnknown,
			text: "There are no compliance events for this app key: its project has no event stream"}, nil
	case !st.Enabled:
		return rtdsCaller{}, denied("The project's event stream is disabled"), nil
	}
	alive := func() bool {
		now := g.registry.Master(by.ID, by.Secret)
		return now != nil && now.EventStream == p.EventStream && g.sameStream(st)
	}
	return rtdsCaller{stream: st, compliance: true, place: "compliance " + p.ID, alive: alive}, denial{}, nil
}

// testCaller is anybody who reads the test server.
func (g *Gateway) testCaller() (rtdsCaller, denial, error) {
	st := g.registry.Snapshot().StreamByUUID(g.cfg.TestStream)
	if st == nil || !st.Enabled {
		return rtdsCaller{}, denial{status: http.StatusNotFound, result: resultUnknown, text: "The test server's stream is gone"}, nil
	}
	return rtdsCaller{stream: st, place: "test server", alive: func() bool { return g.sameStream(st) }}, denial{}, nil
}

// sameStream tells whether a stream is there and shows what it showed.
func (g *Gateway) sameStream(st *registry.Stream) bool {
	now := g.registry.Snapshot().StreamByUUID(st.UUID)
	return now != nil && now.Enabled && now.Rule == st.Rule
}

// appKeyFault says what is wrong with the header X-UA-Appkey of a caller of a project.
func appKeyFault(h headers, p *registry.Project, must bool) string {
	key := bytes.TrimSpace(h.Peek("X-UA-Appkey"))
	switch {
	case len(key) == 0 && must:
		return "Header X-UA-Appkey is missing"
	case len(key) > 0 && string(key) != p.AppKey:
		return "Header X-UA-Appkey is not the app key of these credentials"
	}
	return ""
}

func unauthorized(text string) denial {
	return denial{status: http.StatusUnauthorized, result: resultUnauthorized, text: text}
}
