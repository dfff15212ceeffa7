package gateway

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	// selfSignedBits: RSA, for with it both TLS 1.2 and 1.3 can be spoken in the suites that are offered.
	selfSignedBits = 2048
	// selfSignedLife is as long as the strictest system believes a certificate that its user has added.
	selfSignedLife = 825 * 24 * time.Hour
	// selfSignedLeft is what must be left of a certificate for it to be used again.
	selfSignedLeft = 30 * 24 * time.Hour
)

// SelfSigned gives the files, PEM, of a certificate for localhost, 127.0.0.1 and ::1 in folder dir, and of its key, mode
// 0600. What an earlier call has made is used again for as long as it is good for 30 more days, so that clients that
// were told to trust it go on doing so. Not for concurrent use on one folder.
func SelfSigned(dir string) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(dir, "localhost.pem"), filepath.Join(dir, "localhost-key.pem")
	now := time.Now()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	switch {
	case err == nil && now.Before(pair.Leaf.NotAfter.Add(-selfSignedLeft)):
		return certFile, keyFile, nil
	case errors.Is(err, fs.ErrPermission):
		return "", "", fmt.Errorf("self-signed certificate: %w", err)
	}
	if err := makeSelfSigned(dir, certFile, keyFile, now); err != nil {
		return "", "", fmt.Errorf("self-signed certificate: %w", err)
	}
	return certFile, keyFile, nil
}

// makeSelfSigned writes the key first: a certificate alone would be given to clients and never served.
func makeSelfSigned(dir, certFile, keyFile string, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, selfSignedBits)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	// It is no authority: whoever trusts it trusts this one server, and some clients refuse an authority as a server.
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "localhost", Organization: []string{"Sluice, self-signed"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedLife), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := replacePEM(keyFile, 0o600, "PRIVATE KEY", secret); err != nil {
		return err
	}
	return replacePEM(certFile, 0o644, "CERTIFICATE", cert)
}

// replacePEM puts a file in the place of another one: nobody sees half of it.
func replacePEM(name string, mode os.FileMode, kind string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600
	if err != nil {
		return err
	}
	err = errors.Join(pem.Encode(f, &pem.Block{Type: kind, Bytes: data}), f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
