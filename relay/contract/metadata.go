package contract

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/twmb/avro"
)

// Metadata is what people read about a contract. It can be changed at any time and changes nothing.
type Metadata struct {
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	CreateTime  string   `json:"createTime,omitempty"`
	Labels      []Label  `json:"labels,omitempty"`
	Domains     []string `json:"domains,omitempty"`
	Industries  []string `json:"industries,omitempty"`
}

// Label is a name and a value of the author's choice.
type Label struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// NullHandling says what a batch job does with records that lack a field. There are no batch jobs here: it is kept and shown, so
// that a contract made for them comes in as it is, and an event's null stays null whatever it says.
type NullHandling struct {
	Type         string `json:"type"` // DROP_RECORD or DEFAULT_VALUE
	DefaultValue string `json:"defaultValue,omitempty"`
}

// maxMetadata bounds a contract's metadata as JSON.
const maxMetadata = 64 << 10

// fingerprint is CRC-64-AVRO of an Avro schema's parsing canonical form, as a signed number; empty for what is none.
func fingerprint(d *Definition) string {
	if d.SchemaType != SchemaTypeAvro || len(d.Schema) > MaxSchemaBytes {
		return ""
	}
	schema, err := avro.Parse(d.Schema)
	if err != nil {
		return "" // Compile says why
	}
	h := avro.NewRabin()
	_, _ = h.Write(schema.Canonical()) // a hash takes everything
	return strconv.FormatInt(int64(h.Sum64()), 10)
}

var (
	statisticalTypes  = []string{"", "NOMINAL", "ORDINAL", "NUMERICAL"}
	nullHandlingTypes = []string{"DROP_RECORD", "DEFAULT_VALUE"}
)

// checkMetadata looks at what a contract says beside what it asks of events.
func (c *Contract) checkMetadata() error {
	if m := c.def.Metadata; m != nil {
		if text, err := json.Marshal(m); err != nil || len(text) > maxMetadata {
			return faulty("metadata", "it has more than %d bytes", maxMetadata)
		}
	}
	for _, m := range c.def.FieldMetadata {
		switch {
		case !slices.Contains(statisticalTypes, m.StatisticalDataType):
			return faulty("fieldMetadata", "field '%s' has statisticalDataType '%s', it must be NOMINAL, ORDINAL or NUMERICAL", shown(m.FieldName), shown(m.StatisticalDataType))
		case len(m.OrdinalValues) > 0 && m.StatisticalDataType != "ORDINAL":
			return faulty("fieldMetadata", "field '%s' has ordinalValues, which go with statisticalDataType ORDINAL", shown(m.FieldName))
		case m.NullHandlingConfig == nil:
		case !slices.Contains(nullHandlingTypes, m.NullHandlingConfig.Type):
			return faulty("fieldMetadata", "field '%s' has nullHandlingConfig '%s', it must be DROP_RECORD or DEFAULT_VALUE", shown(m.FieldName), shown(m.NullHandlingConfig.Type))
		case m.NullHandlingConfig.DefaultValue != "" && m.NullHandlingConfig.Type != "DEFAULT_VALUE":
			return faulty("fieldMetadata", "field '%s' has a defaultValue, which goes with nullHandlingConfig DEFAULT_VALUE", shown(m.FieldName))
		}
	}
	return nil
}
