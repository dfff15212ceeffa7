package node

import "net"

// fixedPort settles port 0, any free one, on a number: the token issuer's name holds the address, and is needed before the edge listens.
func fixedPort(address string) (string, error) {
	if _, port, err := net.SplitHostPort(address); err != nil || port != "0" {
		return address, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// reachable turns an address to listen on into one to call: nobody can call the unspecified address.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
