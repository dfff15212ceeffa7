//go:build parts

package clients_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/loadtest/server"
)

// TestGapsAndFlush: with the settings of a fresh server an idle stream says something often enough for the client that gives up
// after 5 s of silence, and an event is there at once, not with the next sign of life: measured outside, byte by byte, plain and packed.
func TestGapsAndFlush(t *testing.T) {
	p, err := server.Start(t.Context(), server.Config{Binary: binary, Data: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	r := &rig{t: t, server: p}
	r.call("POST", "/v1/streams", `{"name":"app","contract":"airship/event/3.0.0"}`)
	for _, encoding := range []string{"", "Accept-Encoding: identity\r\n"} {
		c, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "POST /api/events/?stream=app HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%sContent-Length: 2\r\n\r\n{}", p.Token, encoding); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "POST"})
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		lines := bufio.NewScanner(res.Body)
		if encoding == "" {
			z, err := gzip.NewReader(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			lines = bufio.NewScanner(z)
		}
		var longest time.Duration
		last := time.Now()
		next := func() string {
			if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			if !lines.Scan() {
				t.Fatalf("the stream ended: %v", lines.Err())
			}
			now := time.Now()
			longest, last = max(longest, now.Sub(last)), now
			return lines.Text()
		}
		for range 2 {
			if line := next(); line != "" {
				t.Fatalf("an idle stream says %s", line)
			}
		}
		if longest >= 5*time.Second {
			t.Errorf("silent for %v", longest)
		}
		quick := 0
		for range 5 {
			began := time.Now()
			r.post(1)
			for !strings.Contains(next(), fmt.Sprintf(`"id":"e-%d"`, r.counter)) {
			}
			if time.Since(began) < time.Second {
				quick++
			}
		}
		// Held back behind a sign of life, hardly one of five would be there within a second.
		if quick < 4 {
			t.Errorf("%q: only %d of 5 events were there within a second", encoding, quick)
		}
		t.Logf("%q: longest silence %v", encoding, longest)
	}
}
