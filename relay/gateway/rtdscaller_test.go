package gateway_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/relay/contract"
	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// app is a stream of Airship's own events.
func (e *edge) app(name string) made {
	e.t.Helper()
	return e.stream("default", registry.StreamSpec{Name: name, Contract: contract.AirshipRef})
}

// happens sends events of the given types; their ids are what they are called here.
func (e *edge) happens(st made, types ...string) {
	e.t.Helper()
	var body strings.Builder
	for i, kind := range types {
		fmt.Fprintf(&body, `{"id":"%s-%d","type":%q,"occurred":%q}`+"\n", kind, i, kind, time.Now().UTC().Format(time.RFC3339Nano))
	}
	a := e.want(200, "POST", "/v1/streams/"+st.Name+"/events", st.token, body.String())
	if !strings.Contains(a.body, `"rejected":0`) {
		e.t.Fatal(a.body)
	}
}

func basicHeader(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// types reads so many events and gives their types.
func (s *endless) types(n int) string {
	var all []string
	for range n {
		all = append(all, s.object()["type"].(string))
	}
	return strings.Join(all, " ")
}

// ends reads until the answer ends in order.
func (s *endless) ends() {
	for {
		if _, ok := s.next(); !ok {
			return
		}
	}
}

func TestIntegration(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive, c.MaxConnections = 50*time.Millisecond, 6 })
	st := e.app("app")
	p := e.project("default")
	other := e.project("other")
	all, token, err := e.reg.CreateIntegration(t.Context(), p, registry.IntegrationSpec{Name: "all", Stream: "app"})
	e.must(err)
	_, located, err := e.reg.CreateIntegration(t.Context(), p, registry.IntegrationSpec{Name: "located", Stream: "app", Location: true})
	e.must(err)
	some, narrow, err := e.reg.CreateIntegration(t.Context(), p, registry.IntegrationSpec{Name: "some", Stream: "app", Types: []string{"OPEN", "CUSTOM", "LOCATION"}})
	e.must(err)
	e.happens(st, "OPEN", "LOCATION", "COMPLIANCE", "CUSTOM", "TAG_CHANGE")
	key := []string{"X-UA-Appkey", p.AppKey}
	const earliest = `{"start":"EARLIEST"}`

	for _, row := range []struct {
		name, token, body string
		headers           []string
		status            int
		text              string
	}{
		{"no app key", token, "{}", nil, 401, "X-UA-Appkey is missing"},
		{"the master secret", "", "{}", []string{"X-UA-Appkey", p.AppKey, "Authorization", basicHeader(p.AppKey, "secret")}, 401, "are for /api/events/general"},
		{"no test server", "", "{}", []string{"Authorization", basicHeader("sample_connection", "sample_connection")}, 401, "started with serve --test-server"},
		{"another's app key", token, "{}", []string{"X-UA-Appkey", other.AppKey}, 401, "X-UA-Appkey is not"},
		{"not a token", token[:len(token)-4] + "AAAA", "{}", key, 401, "Jwt verification fails"},
		{"a location", token, `{"filters":[{"types":["OPEN","LOCATION"]}]}`, key, 403, "Requested event types to which client is not entitled LOCATION"},
		{"others", narrow, `{"filters":[{"types":["TAG_CHANGE","OPEN"]},{"types":["COMPLIANCE"],"latency":5}]}`, key, 403,
			"Requested event types to which client is not entitled COMPLIANCE,TAG_CHANGE"},
		{"without the flag", narrow, `{"filters":{"types":["LOCATION"]}}`, key, 403, "not entitled LOCATION"},
		{"a wrong request comes first", narrow, `{"filters":{"types":[]}}`, key, 400, "must not be empty"},
	} {
		a := e.wantAirshipNo(row.status, "POST", "/api/events", row.token, row.body, row.headers...)
		if !strings.Contains(a.body, row.text) {
			t.Errorf("%s: %s", row.name, a.body)
		}
	}
	// It reads events and does nothing else, and no other stream.
	e.want(403, "POST", "/event", token, "{}", key...)
	e.want(403, "GET", "/v1/streams/app/events", token, "", key...)
	e.app("second")
	e.wantAirshipNo(403, "POST", "/api/events?stream=second", token, "{}", key...)

	for _, row := range []struct {
		token, body, want string
		more              bool
	}{
		{token, earliest, "OPEN COMPLIANCE CUSTOM TAG_CHANGE", false},
		{located, earliest, "OPEN LOCATION COMPLIANCE CUSTOM TAG_CHANGE", false},
		{narrow, earliest, "OPEN CUSTOM", false},
		{narrow, `{"start":"EARLIEST","filters":[{"types":["CUSTOM"]},{"types":["OPEN"],"device_types":["ios"]}]}`, "CUSTOM", false},
		{narrow, `{"start":"EARLIEST","filters":[{"predicates":{"key":"type","value":{"equals":"TAG_CHANGE"}}},{"types":["OPEN"]}]}`, "OPEN", false},
	} {
		s := e.open("POST", "/api/events/", row.token, row.body, gunzip(t), key...)
		if got := s.types(strings.Count(row.want, " ") + 1); got != row.want {
			t.Errorf("%s: %s", row.body, got)
		}
		if !s.lines.Scan() || s.lines.Text() != "" {
			t.Errorf("%s: and then %q", row.body, s.lines.Text())
		}
		s.end()
	}

	// Its tokens have connections of their own, and what it is taken from it ends them.
	id, second, err := e.reg.AddIntegrationToken(t.Context(), all.ID, "second")
	e.must(err)
	var revoked []*endless
	for range 6 {
		revoked = append(revoked, e.open("POST", "/api/events", second, "{}", gunzip(t), key...))
	}
	e.wantAirshipNo(402, "POST", "/api/events", second, "{}", key...)
	live := e.open("POST", "/api/events", token, "{}", gunzip(t), key...)
	entitled := e.open("POST", "/api/events", narrow, "{}", gunzip(t), key...)
	_, err = e.reg.DeleteIntegrationToken(t.Context(), all.ID, id.ID)
	e.must(err)
	for _, s := range revoked {
		s.ends()
	}
	_, err = e.reg.DeleteIntegration(t.Context(), all.ID)
	e.must(err)
	live.ends()
	e.wantAirshipNo(401, "POST", "/api/events", token, "{}", key...)
	fewer := []string{"OPEN"}
	_, err = e.reg.UpdateIntegration(t.Context(), some.ID, registry.IntegrationPatch{Types: &fewer})
	e.must(err)
	entitled.ends()
	s := e.open("POST", "/api/events", narrow, earliest, gunzip(t), key...)
	if got := s.types(1); got != "OPEN" {
		t.Errorf("%s", got)
	}
}

func TestComplianceEvents(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = 50 * time.Millisecond })
	st := e.app("app")
	p := e.project("default")
	rotated, master, err := e.reg.UpdateProject(t.Context(), "default", registry.ProjectPatch{RotateMasterSecret: true})
	e.must(err)
	by := basicHeader(rotated.AppKey, master)
	head := func(authorization string, more ...string) []string {
		return append([]string{"Authorization", authorization}, more...)
	}

	e.wantAirshipNo(404, "POST", "/api/events/general", "", "{}", head(by)...)
	name := "app"
	_, _, err = e.reg.UpdateProject(t.Context(), "default", registry.ProjectPatch{EventStream: &name})
	e.must(err)
	for _, row := range []struct {
		name, method, body string
		headers            []string
		status             int
	}{
		{"nothing", "POST", "{}", nil, 401},
		{"a wrong secret", "POST", "{}", head(basicHeader(p.AppKey, master+"x")), 401},
		{"a wrong app key", "POST", "{}", head(basicHeader("x", master)), 401},
		{"a stream's token", "POST", "{}", head("Bearer " + st.token), 401},
		{"another app key", "POST", "{}", head(by, "X-UA-Appkey", "x"), 401},
		{"types", "POST", `{"filters":[{"types":["COMPLIANCE"]}]}`, head(by), 400},
		{"other devices", "POST", `{"filters":[{"device_types":["ios"]}]}`, head(by), 400},
		{"GET", "GET", "", head(by), 405},
	} {
		a := e.wantAirshipNo(row.status, row.method, "/api/events/general", "", row.body, row.headers...)
		if row.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: asks for %q", row.name, a.header.Get("WWW-Authenticate"))
		}
	}
	// Master credentials open nothing else.
	e.wantAirshipNo(401, "POST", "/api/events", "", "{}", head(by)...)

	e.happens(st, "OPEN", "COMPLIANCE", "CUSTOM")
	for _, path := range []string{"/api/events/general", "/api/events/general/"} {
		s := e.open("POST", path, "", `{"start":"EARLIEST","enable_offset_updates":true}`, gunzip(t), head(by, "X-UA-Appkey", p.AppKey)...)
		if got := s.types(2); got != "COMPLIANCE OFFSET_UPDATE" {
			t.Errorf("%s: %s", path, got)
		}
		e.happens(st, "TAG_CHANGE")
		s.end()
	}
	// A new master secret ends what the old one opened.
	s := e.open("POST", "/api/events/general", "", "{}", gunzip(t), head(by)...)
	_, _, err = e.reg.UpdateProject(t.Context(), "default", registry.ProjectPatch{RotateMasterSecret: true})
	e.must(err)
	s.ends()
	e.wantAirshipNo(401, "POST", "/api/events/general", "", "{}", head(by)...)
}

func TestTestServer(t *testing.T) {
	public := basicHeader("sample_connection", "sample_connection")
	none := newEdge(t, nil)
	none.wantAirshipNo(401, "POST", "/api/events/", "", "{}", "Authorization", public)

	var uuid string
	e := newEdge(t, func(c *gateway.Config) {
		st, _, err := c.Registry.CreateStream(t.Context(), c.Registry.Snapshot().Project("default"), registry.StreamSpec{Name: "made-up", Contract: contract.AirshipRef})
		if err != nil {
			t.Fatal(err)
		}
		uuid = st.UUID
		c.TestStream = uuid
	})
	if uuid == "" {
		t.Fatal("no stream")
	}
	e.wantAirshipNo(401, "POST", "/api/events/", "", "{}", "Authorization", basicHeader("sample_connection", "x"))
	s := e.open("POST", "/api/events/", "", "{}", gunzip(t), "Authorization", public, "Content-Type", "application/x-www-form-urlencoded")
	e.want(200, "POST", "/v1/streams/made-up/events", adminToken, `{"id":"1","type":"FIRST_OPEN","occurred":"`+time.Now().UTC().Format(time.RFC3339)+`"}`)
	if got := s.types(1); got != "FIRST_OPEN" {
		t.Errorf("%s", got)
	}
	// It is for reading, that stream alone.
	e.want(401, "POST", "/event", "", "{}", "Authorization", public)
	e.wantAirshipNo(401, "POST", "/api/events/general", "", "{}", "Authorization", public)
}

// How other published clients ask: a number for an offset, no type for the body, nothing said of encodings; and what a
// body gets that was counted in UTF-16.
func TestRTDSOtherClients(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = 20 * time.Millisecond })
	st := e.app("app")
	e.happens(st, "OPEN", "CLOSE")
	s := e.open("POST", "/api/events", st.token, `{"start":"EARLIEST"}`, gunzip(t))
	first := s.object()["offset"].(string)
	s.end()
	for _, row := range []struct{ name, headers, body string }{
		{"Java", "Accept: application/vnd.urbanairship+x-ndjson; version=3;\r\nUser-Agent: UA Java Connect Client\r\nX-UA-Appkey: a\r\n", `{"resume_offset":"` + first + `"}`},
		{"Go", "Accept-Encoding: gzip\r\nContent-Type: application/json\r\nCookie: SRV=leader1; Path=/; HttpOnly\r\n", `{"resume_offset":` + first + `}`},
		{"curl", "Accept: application/vnd.urbanairship+x-ndjson; version=3;\r\nContent-Type: application/x-www-form-urlencoded\r\nAccept-Encoding: deflate, gzip\r\n",
			`{"start":"EARLIEST","resume_offset":"` + first + `"}`},
	} {
		c := e.raw()
		if _, err := fmt.Fprintf(c, "POST /api/events/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n%s",
			st.token, row.headers, len(row.body), row.body); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "POST"})
		e.must(err)
		if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != "gzip" || len(res.TransferEncoding) != 1 || res.TransferEncoding[0] != "chunked" {
			t.Errorf("%s: %d %v", row.name, res.StatusCode, res.Header)
		}
		lines := bufio.NewScanner(gunzip(t)(res.Body))
		if !lines.Scan() || !strings.Contains(lines.Text(), `"type":"CLOSE"`) {
			t.Errorf("%s: %q", row.name, lines.Text())
		}
		c.Close()
	}

	cut := `{"filters":{"predicates":{"scope":["body"],"key":"name","value":{"equals":"Größe für Ürün"}}}}`
	c := e.raw()
	if _, err := fmt.Fprintf(c, "POST /api/events/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", st.token, len([]rune(cut)), cut); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, &http.Request{Method: "POST"})
	e.must(err)
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 400 || !res.Close {
		t.Errorf("%d, close %t, %v", res.StatusCode, res.Close, err)
	}
	if n, err := io.Copy(io.Discard, r); n != 0 {
		t.Errorf("%d bytes more, %v", n, err)
	}
}
