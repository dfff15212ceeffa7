package export

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// errLinkLocal is why an endpoint is not even tried.
var errLinkLocal = errors.New("no store is at a link-local address")

// machineRights is where Amazon's machines are given their own rights over IPv6; over IPv4 that is a link-local address.
var machineRights = netip.MustParseAddr("fd00:ec2::254")

// newTransport reaches a store wherever it lies, in private networks too, but not at link-local addresses: on a cloud's machine
// they give the machine's own rights to who asks from it, and whoever may make a sink is not to ask in its name. The address is
// checked when it is dialed, whatever name stood for it and wherever a store's answer leads.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ResponseHeaderTimeout = time.Minute
	t.MaxIdleConnsPerHost = 4
	t.DialContext = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: checkAddress}).DialContext
	return t
}

func checkAddress(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if a := at.Addr().Unmap().WithZone(""); a.IsLinkLocalUnicast() || a == machineRights {
		return errLinkLocal
	}
	return nil
}
