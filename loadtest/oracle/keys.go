package oracle

import (
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/tink-crypto/tink-go/v2/daead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keys are exported keys by their key links.
type Keys map[string]Key

// Key is an exported key. No event from Ends on, in Unix milliseconds, may have it.
type Key struct {
	aead tink.DeterministicAEAD
	Ends int64
}

// Add reads a CSV of exported keys.
func (k Keys) Add(file io.Reader) error {
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return err
	}
	if len(rows) == 0 || strings.Join(rows[0], ",") != "keyLink,encryptionKey,policyId,expiresAt" {
		return fmt.Errorf("the first line of the keys is %q", rows)
	}
	for _, row := range rows[1:] {
		handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(row[1])))
		if err != nil {
			return fmt.Errorf("the key of %s: %w", row[0], err)
		}
		var key Key
		if key.aead, err = daead.New(handle); err == nil {
			key.Ends, err = strconv.ParseInt(row[3], 10, 64)
		}
		if err != nil {
			return fmt.Errorf("the key of %s: %w", row[0], err)
		}
		if was, known := k[row[0]]; known && was.Ends != key.Ends {
			return fmt.Errorf("the key of %s ends at %d, and at %d", row[0], was.Ends, key.Ends)
		}
		k[row[0]] = key
	}
	return nil
}

// Open opens a field's value with the key of that link.
func (k Keys) Open(link, value string) (string, error) {
	key, known := k[link]
	if !known {
		return "", fmt.Errorf("there is no key for %s", link)
	}
	sealed, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", err
	}
	if len(sealed) < 21 || sealed[0] != 1 {
		return "", fmt.Errorf("%q is no ciphertext of a Tink key", value)
	}
	clear, err := key.aead.DecryptDeterministically(sealed, nil)
	return string(clear), err
}
