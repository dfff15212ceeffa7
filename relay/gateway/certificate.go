package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often handshakes look whether the certificate's files have changed.
const lookEvery = time.Second

// certificate is the certificate of the TLS port. A handshake looks at its files, at most once a second, and reads them
// again when they have changed; connections that are there stay as they are. Files that do not make a certificate, as
// between the writing of one and of the other, leave the old one in force until they change again. Safe for concurrent
// use.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	due               atomic.Int64 // Unix ns of the next look

	mu   sync.Mutex     // held to look
	seen [2]os.FileInfo // of the files when they were read last, with success or not; nil: not there
}

// openCertificate reads both files.
func openCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	c.due.Store(time.Now().Add(lookEvery).UnixNano())
	c.seen = c.stat()
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// get is what tls asks at each handshake.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if now := time.Now(); now.UnixNano() >= c.due.Load() && c.mu.TryLock() {
		c.due.Store(now.Add(lookEvery).UnixNano())
		c.look()
		c.mu.Unlock()
	}
	return c.current.Load(), nil
}

// look reads the files if they have changed. What they were is noted before they are read: a change in between is one
// that the next look sees.
func (c *certificate) look() {
	now := c.stat()
	if same(now[0], c.seen[0]) && same(now[1], c.seen[1]) {
		return
	}
	c.seen = now
	if err := c.read(); err != nil {
		c.log.Error("the changed certificate cannot be used, the old one stays", slog.Any("error", err))
		return
	}
	c.log.Info("certificate read again", slog.Time("not_after", c.current.Load().Leaf.NotAfter))
}

func (c *certificate) stat() (files [2]os.FileInfo) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			files[i] = info
		}
	}
	return files
}

// same tells whether a file is what it was, as far as that can be seen without reading it.
func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// read makes the files' certificate the current one, and warns of what will keep clients away.
func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s (settings tls.cert, tls.key): %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	if pair.Leaf.PublicKeyAlgorithm != x509.RSA {
		c.log.Warn("the certificate is not RSA: the cipher suites that are offered leave it TLS 1.3 alone, clients that speak TLS 1.2 are refused",
			slog.String("certificate", c.certFile))
	}
	if time.Now().After(pair.Leaf.NotAfter) {
		c.log.Warn("the certificate has expired: clients will refuse it",
			slog.String("certificate", c.certFile), slog.Time("not_after", pair.Leaf.NotAfter))
	}
	return nil
}
