package gateway_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// secured is an edge that speaks TLS, with a client of HTTP/2 in client and one of HTTP/1.1 beside it.
type secured struct {
	*edge
	certFile, keyFile string
	roots             *x509.CertPool
	one               *http.Client // HTTP/1.1
}

func newSecured(t *testing.T, change func(*gateway.Config)) *secured {
	t.Helper()
	s := &secured{}
	var err error
	if s.certFile, s.keyFile, err = gateway.SelfSigned(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	s.edge = newEdge(t, func(c *gateway.Config) {
		c.CertFile, c.KeyFile = s.certFile, s.keyFile
		if change != nil {
			change(c)
		}
	})
	s.base = "https://" + s.addr
	s.trust()
	s.client, s.one = s.newClient(true), s.newClient(false)
	return s
}

// trust reads what the server's certificate is.
func (s *secured) trust() {
	s.t.Helper()
	text, err := os.ReadFile(s.certFile)
	s.must(err)
	s.roots = x509.NewCertPool()
	if !s.roots.AppendCertsFromPEM(text) {
		s.t.Fatal("no certificate")
	}
}

// newClient gives a client with connections of its own.
func (s *secured) newClient(two bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(two)
	protocols.SetHTTP1(!two)
	c := &http.Client{Transport: &http.Transport{
		DisableCompression: true, Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: s.roots},
	}}
	s.t.Cleanup(c.CloseIdleConnections)
	return c
}

// dial makes a TLS connection by a configuration of the test's own.
func (s *secured) dial(c *tls.Config) (*tls.Conn, error) {
	c.RootCAs, c.ServerName = s.roots, "localhost"
	return tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", s.addr, c)
}

// hello is a ClientHello (RFC 8446 §4.1.2) that offers one version of TLS and one cipher suite.
func hello(t *testing.T, version, suite uint16) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	list := func(width int, body []byte) []byte {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(body)))
		return append(n[4-width:], body...)
	}
	extension := func(kind uint16, body []byte) []byte {
		return append(binary.BigEndian.AppendUint16(nil, kind), list(2, body)...)
	}
	share := append([]byte{0, 29}, list(2, key.PublicKey().Bytes())...)
	extensions := slices.Concat(
		extension(43, list(1, binary.BigEndian.AppendUint16(nil, version))), // supported_versions
		extension(10, list(2, []byte{0, 29, 0, 23})),                        // supported_groups: x25519, secp256r1
		extension(11, list(1, []byte{0})),                                   // ec_point_formats
		extension(13, list(2, []byte{8, 4, 4, 1, 8, 5, 5, 1, 8, 6, 4, 3})),  // signature_algorithms
		extension(51, list(2, share)),                                       // key_share
	)
	body := slices.Concat([]byte{3, 3}, make([]byte, 32), list(1, make([]byte, 32)),
		list(2, binary.BigEndian.AppendUint16(nil, suite)), list(1, []byte{0}), list(2, extensions))
	message := append([]byte{1}, list(3, body)...)
	return append([]byte{22, 3, 1}, list(2, message)...)
}

// Of all suites that were ever registered, the port takes the six that the seed names.
func TestTLSSuites(t *testing.T) {
	s := newSecured(t, nil)
	want := []uint16{0x1301, 0x1302, 0x1303, 0xc02f, 0xc030, 0xcca8}
	var candidates, taken []uint16
	for _, r := range [][2]uint16{{0x0000, 0x00ff}, {0x1301, 0x1307}, {0xc001, 0xc0ff}, {0xcca8, 0xccae}, {0xd001, 0xd005}} {
		for id := r[0]; id <= r[1]; id++ {
			candidates = append(candidates, id)
		}
	}
	for i := range 2 * len(candidates) {
		version, id := uint16(tls.VersionTLS13), candidates[i/2]
		if i%2 == 1 {
			version = tls.VersionTLS12
		}
		c := s.raw()
		if _, err := c.Write(hello(t, version, id)); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 5)
		_, err := io.ReadFull(c, head)
		if err != nil {
			t.Fatalf("suite %04x: no answer: %v", id, err)
		}
		switch head[0] {
		case 21: // alert
		case 22: // a handshake message: ServerHello, which names the suite after version, random and session
			answer := make([]byte, binary.BigEndian.Uint16(head[3:]))
			if _, err := io.ReadFull(c, answer); err != nil {
				t.Fatal(err)
			}
			at := 4 + 2 + 32
			at += 1 + int(answer[at])
			if got := binary.BigEndian.Uint16(answer[at:]); answer[0] != 2 || got != id {
				t.Fatalf("suite %04x: message %d chooses %04x", id, answer[0], got)
			}
			taken = append(taken, id)
		default:
			t.Fatalf("suite %04x: a record of type %d", id, head[0])
		}
		c.Close()
	}
	if !slices.Equal(taken, want) {
		t.Errorf("the port takes %04x, want %04x", taken, want)
	}
}

func TestTLSVersions(t *testing.T) {
	s := newSecured(t, nil)
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		c, err := s.dial(&tls.Config{MinVersion: version, MaxVersion: version})
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			c.Close()
		}
	}
	for _, protocol := range []string{"h2", "http/1.1"} {
		c, err := s.dial(&tls.Config{NextProtos: []string{protocol}})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ConnectionState().NegotiatedProtocol; got != protocol {
			t.Errorf("%q for %q", got, protocol)
		}
		c.Close()
	}
}

// writeEC makes an EC certificate for localhost with the number as its serial.
func writeEC(t *testing.T, certFile, keyFile string, number int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// An EC certificate leaves TLS 1.3 alone, and the operator is told.
func TestTLSOfEC(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	writeEC(t, certFile, keyFile, 1)
	s := newSecured(t, func(c *gateway.Config) { c.CertFile, c.KeyFile = certFile, keyFile })
	s.certFile = certFile
	s.trust()
	if !strings.Contains(s.log.String(), "the certificate is not RSA") {
		t.Errorf("the log says %s", s.log.String())
	}
	if _, err := s.dial(&tls.Config{MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 with an EC certificate")
	}
	c, err := s.dial(&tls.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A certificate that changes under load is there for new connections, and no request notices.
func TestTLSReload(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newSecured(t, nil)
	st := s.stream("default", registry.StreamSpec{Name: "web"})
	event := strings.TrimSpace(clicks(0, 1))
	var stop atomic.Bool
	var sent atomic.Int64
	var senders sync.WaitGroup
	for i := range 4 {
		// Odd ones keep their connection, even ones make a new one each time, and trust whatever they see.
		senders.Go(func() {
			client := s.newClient(i%2 == 0)
			tr := client.Transport.(*http.Transport)
			tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
			tr.DisableKeepAlives = i > 1
			for !stop.Load() {
				req, err := http.NewRequest("POST", s.base+"/event", strings.NewReader(event))
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+st.token)
				res, err := client.Do(req)
				if err != nil {
					t.Errorf("a request fails: %v", err)
					return
				}
				res.Body.Close()
				if res.StatusCode != 204 {
					t.Errorf("status %d", res.StatusCode)
				}
				sent.Add(1)
			}
			client.CloseIdleConnections()
		})
	}
	t.Cleanup(func() { stop.Store(true); senders.Wait() })
	serial := func() int64 {
		c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	old := serial()
	kept, err := s.dial(&tls.Config{NextProtos: []string{"http/1.1"}})
	s.must(err)
	defer kept.Close()

	key, err := os.ReadFile(s.keyFile)
	s.must(err)
	s.must(os.WriteFile(s.keyFile, []byte("half of a k"), 0o600))
	s.eventually("the fault is told", func() bool {
		if got := serial(); got != old {
			t.Fatalf("a broken key brings certificate %d", got)
		}
		return strings.Contains(s.log.String(), "the old one stays")
	})
	if strings.Contains(s.log.String(), string(key[100:200])) {
		t.Error("the log shows a key")
	}
	writeEC(t, s.certFile, s.keyFile, 4711)
	s.eventually("the new certificate is served", func() bool { return serial() == 4711 })
	before := sent.Load()
	s.eventually("requests go on", func() bool { return sent.Load() > before+20 })
	stop.Store(true)
	senders.Wait()
	if _, err := fmt.Fprint(kept, head("GET /is-alive HTTP/1.1", "Host: x")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 15)
	if _, err := io.ReadFull(kept, answer); err != nil || string(answer) != "HTTP/1.1 200 OK" {
		t.Errorf("the connection from before: %q, %v", answer, err)
	}
}

func TestTLSBadCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, _, err := gateway.SelfSigned(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, otherKey, err := gateway.SelfSigned(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := newEdge(t, nil)
	for _, files := range [][2]string{{certFile, filepath.Join(dir, "none")}, {certFile, otherKey}, {certFile, certFile}} {
		_, err := gateway.Open(gateway.Config{Listen: "127.0.0.1:0", Registry: w.reg, Relay: w.relay, CertFile: files[0], KeyFile: files[1]})
		if err == nil || !strings.Contains(err.Error(), "tls.key") || !strings.Contains(err.Error(), files[1]) {
			t.Errorf("%v: %v", files, err)
		}
	}
	if _, err := gateway.Open(gateway.Config{Listen: "127.0.0.1:0", Registry: w.reg, Relay: w.relay, CertFile: certFile}); err == nil {
		t.Error("a certificate without a key")
	}
}

// Clients that begin a handshake and say nothing, and that do not speak TLS, are ended and hold nobody up.
func TestTLSHostileHandshakes(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newSecured(t, func(c *gateway.Config) { c.HeaderTime = time.Second })
	var silent []net.Conn
	for i := range 100 {
		c := s.raw()
		if i%2 == 0 {
			_, err := c.Write(hello(t, tls.VersionTLS13, 0x1301)[:40])
			s.must(err)
		}
		silent = append(silent, c)
	}
	s.want(200, "GET", "/is-alive", "", "")
	for _, c := range silent {
		if n, err := io.Copy(io.Discard, c); n > 64 || err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("a silent client gets %d bytes, then %v", n, err)
		}
	}
	plain := s.talk("GET", head("GET /ready HTTP/1.1", "Host: x"))
	if plain.status != 400 || !strings.Contains(plain.body, "https://") || !plain.close {
		t.Errorf("HTTP without TLS: %d %q", plain.status, plain.body)
	}
	c := s.raw()
	_, err := c.Write(bytes.Repeat([]byte("SSH-2.0-x\r\n"), 10))
	s.must(err)
	if n, err := io.Copy(io.Discard, c); n > 16 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("another protocol gets %d bytes, then %v", n, err)
	}
	s.want(200, "GET", "/is-alive", "", "")
}

// One connection too many is told so in the words of TLS.
func TestTLSPerAddress(t *testing.T) {
	s := newSecured(t, func(c *gateway.Config) { c.PerAddress = 2 })
	first, err := s.dial(&tls.Config{})
	s.must(err)
	defer first.Close()
	s.want(200, "GET", "/is-alive", "", "")
	if _, err := s.dial(&tls.Config{}); err == nil || !strings.Contains(err.Error(), "access denied") {
		t.Errorf("the third connection: %v", err)
	}
	s.client.CloseIdleConnections()
	s.eventually("there is room again", func() bool {
		c, err := s.dial(&tls.Config{})
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// A certificate of its own is made once, and again when it is no good.
func TestTLSSelfSigned(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "er")
	certFile, keyFile, err := gateway.SelfSigned(dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(keyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v %v", info.Mode(), err)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if pair.Leaf.PublicKeyAlgorithm != x509.RSA || pair.Leaf.IsCA {
		t.Errorf("%v, an authority: %v", pair.Leaf.PublicKeyAlgorithm, pair.Leaf.IsCA)
	}
	again := func() bool {
		if _, _, err := gateway.SelfSigned(dir); err != nil {
			t.Fatal(err)
		}
		now, err := os.ReadFile(certFile)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Equal(now, before)
	}
	if !again() {
		t.Error("a good certificate is made anew")
	}
	if err := os.WriteFile(keyFile, []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again() {
		t.Error("a certificate without its key is used again")
	}
}
