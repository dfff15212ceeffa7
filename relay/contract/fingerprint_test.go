package contract_test

import (
	"strings"
	"testing"
)

// The system whose demo contract it is printed a schema's fingerprint when its names still began with the company's former name: the same
// schema with those names has that fingerprint here.
func TestPublishedFingerprint(t *testing.T) {
	schema := builtin(t, "strmprivacy/example/1.5.0").Definition().Schema
	former := strings.ReplaceAll(schema, "io.strmprivacy.", "io.streammachine.")
	if got := fingerprintOf(t, former); former == schema || got != "6093265390869578999" {
		t.Errorf("%s", got)
	}
}
