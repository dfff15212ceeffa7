package command_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/command"
)

// openLoopback is a server that delivers to this machine.
func openLoopback(t *testing.T) (*server, *terminal) {
	t.Helper()
	s := serve(t, filepath.Join(t.TempDir(), "data"), []string{"SLUICE_ADMIN_TOKEN=" + adminToken}, "--webhooks-allow-cidrs", "127.0.0.1")
	return s, s.withAdmin()
}

func TestWebhookCommands(t *testing.T) {
	_, c := openLoopback(t)
	var mu sync.Mutex
	var body, head string
	box := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		body, head = string(b), ""
		for name := range r.Header {
			head += fmt.Sprintf("%s: %s\r\n", strings.ToLower(name), r.Header.Get(name))
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(box.Close)
	c.ok("create", "stream", "web", "--payload", "json")
	made := c.ok("create", "webhook", "web", "--url", box.URL, "--name", "orders", "--batch", "1", "--header", "X-Team=blue", "--retry", "5s,5m",
		"--types", "A,B", "--ordering", "none", "--envelope", "none", "--authorization", "Bearer t0k")
	secret := gjson.Get(made, "secret").Str
	for path, want := range map[string]string{
		"name": "orders", "stream": "web", "url": box.URL, "batchSize": "1", "headers.X-Team": "blue", "retry": `["5s","5m"]`, "types": `["A","B"]`,
		"ordering": "none", "envelope": "none", "enabled": "true",
	} {
		if got := gjson.Get(strings.ReplaceAll(strings.ReplaceAll(made, "\n", ""), " ", ""), path).String(); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if got := c.ok("webhooks", "test", "orders"); gjson.Get(got, "result").Str != "delivered" || gjson.Get(got, "status").Int() != 204 {
		t.Errorf("test: %s", got)
	}
	mu.Lock()
	bodyFile, headFile := c.file("body.json", body), c.file("headers.txt", "POST / HTTP/1.1\r\n"+head)
	forged := c.file("forged.json", body+" ")
	mu.Unlock()
	if got := c.ok("webhooks", "verify", "--secret", secret, "--headers", headFile, bodyFile); got != "valid\n" {
		t.Errorf("verify: %s", got)
	}
	c.fails(command.ExitRefused, "no signature fits", "webhooks", "verify", "--secret", secret, "--headers", headFile, forged)
	c.fails(command.ExitUsage, "--secret", "webhooks", "verify", bodyFile)
	if got := c.ok("update", "webhook", "orders", "--disable", "--batch", "50"); gjson.Get(got, "enabled").Bool() || gjson.Get(got, "batchSize").Int() != 50 {
		t.Errorf("update: %s", got)
	}
	c.fails(command.ExitUsage, "nothing to change", "update", "webhook", "orders")
	if got := c.ok("list", "webhooks"); strings.Contains(got, "whsec_") || gjson.Get(got, "0.name").Str != "orders" {
		t.Errorf("list: %s", got)
	}
	if got := c.ok("webhooks", "deliveries", "orders", "-o", "table"); !strings.Contains(got, "delivered") {
		t.Errorf("deliveries: %s", got)
	}
	if got := gjson.Get(c.ok("webhooks", "rotate-secret", "orders"), "secret").Str; !strings.HasPrefix(got, "whsec_") || got == secret {
		t.Errorf("rotate: %s", got)
	}
	c.fails(command.ExitRefused, "dead letter", "webhooks", "replay", "orders", "--all-dead-letters")
	c.fails(command.ExitUsage, "--from", "webhooks", "replay", "orders")
	c.fails(command.ExitRefused, "it still has webhook orders", "delete", "stream", "web")
	c.ok("delete", "webhook", "orders")
	c.fails(command.ExitRefused, "Webhook 'orders' does not exist", "get", "webhook", "orders")
}

func TestListenWebhook(t *testing.T) {
	_, c := openLoopback(t)
	c.ok("create", "stream", "web", "--save")
	c.ok("simulate", "random-events", "web", "--count", "25", "--interval", "0", "--quiet")
	var forwarded sync.Map
	box := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded.Store(r.Header.Get("webhook-id"), r.Header.Get("webhook-signature"))
	}))
	t.Cleanup(box.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := c.runContext(ctx, "listen", "webhook", "web", "--from", "EARLIEST", "--limit", "25", "--forward", box.URL)
	if lines := strings.Split(strings.TrimSpace(got.out), "\n"); got.code != 0 || len(lines) != 25 || !gjson.Valid(lines[24]) {
		t.Errorf("exit %d, %d lines: %s", got.code, len(lines), got.errors)
	}
	n := 0
	forwarded.Range(func(_, signature any) bool {
		n++
		return strings.HasPrefix(signature.(string), "v1,")
	})
	if n < 3 {
		t.Errorf("%d deliveries were forwarded", n)
	}
	if left := strings.TrimSpace(c.ok("list", "webhooks")); left != "[]" {
		t.Errorf("left behind: %s", left)
	}
}

// A listener deletes the webhooks of those that were killed, and no others: not of one that runs, or ran on another machine, nor
// somebody's own.
func TestListenWebhookSweeps(t *testing.T) {
	_, c := openLoopback(t)
	c.ok("create", "stream", "web", "--save")
	c.ok("simulate", "random-events", "web", "--count", "1", "--interval", "0", "--quiet")
	running, over := httptest.NewServer(http.NotFoundHandler()), httptest.NewServer(http.NotFoundHandler())
	over.Close()
	t.Cleanup(running.Close)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	of := "of `sluice listen webhook` on " + host
	for _, hook := range [][]string{{"listen-dead", over.URL, of}, {"listen-runs", running.URL, of}, {"listen-elsewhere", over.URL, of + "-2"}, {"mine", over.URL, of}} {
		c.ok("create", "webhook", "web", "--name", hook[0], "--url", hook[1], "--description", hook[2])
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := c.runContext(ctx, "listen", "webhook", "web", "--from", "EARLIEST", "--limit", "1")
	if got.code != 0 || !strings.Contains(got.errors, "deleted webhook listen-dead,") {
		t.Errorf("exit %d: %s", got.code, got.errors)
	}
	if names := gjson.Get(c.ok("list", "webhooks"), "#.name").String(); strings.Join(strings.Fields(names), "") != `["listen-elsewhere","listen-runs","mine"]` {
		t.Errorf("left are %s", names)
	}
}

func TestListenWebhookNeedsAnOpenLoopback(t *testing.T) {
	_, c := admin(t)
	c.ok("create", "stream", "web")
	c.fails(command.ExitRefused, "--webhooks-allow-cidrs 127.0.0.1", "listen", "webhook", "web")
}
