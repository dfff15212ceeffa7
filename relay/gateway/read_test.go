package gateway_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/relay/engine"
	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// gunzip reads a gzip body line by line as it comes.
func gunzip(t *testing.T) func(io.Reader) io.Reader {
	return func(r io.Reader) io.Reader {
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
}

// markers are the numbers of the clicks in a body, in their order.
func markers(t *testing.T, body string) (ns []int) {
	t.Helper()
	for line := range strings.Lines(body) {
		if line == "\n" {
			continue
		}
		if n := marker(t, line); n >= 0 {
			ns = append(ns, n)
		}
	}
	return ns
}

// marker is the number of a click, -1 where a line is none.
func marker(t *testing.T, line string) int {
	t.Helper()
	_, rest, ok := strings.Cut(line, `"userAgent":"p000-`)
	if !ok {
		return -1
	}
	n, err := strconv.Atoi(rest[:10])
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return n
}

func span(first, n int) (ns []int) {
	for i := range n {
		ns = append(ns, first+i)
	}
	return ns
}

func TestReadFrom(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 3)
	const path = "/v1/streams/web/events"
	time.Sleep(20 * time.Millisecond)
	between := time.Now()
	time.Sleep(20 * time.Millisecond)
	e.bulk(st, 3, 4)

	// The offset of each event, and where the next call goes on.
	a := e.want(200, "GET", path+"?from=EARLIEST&limit=7&envelope=offset", st.token, "")
	lines := strings.Split(strings.TrimSpace(a.body), "\n")
	if len(lines) != 8 {
		t.Fatalf("%d lines: %s", len(lines), a.body)
	}
	var offsets []string
	for _, line := range lines {
		var v struct {
			Offset, Type string
			Event        json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Offset == "" {
			t.Fatalf("%q: %v", line, err)
		}
		offsets = append(offsets, v.Offset)
	}
	if last := lines[7]; last != `{"type":"OFFSET_UPDATE","offset":"`+offsets[6]+`"}` {
		t.Errorf("the last line is %s", last)
	}

	for _, row := range []struct {
		query string
		want  []int
	}{
		{"from=EARLIEST&limit=100&timeout=200ms", span(1, 7)},
		{"from=earliest&limit=2", span(1, 2)},
		{"from=-2&limit=2", span(6, 2)},
		{"from=-100&timeout=200ms", span(1, 7)},
		{"from=" + offsets[2] + "&limit=4", span(4, 4)},
		{"from=" + offsets[6] + "&timeout=100ms", nil},
		{"from=" + between.UTC().Format("2006-01-02T15:04:05.000Z") + "&limit=4", span(4, 4)},
		{"from=LATEST&timeout=100ms", nil},
		{"timeout=100ms", nil},
	} {
		a := e.want(200, "GET", path+"?"+row.query, st.token, "")
		if got := markers(t, a.body); fmt.Sprint(got) != fmt.Sprint(row.want) {
			t.Errorf("%s: %v, not %v", row.query, got, row.want)
		}
		if a.header.Get("Sluice-From") != "" {
			t.Errorf("%s: moved to %s", row.query, a.header.Get("Sluice-From"))
		}
		for name, want := range map[string]string{
			"Content-Type": "application/x-ndjson", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no", "Content-Encoding": "",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q", row.query, name, got)
			}
		}
	}

	// What comes while a poll waits ends it.
	waiting := e.open("GET", path+"?from=LATEST&limit=2&timeout=10s", st.token, "", nil)
	e.bulk(st, 7, 3)
	for _, want := range []int{8, 9} {
		if line, _ := waiting.next(); marker(t, line) != want {
			t.Errorf("%s instead of click %d", line, want)
		}
	}
	if line, ok := waiting.next(); ok {
		t.Errorf("a third line: %s", line)
	}

	// The Airship envelope, and the end of a poll where everything was read.
	a = e.want(200, "GET", path+"?from=-1&timeout=200ms&envelope=airship", st.token, "")
	lines = strings.Split(strings.TrimSpace(a.body), "\n")
	var shown struct{ ID, Type, Offset, Occurred, Processed string }
	if err := json.Unmarshal([]byte(lines[0]), &shown); err != nil || shown.Type != "CUSTOM" || shown.ID == "" || shown.Processed == "" {
		t.Errorf("%s: %v", lines[0], err)
	}
	if want := `{"type":"OFFSET_UPDATE","offset":"` + shown.Offset + `"}`; lines[len(lines)-1] != want {
		t.Errorf("the last line is %s, not %s", lines[len(lines)-1], want)
	}
}

func TestReadRefuses(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 1)
	former := e.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&limit=1&envelope=offset", st.token, "")
	var v struct{ Offset string }
	if err := json.Unmarshal([]byte(strings.SplitN(former.body, "\n", 2)[0]), &v); err != nil {
		t.Fatal(err)
	}
	if _, err := e.reg.DeleteStream(t.Context(), st.Project, "web", false); err != nil {
		t.Fatal(err)
	}
	e.want(401, "GET", "/v1/streams/web/events?timeout=10ms", st.token, "")
	st = e.stream("default", registry.StreamSpec{Name: "web"})

	for _, row := range []struct {
		query   string
		status  int
		headers []string
	}{
		{"from=" + v.Offset, 410, nil},
		{"from=9007199254740991", 400, nil},
		{"from=9007199254740992", 400, nil},
		{"from=yesterday", 400, nil},
		{"from=2026-99-99T00:00:00Z", 400, nil},
		{"from=--1", 400, nil},
		{"limit=0", 400, nil},
		{"limit=100001", 400, nil},
		{"limit=many", 400, nil},
		{"limit=", 400, nil},
		{"timeout=0s", 400, nil},
		{"timeout=-1s", 400, nil},
		{"timeout=10m1s", 400, nil},
		{"timeout=30", 400, nil},
		{"envelope=xml", 400, nil},
	} {
		a := e.want(row.status, "GET", "/v1/streams/web/events?"+row.query, st.token, "", row.headers...)
		if !strings.HasPrefix(a.body, fmt.Sprintf(`{"error":{"code":%d,"status":"%s","message":"`, row.status, http.StatusText(row.status))) {
			t.Errorf("%s: %s", row.query, a.body)
		}
	}
	a := e.want(405, "DELETE", "/v1/streams/web/events", st.token, "")
	if a.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow: %s", a.header.Get("Allow"))
	}
	e.want(200, "GET", "/v1/streams/web/events?timeout=10ms&unheard=of", st.token, "", "Accept", "text/event-stream, */*;q=0.1")
}

func TestReadGzip(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 100)
	const path = "/v1/streams/web/events?from=EARLIEST&limit=100"
	plain := e.want(200, "GET", path, st.token, "")
	packed := e.want(200, "GET", path, st.token, "", "Accept-Encoding", "br, gzip")
	if packed.header.Get("Content-Encoding") != "gzip" || len(packed.body) >= len(plain.body)/2 {
		t.Errorf("%d bytes of %d, %v", len(packed.body), len(plain.body), packed.header)
	}
	z, err := gzip.NewReader(strings.NewReader(packed.body))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || string(text) != plain.body {
		t.Errorf("something else came out: %v", err)
	}
	if got := e.want(200, "GET", path, st.token, "", "Accept-Encoding", "gzip;q=0").header.Get("Content-Encoding"); got != "" {
		t.Errorf("Content-Encoding %s where gzip is refused", got)
	}
}

// Long polls share a keep-alive connection, also where the client sends the next request before the answer has come.
func TestReadPollKeepsConnection(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 3)
	c := e.raw()
	poll := "GET /v1/streams/web/events?from=EARLIEST&limit=3 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + st.token + "\r\n\r\n"
	event := strings.TrimSpace(clicks(9, 1))
	post := fmt.Sprintf("POST /event HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", st.token, len(event), event)
	if _, err := io.WriteString(c, poll+post+poll+post); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	for i := range 2 {
		if a := readAnswer(t, r, "GET"); a.status != 200 || fmt.Sprint(markers(t, a.body)) != "[1 2 3]" {
			t.Fatalf("poll %d: %d %s", i, a.status, a.body)
		}
		if a := readAnswer(t, r, "POST"); a.status != 204 {
			t.Fatalf("post %d: %d %s", i, a.status, a.body)
		}
	}
	// Asked to close, the server does.
	closing := strings.Replace(poll, "Host: x\r\n", "Host: x\r\nConnection: close\r\n", 1)
	if _, err := io.WriteString(c, closing); err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(t, r, "GET"); !a.close || a.status != 200 {
		t.Errorf("%v", a)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after Connection: close: %v", err)
	}
}

// An endless answer ends within moments when its right is gone, in an orderly way.
func TestReadEndsWithItsRight(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = 50 * time.Millisecond })
	source := e.stream("default", registry.StreamSpec{Name: "source"})
	deleted := e.stream("default", registry.StreamSpec{Name: "deleted"})
	disabled := e.stream("default", registry.StreamSpec{Name: "disabled"})
	changed := e.stream("default", registry.StreamSpec{Name: "changed", DerivedFrom: "source", Levels: []int{2}})
	kept := e.stream("default", registry.StreamSpec{Name: "kept", DerivedFrom: "source", Levels: []int{2}})
	ending := map[string]*endless{}
	for _, st := range []made{deleted, disabled, changed} {
		ending[st.Name] = e.open("GET", "/v1/streams/"+st.Name+"/events", st.token, "", gunzip(t), "Accept-Encoding", "gzip")
		ending[st.Name+", to the admin"] = e.open("GET", "/v1/streams/"+st.Name+"/events", adminToken, "", nil)
		ending[st.Name+", for Airship"] = e.open("POST", "/api/events", st.token, "", gunzip(t))
	}
	going := []*endless{
		e.open("GET", "/v1/streams/kept/events", kept.token, "", nil),
		e.open("POST", "/api/events", source.token, "", nil, "Accept-Encoding", "identity"),
	}
	began := time.Now()
	p, no, tags := source.Project, false, []string{"new"}
	_, err := e.reg.DeleteStream(t.Context(), p, "deleted", false)
	e.must(err)
	_, err = e.reg.UpdateStream(t.Context(), p, "disabled", registry.StreamPatch{Enabled: &no})
	e.must(err)
	_, err = e.reg.UpdateStream(t.Context(), p, "changed", registry.StreamPatch{Levels: &[]int{3}})
	e.must(err)
	// Not one more event is shown under what was, however soon it comes.
	e.bulk(source, 0, 20)
	// What does not change what is shown ends nothing, nor does a token that runs out meanwhile.
	_, err = e.reg.UpdateStream(t.Context(), p, "kept", registry.StreamPatch{Tags: &tags})
	e.must(err)
	e.ahead.Store(int64(2 * time.Hour))
	for name, s := range ending {
		if line, ok := s.next(); ok {
			t.Errorf("%s: %s", name, line)
		}
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the streams went on for %v", took)
	}
	for _, s := range going {
		for time.Since(began) < 2500*time.Millisecond {
			if !s.lines.Scan() {
				t.Fatalf("a stream ended without a reason: %v", s.lines.Err())
			}
		}
		if !s.lines.Scan() {
			t.Fatalf("a stream ended without a reason: %v", s.lines.Err())
		}
	}
}

// An offset that retention has overtaken begins at the earliest event there is, and the reader is told.
func TestReadOvertaken(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 1)
	a := e.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&limit=1&envelope=offset", st.token, "")
	var first struct{ Offset string }
	e.must(json.Unmarshal([]byte(strings.SplitN(a.body, "\n", 2)[0]), &first))
	e.bulk(st, 1, 1)
	time.Sleep(time.Second)
	e.bulk(st, 2, 1)
	e.must(e.engine.Trim(t.Context(), st.Log, engine.Keep{Age: 800 * time.Millisecond}))
	a = e.want(200, "GET", "/v1/streams/web/events?timeout=200ms&envelope=offset&from="+first.Offset, st.token, "")
	if got := fmt.Sprint(markers(t, a.body)); got != "[3]" {
		t.Fatalf("after the trim there are %v", got)
	}
	from, err := engine.ParseOffset(a.header.Get("Sluice-From"))
	before, _ := engine.ParseOffset(first.Offset)
	if err != nil || from <= before {
		t.Errorf("Sluice-From is %q", a.header.Get("Sluice-From"))
	}
	s := e.open("POST", "/api/events", st.token, `{"resume_offset":"`+first.Offset+`"}`, gunzip(t))
	if s.header.Get("Sluice-From") != from.String() {
		t.Errorf("/api/events: Sluice-From is %q", s.header.Get("Sluice-From"))
	}
	if line, _ := s.next(); marker(t, line) != 3 {
		t.Errorf("%s", line)
	}
	ws, res, err := e.tryDial("from="+first.Offset, st.token)
	e.must(err)
	if got := res.Header.Get("Sluice-From"); got != from.String() {
		t.Errorf("/ws: Sluice-From is %q", got)
	}
	if line := text(t, ws); marker(t, line) != 3 {
		t.Errorf("/ws: %s", line)
	}
}

// HTTP/1.0, which many a proxy speaks unless it is told otherwise, knows no chunked coding: a body ends with the connection.
func TestReadWithoutChunks(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = 20 * time.Millisecond })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 3)
	const head = "%s HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nAuthorization: Bearer %s\r\n%s\r\n%s"
	poll := e.talk("GET", fmt.Sprintf(head, "GET /v1/streams/web/events?from=EARLIEST&limit=3", st.token, "", ""))
	if poll.status != 200 || strings.Count(poll.body, "\n") != 3 || !poll.close || poll.header.Get("Content-Length") != "" {
		t.Errorf("%d %v\n%s", poll.status, poll.header, poll.body)
	}
	packed := e.talk("GET", fmt.Sprintf(head, "GET /v1/streams/web/events?from=EARLIEST&limit=3", st.token, "Accept-Encoding: gzip\r\n", ""))
	text, err := io.ReadAll(gunzip(t)(strings.NewReader(packed.body)))
	if err != nil || string(text) != poll.body {
		t.Errorf("%v %q", err, text)
	}

	c := e.raw()
	_, err = fmt.Fprintf(c, head, "POST /api/events", st.token, "Content-Length: 20\r\n", `{"start":"EARLIEST"}`)
	e.must(err)
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "POST"})
	e.must(err)
	if res.StatusCode != 200 || len(res.TransferEncoding) != 0 || !res.Close {
		t.Errorf("%d %v %v", res.StatusCode, res.TransferEncoding, res.Header)
	}
	lines := bufio.NewReader(gunzip(t)(res.Body))
	for events, alive := 0, 0; events < 3 || alive < 2; {
		switch line, err := lines.ReadString('\n'); {
		case err == nil && strings.Contains(line, `"type":"CUSTOM"`):
			events++
		case err == nil && line == "\n": // the first ones before the events where the machine is busy
			alive++
		default:
			t.Fatalf("behind %d events and %d signs of life: %q, %v", events, alive, line, err)
		}
	}
	e.must(e.stop())
	if _, err := io.ReadAll(lines); err != nil {
		t.Errorf("it ends with %v", err)
	}
}
