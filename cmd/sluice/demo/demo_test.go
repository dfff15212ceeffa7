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
	"net/http/httptest"
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
	l, err := config.Load(config.Sources{Env: []string{"SLUICE_LISTEN=127.0.0.1:0", "SLUICE_DATA=" + dir}})
	if err != nil {
		return err
	}
	return node.Run(ctx, node.Options{
		Config: l.Config, AdminToken: admin, Log: slog.New(slog.DiscardHandler), Ready: func(s node.Started) { ready(s.URL) },
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

var summary = regexp.MustCompile(`(?s)(\d+) events accepted\n  demo +received (\d+), dropped for consent 0\n  demo-2 +received (\d+), dropped for consent (\d+)\n  demo-0-1 +received (\d+), dropped for consent (\d+)\n`)

func TestBooksBalance(t *testing.T) {
	out := &screen{}
	if err := demo.Run(t.Context(), demo.Options{For: 2 * time.Second, Rate: 300, Seed: 7, Out: out}, serve); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := summary.FindStringSubmatch(out.String())
	if m == nil || !strings.HasSuffix(out.String(), "\nnothing lost, nothing doubled\n") {
		t.Fatalf("the summary is\n%s", out)
	}
	n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
	if n(1) < 50 || n(1) != n(2) || n(1) != n(3)+n(4) || n(1) != n(5)+n(6) || n(3) == 0 || n(4) == 0 || n(5) == 0 || n(6) == 0 || n(3) == n(5) {
		t.Errorf("the counts are %v", m[1:])
	}
	if lines := strings.Count(out.String(), "\n"); lines > 60 {
		t.Errorf("%d lines in two seconds are a flood:\n%s", lines, out)
	}
}

// The commands it prints work as they are, and what they send and forget does not disturb the books.
func TestPastedCommands(t *testing.T) {
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
	for deadline := time.Now().Add(20 * time.Second); len(commands) < 5; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d commands in\n%s", len(commands), out)
		}
		commands = nil
		for _, m := range paste.FindAllStringSubmatch(out.String(), -1) {
			commands = append(commands, m[1])
		}
	}
	time.Sleep(500 * time.Millisecond) // for the first three events of those who agreed to level 2
	for i, want := range []string{`"strmMeta"`, "204 No Content", `"forgotten":true`, `"offset":"`, `"linkedStream":"demo"`} {
		// The endless ones end with their reader.
		text, err := exec.CommandContext(t.Context(), "sh", "-c", "timeout 1 "+commands[i]).CombinedOutput()
		if !strings.Contains(string(text), want) {
			t.Errorf("%s\ngave %.300s (%v), want %s", commands[i], text, err, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(out.String(), "and 1 that others sent") || !strings.Contains(out.String(), "nothing lost, nothing doubled") {
		t.Errorf("the summary is\n%s", out)
	}
}

// Whatever goes wrong between the log and a reader is found. Each case stands between the demo and a real node and spoils one line.
func TestBooksDoNotBalance(t *testing.T) {
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
	return func(ctx context.Context, dir, listen, admin string, ready func(string)) error {
		var between *httptest.Server
		defer func() {
			if between != nil {
				between.CloseClientConnections()
				between.Close()
			}
		}()
		return serve(ctx, dir, listen, admin, func(to string) {
			target, err := url.Parse(to)
			if err != nil {
				panic(err)
			}
			proxy := &httputil.ReverseProxy{
				FlushInterval: -1,
				Transport:     &http.Transport{DisableKeepAlives: true},
				Rewrite: func(r *httputil.ProxyRequest) {
					r.SetURL(target)
					r.Out.Header.Del("Accept-Encoding")
				},
				ModifyResponse: func(r *http.Response) error {
					if strings.HasSuffix(r.Request.URL.Path, "/demo/events") {
						r.Body = respell(r.Body, 3, spoil)
					}
					return nil
				},
			}
			between = httptest.NewServer(proxy)
			ready(between.URL)
		})
	}
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
