package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"sluice/relay"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

// post sends a payload of the default project.
func (c *called) post(g *Gateway, path, bearer, kind string, body []byte) int {
	h := &c.ctx.Request.Header
	h.SetMethod(http.MethodPost)
	h.SetRequestURI(path)
	h.SetHost("x")
	h.Set("Authorization", bearer)
	h.Set("X-Amperity-Tenant", defaultProject)
	h.Set("Content-Type", kind)
	c.body.Reset(body)
	c.ctx.Request.SetBodyStream(c.body, len(body))
	g.serve(&c.ctx)
	return c.ctx.Response.StatusCode()
}

// The edge adds one allocation to what the core needs for a payload: the name of the stream.
func TestPayloadAllocates(t *testing.T) {
	g, st, _ := benchEdge(t)
	for kind, body := range map[string]string{"json": `{"a": 1, "b": [1, 2, 3], "c": "text"}`, "xml": "<r><a>1</a></r>"} {
		made, _, err := g.registry.CreateStream(t.Context(), st.Project, registry.StreamSpec{Name: kind, Payload: kind})
		if err != nil {
			t.Fatal(err)
		}
		k, _, err := g.registry.CreateAPIKey(t.Context(), st.Project, kind, registry.StreamingIngest)
		if err != nil {
			t.Fatal(err)
		}
		issued, err := g.registry.IssueKeyToken(t.Context(), k, g.opened.AddDate(0, 0, 1))
		if err != nil {
			t.Fatal(err)
		}
		text, bearer, path := []byte(body), "Bearer "+issued.AccessToken, "/stream/v0/data/"+made.PublicID
		c := newCalled(t, text)
		if status := c.post(g, path, bearer, "application/"+kind, text); status != http.StatusAccepted {
			t.Fatalf("%d %s", status, c.ctx.Response.Body())
		}
		core := testing.AllocsPerRun(300, func() {
			if err := g.relay.AcceptPayload(g.work, made, relay.Payload{Body: text}); err != nil {
				t.Fatal(err)
			}
		})
		edge := testing.AllocsPerRun(300, func() { c.post(g, path, bearer, "application/"+kind, text) })
		t.Logf("%s: %.0f allocations in the core, %.0f with the edge", kind, core, edge)
		if raceOff && edge > core+2 {
			t.Errorf("%s: the edge adds %.1f allocations to the core's %.1f", kind, edge-core, core)
		}
	}
}

// The rows of the table that no request brings about at will, in the shape of the payload route.
func TestPayloadFailures(t *testing.T) {
	g, _, _ := benchEdge(t)
	for _, c := range []struct {
		err    error
		status int
		again  string
	}{
		{errors.New("something of ours"), 500, ""},
		{engine.ErrBusy, 503, "1"},
		{engine.ErrDiskFull, 503, "1"},
		{engine.ErrClosed, 503, "1"},
		{errMemory, 503, "1"},
		{engine.ErrUnconfirmed, 504, ""},
		{engine.ErrTooLarge, 413, ""},
	} {
		rq, rs := &request{}, &response{}
		rq.begin()
		rs.id = rq.id
		g.fail(rq, rs, shapeAmperity, c.err)
		var e amperityError
		err := json.Unmarshal(rs.body, &e)
		if err != nil || rs.status != c.status || e.Status != c.status || e.RequestID != uuid.UUID(rq.id).String() || e.Message == "" || rs.contentType != typeJSON {
			t.Errorf("%v: %d %s", c.err, rs.status, rs.body)
		}
		again := ""
		for _, f := range rs.fields {
			if f.name == "Retry-After" {
				again = f.value
			}
		}
		if again != c.again || strings.Contains(string(rs.body), "something of ours") {
			t.Errorf("%v: Retry-After %q, %s", c.err, again, rs.body)
		}
	}
	// While it stops nothing is looked at any more.
	g.draining.Store(true)
	c := newCalled(t, nil)
	if status := c.post(g, "/stream/v0/data/is-any", "", "", []byte("{}")); status != 503 || !strings.HasPrefix(string(c.ctx.Response.Body()), `{"status":503,"message":`) {
		t.Errorf("%d %s", status, c.ctx.Response.Body())
	}
	g.draining.Store(false)
}
