package webhook_test

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/delivery/webhook"
	"sluice/relay/registry"
)

// raw is a receiver below HTTP: serve has each connection, its request's head read already.
func raw(t *testing.T, serve func(c net.Conn, in *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]struct{}{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = struct{}{}
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadString('\n')
					if err != nil {
						return
					}
					if line == "\r\n" {
						break
					}
				}
				serve(c, in)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "http://" + l.Addr().String()
}

// Each hostile receiver costs one attempt, for no longer than the webhook's timeout, and is told for what it is.
func TestHostileReceivers(t *testing.T) {
	w := newWorld(t, t.TempDir())
	n := w.node(webhook.Config{}, alone)
	st := w.stream("source")
	redirected := newReceiver(t, nil)
	gone := newReceiver(t, nil)
	gone.server.Close()
	const limit = 300 * time.Millisecond
	cases := []struct {
		name   string
		url    string
		result string // "": delivered
		status int
	}{
		{"hangs", raw(t, func(c net.Conn, _ *bufio.Reader) { time.Sleep(2 * limit) }), webhook.FailTimeout, 0},
		{"slow loris", raw(t, func(c net.Conn, _ *bufio.Reader) {
			for _, b := range []byte("HTTP/1.1 200 OK\r\nX-Slow: " + strings.Repeat("x", 100)) {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}), webhook.FailTimeout, 0},
		{"closes at once", raw(t, func(net.Conn, *bufio.Reader) {}), webhook.FailBroken, 0},
		{"resets", raw(t, func(c net.Conn, _ *bufio.Reader) { c.(*net.TCPConn).SetLinger(0) }), webhook.FailBroken, 0},
		{"resets after 200", raw(t, func(c net.Conn, _ *bufio.Reader) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			time.Sleep(10 * time.Millisecond)
			c.(*net.TCPConn).SetLinger(0)
		}), "", 200},
		{"endless body", raw(t, func(c net.Conn, _ *bufio.Reader) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\n\r\n")
			for junk := make([]byte, 1<<16); ; {
				if _, err := c.Write(junk); err != nil {
					return
				}
			}
		}), "", 200},
		{"huge declared body", raw(t, func(c net.Conn, _ *bufio.Reader) {
			fmt.Fprint(c, "HTTP/1.1 500 No\r\nContent-Length: 99999999999\r\n\r\n")
			time.Sleep(limit)
		}), webhook.FailStatus, 500},
		{"huge head", raw(t, func(c net.Conn, _ *bufio.Reader) {
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
		}), webhook.FailAnswer, 0},
		{"not HTTP", raw(t, func(c net.Conn, _ *bufio.Reader) { fmt.Fprint(c, "220 mail.example.com ESMTP\r\n\r\n") }), webhook.FailAnswer, 0},
		{"interim answers for ever", raw(t, func(c net.Conn, _ *bufio.Reader) {
			for {
				if _, err := fmt.Fprint(c, "HTTP/1.1 102 Processing\r\n\r\n"); err != nil {
					return
				}
			}
		}), webhook.FailAnswer, 0},
		{"continue first", raw(t, func(c net.Conn, _ *bufio.Reader) {
			fmt.Fprint(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
		}), "", 204},
		{"redirects", raw(t, func(c net.Conn, _ *bufio.Reader) {
			fmt.Fprintf(c, "HTTP/1.1 307 Temporary Redirect\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", redirected.server.URL)
		}), webhook.FailRedirect, 307},
		{"nobody listens", gone.server.URL, webhook.FailConnect, 0},
		{"plain where TLS is meant", strings.Replace(redirected.server.URL, "http:", "https:", 1), webhook.FailTLS, 0},
		{"no such name", "https://no-such-name.invalid/", webhook.FailDNS, 0},
	}
	var wg sync.WaitGroup
	for i, c := range cases {
		h := w.hook(st, c.url, func(s *registry.WebhookSpec) { s.Name, s.Timeout, s.Disabled = fmt.Sprintf("hook-%d", i), limit, true })
		wg.Go(func() {
			began := time.Now()
			a, err := n.Test(t.Context(), h)
			if err != nil || a.Failure != c.result || a.Status != c.status {
				if c.result == webhook.FailDNS && a.Failure == webhook.FailTimeout {
					return // a resolver that does not answer
				}
				t.Errorf("%s: %q %d %v, want %q %d", c.name, a.Failure, a.Status, err, c.result, c.status)
			}
			if took := time.Since(began); took > limit+2*time.Second {
				t.Errorf("%s: took %v", c.name, took)
			}
		})
	}
	wg.Wait()
	if len(redirected.all) != 0 {
		t.Error("a redirect was followed")
	}
}

// A webhook that hangs, and one that fails, do not slow another on the same stream.
func TestOneDoesNotSlowAnother(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("source")
	w.hook(st, raw(t, func(net.Conn, *bufio.Reader) { time.Sleep(time.Second) }), func(s *registry.WebhookSpec) {
		s.Name, s.Timeout, s.Ordering = "hangs", time.Second, "none"
	})
	failing := newReceiver(t, func(*delivered, http.ResponseWriter) int { return 500 })
	w.hook(st, failing.server.URL, func(s *registry.WebhookSpec) { s.Name = "fails" })
	good := newReceiver(t, nil)
	w.hook(st, good.server.URL, func(s *registry.WebhookSpec) { s.Name = "good" })
	w.node(webhook.Config{Linger: 20 * time.Millisecond}, alone)
	began := time.Now()
	w.send(st, 0, 5000)
	until(t, 5*time.Second, "delivered to the good one", func() bool { return len(good.numbers()) >= 5000 })
	exactly(t, good, 5000)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestRetryAfterAndGone(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("source")
	var mu sync.Mutex
	var times []time.Time
	var mended atomic.Bool
	r := newReceiver(t, func(_ *delivered, rw http.ResponseWriter) int {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Now())
		switch len(times) {
		case 1:
			rw.Header().Set("Retry-After", "1")
			return http.StatusTooManyRequests
		case 2:
			return http.StatusOK
		}
		if mended.Load() {
			return http.StatusOK
		}
		return http.StatusGone
	})
	h := w.hook(st, r.server.URL, nil)
	w.node(webhook.Config{Linger: 5 * time.Millisecond}, alone)
	w.send(st, 0, 1)
	until(t, 5*time.Second, "delivered", func() bool { return len(r.numbers()) == 1 })
	mu.Lock()
	waited := times[1].Sub(times[0])
	mu.Unlock()
	if waited < 990*time.Millisecond {
		t.Errorf("came again after %v, asked for was 1 s", waited)
	}
	w.send(st, 1, 2)
	until(t, 5*time.Second, "switched off", func() bool { return !w.registry.Snapshot().WebhookByID(h.ID).Enabled })
	if reason := w.registry.Snapshot().WebhookByID(h.ID).Reason; !strings.Contains(reason, "410 Gone") {
		t.Errorf("reason %q", reason)
	}
	// Enabled again it goes on with what was refused.
	mended.Store(true)
	on := true
	if _, err := w.registry.UpdateWebhook(t.Context(), h.ID, registry.WebhookPatch{Enabled: &on}); err != nil {
		t.Fatal(err)
	}
	until(t, 10*time.Second, "went on", func() bool { return len(r.numbers()) == 2 })
	exactly(t, r, 2)
}

// TLS with a certificate of one's own is trusted by ca_file alone; kept connections are used again.
func TestTLS(t *testing.T) {
	w := newWorld(t, t.TempDir())
	st := w.stream("source")
	var conns atomic.Int32
	r := &receiver{t: t}
	r.server = httptest.NewUnstartedServer(r)
	r.server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	r.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	r.server.StartTLS()
	t.Cleanup(r.server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	h := w.hook(st, r.server.URL, nil)
	stranger := w.node(webhook.Config{}, alone)
	if a, err := stranger.Test(t.Context(), h); err != nil || a.Failure != webhook.FailTLS {
		t.Errorf("without the certificate: %+v %v", a, err)
	}
	stranger.stop()
	conns.Store(0)
	w.node(webhook.Config{CAFile: ca, Linger: 5 * time.Millisecond}, alone)
	w.send(st, 0, 500)
	until(t, 10*time.Second, "delivered", func() bool { return len(r.numbers()) >= 500 })
	exactly(t, r, 500)
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for one at a time", n)
	}
}
