package export_test

// What a customer does with exported keys: nothing of Sluice is needed for it, so nothing of Sluice is imported here.

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tink-crypto/tink-go/v2/daead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// openExported opens the personal fields of exported events with exported keys: the customer of each event, in order, as
// it stands where there is no key. expires are the ends of the keys by their links, in Unix milliseconds.
func openExported(keys, events []byte) (customers []string, expires map[string]string, err error) {
	rows, err := csv.NewReader(bytes.NewReader(keys)).ReadAll()
	if err != nil {
		return nil, nil, err
	}
	if len(rows) == 0 || !slices.Equal(rows[0], []string{"keyLink", "encryptionKey", "policyId", "expiresAt"}) {
		return nil, nil, fmt.Errorf("the header is %v", rows)
	}
	expires = map[string]string{}
	keysets := map[string]string{}
	for _, row := range rows[1:] {
		if _, twice := keysets[row[0]]; twice {
			return nil, nil, fmt.Errorf("key link %s is there twice", row[0])
		}
		keysets[row[0]], expires[row[0]] = row[1], row[3]
	}
	for line := range strings.Lines(string(events)) {
		var event struct {
			Meta struct {
				KeyLink string `json:"keyLink"`
			} `json:"strmMeta"`
			Customer struct{ ID string }
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			return nil, nil, err
		}
		text, ok := keysets[event.Meta.KeyLink]
		if !ok {
			customers = append(customers, event.Customer.ID)
			continue
		}
		handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(strings.NewReader(text)))
		if err != nil {
			return nil, nil, err
		}
		cipher, err := daead.New(handle)
		if err != nil {
			return nil, nil, err
		}
		sealed, err := base64.StdEncoding.DecodeString(event.Customer.ID)
		if err != nil {
			return nil, nil, err
		}
		plain, err := cipher.DecryptDeterministically(sealed, nil)
		if err != nil {
			return nil, nil, err
		}
		customers = append(customers, string(plain))
	}
	return customers, expires, nil
}
