package webhook

import (
	"crypto/hmac"
	"crypto/rand"
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

// Signatures are those of Standard Webhooks 1.0: HMAC-SHA256 over "id.timestamp.body", in base64 behind "v1,". Several signatures, of an
// old and a new secret, stand in one header with spaces between.
const (
	secretPrefix = "whsec_"
	minSecret    = 24 // bytes
	maxSecret    = 64
	newSecret    = 32
	tolerance    = 5 * time.Minute

	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// NewSecret makes a signing secret.
func NewSecret() string {
	var b [newSecret]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails: since Go 1.24 it ends the process instead
	return secretPrefix + base64.StdEncoding.EncodeToString(b[:])
}

// ParseSecret gives the key of a secret as it is shown. The error is ErrSecret.
func ParseSecret(text string) ([]byte, error) {
	coded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return nil, ErrSecret
	}
	key, err := base64.StdEncoding.DecodeString(coded)
	if err != nil || len(key) < minSecret || len(key) > maxSecret {
		return nil, ErrSecret
	}
	return key, nil
}

// signer signs with one key. It keeps what is the same for every message, the key mixed into the hash. Safe for concurrent use.
type signer struct {
	key  []byte
	macs sync.Pool // of hash.Hash
}

func newSigner(key []byte) *signer { return &signer{key: key} }

// append writes one signature.
func (s *signer) append(dst []byte, id string, timestamp int64, body []byte) []byte {
	mac, ok := s.macs.Get().(hash.Hash)
	if !ok {
		mac = hmac.New(sha256.New, s.key)
	}
	var head [96]byte
	b := append(head[:0], id...)
	b = append(b, '.')
	b = strconv.AppendInt(b, timestamp, 10)
	b = append(b, '.')
	mac.Write(b)
	mac.Write(body)
	var sum [sha256.Size]byte
	dst = append(dst, "v1,"...)
	dst = base64.StdEncoding.AppendEncode(dst, mac.Sum(sum[:0]))
	mac.Reset()
	s.macs.Put(mac)
	return dst
}

// Sign is the value of the header Webhook-Signature for a message, with a signature for each key.
func Sign(keys [][]byte, id string, at time.Time, body []byte) string {
	var dst []byte
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = newSigner(key).append(dst, id, at.Unix(), body)
	}
	return string(dst)
}

// Verify tells whether a message was signed with a secret (as it is shown), not more than five minutes away from now; the zero now does
// not look at the time. Comparison takes constant time. Errors: ErrSecret, ErrHeaders, ErrSignature, ErrTimestamp.
func Verify(secret string, header http.Header, body []byte, now time.Time) error {
	key, err := ParseSecret(secret)
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
	want := newSigner(key).append(nil, id, seconds, body)
	fits := false
	for one := range strings.FieldsSeq(signatures) {
		if hmac.Equal([]byte(one), want) {
			fits = true
		}
	}
	switch away := now.Sub(time.Unix(seconds, 0)).Abs(); {
	case !fits:
		return ErrSignature
	case !now.IsZero() && away > tolerance:
		return ErrTimestamp
	}
	return nil
}
