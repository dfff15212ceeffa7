package wire_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sluice/loadtest/wire"
)

func dial(t *testing.T, h http.HandlerFunc) (*wire.Conn, string) {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	host := strings.TrimPrefix(srv.URL, "http://")
	c, err := wire.Dial(host, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, host
}

func TestDoKeepsTheConnection(t *testing.T) {
	var remotes = map[string]bool{}
	big := strings.Repeat("x", 100_000)
	c, host := dial(t, func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr] = true
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/big":
			w.Header().Set("Content-Length", fmt.Sprint(len(big)))
			io.WriteString(w, big)
		default:
			w.Header().Set("Content-Length", fmt.Sprint(len(body)+len(r.Header.Get("X"))))
			w.WriteHeader(http.StatusBadRequest)
			w.Write(append(body, r.Header.Get("X")...))
		}
	})
	for range 3 {
		for _, tt := range []struct {
			path   string
			status int
			want   string
		}{{"/none", 204, ""}, {"/echo", 400, "hello, you"}, {"/big", 200, big}} {
			status, body, err := c.Do(wire.Request("POST", tt.path, host, []string{"X: , you"}, []byte("hello")))
			if err != nil || status != tt.status || string(body) != tt.want {
				t.Fatalf("%s: %d %.20q %v", tt.path, status, body, err)
			}
		}
	}
	if len(remotes) != 1 {
		t.Errorf("%d connections", len(remotes))
	}
}

func TestBodyCanBeChangedInPlace(t *testing.T) {
	var got []string
	c, host := dial(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, string(body))
		w.WriteHeader(http.StatusNoContent)
	})
	req := wire.Request("POST", "/", host, nil, []byte("a1"))
	for n := range 3 {
		wire.Body(req)[1] = byte('1' + n)
		if _, _, err := c.Do(req); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Join(got, " ") != "a1 a2 a3" {
		t.Errorf("got %v", got)
	}
}

func TestDoAllocatesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // a server that allocates nothing either
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in, out := make([]byte, 4096), []byte("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 2\r\n\r\nok")
		for {
			if _, err := c.Read(in); err != nil {
				return
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}()
	c, err := wire.Dial(l.Addr().String(), 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := wire.Request("POST", "/", "h", nil, nil)
	got := testing.AllocsPerRun(500, func() {
		if status, body, err := c.Do(req); err != nil || status != 200 || string(body) != "ok" {
			t.Fatal(status, err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations a request", got)
	}
}

func TestLinesOfAStream(t *testing.T) {
	long := strings.Repeat("y", 200_000)
	for _, gz := range []bool{false, true} {
		c, host := dial(t, func(w http.ResponseWriter, r *http.Request) {
			var out io.Writer = w
			if r.Header.Get("Accept-Encoding") == "gzip" {
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				defer z.Close()
				out = z
			}
			for i := range 100 {
				fmt.Fprintf(out, "line %d\n\n", i)
				w.(http.Flusher).Flush()
			}
			fmt.Fprintf(out, "%s\nunfinished", long)
		})
		var headers []string
		if gz {
			headers = append(headers, "Accept-Encoding: gzip")
		}
		s, err := c.Open(wire.Request("GET", "/", host, headers, nil))
		if err != nil || s.Gzip != gz {
			t.Fatal(s, err)
		}
		n := 0
		err = wire.Lines(s, s.Gzip, func(line []byte) error {
			want := fmt.Sprintf("line %d", n)
			if n == 100 {
				want = long
			}
			if string(line) != want {
				return fmt.Errorf("%.30q, want %.30q", line, want)
			}
			n++
			return nil
		})
		if !errors.Is(err, io.EOF) || n != 101 {
			t.Errorf("gzip %v: %d lines, %v", gz, n, err)
		}
	}
}

func TestRefusedStream(t *testing.T) {
	c, host := dial(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusGone) })
	var refused *wire.RefusedError
	if _, err := c.Open(wire.Request("GET", "/", host, nil, nil)); !errors.As(err, &refused) || refused.Status != 410 {
		t.Errorf("%v", err)
	}
}
