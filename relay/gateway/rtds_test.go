package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// airshipNo is an error of the streaming API as a client decodes it.
type airshipNo struct {
	OK      *bool          `json:"ok"`
	Error   string         `json:"error"`
	Code    int            `json:"error_code"`
	Details map[string]any `json:"details"`
}

func (e *edge) wantAirshipNo(status int, method, path, token, body string, headers ...string) answer {
	e.t.Helper()
	a := e.want(status, method, path, token, body, headers...)
	var no airshipNo
	if err := json.Unmarshal([]byte(a.body), &no); err != nil || no.OK == nil || *no.OK || no.Error == "" || no.Code/100 != status || no.Details == nil {
		e.t.Errorf("%s %s: %s (%v)", method, path, a.body, err)
	}
	if a.header.Get("Content-Encoding") != "" || a.header.Get("Content-Type") != "application/json" {
		e.t.Errorf("%s %s: an error with %v", method, path, a.header)
	}
	return a
}

func TestRTDS(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = 50 * time.Millisecond })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	derived := e.stream("default", registry.StreamSpec{Name: "web-2", DerivedFrom: "web", Levels: []int{2}})
	e.bulk(st, 0, 5)

	// Everything is gzip where nothing is said, both spellings answer, and nothing is asked of Accept or Content-Type.
	var offsets []string
	for _, path := range []string{"/api/events", "/api/events/"} {
		s := e.open("POST", path, st.token, `{"start":"EARLIEST"}`, gunzip(t))
		for name, want := range map[string]string{
			"Content-Type": "application/vnd.urbanairship+x-ndjson; version=3;", "Content-Encoding": "gzip", "X-Accel-Buffering": "no",
		} {
			if got := s.header.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if id := s.header.Get("Ua-Operation-Id"); len(id) != 36 || id[14] != '4' {
			t.Errorf("%s: operation id %q", path, id)
		}
		offsets = offsets[:0]
		for range 5 {
			v := s.object()
			if v["type"] != "CUSTOM" || v["id"] == "" || v["processed"] == "" {
				t.Errorf("%v", v)
			}
			offsets = append(offsets, v["offset"].(string))
		}
	}

	// The offset is exclusive, wins over start, and may be a number.
	for _, body := range []string{
		`{"resume_offset":"` + offsets[2] + `","start":"EARLIEST"}`, `{"resume_offset":` + offsets[2] + `,"start":"LATEST"}`,
	} {
		s := e.open("POST", "/api/events", st.token, body, nil, "Accept-Encoding", "identity")
		if v := s.object(); v["offset"] != offsets[3] {
			t.Errorf("%s begins at %v", body, v["offset"])
		}
	}

	// Filters hold, and updates say how far all was considered.
	s := e.open("POST", "/api/events", st.token, `{"start":"EARLIEST","filters":[{"types":["OPEN"]}],"enable_offset_updates":true}`,
		nil, "Accept-Encoding", "identity")
	if v := s.object(); v["type"] != "OFFSET_UPDATE" || v["offset"] != offsets[4] || v["id"] == "" || v["body"] != nil {
		t.Errorf("%v", v)
	}

	// Derived credentials read what consent allows; the admin names the stream.
	s = e.open("POST", "/api/events", derived.token, `{"start":"EARLIEST","enable_offset_updates":true}`, gunzip(t))
	s.object()
	s = e.open("POST", "/api/events?stream=web", adminToken, `{"start":"EARLIEST"}`, gunzip(t))
	s.object()
	// The body may be packed too, and may be empty.
	s = e.open("POST", "/api/events", st.token, pack(t, `{"start":"EARLIEST"}`), gunzip(t), "Content-Encoding", "gzip")
	s.object()
	e.open("POST", "/api/events", st.token, "", nil)

	old := e.stream("default", registry.StreamSpec{Name: "old"})
	e.bulk(old, 0, 1)
	s = e.open("POST", "/api/events", old.token, `{"start":"EARLIEST"}`, gunzip(t))
	former := s.object()["offset"].(string)
	if _, err := e.reg.DeleteStream(t.Context(), old.Project, "old", false); err != nil {
		t.Fatal(err)
	}
	anew := e.stream("default", registry.StreamSpec{Name: "old"})

	for _, row := range []struct {
		name, method, path, token, body string
		headers                         []string
		status                          int
	}{
		{"no token", "POST", "/api/events", "", "{}", nil, 401},
		{"garbage", "POST", "/api/events/", "garbage", "{}", nil, 401},
		{"no stream named", "POST", "/api/events", adminToken, "{}", nil, 400},
		{"no such stream", "POST", "/api/events?stream=no", adminToken, "{}", nil, 404},
		{"another's stream", "POST", "/api/events?stream=web", derived.token, "{}", nil, 403},
		{"GET", "GET", "/api/events", st.token, "", nil, 405},
		{"other version", "POST", "/api/events", st.token, "{}", []string{"Accept", "application/vnd.urbanairship+x-ndjson; version=2;"}, 406},
		{"not JSON", "POST", "/api/events", st.token, "{", nil, 400},
		{"no object", "POST", "/api/events", st.token, "[]", nil, 400},
		{"unexpected attribute", "POST", "/api/events", st.token, `{"since":1}`, nil, 400},
		{"empty array", "POST", "/api/events", st.token, `{"filters":[]}`, nil, 400},
		{"bad start", "POST", "/api/events", st.token, `{"start":"NOW"}`, nil, 400},
		{"bad offset", "POST", "/api/events", st.token, `{"resume_offset":"MTIzNQ"}`, nil, 400},
		{"far offset", "POST", "/api/events", st.token, `{"resume_offset":"18446744073709551615"}`, nil, 400},
		{"offset ahead", "POST", "/api/events", st.token, `{"resume_offset":"9007199254740991"}`, nil, 400},
		{"former stream", "POST", "/api/events", anew.token, `{"resume_offset":"` + former + `"}`, nil, 410},
		{"unknown packing", "POST", "/api/events", st.token, "{}", []string{"Content-Encoding", "br"}, 415},
		{"large", "POST", "/api/events", st.token, strings.Repeat(" ", 1<<20+1), nil, 413},
	} {
		// Errors are never packed, whatever is asked.
		a := e.wantAirshipNo(row.status, row.method, row.path, row.token, row.body, append(row.headers, "Accept-Encoding", "gzip")...)
		if row.status == http.StatusMethodNotAllowed && a.header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", row.name, a.header.Get("Allow"))
		}
	}
}

// What arrives while a reader waits is with it at once, and a silent stream has a blank line every keepalive.
func TestRTDSIsLive(t *testing.T) {
	const keepalive = 50 * time.Millisecond
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = keepalive })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	for _, enc := range []string{"identity", "gzip"} {
		unpack := gunzip(t)
		if enc == "identity" {
			unpack = nil
		}
		s := e.open("POST", "/api/events", st.token, "{}", unpack, "Accept-Encoding", enc)
		began, blank := time.Now(), 0
		for blank < 5 && s.lines.Scan() {
			if s.lines.Text() != "" {
				t.Fatalf("%s: %s", enc, s.lines.Text())
			}
			blank++
		}
		if took := time.Since(began); took < 4*keepalive || took > 20*keepalive {
			t.Errorf("%s: five blank lines in %v", enc, took)
		}
		e.want(204, "POST", "/event", st.token, strings.TrimSpace(clicks(0, 1)))
		if v := s.object(); v["type"] != "CUSTOM" {
			t.Errorf("%s: %v", enc, v)
		}
		s.end()
	}
}

func TestRTDSConnections(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.MaxConnections, c.Keepalive = 2, 20*time.Millisecond })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	other, err := e.reg.Tokens().Issue(t.Context(), st.ClientID)
	e.must(err)
	first := e.open("POST", "/api/events", st.token, "{}", nil)
	e.open("POST", "/api/events", st.token, "{}", nil)
	e.wantAirshipNo(402, "POST", "/api/events", st.token, "{}")
	// A refused request takes no place, and neither do other tokens' readers.
	e.wantAirshipNo(400, "POST", "/api/events", other.AccessToken, `{"resume_offset":"9007199254740991"}`)
	e.wantAirshipNo(400, "POST", "/api/events", other.AccessToken, `{"resume_offset":"9007199254740991"}`)
	e.open("POST", "/api/events", other.AccessToken, "{}", nil)
	e.open("POST", "/api/events", other.AccessToken, "{}", nil)
	e.wantAirshipNo(402, "POST", "/api/events", other.AccessToken, "{}")
	first.end()
	e.eventually("the place of a client that left is free", func() bool {
		res, err := http.NewRequest("POST", e.base+"/api/events", strings.NewReader("{}"))
		e.must(err)
		res.Header.Set("Authorization", "Bearer "+st.token)
		a, err := e.client.Do(res)
		e.must(err)
		a.Body.Close()
		return a.StatusCode == 200
	})
}

// The Node client does not end its request: it must be answered when Content-Length bytes have come. With a body that
// is longer than it says it sends garbage after it.
func TestRTDSNodeRequest(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = 20 * time.Millisecond })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	head := "POST /api/events/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + st.token +
		"\r\nAccept: application/vnd.urbanairship+x-ndjson;version=3;\r\nContent-Type: application/json\r\nX-UA-Appkey: whatever\r\n" +
		"Connection: keep-alive\r\nContent-Length: %d\r\n\r\n%s"
	c := e.raw()
	if _, err := fmt.Fprintf(c, head, 2, "{}"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, &http.Request{Method: "POST"})
	e.must(err)
	if res.StatusCode != 200 || res.Header.Get("Content-Encoding") != "gzip" || len(res.TransferEncoding) != 1 {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	z := gunzip(t)(res.Body)
	if n, err := io.ReadFull(z, make([]byte, 3)); err != nil {
		t.Errorf("%d bytes: %v", n, err)
	}
	a := e.talk("POST", fmt.Sprintf(head, 10, `{"filters":{"types":["ö"]}}`))
	if a.status != 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
}
