package webhook

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// The forms of Standard Webhooks in which secrets are shown: behind each prefix base64.
const (
	secretPrefix  = "whsec_" // of v1: 24 to 64 bytes, known to both sides
	privatePrefix = "whsk_"  // of v1a: an ed25519 private key, of the sender alone
	publicPrefix  = "whpk_"  // its public key, which receivers check signatures with

	minSecret = 24 // bytes
	maxSecret = 64
	newSecret = 32
)

// Key signs messages or checks their signatures, or only checks them where it is a public one.
type Key struct {
	shared  []byte             // v1
	private ed25519.PrivateKey // v1a; nil of a public key
	public  ed25519.PublicKey
}

// NewSecret makes a signing secret that the receiver has to know as well.
func NewSecret() string {
	var b [newSecret]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails: since Go 1.24 it ends the process instead
	return secretPrefix + base64.StdEncoding.EncodeToString(b[:])
}

// NewPrivateKey makes a signing secret whose signatures are checked with its PublicKey, so that nobody but us can sign.
func NewPrivateKey() string {
	var seed [ed25519.SeedSize]byte
	rand.Read(seed[:]) //nolint:errcheck // as above
	return privatePrefix + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed[:]))
}

// ParseSecret gives the key of a signing secret as it is shown. The error is ErrSecret.
func ParseSecret(text string) (Key, error) {
	if coded, ok := strings.CutPrefix(text, secretPrefix); ok {
		shared, err := base64.StdEncoding.DecodeString(coded)
		if err != nil || len(shared) < minSecret || len(shared) > maxSecret {
			return Key{}, ErrSecret
		}
		return Key{shared: shared}, nil
	}
	coded, ok := strings.CutPrefix(text, privatePrefix)
	private, err := base64.StdEncoding.DecodeString(coded)
	if !ok || err != nil || len(private) != ed25519.PrivateKeySize {
		return Key{}, ErrSecret
	}
	// Its second half is the public key: one that is another's would sign what nobody can check, and give the first half away.
	whole := ed25519.NewKeyFromSeed(private[:ed25519.SeedSize])
	if !whole.Equal(ed25519.PrivateKey(private)) {
		return Key{}, ErrSecret
	}
	return Key{private: whole, public: ed25519.PublicKey(whole[ed25519.SeedSize:])}, nil
}

// parseVerifying gives the key of a secret, or of a public key. The error is ErrSecret.
func parseVerifying(text string) (Key, error) {
	coded, ok := strings.CutPrefix(text, publicPrefix)
	if !ok {
		return ParseSecret(text)
	}
	public, err := base64.StdEncoding.DecodeString(coded)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return Key{}, ErrSecret
	}
	return Key{public: public}, nil
}

// PublicKey is what receivers check signatures of the key with, as it is shown; empty for a secret that they have to know.
func (k Key) PublicKey() string {
	if k.public == nil {
		return ""
	}
	return publicPrefix + base64.StdEncoding.EncodeToString(k.public)
}
