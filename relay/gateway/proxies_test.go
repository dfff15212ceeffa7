package gateway_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// Behind a trusted proxy requests in progress count for the clients that it names, over every protocol; the proxy's own
// connections do not count, nor is anybody else believed.
func TestTrustedProxies(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, row := range []struct {
		name    string
		trusted []string
		secure  bool
	}{
		{"HTTP/1.1", []string{"127.0.0.0/8"}, false}, {"HTTP/2", []string{"127.0.0.1", "10.0.0.0/8"}, true}, {"not trusted", []string{"10.0.0.0/8"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			change := func(c *gateway.Config) { c.PerAddress, c.TrustedProxies = 2, row.trusted }
			var e *edge
			if row.secure {
				e = newSecured(t, change).edge
			} else {
				e = newEdge(t, change)
			}
			st := e.stream("default", registry.StreamSpec{Name: "web"})
			const forwarded, alice, bob = "X-Forwarded-For", "198.51.100.1, 192.0.2.1", "192.0.2.2"
			read := func(client string) *endless {
				return e.open("GET", "/v1/streams/web/events", st.token, "", nil, forwarded, client)
			}
			first := read(alice)
			if row.name == "not trusted" {
				read(bob)
				// The third connection is one too many, whomever it is for.
				c := e.raw()
				if a := readAnswer(t, bufio.NewReader(c), "GET"); a.status != http.StatusTooManyRequests {
					t.Errorf("%d", a.status)
				}
				return
			}
			read(alice)
			a := e.want(429, "POST", "/v1/streams/web/events", st.token, clicks(0, 1), forwarded, "192.0.2.1")
			if a.header.Get("Retry-After") != "1" || !strings.HasPrefix(a.body, `{"error":{`) {
				t.Errorf("the refusal is %v %s", a.header, a.body)
			}
			e.want(429, "GET", "/v1/streams", adminToken, "", forwarded, alice)
			read(bob)
			e.want(200, "GET", "/v1/streams", adminToken, "", forwarded, bob)
			for range 4 {
				e.want(200, "GET", "/ready", "", "", forwarded, bob)
				e.want(200, "GET", "/ready", "", "")
			}
			first.end()
			e.eventually("there is room again", func() bool { return e.send("GET", "/ready", "", "", forwarded, alice).status == 200 })
		})
	}
}
