package client_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"sluice/cmd/sluice/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial gives a client of a server that answers with h.
func dial(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	c, err := client.New(s.URL+"/", "tok", "shop", "test/1", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c
}

func TestNewRefusesWhatIsNoAddress(t *testing.T) {
	for _, base := range []string{"", "127.0.0.1:8080", "ftp://x", "http://", "http://a b"} {
		if _, err := client.New(base, "", "", "", ""); !errors.Is(err, client.ErrURL) {
			t.Errorf("%q: %v, want ErrURL", base, err)
		}
	}
}

func TestCallSendsWhatItIsGiven(t *testing.T) {
	c := dial(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/v1/streams" || r.URL.Query().Get("project") != "shop" || string(body) != `{"name":"x"}` ||
			r.Header.Get("Authorization") != "Bearer tok" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("User-Agent") != "test/1" {
			t.Errorf("got %s %s %s %v", r.Method, r.URL, body, r.Header)
		}
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, `{"ok":true}`)
	})
	answer, err := c.Call(t.Context(), "POST", "/v1/streams", c.Scope(), map[string]string{"name": "x"})
	if err != nil || string(answer) != `{"ok":true}` {
		t.Errorf("got %s, %v", answer, err)
	}
}

// Every surface's way to say no is understood, with a hint where the caller can do something.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status         int
		body, message  string
		hint           string
		passing        bool
		retryAfterSent string
	}{
		{404, `{"error":{"code":404,"status":"Not Found","message":"Stream 'x' does not exist"}}`, "Stream 'x' does not exist", "", false, ""},
		{400, "Field: 'url'\n  doesn't match regex: '^.+$'\n", "Field: 'url'\n  doesn't match regex: '^.+$'", "", false, ""},
		{400, `{"error":"invalid_client","error_description":"who?"}`, "who?", "", false, ""},
		{413, `{"status":413,"message":"too large","request_id":"1"}`, "too large", "", false, ""},
		{402, `{"ok":false,"error":"too many","error_code":40200,"details":{}}`, "too many", "", false, ""},
		{401, "Jwt is missing", "Jwt is missing", "SLUICE_TOKEN", false, ""},
		{403, "", "Forbidden", "admin token", false, ""},
		{503, "busy", "busy", "Try again in 7 s", true, "7"},
		{429, "slow down", "slow down", "", true, ""},
	} {
		cl := dial(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.retryAfterSent != "" {
				w.Header().Set("Retry-After", c.retryAfterSent)
			}
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		})
		_, err := cl.Call(t.Context(), "GET", "/v1/x", nil, nil)
		var no *client.Refusal
		if !errors.As(err, &no) || no.Status != c.status || no.Message != c.message || no.Passing() != c.passing ||
			!strings.Contains(no.Hint, c.hint) || (c.hint == "") != (no.Hint == "") {
			t.Errorf("%d %q: %#v", c.status, c.body, err)
		}
	}
}

func TestNobodyThere(t *testing.T) {
	s := httptest.NewServer(nil)
	s.Close()
	c, err := client.New(s.URL, "tok", "default", "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Call(t.Context(), "GET", "/v1/x", nil, nil); err == nil || !strings.Contains(err.Error(), "sluice serve") || !strings.Contains(err.Error(), s.URL) {
		t.Errorf("got %v", err)
	}
}

// Only 204 says that an event is stored.
func TestPostTakesNothingButNoContent(t *testing.T) {
	status := http.StatusOK
	c := dial(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Strm-Schema-Ref") != "a/b/1.0.0" {
			t.Errorf("headers %v", r.Header)
		}
		w.WriteHeader(status)
	})
	if err := c.Post(t.Context(), "a/b/1.0.0", []byte("{}")); err == nil || !strings.Contains(err.Error(), "200") {
		t.Errorf("200 gave %v", err)
	}
	status = http.StatusNoContent
	if err := c.Post(t.Context(), "a/b/1.0.0", []byte("{}")); err != nil {
		t.Errorf("204 gave %v", err)
	}
}

func TestLines(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 300<<10) // longer than any buffer
	c := dial(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/v1/streams/a%2Fb/events" || r.URL.Query().Get("from") != "EARLIEST" {
			t.Errorf("asked for %s", r.URL)
		}
		io.WriteString(w, "{\"a\":1}\n\n\r\n\n{\"b\":2}\r\n")
		w.Write(long)
		io.WriteString(w, "\n{\"cut")
	})
	lines, err := c.Events(t.Context(), "a/b", url.Values{"from": {"EARLIEST"}})
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	for _, want := range []string{`{"a":1}`, `{"b":2}`, string(long)} {
		line, err := lines.Next()
		if err != nil || string(line) != want {
			t.Fatalf("got %.40q (%d bytes), %v; want %.40q", line, len(line), err, want)
		}
	}
	if line, err := lines.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("a line cut short gave %q, %v", line, err)
	}
}

// An answer that breaks off is no orderly end.
func TestLinesTellABreakFromTheEnd(t *testing.T) {
	c := dial(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "{\"a\":1}\n")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	lines, err := c.Events(t.Context(), "s", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	if _, err := lines.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := lines.Next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a break gave %v", err)
	}
}

func TestOwnCertificates(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "[]") }))
	defer s.Close()
	s.Config.ErrorLog = nil
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(caFile string) error {
		c, err := client.New(s.URL, "tok", "default", "", caFile)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Call(context.Background(), "GET", "/v1/streams", nil, nil)
		return err
	}
	if err := ask(file); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	if err := ask(""); err == nil || !strings.Contains(err.Error(), "SLUICE_CA_FILE") {
		t.Errorf("without: %v", err)
	}
	if err := os.WriteFile(file, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ask(file); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("with a file of nothing: %v", err)
	}
}
