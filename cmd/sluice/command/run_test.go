package command_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"sluice/cmd/sluice/command"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")) // one clock for the process, started by its first server
}

const adminToken = "an-admin-token-of-the-tests"

// terminal is a person at a command line: a home of their own, and what they have exported.
type terminal struct {
	t   *testing.T
	env []string
}

func newTerminal(t *testing.T, env ...string) *terminal {
	t.Helper()
	return &terminal{t: t, env: append([]string{"HOME=" + t.TempDir()}, env...)}
}

// output is what a command did.
type output struct {
	code        int
	out, errors string
}

// run runs a command to its end.
func (c *terminal) run(args ...string) output {
	c.t.Helper()
	return c.runContext(c.t.Context(), args...)
}

func (c *terminal) runContext(ctx context.Context, args ...string) output {
	c.t.Helper()
	var out, errs bytes.Buffer
	m := command.Main{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Env: c.env}
	code := m.Run(ctx, args)
	return output{code, out.String(), errs.String()}
}

// ok runs a command that must succeed and gives what it printed.
func (c *terminal) ok(args ...string) string {
	c.t.Helper()
	got := c.run(args...)
	if got.code != command.ExitOK {
		c.t.Fatalf("sluice %s: exit %d: %s", strings.Join(args, " "), got.code, got.errors)
	}
	return got.out
}

// fails runs a command that must end with that code and say that on stderr, and nothing on stdout.
func (c *terminal) fails(code int, says string, args ...string) {
	c.t.Helper()
	got := c.run(args...)
	if got.code != code || !strings.Contains(got.errors, says) || got.out != "" {
		c.t.Errorf("sluice %s: exit %d, stdout %q, stderr %q; want exit %d saying %q", strings.Join(args, " "), got.code, got.out, got.errors, code, says)
	}
}

func (c *terminal) file(name, text string) string {
	c.t.Helper()
	path := filepath.Join(c.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// server is `sluice serve` in this process.
type server struct {
	t      *testing.T
	url    string
	data   string
	errors *shared
	stop   context.CancelFunc
	ended  chan struct{}
	code   int // once ended is closed
}

// shared is a buffer that one goroutine fills while another reads it.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// serve starts a server and returns when it listens. It is stopped with the test.
func serve(t *testing.T, data string, env []string, args ...string) *server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{t: t, data: data, errors: &shared{}, stop: cancel, ended: make(chan struct{})}
	ready := make(chan string, 1)
	m := command.Main{Stdin: strings.NewReader(""), Stdout: &shared{}, Stderr: s.errors, Env: env, Ready: func(url string) { ready <- url }}
	go func() {
		defer close(s.ended)
		s.code = m.Run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, args...))
	}()
	t.Cleanup(func() { s.end() })
	select {
	case s.url = <-ready:
	case <-s.ended:
		t.Fatalf("serve ended with %d: %s", s.code, s.errors)
	}
	return s
}

// end stops the server in order and gives its exit code.
func (s *server) end() int {
	s.stop()
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		s.t.Fatal("serve does not stop")
	}
	return s.code
}

// withAdmin is a terminal whose commands go to the server with the admin token.
func (s *server) withAdmin() *terminal {
	return newTerminal(s.t, "SLUICE_URL="+s.url, "SLUICE_TOKEN="+adminToken)
}

// admin starts a server that takes adminToken, and a terminal for it.
func admin(t *testing.T) (*server, *terminal) {
	t.Helper()
	s := serve(t, filepath.Join(t.TempDir(), "data"), []string{"SLUICE_ADMIN_TOKEN=" + adminToken})
	return s, s.withAdmin()
}

func (s *server) get(path string) (status int) {
	s.t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	return resp.StatusCode
}

// body is what a GET with the admin token answers.
func (s *server) body(path string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// equal compares members of JSON by their gjson paths.
func equal(t *testing.T, text string, want map[string]any) {
	t.Helper()
	if !gjson.Valid(text) {
		t.Fatalf("not JSON: %s", text)
	}
	for path, value := range want {
		if got := gjson.Get(text, path).Value(); fmt.Sprint(got) != fmt.Sprint(value) {
			t.Errorf("%s is %v, want %v, in %s", path, got, value, text)
		}
	}
}
