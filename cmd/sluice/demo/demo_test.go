package demo_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/cmd/sluice/demo"
	"sluice/cmd/sluice/node"
	"sluice/config"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")) // one clock for the process, started by its first server
}

// serve is a real node.
func serve(ctx context.Context, dir, _, admin string, ready func(url string)) error {
	l, err := config.Load(config.Sources{Env: demo.Settings(dir, "127.0.0.1:0")})
	if err != nil {
		return err
	}
	return node.Run(ctx, node.Options{
		Config: l.Config, AdminToken: admin, TestServer: &node.TestServer{Seed: 7, Rate: 50}, Log: slog.New(slog.DiscardHandler), Ready: func(s node.Started) { ready(s.URL) },
	})
}

// screen is a buffer that may be read while it is written.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// tally is a consumer's line of the summary.
var tally = regexp.MustCompile(`(?m)^  (demo\S* \w+) +received (\d+), dropped for consent (\d+)`)

// tallied reads the summary: what was accepted, and what each consumer received and was not to see.
func tallied(t *testing.T, out string) (accepted int, consumers map[string][2]int) {
	t.Helper()
	n := func(text string) int { v, _ := strconv.Atoi(text); return v }
	m := regexp.MustCompile(`(?m)^(\d+) events accepted$`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("there is no summary in\n%s", out)
	}
	consumers = map[string][2]int{}
	for _, c := range tally.FindAllStringSubmatch(out, -1) {
		consumers[c[1]] = [2]int{n(c[2]), n(c[3])}
	}
	return n(m[1]), consumers
}

func TestBooksBalance(t *testing.T) {
	t.Parallel()
	out := &screen{}
	if err := demo.Run(t.Context(), demo.Options{For: 2 * time.Second, Rate: 300, Seed: 7, Out: out}, serve); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.HasSuffix(out.String(), "\nnothing lost, nothing doubled\n") {
		t.Fatalf("the summary is\n%s", out)
	}
	accepted, consumers := tallied(t, out.String())
	for door, stream := range map[string]string{
		"demo lines": "demo", "demo-2 lines": "demo-2", "demo-0-1 lines": "demo-0-1", "demo-0-1 websocket": "demo-0-1", "demo-2 webhook": "demo-2", "demo folder": "demo",
	} {
		got, ok := consumers[door]
		if !ok || accepted < 50 || got[0]+got[1] != accepted || got != consumers[stream+" lines"] || (got[1] == 0) != (stream == "demo") || got[0] == 0 {
			t.Errorf("%s: %v of %d accepted, in\n%s", door, got, accepted, out)
		}
	}
	if len(consumers) != 6 || consumers["demo-2 lines"] == consumers["demo-0-1 lines"] {
		t.Errorf("the counts are %v", consumers)
	}
	if m := regexp.MustCompile(`(?m)^  test server +received (\d+), as the log has them$`).FindStringSubmatch(out.String()); m == nil || m[1] == "0" {
		t.Errorf("nothing of the test server in\n%s", out)
	}
	if lines := strings.Count(out.String(), "\n"); lines > 80 {
		t.Errorf("%d lines in two seconds are a flood:\n%s", lines, out)
	}
}

// The commands it prints work as they are, and what they send and forget does not disturb the books.
func TestPastedCommands(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Logf("%s is not installed: the commands are left to .ci/run", tool)
			return
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &screen{}
	done := make(chan error, 1)
	go func() { done <- demo.Run(ctx, demo.Options{Rate: 100, Seed: 7, Out: out}, serve) }()
	paste := regexp.MustCompile(`(?m)^  (curl .*)$`)
	var commands []string
	for deadline := time.Now().Add(20 * time.Second); len(commands) < 9; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d commands in\n%s", len(commands), out)
		}
		commands = nil
		for _, m := range paste.FindAllStringSubmatch(out.String(), -1) {
			commands = append(commands, m[1])
		}
	}
	for i, want := range []string{`"strmMeta"`, "204 No Content", `"forgotten":true`, `"offset":"`, `"offset":"`, `"kind":"webhook"`, `"linkedStream":"demo"`, "data: {", `"status":204`} {
		// Those that wait for something that is not there yet are typed again.
		for deadline := time.Now().Add(2 * time.Minute); ; {
			text := shown(t, commands[i], want, 30*time.Second)
			if strings.Contains(text, want) {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("%s\ngave %.300s, want %s", commands[i], text, want)
				break
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(out.String(), ", and 1 that others sent") || !strings.Contains(out.String(), "nothing lost, nothing doubled") {
		t.Errorf("the summary is\n%s", out)
	}
}

// shown runs a command until it has printed what is wanted, has ended, or has had its time, and gives what it printed.
func shown(t *testing.T, command, want string, most time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", "exec "+command)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	buf := make([]byte, 64<<10)
	for !strings.Contains(text.String(), want) {
		n, err := out.Read(buf)
		text.Write(buf[:n])
		if err != nil {
			break
		}
	}
	cancel() // an endless one ends with its reader
	_ = cmd.Wait()
	return text.String()
}

// Whatever goes wrong between the log and a reader is found. Each case stands between the demo and a real node and spoils one line.
func TestBooksDoNotBalance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(line string) string
		says  string
	}{
		"lost":    {func(string) string { return "" }, "lost"},
		"doubled": {func(l string) string { return l + l }, "doubled"},
		"shown": {func(l string) string {
			return regexp.MustCompile(`"A[A-Za-z0-9+/=]{27,}"`).ReplaceAllString(l, `"clear"`)
		}, "altered"},
		"another":      {func(l string) string { return strings.Replace(l, `-00000000`, `-00009999`, 1) }, "nobody sent it"},
		"not an event": {func(string) string { return "nonsense\n" }, "is no event"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := &screen{}
			err := demo.Run(t.Context(), demo.Options{For: 400 * time.Millisecond, Rate: 400, Seed: 7, Out: out}, spoiled(c.spoil))
			if !errors.Is(err, demo.ErrUnbalanced) {
				t.Errorf("the verdict is %v", err)
			}
			if text := fmt.Sprint(out, err); !strings.Contains(text, c.says) || strings.Contains(text, "nothing lost") {
				t.Errorf("%q is not in\n%s", c.says, text)
			}
		})
	}
}

// spoiled is a node behind a proxy that spoils the third line of stream demo.
func spoiled(spoil func(string) string) demo.Server {
	return between(func(w http.ResponseWriter, r *http.Request, _ *url.URL, pass http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/demo/events") {
			r.Header.Del("Accept-Encoding")
			proxy := *pass.(*httputil.ReverseProxy)
			proxy.ModifyResponse = func(r *http.Response) error {
				r.Body = respell(r.Body, 3, spoil)
				return nil
			}
			pass = &proxy
		}
		pass.ServeHTTP(w, r)
	})
}

// respell passes lines on, but for the nth with something in it.
func respell(body io.ReadCloser, nth int, spoil func(string) string) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		defer body.Close()
		lines := bufio.NewReader(body)
		for {
			line, err := lines.ReadString('\n')
			if strings.TrimSpace(line) != "" {
				if nth--; nth == 0 {
					line = spoil(line)
				}
			}
			if _, stopped := io.WriteString(w, line); stopped != nil || err != nil {
				w.CloseWithError(err)
				return
			}
		}
	}()
	return r
}

// A server that does not start, or dies, ends the demo with its reason.
func TestServerDies(t *testing.T) {
	t.Parallel()
	broken := errors.New("no disk")
	err := demo.Run(t.Context(), demo.Options{Rate: 10, Out: io.Discard}, func(context.Context, string, string, string, func(string)) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("a server that does not start gave %v", err)
	}
	err = demo.Run(t.Context(), demo.Options{Rate: 100, Out: io.Discard}, func(ctx context.Context, dir, listen, admin string, ready func(string)) error {
		ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
		defer cancel()
		return errors.Join(serve(ctx, dir, listen, admin, ready), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("a server that dies gave %v", err)
	}
}
