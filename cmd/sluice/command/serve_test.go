package command_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sluice/cmd/sluice/command"
)

// The first start of a store prints its admin token, once; admin-token makes another while the server is stopped.
func TestAdminToken(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := serve(t, data, nil)
	found := regexp.MustCompile(`export SLUICE_TOKEN=(\S+)`).FindStringSubmatch(s.errors.String())
	if found == nil {
		t.Fatalf("no admin token in %s", s.errors)
	}
	as := func(s *server, token string) *terminal {
		return newTerminal(t, "SLUICE_URL="+s.url, "SLUICE_TOKEN="+token)
	}
	as(s, found[1]).ok("list", "stream")
	c := newTerminal(t)
	c.fails(command.ExitRefused, "the data folder is in use by another process", "admin-token", "--data", data)
	if code := s.end(); code != command.ExitOK {
		t.Fatalf("serve ended with %d: %s", code, s.errors)
	}

	fresh := strings.TrimSpace(c.ok("admin-token", "--data", data))
	s = serve(t, data, nil)
	if strings.Contains(s.errors.String(), "SLUICE_TOKEN") {
		t.Errorf("the second start prints a token: %s", s.errors)
	}
	as(s, fresh).ok("list", "stream")
	as(s, found[1]).fails(command.ExitRefused, "(401)", "list", "stream")
	s.end()

	// The token of one run stands in for the stored one, and leaves it as it is.
	s = serve(t, data, []string{"SLUICE_ADMIN_TOKEN=" + adminToken})
	as(s, adminToken).ok("list", "stream")
	as(s, fresh).fails(command.ExitRefused, "(401)", "list", "stream")
	s.end()
	s = serve(t, data, nil)
	as(s, fresh).ok("list", "stream")

	c.fails(command.ExitRefused, "there is no store", "admin-token", "--data", filepath.Join(t.TempDir(), "none"))
}

// What was accepted is there after a stop and a start; streams in progress end in order.
func TestStopAndStart(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	env := []string{"SLUICE_ADMIN_TOKEN=" + adminToken}
	s := serve(t, data, env)
	for path, want := range map[string]int{"/ready": 200, "/is-alive": 200, "/metrics": 200, "/openapi.json": 200, "/nothing": 404} {
		if got := s.get(path); got != want {
			t.Errorf("%s is %d, want %d", path, got, want)
		}
	}
	c := s.withAdmin()
	c.ok("create", "stream", "web", "--save")
	c.ok("simulate", "random-events", "web", "--count", "3", "--interval", "0", "--quiet")

	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/v1/streams/web/events?from=EARLIEST", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	lines, before := bufio.NewReader(resp.Body), ""
	for range 3 {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		before += line
	}
	s.stop()
	if rest, err := io.ReadAll(lines); err != nil || strings.TrimSpace(string(rest)) != "" {
		t.Errorf("the stream ended with %v and %q", err, rest)
	}
	if code := s.end(); code != command.ExitOK {
		t.Fatalf("serve ended with %d: %s", code, s.errors)
	}
	if log := s.errors.String(); !strings.Contains(log, `"msg":"stopping","grace":"`) {
		t.Errorf("the grace is logged as a bare number: %s", log)
	}
	s = serve(t, data, env)
	again := s.withAdmin().ok("listen", "events", "web", "--from", "EARLIEST", "--limit", "3")
	if before != again {
		t.Errorf("before the stop\n%safter\n%s", before, again)
	}
}

func TestServeRefuses(t *testing.T) {
	s, _ := admin(t)
	c := newTerminal(t)
	c.fails(command.ExitRefused, "the data folder is in use by another process", "serve", "--data", s.data, "--listen", "127.0.0.1:0")
	c.fails(command.ExitRefused, "address already in use", "serve", "--data", filepath.Join(t.TempDir(), "d"), "--listen", strings.TrimPrefix(s.url, "http://"))
	file := c.file("file", "")
	c.fails(command.ExitRefused, "data", "serve", "--data", file, "--listen", "127.0.0.1:0")
	dir := filepath.Join(t.TempDir(), "d")
	newTerminal(t, "SLUICE_ADMIN_TOKEN=short").fails(command.ExitUsage, "SLUICE_ADMIN_TOKEN: the admin token has 5 characters, it needs 16 or more",
		"serve", "--data", dir, "--listen", "127.0.0.1:0")
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a start that was refused at once made a data folder: %v", err)
	}
	// A start that fails late leaves nothing running and nothing locked.
	c.fails(command.ExitRefused, "none.pem", "serve", "--data", dir, "--listen", "127.0.0.1:0", "--tls-cert", "none.pem", "--tls-key", "none.pem")
	serve(t, dir, nil)
}

// Nobody but the owner reads what the server keeps.
func TestDataIsPrivate(t *testing.T) {
	s, _ := admin(t)
	info, err := os.Stat(s.data)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data folder is %v, %v", info.Mode(), err)
	}
}

func TestMetricsElsewhere(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s := serve(t, data, nil, "--metrics-listen", "127.0.0.1:0")
	if got := s.get("/metrics"); got != http.StatusNotFound {
		t.Errorf("/metrics is %d on the public address", got)
	}
	found := regexp.MustCompile(`"metrics":"([^"]+)"`).FindStringSubmatch(s.errors.String())
	if found == nil {
		t.Fatalf("the log does not say where metrics are: %s", s.errors)
	}
	resp, err := http.Get("http://" + found[1] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), "sluice_") || !strings.Contains(string(text), "go_goroutines") {
		t.Errorf("metrics are %.200s, %v", text, err)
	}
}

// A stop during a start is a stop.
func TestStopDuringStart(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		got := newTerminal(t).runContext(ctx, "serve", "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0")
		cancel()
		if got.code != command.ExitOK {
			t.Errorf("stopped after %v: %+v", after, got)
		}
	}
}
