package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// served is one server-sent event as a client dispatches it.
type served struct{ id, data string }

// event reads up to the next event with data, by the rules of the HTML standard; comments are counted. ok is false when
// the answer ended in order.
func (s *endless) event(comments *int) (ev served, ok bool) {
	s.t.Helper()
	for s.lines.Scan() {
		line := s.lines.Text()
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && ev.data != "":
			return ev, true
		case line == "" || name == "retry":
		case name == "":
			*comments++
		case name == "id":
			ev.id = value
		case name == "data":
			ev.data += value
		default:
			s.t.Fatalf("a line %q", line)
		}
	}
	if err := s.lines.Err(); err != nil {
		s.t.Fatalf("the stream broke off: %v", err)
	}
	return ev, false
}

func TestServerEvents(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = 30 * time.Millisecond })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 3)
	const route = "/v1/streams/web/events"
	type opening struct {
		path, token string
		headers     []string
	}
	accept := []string{"Accept", "text/event-stream"}
	var ids []string
	for i, row := range []opening{
		{"/sse?from=EARLIEST", st.token, nil},
		{"/sse?from=EARLIEST&stream=web", adminToken, accept},
		{"/sse?from=EARLIEST&access_token=" + url.QueryEscape(st.token), "", nil},
		{route + "?from=EARLIEST", st.token, accept},
		{route + "?from=EARLIEST", st.token, []string{"Accept", "text/event-stream", "Accept-Encoding", "gzip"}},
	} {
		unpack := gunzip(t)
		if len(row.headers) < 4 {
			unpack = nil
		}
		s := e.open("GET", row.path, row.token, "", unpack, row.headers...)
		if got := s.header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("%s: Content-Type %s", row.path, got)
		}
		comments := 0
		ids = nil
		for n := 1; n <= 3; n++ {
			ev, _ := s.event(&comments)
			if marker(t, ev.data) != n || ev.id == "" {
				t.Fatalf("%s: %v instead of click %d", row.path, ev, n)
			}
			ids = append(ids, ev.id)
		}
		// The sign of life, and then something again: those of the rows before, and then its own.
		time.Sleep(100 * time.Millisecond)
		e.bulk(st, 3+i, 1)
		for n := 4; n <= 4+i; n++ {
			if ev, _ := s.event(&comments); marker(t, ev.data) != n {
				t.Errorf("%s: %v instead of click %d", row.path, ev, n)
			}
		}
		if comments == 0 {
			t.Errorf("%s: no sign of life", row.path)
		}
		s.end()
	}

	// Where to go on: the header beats the parameter, and both beat from, which is older.
	for _, row := range []struct {
		query, header string
		want          int
	}{
		{"from=EARLIEST", ids[0], 2},
		{"from=" + ids[0] + "&lastEventId=" + ids[1], "", 3},
		{"lastEventId=" + ids[0], ids[1], 3},
		{"from=" + ids[1], "", 3},
		{"from=LATEST&lastEventId=0", "", 1},
	} {
		var headers []string
		if row.header != "" {
			headers = []string{"Last-Event-ID", row.header}
		}
		comments := 0
		s := e.open("GET", "/sse?limit=1&envelope=offset&"+row.query, st.token, "", nil, headers...)
		ev, _ := s.event(&comments)
		if marker(t, ev.data) != row.want || !strings.HasPrefix(ev.data, `{"offset":"`+ev.id+`","event":{`) {
			t.Errorf("%s, %s: %v instead of click %d", row.query, row.header, ev, row.want)
		}
		// A poll says where the next one goes on, and then the answer ends in order.
		last, _ := s.event(&comments)
		if last.id != ev.id || last.data != `{"type":"OFFSET_UPDATE","offset":"`+ev.id+`"}` {
			t.Errorf("%s: the poll ends with %v", row.query, last)
		}
		if ev, ok := s.event(&comments); ok {
			t.Errorf("%s: and then %v", row.query, ev)
		}
	}
}

func TestServerEventsRefuse(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.stream("default", registry.StreamSpec{Name: "other"})
	e.bulk(st, 0, 1)
	a := e.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&limit=1&envelope=offset", st.token, "")
	var v struct{ Offset string }
	e.must(json.Unmarshal([]byte(strings.SplitN(a.body, "\n", 2)[0]), &v))
	_, err := e.reg.DeleteStream(t.Context(), st.Project, "web", false)
	e.must(err)
	st = e.stream("default", registry.StreamSpec{Name: "web"})

	for _, row := range []struct {
		path, token, last string
		status            int
		text              string
	}{
		{"/sse", "", "", 401, "Jwt is missing"},
		{"/sse?access_token=x", "", "", 401, "Jwt verification fails"},
		{"/sse?access_token=" + url.QueryEscape(st.token), "wrong", "", 401, "Jwt verification fails"},
		{"/sse", adminToken, "", 400, ""},
		{"/sse?stream=nobody", adminToken, "", 404, ""},
		{"/sse?stream=other", st.token, "", 403, ""},
		{"/sse", st.token, "yesterday", 400, "Header Last-Event-ID must be an offset, as an event's id gave it"},
		{"/sse", st.token, "-1", 400, ""},
		{"/sse?lastEventId=EARLIEST", st.token, "", 400, "Parameter lastEventId must be an offset, as an event's id gave it"},
		{"/sse?from=soon", st.token, v.Offset, 400, ""},
		{"/sse", st.token, v.Offset, 410, ""},
		{"/sse", st.token, "9007199254740991", 400, ""},
	} {
		var headers []string
		if row.last != "" {
			headers = []string{"Last-Event-ID", row.last}
		}
		a := e.want(row.status, "GET", row.path, row.token, "", headers...)
		if row.text != "" && a.body != row.text || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %s %q", row.path, a.header.Get("Content-Type"), a.body)
		}
	}
	// The address gives a token where browsers open streams, and nowhere else.
	e.want(401, "GET", "/v1/streams/web/events?timeout=1ms&access_token="+url.QueryEscape(st.token), "", "")
	a = e.want(400, "GET", "/v1/streams/web/events", st.token, "", "Accept", "text/event-stream", "Last-Event-ID", "x")
	if !strings.HasPrefix(a.body, `{"error":{"code":400,`) {
		t.Errorf("%s", a.body)
	}
	if a := e.want(405, "HEAD", "/sse", st.token, ""); a.header.Get("Allow") != "GET" {
		t.Errorf("Allow %s", a.header.Get("Allow"))
	}
}

// Clients that come back by Last-Event-ID while events come in are given each event once and in order.
func TestServerEventsReconnect(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	const events = 4000
	var wg sync.WaitGroup
	for i := range 10 {
		first := e.open("GET", "/sse", st.token, "", nil)
		wg.Go(func() {
			s, id, comments := first, "", 0
			for n := 1; n <= events; n++ {
				if n%(101+17*i) == 0 {
					s.end()
					s = e.open("GET", "/sse", st.token, "", nil, "Last-Event-ID", id)
				}
				ev, ok := s.event(&comments)
				if !ok || marker(t, ev.data) != n {
					t.Errorf("client %d: %v instead of click %d", i, ev, n)
					return
				}
				id = ev.id
			}
		})
	}
	for i := 0; i < events; i += 100 {
		e.bulk(st, i, 100)
	}
	wg.Wait()
}

func TestServerEventsDrain(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 1)
	s := e.open("GET", "/sse?from=EARLIEST", st.token, "", gunzip(t), "Accept-Encoding", "gzip")
	comments := 0
	if ev, _ := s.event(&comments); marker(t, ev.data) != 1 {
		t.Fatalf("%v", ev)
	}
	ended := make(chan error, 1)
	go func() { ended <- e.stop() }()
	if ev, ok := s.event(&comments); ok {
		t.Errorf("%v after the end", ev)
	}
	e.must(<-ended)
}

// Pages of allowed origins may read, with a token of their own and nothing a browser adds by itself.
func TestOrigins(t *testing.T) {
	t.Parallel() // it mostly waits
	const app, stranger = "https://app.example.com", "https://evil.example.com"
	for _, row := range []struct {
		allowed []string
		origin  string
		want    string // Access-Control-Allow-Origin
	}{
		{nil, app, ""},
		{[]string{app}, app, app},
		{[]string{app}, stranger, ""},
		{[]string{app}, app + ".evil.example.com", ""},
		{[]string{app, "http://localhost:3000"}, "http://localhost:3000", "http://localhost:3000"},
		{[]string{"*"}, stranger, "*"},
		{[]string{app}, "", ""},
	} {
		e := newEdge(t, func(c *gateway.Config) { c.Origins = row.allowed })
		st := e.stream("default", registry.StreamSpec{Name: "web"})
		e.bulk(st, 0, 1)
		var from []string
		if row.origin != "" {
			from = []string{"Origin", row.origin}
		}
		for path, status := range map[string]int{
			"/sse?from=EARLIEST&limit=1":                   200,
			"/v1/streams/web/events?from=EARLIEST&limit=1": 200,
			"/v1/streams/web/events?from=never":            400,
			"/sse?stream=nobody":                           404,
			"/is-alive":                                    200,
		} {
			a := e.want(status, "GET", path, st.token, "", from...)
			want := row.want
			if path == "/is-alive" {
				want = ""
			}
			if got := a.header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%v, %s, %s: allowed %q", row.allowed, row.origin, path, got)
			}
			if a.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: credentials are allowed", path)
			}
			if vary := fmt.Sprint(a.header.Values("Vary")); want != "*" && row.allowed != nil && path != "/is-alive" && !strings.Contains(vary, "Origin") {
				t.Errorf("%v, %s: Vary %s", row.allowed, path, vary)
			}
		}
		ask := append([]string{"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization"}, from...)
		for _, path := range []string{"/sse", "/v1/streams/web/events"} {
			a := e.send("OPTIONS", path, "", "", ask...)
			status := 405
			if row.want != "" {
				status = 204
			}
			allows := a.header.Get("Access-Control-Allow-Headers")
			if a.status != status || a.header.Get("Access-Control-Allow-Origin") != row.want || strings.Contains(allows, "Authorization") != (row.want != "") {
				t.Errorf("%v, %q: preflight of %s: %d %v", row.allowed, row.origin, path, a.status, a.header)
			}
		}
		e.must(e.stop())
	}
}
