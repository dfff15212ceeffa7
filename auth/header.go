package auth

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
)

// maxHeader bounds an Authorization header that is decoded: our longest credentials are a tenth of it.
const maxHeader = 8 << 10

// Bearer gives the token of an Authorization header, the scheme being of any case. It is nil where
// there is no such token, and borrowed from header.
func Bearer(header []byte) []byte {
	token, ok := scheme(header, "bearer")
	if !ok || len(token) == 0 {
		return nil
	}
	return token
}

// Candidate is one reading of Basic credentials.
type Candidate struct{ ID, Secret string }

// BasicCredentials gives the readings of an Authorization header by preference: as it is (RFC 7617),
// and URL-decoded (RFC 6749 §2.3.1) where that is another. Libraries of both persuasions exist, and a
// secret with a percent sign cannot be told from an encoded one: the caller tries both. It gives none
// for a header that is not Basic.
func BasicCredentials(header []byte) []Candidate {
	text, ok := scheme(header, "basic")
	if !ok || len(text) > maxHeader {
		return nil
	}
	text = bytes.TrimRight(text, "=")
	plain := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Decode(plain, text)
	if err != nil {
		return nil
	}
	id, secret, ok := strings.Cut(string(plain[:n]), ":")
	if !ok {
		return nil
	}
	raw := Candidate{ID: id, Secret: secret}
	decodedID, err := url.QueryUnescape(id)
	if err != nil {
		return []Candidate{raw}
	}
	decodedSecret, err := url.QueryUnescape(secret)
	if err != nil {
		return []Candidate{raw}
	}
	if decoded := (Candidate{ID: decodedID, Secret: decodedSecret}); decoded != raw {
		return []Candidate{raw, decoded}
	}
	return []Candidate{raw}
}

// scheme gives what follows the scheme's name, which is in lower case here, without the spaces around.
func scheme(header []byte, name string) ([]byte, bool) {
	header = bytes.TrimSpace(header)
	if len(header) <= len(name) || header[len(name)] != ' ' && header[len(name)] != '\t' {
		return nil, false
	}
	for i := range len(name) {
		if header[i]|0x20 != name[i] {
			return nil, false
		}
	}
	return bytes.TrimSpace(header[len(name):]), true
}
