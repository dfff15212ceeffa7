package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// lines joins a request's head.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

func (st made) bearer() string { return "Authorization: Bearer " + st.token }

// A client that sends its body to the end before it looks for an answer still gets it.
func TestHostileLargeBodies(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	const size = 10 << 20
	chunked := func(n int) string {
		one := "8000\r\n" + strings.Repeat("x", 0x8000) + "\r\n"
		return strings.Repeat(one, n/0x8000) + "0\r\n\r\n"
	}
	for _, row := range []struct {
		name, head, body string
		status           int
	}{
		{"no token", head("POST /event HTTP/1.1", "Host: x", fmt.Sprint("Content-Length: ", size)), strings.Repeat("x", size), 401},
		{"too large", head("POST /event HTTP/1.1", "Host: x", st.bearer(), fmt.Sprint("Content-Length: ", size)), strings.Repeat("x", size), 413},
		{"too large in chunks", head("POST /event HTTP/1.1", "Host: x", st.bearer(), "Transfer-Encoding: chunked"), chunked(size), 413},
		{"no token, in chunks", head("POST /event HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"), chunked(size), 401},
		{"bulk", head("POST /v1/streams/web/events HTTP/1.1", "Host: x", st.bearer(), fmt.Sprint("Content-Length: ", 33<<20)), strings.Repeat("\n", 33<<20), 413},
		{"filters", head("POST /api/events HTTP/1.1", "Host: x", st.bearer(), fmt.Sprint("Content-Length: ", size)), strings.Repeat(" ", size), 413},
		{"management", head("POST /v1/streams HTTP/1.1", "Host: x", "Authorization: Bearer "+adminToken, fmt.Sprint("Content-Length: ", size)), strings.Repeat(" ", size), 413},
		{"nothing there", head("GET /event HTTP/1.1", "Host: x", fmt.Sprint("Content-Length: ", size)), strings.Repeat(" ", size), 404},
	} {
		c := e.raw()
		if _, err := io.WriteString(c, row.head+row.body); err != nil {
			t.Errorf("%s: the body was not taken to its end: %v", row.name, err)
			continue
		}
		r := bufio.NewReader(c)
		a := readAnswer(t, r, "POST")
		if a.status != row.status || a.body == "" || !a.close {
			t.Errorf("%s: %d %q", row.name, a.status, a.body)
		}
		// What was not read is no request, and the connection ends.
		if n, err := io.Copy(io.Discard, r); n > 0 || err != nil {
			t.Errorf("%s: %d more bytes, %v", row.name, n, err)
		}
	}
	e.want(204, "POST", "/event", st.token, strings.TrimSpace(clicks(0, 1)))
}

// A client that waits to be asked for its body is answered without it, or asked.
func TestHostileExpect(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	two := int64(2)
	if _, err := e.reg.UpdateStream(t.Context(), st.Project, "web", registry.StreamPatch{EventRate: &two}); err != nil {
		t.Fatal(err)
	}
	const expect = "Expect: 100-continue"
	for _, row := range []struct {
		name, head string
		status     int
	}{
		{"no token", head("POST /event HTTP/1.1", "Host: x", expect, "Content-Length: 100"), 401},
		{"too large", head("POST /v1/streams/web/events HTTP/1.1", "Host: x", st.bearer(), expect, "Content-Length: 100000000"), 413},
		{"no such stream", head("POST /v1/streams/no/events HTTP/1.1", "Host: x", st.bearer(), expect, "Content-Length: 100"), 404},
		{"too large for management", head("POST /v1/streams HTTP/1.1", "Host: x", expect, "Content-Length: 100000000"), 413},
		{"other method", head("PUT /api/events HTTP/1.1", "Host: x", expect, "Content-Length: 100"), 405},
	} {
		c := e.raw()
		if _, err := io.WriteString(c, row.head); err != nil {
			t.Fatal(err)
		}
		if a := readAnswer(t, bufio.NewReader(c), "POST"); a.status != row.status || a.body == "" {
			t.Errorf("%s: %d %q", row.name, a.status, a.body)
		}
	}
	// Two events are asked for and taken: the rate of two a second is charged once for each. A third is one too many.
	event := strings.TrimSpace(clicks(0, 1))
	c := e.raw()
	r := bufio.NewReader(c)
	for i, framing := range []string{fmt.Sprint("Content-Length: ", len(event)), "Transfer-Encoding: chunked"} {
		if _, err := io.WriteString(c, head("POST /event HTTP/1.1", "Host: x", st.bearer(), expect, framing)); err != nil {
			t.Fatal(err)
		}
		if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q, %v", line, err)
		}
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		body := event
		if i == 1 {
			body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(event), event)
		}
		if _, err := io.WriteString(c, body); err != nil {
			t.Fatal(err)
		}
		if a := readAnswer(t, r, "POST"); a.status != 204 {
			t.Fatalf("%d %q", a.status, a.body)
		}
	}
}

// A request that is given up before its handler runs is answered as its API answers.
func TestBrokenRequestsAreAnsweredInShape(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, func(c *gateway.Config) { c.HeaderTime = 200 * time.Millisecond })
	for path, want := range map[string]string{
		"/api/events": `{"ok":false,"error":"%s","error_code":%d00,"details":{}}`, "/api/events/general/?x=" + strings.Repeat("y", 200): `{"ok":false,"error":"%s","error_code":%d00,"details":{}}`,
		"/stream/v0/data/is-AbCDefGH": `{"status":%[2]d,"message":"%[1]s","request_id":"`, "/oauth2/token": `{"error":"invalid_request","error_description":"%s"}`,
		"/v1/streams/web/events": `{"error":{"code":%d,`, "/v1/streams": `{"error":{"code":%d,`, "/event": "%s", "/none": "%s",
	} {
		line := "POST " + path + " HTTP/1.1"
		for _, row := range []struct {
			text, says string
			status     int
		}{
			{head(line, "Host: x", "X-Junk: "+strings.Repeat("j", 1<<20)), "Request header is too large", 431},
			{line + "\r\nHost: x\r\n", "Request came too slowly", 408},
			{head(line, "Host: x", "Content-Length: 100") + "{", "Request came too slowly", 408},
			{head(line, "Host: x", "Content-Length: -1"), "Request is not valid HTTP/1", 400},
			// Behind another on the same connection.
			{head("GET /is-alive HTTP/1.1", "Host: x"), "", 200},
		} {
			c := e.raw()
			r := bufio.NewReader(c)
			go func() { _, _ = io.WriteString(c, row.text) }()
			a := readAnswer(t, r, "POST")
			if row.status == 200 {
				_, _ = io.WriteString(c, line+"\r\nHost: x\r\n")
				row.status, row.says = 408, "Request came too slowly"
				a = readAnswer(t, r, "POST")
			}
			begins := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(want, "%[1]s", row.says), "%[2]d", fmt.Sprint(row.status)), "%s", row.says)
			begins = strings.ReplaceAll(begins, "%d", fmt.Sprint(row.status))
			if a.status != row.status || !strings.HasPrefix(a.body, begins) || !strings.Contains(a.body, row.says) {
				t.Errorf("%.40s: %d %s, want %d %s", line, a.status, a.body, row.status, begins)
			}
		}
	}
}

// A body that is announced too large is answered at once, not when its client has been waited for; what comes before its size is still
// looked at before it.
func TestAnnouncedTooLarge(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.HeaderTime, c.BodyTime = time.Minute, time.Minute })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	for _, row := range []struct {
		line, token string
		length      int
		status      int
	}{
		{"POST /event HTTP/1.1", st.bearer(), 1<<20 + 1, 413},
		{"POST /event HTTP/1.0", st.bearer(), 1<<20 + 1, 413},
		{"POST /event HTTP/1.1", "X-None: 1", 1<<20 + 1, 401},
		{"GET /event HTTP/1.1", st.bearer(), 1<<20 + 1, 404},
		{"POST /stream/v0/data/is-AbCDefGH HTTP/1.1", "X-None: 1", 260_097, 401},
		{"POST /v1/streams/web/events HTTP/1.1", st.bearer(), 32<<20 + 1, 413},
		{"POST /v1/streams/web/events?atomic=true HTTP/1.1", st.bearer(), 256<<10 + 1, 413},
		{"POST /v1/streams/web/events?x=atomic=true HTTP/1.1", "X-None: 1", 256<<10 + 1, 401},
		{"POST /v1/streams HTTP/1.1", st.bearer(), 4<<20 + 1, 413},
	} {
		for _, begun := range []string{"", "{"} {
			method, _, _ := strings.Cut(row.line, " ")
			a := e.talk(method, head(row.line, "Host: x", row.token, fmt.Sprint("Content-Length: ", row.length))+begun)
			if a.status != row.status || !a.close {
				t.Errorf("%s of %d bytes, begun with %q: %d %q", row.line, row.length, begun, a.status, a.body)
			}
		}
	}
}

func TestHostileHeaders(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, func(c *gateway.Config) { c.HeaderTime, c.BodyTime = 200*time.Millisecond, time.Second })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	event := strings.TrimSpace(clicks(0, 1))
	length := fmt.Sprint("Content-Length: ", len(event))
	for _, row := range []struct {
		name, text string
		status     int
	}{
		{"host with a scheme", head("POST /event HTTP/1.1", "Host: https://ingest.example", st.bearer(), length) + event, 204},
		{"host with a scheme and a path", head("POST /event HTTP/1.1", "Host: http://ingest.example/", st.bearer(), length) + event, 204},
		{"whole address", head("POST http://ingest.example/event HTTP/1.1", "Host: ingest.example", st.bearer(), length) + event, 204},
		{"whole address and a scheme", head("POST http://ingest.example/event HTTP/1.1", "Host: http://ingest.example", st.bearer(), length) + event, 204},
		{"an address in the query", head("POST /event?from=http://a.example/b HTTP/1.1", "Host: x", st.bearer(), length) + event, 204},
		{"doubled slashes", head("POST //event HTTP/1.1", "Host: x", st.bearer(), length) + event, 204},
		{"HTTP/1.0", head("POST /event HTTP/1.0", st.bearer(), length) + event, 204},
		{"no host", head("POST /event HTTP/1.1", st.bearer(), length) + event, 400},
		{"no version", "POST /event\r\n\r\n", 400},
		{"no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", 400},
		{"two lengths", head("POST /event HTTP/1.1", "Host: x", st.bearer(), length, length) + event, 400},
		{"negative length", head("POST /event HTTP/1.1", "Host: x", st.bearer(), "Content-Length: -1") + event, 400},
		{"broken chunks", head("POST /event HTTP/1.1", "Host: x", st.bearer(), "Transfer-Encoding: chunked") + "zz\r\n" + event, 400},
		{"huge chunk", head("POST /event HTTP/1.1", "Host: x", st.bearer(), "Transfer-Encoding: chunked") + "fffffff\r\n" + strings.Repeat("x", 2<<20), 413},
		{"huge header", head("POST /event HTTP/1.1", "Host: x", "X-Junk: "+strings.Repeat("j", 1<<20)), 431},
		{"many headers", head("POST /event HTTP/1.1", "Host: x", strings.TrimSuffix(strings.Repeat("X-Junk: j\r\n", 20_000), "\r\n")), 431},
		{"slow header", "POST /event HTTP/1.1\r\nHost: x\r\n", 408},
		{"slow small body", head("POST /event HTTP/1.1", "Host: x", st.bearer(), length) + event[:10], 408},
		{"slow large body", head("POST /event HTTP/1.1", "Host: x", st.bearer(), "Content-Length: 100000") + strings.Repeat("x", 9000), 408},
		{"slow chunks", head("POST /event HTTP/1.1", "Host: x", st.bearer(), "Transfer-Encoding: chunked") + "100\r\nx", 408},
	} {
		if a := e.talk("POST", row.text); a.status != row.status || a.status != 204 && !a.close {
			t.Errorf("%s: %d %q", row.name, a.status, a.body)
		}
	}
	// A body that is cut is not an event, whatever of it came.
	for _, framing := range []string{fmt.Sprint("Content-Length: ", len(event)+1), "Content-Length: 20000", "Transfer-Encoding: chunked"} {
		c := e.raw()
		body := event
		if framing[0] == 'T' {
			body = fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
		}
		if _, err := io.WriteString(c, head("POST /event HTTP/1.1", "Host: x", st.bearer(), framing)+body); err != nil {
			t.Fatal(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if a := readAnswer(t, bufio.NewReader(c), "POST"); a.status != 400 {
			t.Errorf("cut, %s: %d %q", framing, a.status, a.body)
		}
	}
	// A client that is slow, but not slower than it may be, is waited for.
	c := e.raw()
	if _, err := fmt.Fprintf(c, "%s%x\r\n%s", head("POST /event HTTP/1.1", "Host: x", st.bearer(), "Transfer-Encoding: chunked"), len(event), event[:100]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(400 * time.Millisecond)
	if _, err := io.WriteString(c, event[100:]+"\r\n0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(t, bufio.NewReader(c), "POST"); a.status != 204 {
		t.Errorf("slow but honest: %d %q", a.status, a.body)
	}
	a := e.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&timeout=200ms", st.token, "")
	if n := strings.Count(a.body, "\"url\""); n != 8 {
		t.Errorf("%d events are stored, not the 8 that were accepted", n)
	}
}

// A connection ends where its client says so in any spelling, and where the next request may be a part of this one.
func TestHostileEnds(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	event := strings.TrimSpace(clicks(0, 1))
	chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(event), event)
	const chunked = "Transfer-Encoding: chunked"
	for _, row := range []struct {
		name, text string
		ends       bool
	}{
		{"close", head("GET /ready HTTP/1.1", "Host: x", "Connection: close"), true},
		{"close in capitals", head("GET /ready HTTP/1.1", "Host: x", "Connection: Close"), true},
		{"close among others", head("GET /ready HTTP/1.1", "Host: x", "Connection: keep-alive, CLOSE ,te"), true},
		{"no close", head("GET /ready HTTP/1.1", "Host: x", "Connection: keep-alive, closed"), false},
		{"length and chunks", head("POST /event HTTP/1.1", "Host: x", st.bearer(), "Content-Length: 3", chunked) + chunks, true},
		{"chunks and length", head("POST /event HTTP/1.1", "Host: x", st.bearer(), chunked, "content-length: 3") + chunks, true},
		{"length first of all", head("POST /event HTTP/1.1", "CONTENT-LENGTH: 3", "Host: x", st.bearer(), chunked) + chunks, true},
		{"chunks alone", head("POST /event HTTP/1.1", "Host: x", st.bearer(), "X-Content-Length: 3", chunked) + chunks, false},
	} {
		c := e.raw()
		if _, err := io.WriteString(c, row.text+head("GET /ready HTTP/1.1", "Host: x")); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		if a := readAnswer(t, r, "POST"); a.status != 200 && a.status != 204 || a.close != row.ends {
			t.Errorf("%s: %d %q, close is %t", row.name, a.status, a.body, a.close)
		}
		if row.ends {
			if n, err := io.Copy(io.Discard, r); n > 0 || err != nil {
				t.Errorf("%s: %d more bytes, %v", row.name, n, err)
			}
		} else if a := readAnswer(t, r, "GET"); a.status != 200 {
			t.Errorf("%s: then %d", row.name, a.status)
		}
	}
}

// Requests that come in one piece are answered in their order, and a body that nobody reads is not a request.
func TestHostilePipeline(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	event := strings.TrimSpace(clicks(0, 1))
	post := head("POST /event HTTP/1.1", "Host: x", st.bearer(), fmt.Sprint("Content-Length: ", len(event))) + event
	inner := head("POST /event HTTP/1.1", "Host: x", st.bearer(), "Content-Length: 0")
	refused := head("POST /event HTTP/1.1", "Host: x", fmt.Sprint("Content-Length: ", len(inner))) + inner
	asked := head("GET /ready HTTP/1.1", "Host: x", fmt.Sprint("Content-Length: ", len(inner))) + inner
	managed := head("GET /v1/projects HTTP/1.1", "Host: x", fmt.Sprint("Content-Length: ", len(inner))) + inner
	measured := head("GET /metrics HTTP/1.1", "Host: x", fmt.Sprint("Content-Length: ", len(inner))) + inner
	c := e.raw()
	all := []struct {
		text   string
		status int
	}{{post, 204}, {refused, 401}, {asked, 200}, {post, 204}, {managed, 401}, {measured, 200}, {post, 204}}
	var text strings.Builder
	for _, one := range all {
		text.WriteString(one.text)
	}
	if _, err := io.WriteString(c, text.String()); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	for i, one := range all {
		if a := readAnswer(t, r, "POST"); a.status != one.status {
			t.Fatalf("answer %d: %d %q, not %d", i, a.status, a.body, one.status)
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if b, err := r.ReadByte(); err == nil {
		t.Errorf("one answer too many: %q", b)
	}
}

func TestHostileConnections(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.PerAddress = 3 })
	var open []net.Conn
	for range 3 {
		c := e.raw()
		if _, err := io.WriteString(c, head("GET /is-alive HTTP/1.1", "Host: x")); err != nil {
			t.Fatal(err)
		}
		if a := readAnswer(t, bufio.NewReader(c), "GET"); a.status != 200 {
			t.Fatalf("%d", a.status)
		}
		open = append(open, c)
	}
	c := e.raw()
	if a := readAnswer(t, bufio.NewReader(c), "GET"); a.status != http.StatusTooManyRequests || !a.close {
		t.Errorf("the fourth: %d %q", a.status, a.body)
	}
	open[1].Close()
	e.eventually("the place of a connection that left is free", func() bool {
		c := e.raw()
		defer c.Close()
		_, _ = io.WriteString(c, head("GET /is-alive HTTP/1.1", "Host: x"))
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == 200
	})
}
