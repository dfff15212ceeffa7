package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

const secretAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// NewSecret gives n characters of [A-Za-z0-9] from crypto/rand, 5.95 bits each. The alphabet has
// nothing that URL-encoding would change, so that a client which encodes its Basic credentials and one
// which does not send the same.
func NewSecret(n int) string { return NewRandom(n, secretAlphabet) }

// NewRandom gives n characters of the alphabet, which holds 2 to 256 single bytes, each as likely as the others.
func NewRandom(n int, alphabet string) string {
	// The highest multiple of the alphabet's size that a byte can hold: bytes from there on are thrown
	// away, else the first letters would come up more often.
	limit := 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var pool [64]byte
	for len(out) < n {
		rand.Read(pool[:]) //nolint:errcheck // crypto/rand.Read never fails: it ends the process instead
		for _, b := range pool {
			if int(b) < limit && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}

// Hash is what a random secret is stored as: SHA-256 in hex. That is enough for a secret of 20 and
// more random characters, which no dictionary holds; it is not for what people choose themselves.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Equal tells in constant time whether hash is the secret's. A hash that is not of 32 bytes in hex equals nothing.
func Equal(hash, secret string) bool {
	var want [sha256.Size]byte
	if len(hash) != hex.EncodedLen(len(want)) {
		return false
	}
	if _, err := hex.Decode(want[:], []byte(hash)); err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(want[:], sum[:]) == 1
}
