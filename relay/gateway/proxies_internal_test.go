package gateway

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestProxiesClient(t *testing.T) {
	ps, err := parseProxies([]string{"127.0.0.1", "10.0.0.0/8", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, want string
		lines      []string
	}{
		{"nobody named", "", nil},
		{"empty", "", []string{""}},
		{"one", "192.0.2.1", []string{"192.0.2.1"}},
		{"what the client wrote is not believed", "192.0.2.1", []string{"198.51.100.9, 192.0.2.1"}},
		{"through two proxies", "192.0.2.1", []string{"198.51.100.9, 192.0.2.1, 10.1.2.3"}},
		{"in two lines", "192.0.2.1", []string{"198.51.100.9, 192.0.2.1", "10.1.2.3"}},
		{"proxies only: the first of them", "10.9.9.9", []string{"10.9.9.9, 10.1.2.3"}},
		{"with a port", "192.0.2.1", []string{"192.0.2.1:4711"}},
		{"IPv6", "2a00::1", []string{"2a00::1, 2001:db8::7"}},
		{"IPv6 with a port", "2a00::1", []string{"[2a00::1]:443"}},
		{"IPv6 in brackets", "2a00::1", []string{"[2a00::1]"}},
		{"IPv4 as IPv6", "192.0.2.1", []string{"::ffff:192.0.2.1, ::ffff:10.0.0.1"}},
		{"hidden", "", []string{"192.0.2.1, unknown"}},
		{"hidden behind a proxy: the proxy", "10.1.2.3", []string{"_secret, 10.1.2.3"}},
	} {
		h := netHeader(http.Header{"X-Forwarded-For": row.lines})
		got, ok := ps.client(h)
		if ok != (row.want != "") || ok && got.String() != row.want {
			t.Errorf("%s: %v %v", row.name, got, ok)
		}
	}
	for addr, want := range map[string]bool{"127.0.0.1": true, "::ffff:10.0.0.1": true, "2001:db8::1%eth0": true, "127.0.0.2": false, "::1": false} {
		if ps.trust(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s is trusted: %v", addr, !want)
		}
	}
	if _, err := parseProxies([]string{"proxy.example"}); err == nil {
		t.Error("a name is taken")
	}
}
