package gateway

import (
	"container/list"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	// handshakeTime is how long a TLS handshake may take, where a header has no less. An honest one takes a few round
	// trips.
	handshakeTime = 5 * time.Second
	// mostHandshakes bounds the handshakes in progress, some 20 KiB each.
	mostHandshakes = 1024

	protocolHTTP1 = "http/1.1"
	protocolHTTP2 = "h2"
)

// suites are what is spoken with TLS 1.2. With what Go speaks of TLS 1.3, AES-128-GCM, AES-256-GCM and
// ChaCha20-Poly1305, they are the six that Airship's Real-Time Data Streaming documents, and no other.
var suites = []uint16{
	tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
}

// tlsPort makes connections secure. Safe for concurrent use.
type tlsPort struct {
	config  *tls.Config
	waiting handshakes
}

// openTLS makes the port of a certificate. While draining says yes a new connection is offered HTTP/1.1 alone: it is
// there to be told to go elsewhere, and the server of HTTP/2 takes none any more.
func openTLS(certFile, keyFile string, draining func() bool, log *slog.Logger) (*tlsPort, error) {
	cert, err := openCertificate(certFile, keyFile, log)
	if err != nil {
		return nil, err
	}
	p := &tlsPort{waiting: handshakes{most: mostHandshakes}}
	p.config = &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: suites, GetCertificate: cert.get,
		NextProtos: []string{protocolHTTP2, protocolHTTP1},
	}
	last := p.config.Clone()
	last.NextProtos = []string{protocolHTTP1}
	p.config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		if draining() {
			return last, nil
		}
		return nil, nil
	}
	return p, nil
}

// welcome makes a connection secure and hands it to the server of the protocol that its client has chosen.
func (g *Gateway) welcome(c *conn) {
	c.idle.Store(true)
	tc := tls.Server(&socketOf{Conn: c.tcp, of: c}, g.tls.config)
	done := g.tls.waiting.begin(c)
	err := c.tcp.SetDeadline(time.Now().Add(min(handshakeTime, g.cfg.HeaderTime)))
	if err == nil {
		err = tc.Handshake()
	}
	done()
	if err == nil {
		err = c.tcp.SetDeadline(time.Time{})
	}
	if err != nil {
		g.log.Debug("TLS handshake ended", slog.Any("error", err))
		c.linger = answerPlain(err)
		_ = c.Close()
		g.connections.remove(c)
		return
	}
	c.Conn = tc
	if tc.ConnectionState().NegotiatedProtocol == protocolHTTP2 {
		g.http2.take(c, tc)
		return
	}
	g.serveConn(c)
}

// answerPlain tells a client that speaks HTTP without TLS what it did wrong, and says whether there was one.
func answerPlain(err error) bool {
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || record.Conn == nil {
		return false
	}
	switch string(record.RecordHeader[:]) {
	case "GET /", "POST ", "HEAD ", "PUT /", "PATCH", "DELET", "OPTIO":
	default:
		return false
	}
	const text = "This port speaks HTTPS: the address must begin with https://\n"
	_, err = fmt.Fprintf(record.Conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"+
		"Connection: close\r\n\r\n%s", len(text), text)
	return err == nil
}

// accessDenied is the TLS alert of that name as it stands before any handshake (RFC 8446 §6): what a connection that is one
// too many can be told without the cost of a handshake.
var accessDenied = []byte{21, 3, 3, 0, 2, 2, 49}

// socketOf is the socket below TLS; it leads net/http's callbacks, which know the TLS connection, back to ours.
type socketOf struct {
	net.Conn
	of *conn
}

// NetConn is the socket itself, as of tls.Conn's method.
func (s *socketOf) NetConn() net.Conn { return s.Conn }

// handshakes are those in progress, the longest first. One more than there may be ends the one that has taken longest:
// however many clients begin and do not go on, who goes on gets through. Safe for concurrent use.
type handshakes struct {
	most int
	mu   sync.Mutex
	all  list.List // of *conn
}

// begin takes a connection in until done is called.
func (h *handshakes) begin(c *conn) (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all.Len() >= h.most {
		oldest := h.all.Front()
		h.all.Remove(oldest)
		_ = oldest.Value.(*conn).tcp.Close()
	}
	at := h.all.PushBack(c)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.all.Remove(at) // of one that was ended, nothing
	}
}
