package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Signatures are those of Standard Webhooks 1.0, over "id.timestamp.body" and in base64: of HMAC-SHA256 behind "v1,", of ed25519 behind
// "v1a,". Several signatures, of an old and a new secret, stand in one header with spaces between.
const (
	shared     = "v1,"
	asymmetric = "v1a,"
	tolerance  = 5 * time.Minute

	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// signer signs with one key. It keeps what is the same for every message, the key mixed into the hash. Safe for concurrent use.
type signer struct {
	key  Key
	macs sync.Pool // of hash.Hash
}

func newSigner(key Key) *signer { return &signer{key: key} }

// append writes one signature.
func (s *signer) append(dst []byte, id string, timestamp int64, body []byte) []byte {
	var head [96]byte
	b := appendHead(head[:0], id, timestamp)
	if s.key.private != nil {
		dst = append(dst, asymmetric...)
		return base64.StdEncoding.AppendEncode(dst, ed25519.Sign(s.key.private, append(b, body...)))
	}
	mac, ok := s.macs.Get().(hash.Hash)
	if !ok {
		mac = hmac.New(sha256.New, s.key.shared)
	}
	mac.Write(b)
	mac.Write(body)
	var sum [sha256.Size]byte
	dst = append(dst, shared...)
	dst = base64.StdEncoding.AppendEncode(dst, mac.Sum(sum[:0]))
	mac.Reset()
	s.macs.Put(mac)
	return dst
}

// appendHead writes what is signed before the body.
func appendHead(dst []byte, id string, timestamp int64) []byte {
	dst = append(append(dst, id...), '.')
	return append(strconv.AppendInt(dst, timestamp, 10), '.')
}

// fits tells whether a signature is the key's.
func (s *signer) fits(signature, id string, timestamp int64, body []byte) bool {
	if s.key.public == nil {
		return hmac.Equal([]byte(signature), s.append(nil, id, timestamp, body))
	}
	coded, ok := strings.CutPrefix(signature, asymmetric)
	given, err := base64.StdEncoding.DecodeString(coded)
	return ok && err == nil && ed25519.Verify(s.key.public, append(appendHead(nil, id, timestamp), body...), given)
}

// Verify tells whether a message was signed with a secret (as it is shown, or its public key), not more than five minutes away from now; the
// zero now does not look at the time. Comparison takes constant time. Errors: ErrSecret, ErrHeaders, ErrSignature, ErrTimestamp.
func Verify(secret string, header http.Header, body []byte, now time.Time) error {
	key, err := parseVerifying(secret)
	if err != nil {
		return err
	}
	id, stamp, signatures := header.Get(headerID), header.Get(headerTimestamp), header.Get(headerSignature)
	for _, h := range [...]struct{ name, value string }{{headerID, id}, {headerTimestamp, stamp}, {headerSignature, signatures}} {
		if h.value == "" {
			return fmt.Errorf("%w: %s is missing", ErrHeaders, strings.ToLower(h.name))
		}
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: webhook-timestamp is not a number of seconds", ErrHeaders)
	}
	by, fits := newSigner(key), false
	for one := range strings.FieldsSeq(signatures) {
		fits = fits || by.fits(one, id, seconds, body)
	}
	switch away := now.Sub(time.Unix(seconds, 0)).Abs(); {
	case !fits:
		return ErrSignature
	case !now.IsZero() && away > tolerance:
		return ErrTimestamp
	}
	return nil
}
