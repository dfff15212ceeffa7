package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// Nothing is ever sent to these clients: that they have left shows at their sockets alone, and then their place is free.
func TestClientThatLeavesASilentStream(t *testing.T) {
	silent := func(c *gateway.Config) { c.Keepalive, c.MaxConnections = time.Hour, 1 }
	plain := newEdge(t, silent)
	secured := newSecured(t, silent)
	for _, tc := range []struct {
		name   string
		edge   *edge
		client *http.Client
	}{{"plain", plain, plain.client}, {"TLS", secured.edge, secured.one}, {"HTTP/2", secured.edge, secured.client}} {
		st := tc.edge.stream("default", registry.StreamSpec{Name: "web-" + strings.ReplaceAll(tc.name, "/", "")})
		for range 3 {
			tc.edge.eventually("a place is free for "+tc.name, func() bool {
				req, err := http.NewRequestWithContext(t.Context(), "POST", tc.edge.base+"/api/events", strings.NewReader("{}"))
				tc.edge.must(err)
				req.Header.Set("Authorization", "Bearer "+st.token)
				res, err := tc.client.Do(req)
				tc.edge.must(err)
				res.Body.Close()
				return res.StatusCode == 200
			})
		}
	}
}

// A client may say that it sends no more and go on reading. It is asked once whether it is there, and is shown
// everything that comes.
func TestClientThatOnlySendsNoMore(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = time.Hour })
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	c := e.raw()
	_, err := fmt.Fprintf(c, "POST /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nAccept-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}", st.token)
	e.must(err)
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: "POST"})
	e.must(err)
	e.must(c.(*net.TCPConn).CloseWrite())
	lines := bufio.NewReader(res.Body)
	if line, err := lines.ReadString('\n'); line != "\n" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	for i := range 3 {
		e.bulk(st, i, i+1)
		if line, err := lines.ReadString('\n'); !strings.Contains(line, `"type":"CUSTOM"`) || err != nil {
			t.Fatalf("event %d: %q, %v", i, line, err)
		}
	}
	e.must(c.Close())
	_, _ = io.Copy(io.Discard, res.Body)
}
