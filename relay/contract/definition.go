package contract

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Validation is a rule on one field. Type is "regex": the value must contain a match of the regular expression
// Value (RE2 syntax), which is anchored only where it says so. Null is not checked, a list element by element.
type Validation struct {
	Field string `json:"field"` // slash path, as customer/id
	Type  string `json:"type"`
	Value string `json:"value"`
}

// PersonalData says how sensitive a field is.
type PersonalData struct {
	IsPii        bool `json:"isPii"`
	IsQuasiID    bool `json:"isQuasiId,omitempty"` // for people to read; it encrypts nothing
	PurposeLevel int  `json:"purposeLevel"`        // the consent level that opens the field, 0 to 63
	// Special is the kind of special personal data of the GDPR, for people to read.
	Special string `json:"gdprSpecialPersonalDataType,omitempty"`
}

// FieldMetadata describes one field; where it has a PersonalDataConfig that beats PiiFields.
type FieldMetadata struct {
	FieldName          string        `json:"fieldName"` // slash path
	PersonalDataConfig *PersonalData `json:"personalDataConfig,omitempty"`

	// For people to read.
	StatisticalDataType string   `json:"statisticalDataType,omitempty"` // NOMINAL, ORDINAL or NUMERICAL
	OrdinalValues       []string `json:"ordinalValues,omitempty"`

	NullHandlingConfig *NullHandling `json:"nullHandlingConfig,omitempty"` // for batch jobs elsewhere; it changes no event
}

// Envelope maps parts of an event to the Airship envelope; every value is a gjson path into the event without
// strmMeta. Where the contract has personal fields a path must be plain member names joined by dots, so that it
// is known before the first event that no personal value leaves the event by it. Device and User are always
// plain, for they are shown as a part of the event's own text.
type Envelope struct {
	Type     string `json:"type,omitempty"`     // a string or enum, 255 bytes at most
	ID       string `json:"id,omitempty"`       // a string, int or long, 255 bytes at most
	Occurred string `json:"occurred,omitempty"` // an RFC 3339 string, or a long: milliseconds or its logical type's unit
	Device   string `json:"device,omitempty"`   // an object
	User     string `json:"user,omitempty"`     // an object
}

// Definition is a data contract as its author writes it: the contract file plus the schema.
type Definition struct {
	Ref              string          `json:"ref"` // handle/name/version
	ShortID          string          `json:"shortId,omitempty"`
	SchemaType       string          `json:"schemaType"` // AVRO or JSONSCHEMA
	Schema           string          `json:"schema"`
	KeyField         string          `json:"keyField"`
	PiiFields        map[string]int  `json:"piiFields,omitempty"` // slash path to consent level
	FieldMetadata    []FieldMetadata `json:"fieldMetadata,omitempty"`
	Validations      []Validation    `json:"validations,omitempty"`
	DataSubjectField string          `json:"dataSubjectField,omitempty"`
	SimpleSchema     string          `json:"simpleSchema,omitempty"` // what Schema was made from
	Fingerprint      string          `json:"fingerprint,omitempty"`  // of an Avro schema; made by Resolve
	Metadata         *Metadata       `json:"metadata,omitempty"`
	Envelope         *Envelope       `json:"envelope,omitempty"`
}

var (
	handleForm  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]+[a-zA-Z0-9]$`)
	versionForm = regexp.MustCompile(`^[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$`)
	shortIDForm = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,100}$`)
)

// CheckRef holds a ref to its grammar, handle/name/version: a handle of 4 to 100 letters, digits, '_' and '-', a
// name of 4 to 100 visible characters, a version of three numbers. The error is a [*DefinitionError].
func CheckRef(ref string) error {
	parts := strings.Split(ref, "/")
	if len(parts) != 3 {
		return faulty("ref", "'%s' must be handle/name/version", shown(ref))
	}
	handle, name, version := parts[0], parts[1], parts[2]
	switch {
	case len(handle) < 4 || len(handle) > 100 || !handleForm.MatchString(handle):
		return faulty("ref", "handle '%s' must be 4 to 100 letters, digits, '_' and '-', and begin and end with a letter or digit", shown(handle))
	case utf8.RuneCountInString(name) < 4 || utf8.RuneCountInString(name) > 100 || !visible(name):
		return faulty("ref", "name '%s' must be 4 to 100 visible characters", shown(name))
	case !versionForm.MatchString(version):
		return faulty("ref", "version '%s' must be three numbers, as 1.0.0", shown(version))
	}
	return nil
}

// visible tells whether a name can stand in a header, a path and JSON without being written differently there.
func visible(s string) bool {
	if !utf8.ValidString(s) || s != strings.TrimSpace(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) || r == '"' || r == '\\' {
			return false
		}
	}
	return true
}
