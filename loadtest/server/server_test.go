package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/loadtest/server"
)

// standIn tells this test binary to stand in for sluice; its value says how it behaves.
const standIn = "SERVER_TEST_STAND_IN"

func TestMain(m *testing.M) {
	if how := os.Getenv(standIn); how != "" {
		os.Exit(stand(how))
	}
	os.Exit(m.Run())
}

// stand is called as `sluice serve --listen ADDR --data DIR`.
func stand(how string) int {
	if how == "broken" || len(os.Args) != 6 || os.Args[1] != "serve" || os.Args[2] != "--listen" || os.Args[4] != "--data" {
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	began := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, r *http.Request) {
		if time.Since(began) < 50*time.Millisecond {
			http.Error(w, "starting", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getenv("SLUICE_ADMIN_TOKEN")) })
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "# HELP go_x it\ngo_x{a=\"b\"} 1\ngo_x_more 2\ngo_x 3.5e+06\n")
	})
	go func() { _ = http.ListenAndServe(os.Args[3], mux) }()
	<-ctx.Done()
	if how == "stubborn" {
		select {}
	}
	return 0
}

func start(t *testing.T, how string) *server.Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := server.Start(t.Context(), server.Config{Binary: self, Data: t.TempDir(), Env: []string{standIn + "=" + how}, Stderr: os.Stderr})
	if how == "broken" {
		if !errors.Is(err, server.ErrNotReady) {
			t.Fatalf("%v", err)
		}
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func TestStartKillStartAgain(t *testing.T) {
	p := start(t, "well")
	token := p.Token
	if len(token) < 16 {
		t.Errorf("admin token %q", token)
	}
	p.Kill()
	select {
	case <-p.Done():
	default:
		t.Error("killed and not done")
	}
	next, err := p.Again(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(next.Kill)
	if next.Addr != p.Addr || next.PID() == p.PID() {
		t.Errorf("%s and %s, %d and %d", next.Addr, p.Addr, next.PID(), p.PID())
	}
	if status, text, err := next.Call(t.Context(), "GET", "/token", nil); err != nil || status != 200 || string(text) != token {
		t.Errorf("%d %s %v", status, text, err)
	}
}

func TestStop(t *testing.T) {
	if code, err := start(t, "well").Stop(10 * time.Second); code != 0 || err != nil {
		t.Errorf("%d %v", code, err)
	}
	if code, err := start(t, "stubborn").Stop(100 * time.Millisecond); code != -1 || err == nil {
		t.Errorf("one that does not end: %d %v", code, err)
	}
	start(t, "broken")
}

func TestMemoryAndMetrics(t *testing.T) {
	p := start(t, "well")
	mem, err := p.Memory()
	if err != nil || mem.Resident < 1<<20 || mem.Peak < mem.Resident {
		t.Errorf("%+v %v", mem, err)
	}
	before, err := server.CPU(os.Getpid())
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
	}
	after, err2 := server.CPU(os.Getpid())
	if used := after - before; err != nil || err2 != nil || used <= 0 || used > 10*time.Second {
		t.Errorf("%s of processor time, %v %v", after-before, err, err2)
	}
	if err := p.ResetPeak(); err != nil {
		t.Error(err)
	}
	if v, err := p.Metric(t.Context(), "go_x"); v != 3.5e6 || err != nil {
		t.Errorf("%v %v", v, err)
	}
	if _, err := p.Metric(t.Context(), "go_y"); err == nil {
		t.Error("a metric that is not there")
	}
}

func TestAdmin(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body strings.Builder
		_ = r.Write(&body)
		id, secret, _ := r.BasicAuth()
		switch {
		case strings.HasSuffix(r.URL.Path, "/openid-connect/token"):
			if r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || id != "i" || secret != "s" || !strings.Contains(body.String(), "grant_type=client_credentials") {
				http.Error(w, "no", http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, `{"access_token":"t"}`)
		case r.Header.Get("Authorization") != "Bearer admin":
			http.Error(w, "no", http.StatusUnauthorized)
		case r.Method == http.MethodPost && r.URL.Path == "/v1/streams":
			w.WriteHeader(http.StatusCreated)
			name := "a"
			if strings.Contains(body.String(), `"consentLevelType":"CUMULATIVE","consentLevels":[2],"linkedStream":"a"`) {
				name = "a-2"
			}
			fmt.Fprintf(w, `{"ref":{"name":%q},"credentials":[{"clientId":"i","clientSecret":"s"}]}`, name)
		case r.Method == http.MethodDelete && r.URL.EscapedPath() == "/v1/data-subjects/some%20one%2Felse" && r.URL.RawQuery == "stream=a":
			fmt.Fprint(w, `{"forgotten":true,"streams":["a"]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	a := server.Admin{Base: srv.URL, Token: "admin"}
	s, err := a.CreateStream(t.Context(), "a")
	if err != nil || s.Name != "a" {
		t.Fatal(s, err)
	}
	d, err := a.CreateDerived(t.Context(), "a", "CUMULATIVE", 2)
	if err != nil || d.Name != "a-2" {
		t.Fatal(d, err)
	}
	if token, err := a.AccessToken(t.Context(), d.Credentials); token != "t" || err != nil {
		t.Error(token, err)
	}
	if _, err := a.AccessToken(t.Context(), server.Credentials{}); err == nil {
		t.Error("a token without credentials")
	}
	if err := a.Forget(t.Context(), "some one/else", "a"); err != nil {
		t.Error(err)
	}
	if err := a.Forget(t.Context(), "another", "a"); err == nil {
		t.Error("404 was taken for done")
	}
	a.Token = "other"
	if _, err := a.CreateStream(t.Context(), "a"); err == nil {
		t.Error("401 was taken for done")
	}
}
