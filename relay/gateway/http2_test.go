package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// do makes a request by a client of the test's and gives the answer with its body open.
func (s *secured) do(client *http.Client, method, path, token string, body io.Reader, headers ...string) *http.Response {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	s.must(err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := client.Do(req)
	s.must(err)
	s.t.Cleanup(func() { res.Body.Close() })
	return res
}

// The line that the seed's curl shows, by Go's client and, where it is there, by curl itself; and HTTP/1.1 beside it.
func TestHTTP2Event(t *testing.T) {
	s := newSecured(t, nil)
	st := s.stream("default", registry.StreamSpec{Name: "web"})
	event := strings.TrimSpace(clicks(0, 1))
	for client, proto := range map[*http.Client]string{s.client: "HTTP/2.0", s.one: "HTTP/1.1"} {
		res := s.do(client, "POST", "/event", st.token, strings.NewReader(event))
		if res.StatusCode != 204 || res.Proto != proto {
			t.Errorf("%s %d, want %s", res.Proto, res.StatusCode, proto)
		}
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Log("curl is not installed")
		return
	}
	for option, want := range map[string]string{"--http2": "HTTP/2 204", "--http1.1": "HTTP/1.1 204 No Content"} {
		for _, host := range []string{"localhost", "https://ingest.example"} {
			out, err := exec.CommandContext(t.Context(), "curl", option, "-sSi", "--max-time", "20", "--cacert", s.certFile, s.base+"/event",
				"-H", "Host: "+host, "-H", "Authorization: Bearer "+st.token, "-H", "Content-Type: application/json", "--data-binary", event).CombinedOutput()
			if line, _, _ := strings.Cut(string(out), "\r\n"); err != nil || strings.TrimSpace(line) != want {
				t.Errorf("%s, host %s: %v %s", option, host, err, out)
			}
		}
	}
	if a := s.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&limit=6&timeout=20s", st.token, ""); strings.Count(a.body, "\n") < 2 {
		t.Errorf("stored: %s", a.body)
	}
}

// Every form of endless answer goes over HTTP/2, on one connection, and goes on where its client left it.
func TestHTTP2Endless(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newSecured(t, nil)
	st := s.stream("default", registry.StreamSpec{Name: "web"})
	s.bulk(st, 0, 3)
	first := s.open("GET", "/v1/streams/web/events?from=EARLIEST&envelope=offset", st.token, "", nil)
	for _, name := range []string{"Connection", "Transfer-Encoding"} {
		if v := first.header.Get(name); v != "" {
			t.Errorf("%s: %s", name, v)
		}
	}
	if first.header.Get("Content-Type") != "application/x-ndjson" || first.header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("the head is %v", first.header)
	}
	for range 2 {
		first.object()
	}
	last := first.object()["offset"].(string)
	first.end()
	resumed := s.open("GET", "/v1/streams/web/events?envelope=offset&from="+last, st.token, "", nil)
	packed := s.open("POST", "/api/events", st.token, `{"start":"LATEST"}`, gunzip(t))
	served := s.open("GET", "/sse?from=LATEST", st.token, "", nil)
	asked := s.open("GET", "/v1/streams/web/events?from=EARLIEST", st.token, "", gunzip(t), "Accept-Encoding", "gzip")
	if packed.header.Get("Content-Encoding") != "gzip" || packed.header.Get("Ua-Operation-Id") == "" {
		t.Errorf("the head is %v", packed.header)
	}
	s.bulk(st, 3, 2)
	for i := range 2 {
		event := resumed.object()
		if at := event["offset"].(string); at == last {
			t.Errorf("offset %s again", at)
		}
		if packed.object()["type"] != "CUSTOM" {
			t.Errorf("event %d is not in the envelope", i)
		}
	}
	for range 5 {
		asked.object()
	}
	for _, want := range []string{"retry: 1000", "id: ", "data: {"} {
		for {
			line, ok := served.next()
			if !ok {
				t.Fatal("the server-sent events ended")
			}
			if strings.HasPrefix(line, want) {
				break
			}
		}
	}
	// A long poll ends in order and with the line that says where to go on.
	poll := s.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&limit=5&envelope=offset", st.token, "")
	if lines := strings.Split(strings.TrimSpace(poll.body), "\n"); len(lines) != 6 || !strings.Contains(lines[5], "OFFSET_UPDATE") {
		t.Errorf("the long poll gives %q", poll.body)
	}
	zipped := s.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&limit=5", st.token, "", "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(strings.NewReader(zipped.body))
	s.must(err)
	if text, err := io.ReadAll(z); err != nil || bytes.Count(text, []byte("\n")) != 5 {
		t.Errorf("the packed long poll: %v %q", err, text)
	}
	if a := s.want(505, "GET", "/ws", st.token, "", "Sec-Websocket-Version", "13"); !strings.Contains(a.body, "HTTP/1.1") {
		t.Errorf("a websocket over HTTP/2: %s", a.body)
	}
	s.want(401, "GET", "/ws", "nobody", "")
}

// metric waits until the metrics have a line.
func (e *edge) metric(line string) {
	e.t.Helper()
	e.eventually(line, func() bool { return strings.Contains(e.want(200, "GET", "/metrics", "", "").body, line+"\n") })
}

// A hundred readers share a connection; one that stops reading holds up none of the others and loses nothing; one that
// leaves is noticed.
func TestHTTP2ManyStreams(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newSecured(t, nil)
	st := s.stream("default", registry.StreamSpec{Name: "web"})
	const readers = 100
	// The stuck one is of the same connection. Go's client gives a stream 4 MiB before somebody has to read.
	stuck := s.do(s.client, "GET", "/v1/streams/web/events", st.token, nil)
	var all sync.WaitGroup
	var opened sync.WaitGroup
	opened.Add(readers)
	const events, rounds = 2_000, 8
	for range readers {
		all.Go(func() {
			res := s.do(s.client, "GET", fmt.Sprintf("/v1/streams/web/events?limit=%d", events*rounds/10), st.token, nil)
			opened.Done()
			n, err := lineCount(res.Body)
			if err != nil || n != events*rounds/10 {
				t.Errorf("a reader has %d events, %v", n, err)
			}
		})
	}
	opened.Wait()
	s.metric(`sluice_readers{kind="ndjson",stream="web"} 101`)
	for i := range rounds {
		s.bulk(st, i*events, events)
	}
	all.Wait()
	// Others go on while the stuck one waits.
	s.want(200, "GET", "/ready", "", "")
	s.metric(`sluice_readers{kind="ndjson",stream="web"} 1`)
	lines := 0
	d := json.NewDecoder(stuck.Body)
	for ; lines < events*rounds; lines++ {
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			t.Fatalf("after %d events: %v", lines, err)
		}
	}
	stuck.Body.Close()
	s.metric(`sluice_readers{kind="ndjson",stream="web"} 0`)
}

// lineCount counts lines that are not blank.
func lineCount(r io.Reader) (n int, err error) {
	text, err := io.ReadAll(r)
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) > 0 {
			n++
		}
	}
	return n, err
}

// A drain ends streams in order, and the connection with them.
func TestHTTP2Drain(t *testing.T) {
	s := newSecured(t, func(c *gateway.Config) { c.Grace = 30 * time.Second })
	st := s.stream("default", registry.StreamSpec{Name: "web"})
	s.bulk(st, 0, 3)
	plain := s.open("GET", "/v1/streams/web/events?from=EARLIEST", st.token, "", nil)
	packed := s.open("POST", "/api/events", st.token, `{"start":"EARLIEST"}`, gunzip(t))
	for range 3 {
		plain.object()
		packed.object()
	}
	// An event on its way is work in hand: it is finished.
	body, rest := io.Pipe()
	coming := make(chan int, 1)
	begun := make(chan struct{})
	go func() {
		res := s.do(s.client, "POST", "/event", st.token, body)
		coming <- res.StatusCode
	}()
	event := strings.TrimSpace(clicks(9, 1))
	go func() {
		_, _ = io.WriteString(rest, event[:20])
		close(begun)
	}()
	<-begun
	s.metric(`sluice_readers{kind="ndjson",stream="web"} 1`)
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	for _, one := range []*endless{plain, packed} {
		if line, ok := one.next(); ok {
			t.Errorf("after the end comes %q", line)
		}
	}
	_, err := io.WriteString(rest, event[20:])
	s.must(err)
	rest.Close()
	if status := <-coming; status != 204 {
		t.Errorf("the event in hand is answered %d", status)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Bodies are held to the same limits as over HTTP/1.
func TestHTTP2Bodies(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newSecured(t, func(c *gateway.Config) { c.BodyTime = time.Second })
	st := s.stream("default", registry.StreamSpec{Name: "web"})
	const large = 10 << 20
	endless := func(n int) io.Reader { return io.LimitReader(spaces{}, int64(n)) }
	for _, row := range []struct {
		name, path, token string
		body              io.Reader
		status            int
	}{
		{"large event", "/event", st.token, strings.NewReader(strings.Repeat("x", large)), 413},
		{"large event of no announced length", "/event", st.token, endless(large), 413},
		{"large and nobody's", "/event", "nobody", endless(large), 401},
		{"large bulk", "/v1/streams/web/events", st.token, endless(33 << 20), 413},
		{"large filter", "/api/events", st.token, endless(large), 413},
		{"large for management", "/v1/streams", adminToken, endless(large), 413},
		{"bulk of blank lines", "/v1/streams/web/events", st.token, endless(8 << 20), 200},
		{"event", "/event", st.token, strings.NewReader(strings.TrimSpace(clicks(0, 1))), 204},
	} {
		res := s.do(s.client, "POST", row.path, row.token, row.body)
		if res.StatusCode != row.status || res.Proto != "HTTP/2.0" {
			text, _ := io.ReadAll(res.Body)
			t.Errorf("%s: %s %d %s", row.name, res.Proto, res.StatusCode, text)
		}
	}
	// One that stops in its middle is told so in time; one that breaks off is not stored.
	slow, hold := io.Pipe()
	defer hold.Close()
	go func() { _, _ = io.WriteString(hold, "{") }()
	if res := s.do(s.client, "POST", "/event", st.token, slow); res.StatusCode != 408 {
		t.Errorf("a slow body: %d", res.StatusCode)
	}
	broken, fail := io.Pipe()
	go func() {
		_, _ = io.WriteString(fail, clicks(7, 1))
		fail.CloseWithError(errors.New("the client changes its mind"))
	}()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.base+"/v1/streams/web/events", broken)
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+st.token)
	if res, err := s.client.Do(req); err == nil {
		t.Errorf("a broken body: %d", res.StatusCode)
	}
	if a := s.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&timeout=300ms", st.token, ""); strings.Count(strings.TrimSpace(a.body), "\n") != 0 {
		t.Errorf("stored: %s", a.body)
	}
	junk := strings.Repeat("j", 40<<10)
	if huge := s.do(s.one, "GET", "/ready", "", nil, "X-Junk", junk); huge.StatusCode != 431 {
		t.Errorf("a huge header: %d", huge.StatusCode)
	}
	req, err = http.NewRequestWithContext(t.Context(), "GET", s.base+"/ready", nil)
	s.must(err)
	req.Header.Set("X-Junk", junk)
	if _, err := s.client.Do(req); err == nil || !strings.Contains(err.Error(), "advertised limit") {
		t.Errorf("a huge header over HTTP/2, whose server says how large one may be: %v", err)
	}
}

// spaces never ends.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

// beside opens a second edge on the same core, which speaks plain HTTP/1.1.
func (s *secured) beside() (base string) {
	s.t.Helper()
	metrics := prometheus.NewRegistry()
	g, err := gateway.Open(gateway.Config{
		Listen: "127.0.0.1:0", Registry: s.reg, Relay: s.relay, Ready: s.engine.Ready, Metrics: metrics, Gatherer: metrics,
		Backup: s.backup,
	})
	s.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		s.must(<-done)
	})
	return "http://" + g.Addr().String()
}
