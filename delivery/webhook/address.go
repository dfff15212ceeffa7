package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	maxURL = 2048
	// dialTimeout bounds name, connection and handshake together.
	dialTimeout = 10 * time.Second
)

// refused are the addresses that no delivery goes to unless an operator opens them: they lead into the gateway's own machine or network,
// where a request that comes from it may be trusted, or nowhere. (IANA's special-purpose registries; 169.254.0.0/16 holds the metadata
// services of the clouds, fd00:ec2::254 lies in fc00::/7, 100.100.100.200 and others in 100.64.0.0/10.)
var refused = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("168.63.129.16/32"), // a cloud's metadata service on a public address
	netip.MustParsePrefix("224.0.0.0/3"),      // multicast, reserved, broadcast
	netip.MustParsePrefix("::/127"),           // unspecified, loopback
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fec0::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// translating are prefixes whose addresses stand for an IPv4 address, with where it lies in them.
var translating = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible
}

// gate decides where deliveries may go. Immutable.
type gate struct{ open []netip.Prefix }

// newGate reads what an operator opened: addresses and ranges of them.
func newGate(cidrs []string) (gate, error) {
	var g gate
	var faults []error
	for _, text := range cidrs {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, errAddr := netip.ParseAddr(text)
			if errAddr != nil {
				faults = append(faults, fmt.Errorf("%q is neither an address nor a range of them such as 10.0.0.0/8", text))
				continue
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		g.open = append(g.open, p.Masked())
	}
	return g, errors.Join(faults...)
}

// opened tells whether an operator opened the address.
func (g gate) opened(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range g.open {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// passes tells whether a delivery may go to an address. What stands for an IPv4 address is judged as that.
func (g gate) passes(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if g.opened(a) {
		return true
	}
	for _, p := range refused {
		if p.Contains(a) {
			return false
		}
	}
	for _, t := range translating {
		if t.prefix.Contains(a) {
			b := a.As16()
			return g.passes(netip.AddrFrom4([4]byte(b[t.at : t.at+4])))
		}
	}
	return a.IsValid()
}

// check is the last word on an address: it is asked after the name was resolved, for the very address that is about to be connected to,
// so that a name cannot stand for one address when it is checked and for another when it is used.
func (g gate) check(plain bool) func(ctx context.Context, network, address string, _ syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%w: it cannot be read", ErrAddress)
		}
		if !g.passes(a.Addr()) || plain && !(g.opened(a.Addr()) && a.Addr().Unmap().IsLoopback()) {
			return ErrAddress
		}
		return nil
	}
}

// target is a checked URL.
type target struct {
	addr       string // host:port to dial
	serverName string // for TLS
	host       string // of the Host header
	path       string // with the query, as it is sent
	plain      bool   // http://, to an opened loopback address only
}

// CheckURL tells whether deliveries may go to an address as far as its text says: https://, or http:// to a loopback address that is
// opened; no refused address spelt out. What a name leads to is only known at each delivery. The error wraps ErrURL and is for the user.
func (s *Service) CheckURL(text string) error {
	_, err := s.gate.target(text)
	return err
}

func (g gate) target(text string) (target, error) {
	refuse := func(format string, args ...any) (target, error) {
		return target{}, fmt.Errorf("%w: %s", ErrURL, fmt.Sprintf(format, args...))
	}
	if len(text) > maxURL {
		return refuse("it has more than %d bytes", maxURL)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f {
			return refuse("it has a character that must be percent-encoded")
		}
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return refuse("it must be https:// and a host")
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse("it must begin with https://")
	case u.User != nil:
		return refuse("user and password go into authorization, not into the address")
	case u.Fragment != "":
		return refuse("a fragment (#…) is never sent; leave it out")
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() != "" && (err != nil || n == 0) {
		return refuse("a port is from 1 to 65535")
	}
	t := target{plain: u.Scheme == "http", host: u.Host, serverName: u.Hostname(), path: u.RequestURI()}
	port := u.Port()
	if port == "" {
		port = "443"
		if t.plain {
			port = "80"
		}
	}
	t.addr = net.JoinHostPort(u.Hostname(), port)
	literal, err := netip.ParseAddr(u.Hostname())
	named := err != nil
	if named && numeric(u.Hostname()) {
		return refuse("an address of numbers is written like 192.0.2.1")
	}
	local := strings.EqualFold(strings.TrimSuffix(u.Hostname(), "."), "localhost")
	if t.plain {
		loopback := !named && literal.Unmap().IsLoopback() && g.opened(literal) ||
			local && (g.opened(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || g.opened(netip.IPv6Loopback()))
		if !loopback {
			return refuse("http:// is for loopback addresses that webhooks.allow_cidrs opens; use https://")
		}
		return t, nil
	}
	switch {
	case !named && !g.passes(literal):
		return refuse("the address %s is not allowed; webhooks.allow_cidrs opens it", literal)
	case local && !g.passes(netip.AddrFrom4([4]byte{127, 0, 0, 1})) && !g.passes(netip.IPv6Loopback()):
		return refuse("localhost is not allowed; webhooks.allow_cidrs opens it")
	}
	return t, nil
}

// numeric tells whether a host would be taken for an IPv4 address in one of its old spellings, as 127.1 or 0x7f000001.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(strings.TrimSuffix(host, "."), '.')+1:]
	last = strings.TrimSuffix(last, ".")
	return last != "" && (strings.Trim(last, "0123456789") == "" || strings.HasPrefix(strings.ToLower(last), "0x"))
}
