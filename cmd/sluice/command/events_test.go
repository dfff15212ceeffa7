package command_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/command"
)

// What simulate sends comes out of listen: of the source encrypted, of the derived stream as consent allows.
func TestSimulateAndListen(t *testing.T) {
	_, c := admin(t)
	c.ok("create", "stream", "web", "--save")
	c.ok("create", "stream", "--derived-from", "web", "--levels", "2", "--save")
	sim := c.run("simulate", "random-events", "web", "--count", "200", "--interval", "0", "--session-range", "3", "--session-prefix", `s"x`)
	if sim.code != 0 || !strings.Contains(sim.errors, "Starting to simulate random strmprivacy/example/1.5.0 events to stream web. Sending one event every 0 ms.\n") ||
		!strings.HasSuffix(sim.errors, "Sent 200 events\n") || sim.out != "" {
		t.Fatalf("simulate: %+v", sim)
	}
	if quiet := c.run("simulate", "random-events", "web", "--count", "1", "--quiet"); quiet.errors != "" || quiet.code != 0 {
		t.Errorf("quiet: %+v", quiet)
	}
	c.fails(command.ExitRefused, "derived from web", "simulate", "random-events", "web-2")

	source := strings.Split(strings.TrimSpace(c.ok("listen", "events", "web", "--from", "EARLIEST", "--limit", "200")), "\n")
	if len(source) != 200 {
		t.Fatalf("%d lines of 200", len(source))
	}
	kept := 0
	for _, line := range source {
		if v := gjson.Get(line, "consistentValue").Str; !regexp.MustCompile(`^A[A-Za-z0-9+/]{27,}=*$`).MatchString(v) {
			t.Fatalf("not encrypted: %s", line)
		}
		if levels := gjson.Get(line, "strmMeta.consentLevels").Array(); len(levels) > 2 {
			kept++
		}
	}
	if kept == 0 || kept == 200 {
		t.Fatalf("%d of 200 consent to level 2: the test would show nothing", kept)
	}
	derived := strings.Split(strings.TrimSpace(c.ok("listen", "events", "web-2", "--from", "EARLIEST", "--limit", fmt.Sprint(kept))), "\n")
	if len(derived) != kept {
		t.Fatalf("%d lines, want %d", len(derived), kept)
	}
	for _, line := range derived {
		if v := gjson.Get(line, "consistentValue").Str; !regexp.MustCompile(`^s"x-[0-2]$`).MatchString(v) || strings.HasPrefix(gjson.Get(line, "someSensitiveValue").Str, "sensitive") {
			t.Fatalf("shown as %s", line)
		}
	}
	// With the offset envelope, and from an offset on.
	enveloped := c.ok("listen", "events", "web-2", "--from", "EARLIEST", "--limit", "2", "--envelope", "offset")
	first := strings.Split(enveloped, "\n")[0]
	if got := c.ok("listen", "web-socket", "web-2", "--from", "EARLIEST", "--limit", fmt.Sprint(kept)); strings.TrimSpace(got) != strings.Join(derived, "\n") {
		t.Errorf("a websocket shows something else:\n%s", got)
	}
	if got := c.ok("listen", "events", "web-2", "--from", gjson.Get(first, "offset").Str, "--limit", "1"); strings.TrimSpace(got) != derived[1] {
		t.Errorf("after the first comes %s, want %s", got, derived[1])
	}
}

// Whose credentials read: given ones, saved ones, the caller's token, in this order; without any it says what to do.
func TestListenCredentials(t *testing.T) {
	s, c := admin(t)
	made := c.ok("create", "stream", "web", "--save")
	c.ok("simulate", "random-events", "web", "--count", "1", "--quiet")
	id, secret := gjson.Get(made, "credentials.0.clientId").Str, gjson.Get(made, "credentials.0.clientSecret").Str
	stranger := newTerminal(t, "SLUICE_URL="+s.url)
	read := []string{"listen", "events", "web", "--from", "EARLIEST", "--limit", "1"}
	given := func(secret string) []string {
		return append(slices.Clone(read), "--client-id", id, "--client-secret", secret)
	}
	if out := stranger.ok(given(secret)...); !gjson.Valid(out) {
		t.Errorf("got %s", out)
	}
	stranger.fails(command.ExitRefused, "do", given("wrong")...)
	stranger.fails(command.ExitRefused, "--save", read...)
	if out := newTerminal(t, "SLUICE_URL="+s.url, "SLUICE_TOKEN="+adminToken).ok(read...); !gjson.Valid(out) {
		t.Errorf("got %s", out)
	}
	read[1] = "web-socket"
	if out := stranger.ok(given(secret)...); !gjson.Valid(out) {
		t.Errorf("got %s", out)
	}
	if out := newTerminal(t, "SLUICE_URL="+s.url, "SLUICE_TOKEN="+adminToken).ok(read...); !gjson.Valid(out) {
		t.Errorf("got %s", out)
	}
	c.fails(command.ExitRefused, "404", "listen", "web-socket", "none", "--from", "EARLIEST")
	c.fails(command.ExitRefused, "404", "listen", "events", "none")
	c.fails(command.ExitRefused, "Stream 'none' does not exist", "simulate", "random-events", "none")
}

// A listener outlives the server: it goes on where it was, without a gap and without a repetition, whether it had seen an event or not.
func TestListenGoesOn(t *testing.T) {
	for kind, path := range map[string]string{"events": "/v1/streams/web/events", "web-socket": "/ws"} {
		t.Run(kind, func(t *testing.T) { testListenGoesOn(t, kind, path) })
	}
}

func testListenGoesOn(t *testing.T, kind, path string) {
	data := filepath.Join(t.TempDir(), "data")
	env := []string{"SLUICE_ADMIN_TOKEN=" + adminToken}
	s := serve(t, data, env)
	listen := strings.TrimPrefix(s.url, "http://")
	c := s.withAdmin()
	c.ok("create", "stream", "web", "--save")
	c.ok("simulate", "random-events", "web", "--count", "5", "--quiet", "--interval", "0")

	// The listener comes through a proxy, which sees when it listens.
	var listens atomic.Int64
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.URL.Path == path && !r.Request.URL.Query().Has("timeout") {
			listens.Add(1)
		}
		return nil
	}
	transport := &http.Transport{}
	proxy.Transport = transport
	between := httptest.NewServer(proxy)
	between.Config.ErrorLog = proxy.ErrorLog
	defer func() { between.Close(); transport.CloseIdleConnections() }()

	out, errs := &shared{}, &shared{}
	listening := make(chan int, 1)
	go func() {
		m := command.Main{Stdin: strings.NewReader(""), Stdout: out, Stderr: errs, Env: c.env}
		listening <- m.Run(t.Context(), []string{"listen", kind, "web", "--url", between.URL, "--limit", "20"})
	}()
	for round := range 2 {
		wait(t, func() bool { return listens.Load() == int64(round+1) })
		if code := s.end(); code != command.ExitOK {
			t.Fatalf("serve ended with %d", code)
		}
		// Sent while the listener is away: it finds a server that has them already.
		s = serve(t, data, env, "--listen", listen)
		c.ok("simulate", "random-events", "web", "--count", "10", "--quiet", "--interval", "0")
		wait(t, func() bool { return strings.Count(out.String(), "\n") == 10*(round+1) })
	}
	if code := <-listening; code != command.ExitOK {
		t.Fatalf("listen ended with %d: %s", code, errs)
	}
	all := strings.TrimSpace(c.ok("listen", "events", "web", "--from", "EARLIEST", "--limit", "25"))
	if want := strings.Join(strings.Split(all, "\n")[5:], "\n"); strings.TrimSpace(out.String()) != want {
		t.Errorf("listened to\n%s\nwant\n%s", out, want)
	}
	if !strings.Contains(errs.String(), "trying again") {
		t.Errorf("nothing was said: %q", errs)
	}
}

func TestForget(t *testing.T) {
	_, c := admin(t)
	c.ok("create", "stream", "web", "--save")
	c.ok("create", "stream", "--derived-from", "web", "--levels", "3", "--save")
	c.ok("simulate", "random-events", "web", "--count", "60", "--quiet", "--interval", "0", "--session-range", "1")
	shown := func(n int) int {
		out := c.ok("listen", "events", "web-3", "--from", "EARLIEST", "--limit", fmt.Sprint(n))
		return strings.Count(out, `"consistentValue":"session-0"`)
	}
	source := c.ok("listen", "events", "web", "--from", "EARLIEST", "--limit", "60")
	n := strings.Count(source, "[0,1,2,3]")
	if n == 0 {
		t.Fatal("nobody consents to level 3")
	}
	if got := shown(n); got != n {
		t.Fatalf("%d of %d are open before", got, n)
	}
	equal(t, c.ok("forget", "session-0", "--stream", "web"), map[string]any{"forgotten": true, "streams": []any{"web"}})
	if got := shown(n); got != 0 {
		t.Errorf("%d are open after", got)
	}
	equal(t, c.ok("forget", "nobody"), map[string]any{"forgotten": true, "streams": []any{"web"}})
	c.fails(command.ExitRefused, "derived", "forget", "session-0", "--stream", "web-3")
}

// wait polls what no event tells.
func wait(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to be")
		}
	}
}
