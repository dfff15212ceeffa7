package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"sluice/cmd/sluice/demo"
)

// between stands between the demo and a real node: handle answers requests, or passes them on.
func between(handle func(w http.ResponseWriter, r *http.Request, target *url.URL, pass http.Handler)) demo.Server {
	return func(ctx context.Context, dir, listen, admin string, ready func(string)) error {
		var proxy *httptest.Server
		transport := &http.Transport{DisableKeepAlives: true}
		defer func() {
			if proxy != nil {
				proxy.CloseClientConnections()
				proxy.Close()
			}
			transport.CloseIdleConnections()
		}()
		return serve(ctx, dir, listen, admin, func(to string) {
			target, err := url.Parse(to)
			if err != nil {
				panic(err)
			}
			pass := &httputil.ReverseProxy{FlushInterval: -1, Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
			proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, r, target, pass) }))
			ready(proxy.URL)
		})
	}
}

// respelled reads a request's body and gives the request another.
func respelled(r *http.Request, member string, value func(old string) string) {
	var members map[string]any
	if err := json.NewDecoder(r.Body).Decode(&members); err != nil {
		panic(err)
	}
	members[member] = value(fmt.Sprint(members[member]))
	body, err := json.Marshal(members)
	if err != nil {
		panic(err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// Every consumer is held to the books by itself: what one alone misses, or gets twice, is found.
func TestEachConsumerIsProved(t *testing.T) {
	t.Parallel()
	var worked sync.WaitGroup // what stands between
	t.Cleanup(worked.Wait)    // after the cleanups that end it
	for name, c := range map[string]struct {
		serve demo.Server
		says  string
	}{
		// The third message is left out.
		"demo-0-1 websocket": {between(func(w http.ResponseWriter, r *http.Request, target *url.URL, pass http.Handler) {
			if r.URL.Path != "/ws" {
				pass.ServeHTTP(w, r)
				return
			}
			from, resp, err := websocket.DefaultDialer.DialContext(r.Context(), "ws://"+target.Host+r.URL.RequestURI(), http.Header{"Authorization": r.Header["Authorization"]})
			if err != nil {
				http.Error(w, fmt.Sprint(err, resp), http.StatusBadGateway)
				return
			}
			defer from.Close()
			to, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer to.Close()
			worked.Go(func() { // ends the endless read below when the demo leaves
				_, _, _ = to.ReadMessage()
				_ = from.Close()
			})
			for n := 1; ; n++ {
				kind, text, err := from.ReadMessage()
				if err != nil || n != 3 && to.WriteMessage(kind, text) != nil {
					return
				}
			}
		}), "1 lost"},
		// The second delivery is answered with 204 and goes nowhere.
		"demo-2 webhook": {between(func(w http.ResponseWriter, r *http.Request, target *url.URL, pass http.Handler) {
			if r.URL.Path == "/v1/webhooks" && r.Method == http.MethodPost {
				respelled(r, "url", func(old string) string {
					to, err := url.Parse(old)
					if err != nil {
						panic(err)
					}
					var n atomic.Int64
					on := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }, Transport: &http.Transport{DisableKeepAlives: true}}
					sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if n.Add(1) != 2 {
							on.ServeHTTP(w, r)
							return
						}
						w.WriteHeader(http.StatusNoContent)
					}))
					t.Cleanup(sink.Close)
					return sink.URL + "/"
				})
			}
			pass.ServeHTTP(w, r)
		}), " lost"},
		// A line of the test server's is left out.
		"test server": {between(func(w http.ResponseWriter, r *http.Request, _ *url.URL, pass http.Handler) {
			if r.URL.Path == "/api/events" {
				r.Header.Del("Accept-Encoding")
				proxy := *pass.(*httputil.ReverseProxy)
				proxy.ModifyResponse = func(r *http.Response) error {
					r.Header.Del("Content-Encoding")
					r.Body = respell(r.Body, 3, func(string) string { return "" })
					return nil
				}
				pass = &proxy
			}
			pass.ServeHTTP(w, r)
		}), "but event"},
		// What is in the first file is in another one again.
		"demo folder": {between(func(w http.ResponseWriter, r *http.Request, target *url.URL, pass http.Handler) {
			if r.URL.Path == "/v1/sinks" {
				respelled(r, "bucketName", func(old string) string {
					elsewhere := t.TempDir()
					ctx, cancel := context.WithCancel(t.Context())
					t.Cleanup(cancel)
					worked.Go(func() { copyTwice(ctx, elsewhere, old) })
					return elsewhere
				})
			}
			pass.ServeHTTP(w, r)
		}), " doubled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := &screen{}
			err := demo.Run(t.Context(), demo.Options{For: time.Second, Rate: 200, Seed: 7, Out: out}, c.serve)
			if !errors.Is(err, demo.ErrUnbalanced) {
				t.Errorf("the verdict is %v", err)
			}
			_, books, _ := strings.Cut(out.String(), "events accepted")
			var faulty []string
			for _, part := range regexp.MustCompile(`(?m)^  \b`).Split(books, -1)[1:] {
				if strings.Contains(part, c.says) {
					faulty = append(faulty, part)
				}
			}
			if len(faulty) != 1 || !strings.HasPrefix(faulty[0], name) || strings.Contains(books, "nothing lost") {
				t.Errorf("faulty is %q in\n%s", faulty, out)
			}
		})
	}
}

// copyTwice brings files from one folder to another as an exporter does, whole and in order, and the first one a second time.
func copyTwice(ctx context.Context, from, to string) {
	copied := map[string]bool{}
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		names, _ := filepath.Glob(filepath.Join(from, "demo", "20*.jsonl"))
		for _, name := range names {
			if copied[name] {
				continue
			}
			text, err := os.ReadFile(name)
			if err != nil {
				continue
			}
			first := len(copied) == 0
			copied[name] = true
			at := filepath.Join(to, "demo", filepath.Base(name))
			_ = os.MkdirAll(filepath.Dir(at), 0o700)
			if first {
				if err := publish(strings.Replace(at, "{0}", "{1}", 1), text); err != nil {
					return
				}
			}
			if err := publish(at, text); err != nil {
				return
			}
		}
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
	}
}

func publish(path string, text []byte) error {
	if err := os.WriteFile(path+".part", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// Deliveries that are not signed as they have to be are turned away, counted, and disturb nothing.
func TestForgedDeliveries(t *testing.T) {
	t.Parallel()
	out := &screen{}
	var forged atomic.Int64
	err := demo.Run(t.Context(), demo.Options{For: time.Second, Rate: 100, Seed: 7, Out: out}, between(func(w http.ResponseWriter, r *http.Request, _ *url.URL, pass http.Handler) {
		if r.URL.Path == "/v1/webhooks" {
			respelled(r, "url", func(to string) string {
				t.Cleanup(http.DefaultClient.CloseIdleConnections)
				go func() { // the receiver accepts a moment later
					res, err := http.Post(to, "application/json", strings.NewReader(`[{"offset":"1","body":{"a":"p000-0000000001"}}]`))
					if err == nil {
						res.Body.Close()
						forged.Store(int64(res.StatusCode))
					}
				}()
				return to
			})
		}
		pass.ServeHTTP(w, r)
	}))
	if err != nil || forged.Load() != http.StatusUnauthorized || !strings.Contains(out.String(), "and 1 without a valid signature were turned away") {
		t.Errorf("%v, answered %d\n%s", err, forged.Load(), out)
	}
}
