package gateway

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// proxies are the addresses that are believed when they say, in X-Forwarded-For, for whom they send a request.
type proxies []netip.Prefix

// parseProxies reads addresses and ranges in CIDR form.
func parseProxies(list []string) (proxies, error) {
	ps := make(proxies, 0, len(list))
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if a, bad := netip.ParseAddr(s); bad == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q must be an address or a range such as 10.0.0.0/8", s)
		}
		ps = append(ps, p.Masked())
	}
	return ps, nil
}

func (ps proxies) trust(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

// client is for whom a trusted proxy sends a request: the last address in the chain that no trusted proxy has, for what
// stands before it the client may have written itself. ok is false where the proxy names nobody: the request is its own.
func (ps proxies) client(h headers) (client netip.Addr, ok bool) {
	lines := h.PeekAll("X-Forwarded-For")
	for _, line := range slices.Backward(lines) {
		hops := strings.Split(string(line), ",")
		for _, hop := range slices.Backward(hops) {
			a, err := parseHop(strings.TrimSpace(hop))
			if err != nil {
				return client, ok
			}
			if client, ok = a, true; !ps.trust(a) {
				return client, ok
			}
		}
	}
	return client, ok
}

// parseHop reads an address as proxies write it: bare, or with a port.
func parseHop(s string) (netip.Addr, error) {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return a.Addr().Unmap(), nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap(), err
}
