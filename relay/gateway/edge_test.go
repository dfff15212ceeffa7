package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/relay"
	"sluice/relay/backup"
	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/gateway"
	"sluice/relay/registry"
	"sluice/relay/sample"
)

const adminToken = "edge-test-admin-token-0123456789"

// edge is a gateway over a real log, and a client of it.
type edge struct {
	t      *testing.T
	g      *gateway.Gateway
	engine *engine.Engine
	reg    *registry.Registry
	relay  *relay.Relay
	backup *backup.Source
	addr   string
	base   string
	client *http.Client
	stop   func() error // ends the gateway, and says what Run said
	log    *lockedBuffer
	ahead  atomic.Int64 // how far the registry's clock is ahead, in ns
}

// lockedBuffer collects log lines. Safe for concurrent use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newEdge starts everything in a folder of the test's; change may be nil, core too.
func newEdge(t *testing.T, change func(*gateway.Config), core ...func(*relay.Config)) *edge {
	t.Helper()
	e := &edge{t: t, log: &lockedBuffer{}}
	log := slog.New(slog.NewTextHandler(e.log, nil))
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	run := func(part func(context.Context) error) {
		parts.Go(func() {
			if err := part(ctx); err != nil {
				t.Errorf("a part ended: %v", err)
			}
		})
	}
	var err error
	e.engine, err = engine.Open(ctx, engine.Config{Dir: filepath.Join(dir, "log"), MinFree: 1 << 20, Log: log})
	e.must(err)
	t.Cleanup(func() {
		cancel()
		parts.Wait()
		e.must(e.engine.Close())
	})
	run(e.engine.Run)
	v, err := consent.Open(ctx, e.engine.Cells(), consent.Config{Dir: dir, Log: log})
	e.must(err)
	run(v.Run)
	e.reg, err = registry.Open(ctx, e.engine, v, registry.Config{
		AdminToken: adminToken, Log: log, Now: func() time.Time { return time.Now().Add(time.Duration(e.ahead.Load())) },
	})
	e.must(err)
	run(e.reg.Run)
	central := relay.Config{Log: log}
	for _, f := range core {
		f(&central)
	}
	e.relay = relay.New(e.engine, v, e.reg, central)
	run(e.relay.Run)
	e.backup = &backup.Source{Engine: e.engine, Vault: v, Version: "test"}
	metrics := prometheus.NewRegistry()
	cfg := gateway.Config{
		Listen: "127.0.0.1:0", Registry: e.reg, Relay: e.relay, Ready: e.engine.Ready, Log: log,
		Backup:  e.backup,
		Metrics: metrics, Gatherer: metrics, Grace: 5 * time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	e.g, err = gateway.Open(cfg)
	e.must(err)
	serving, stopServing := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.g.Run(serving) }()
	e.stop = sync.OnceValue(func() error {
		stopServing()
		return <-ended
	})
	t.Cleanup(func() { e.must(e.stop()) })
	e.addr = e.g.Addr().String()
	e.base = "http://" + e.addr
	e.client = &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(e.client.CloseIdleConnections)
	return e
}

func (e *edge) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *edge) project(name string) *registry.Project {
	e.t.Helper()
	if p := e.reg.Snapshot().Project(name); p != nil {
		return p
	}
	p, _, err := e.reg.CreateProject(e.t.Context(), name)
	e.must(err)
	return p
}

// made is a stream and what its owner got.
type made struct {
	*registry.Stream
	ClientSecret string
	token        string
}

func (e *edge) stream(project string, spec registry.StreamSpec) made {
	e.t.Helper()
	st, cred, err := e.reg.CreateStream(e.t.Context(), e.project(project), spec)
	e.must(err)
	issued, err := e.reg.Tokens().Issue(e.t.Context(), cred.ClientID)
	e.must(err)
	return made{st, cred.ClientSecret, issued.AccessToken}
}

// answer is a whole answer.
type answer struct {
	status int
	header http.Header
	body   string
	close  bool // the server said that it closes the connection
}

// send makes a request; headers come in pairs, a token "" is none.
func (e *edge) send(method, path, token, body string, headers ...string) answer {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, e.base+path, strings.NewReader(body))
	e.must(err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := e.client.Do(req)
	e.must(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	e.must(err)
	return answer{res.StatusCode, res.Header, string(text), res.Close}
}

// want is send that insists on a status.
func (e *edge) want(status int, method, path, token, body string, headers ...string) answer {
	e.t.Helper()
	a := e.send(method, path, token, body, headers...)
	if a.status != status {
		e.t.Fatalf("%s %s: %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

// clicks makes n events, one a line, numbered from first.
func clicks(first, n int) string {
	gen := sample.New(1, 10)
	var b []byte
	for i := range n {
		b = append(gen.Clickstream(b, sample.Marker{N: uint64(first + i + 1)}), '\n')
	}
	return string(b)
}

// bulk stores n events and insists that all are taken.
func (e *edge) bulk(st made, first, n int) {
	e.t.Helper()
	a := e.want(200, "POST", "/v1/streams/"+url.PathEscape(st.Name)+"/events", st.token, clicks(first, n))
	if want := fmt.Sprintf(`{"accepted":%d,"rejected":0,"errors":[]}`, n); a.body != want {
		e.t.Fatalf("bulk: %s", a.body)
	}
}

// raw opens a connection of the test's own.
func (e *edge) raw() net.Conn {
	e.t.Helper()
	c, err := net.Dial("tcp", e.addr)
	e.must(err)
	e.t.Cleanup(func() { c.Close() })
	e.must(c.SetDeadline(time.Now().Add(20 * time.Second)))
	return c
}

// talk sends text on a new connection and reads the answer to a request of that method.
func (e *edge) talk(method, text string) answer {
	e.t.Helper()
	c := e.raw()
	// The answer may come before all is sent: what counts is that it can be read.
	go func() { _, _ = io.WriteString(c, text) }()
	return readAnswer(e.t, bufio.NewReader(c), method)
}

func readAnswer(t *testing.T, r *bufio.Reader, method string) answer {
	t.Helper()
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %s: %v", method, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("the answer ends with %v", err)
	}
	return answer{res.StatusCode, res.Header, string(body), res.Close}
}

// endless is a stream of lines that a client reads.
type endless struct {
	t      *testing.T
	header http.Header
	lines  *bufio.Scanner
	end    func()
}

// open begins an endless answer; unpack reads its body as lines. The client leaves when the test ends, or with end.
func (e *edge) open(method, path, token, body string, unpack func(io.Reader) io.Reader, headers ...string) *endless {
	e.t.Helper()
	ctx, cancel := context.WithCancel(e.t.Context())
	req, err := http.NewRequestWithContext(ctx, method, e.base+path, strings.NewReader(body))
	e.must(err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := e.client.Do(req)
	e.must(err)
	if res.StatusCode != 200 {
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		cancel()
		e.t.Fatalf("%s %s: %d: %s", method, path, res.StatusCode, text)
	}
	end := func() { cancel(); res.Body.Close() }
	e.t.Cleanup(end)
	var r io.Reader = res.Body
	if unpack != nil {
		r = unpack(r)
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 4<<20)
	return &endless{e.t, res.Header, lines, end}
}

// next is the next line that is not blank; ok is false when the answer ended in order.
func (s *endless) next() (line string, ok bool) {
	s.t.Helper()
	for s.lines.Scan() {
		if text := s.lines.Text(); text != "" {
			return text, true
		}
	}
	if err := s.lines.Err(); err != nil {
		s.t.Fatalf("the stream broke off: %v", err)
	}
	return "", false
}

// object is the next line as JSON.
func (s *endless) object() map[string]any {
	s.t.Helper()
	line, ok := s.next()
	if !ok {
		s.t.Fatal("the stream ended")
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(line), &v); err != nil {
		s.t.Fatalf("%q: %v", line, err)
	}
	return v
}

// eventually waits until something becomes true, which the system does in its own time.
func (e *edge) eventually(what string, holds func() bool) {
	e.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			e.t.Fatalf("after 10 s still not: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

var errNotReady = errors.New("the disk is on fire")
