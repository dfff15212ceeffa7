package contract

// Builtin returns the contracts that every project has: the two demo contracts that the STRM Privacy documents work
// with, example in both versions that clients name, and that of Airship's own events. The caller may keep and change what it gets.
func Builtin() []Definition {
	example := Definition{
		Ref:        "strmprivacy/example/1.3.0",
		SchemaType: SchemaTypeAvro,
		Schema:     exampleSchema,
		KeyField:   "consistentValue",
		Validations: []Validation{
			{Field: "consistentValue", Type: "regex", Value: `^.+$`},
		},
	}
	latest := example
	latest.Ref, latest.ShortID = "strmprivacy/example/1.5.0", "example"
	for _, d := range []*Definition{&example, &latest} {
		d.PiiFields = map[string]int{"uniqueIdentifier": 1, "consistentValue": 2, "someSensitiveValue": 3}
		d.Validations = append([]Validation(nil), d.Validations...)
	}
	all := []Definition{
		{
			Ref:              "strmprivacy/clickstream/1.0.0",
			ShortID:          "clickstream",
			SchemaType:       SchemaTypeAvro,
			Schema:           clickstreamSchema,
			KeyField:         "producerSessionId",
			DataSubjectField: "customer/id",
			PiiFields:        map[string]int{"customer/id": 0, "producerSessionId": 1},
			Validations: []Validation{
				{Field: "customer/id", Type: "regex", Value: `^.+$`},
				{Field: "url", Type: "regex", Value: `^(https?|ftp|file)://[-a-zA-Z0-9+&@#/%?=~_|!:,.;]*[-a-zA-Z0-9+&@#/%=~_|]`},
			},
		},
		example,
		latest,
		airshipDefinition(),
	}
	for i := range all {
		all[i].Fingerprint = fingerprint(&all[i])
	}
	return all
}

const metaSchema = `{
  "type": "record", "name": "StrmMeta", "fields": [
    {"name": "eventContractRef", "type": "string"},
    {"name": "nonce", "type": ["null", "int"], "default": null},
    {"name": "timestamp", "type": ["null", "long"], "default": null},
    {"name": "keyLink", "type": ["null", "string"], "default": null},
    {"name": "billingId", "type": ["null", "string"], "default": null},
    {"name": "consentLevels", "type": {"type": "array", "items": "int"}}
  ]}`

const clickstreamSchema = `{
  "type": "record", "name": "ClickstreamEvent", "namespace": "io.strmprivacy.schemas.clickstream", "fields": [
    {"name": "strmMeta", "type": ` + metaSchema + `},
    {"name": "producerSessionId", "type": "string"},
    {"name": "url", "type": "string"},
    {"name": "eventType", "type": "string"},
    {"name": "referrer", "type": "string"},
    {"name": "userAgent", "type": "string"},
    {"name": "conversion", "type": "int"},
    {"name": "abTests", "type": {"type": "array", "items": "string"}},
    {"name": "customer", "type": {"type": "record", "name": "Customer", "fields": [
      {"name": "id", "type": "string"}
    ]}}
  ]}`

const exampleSchema = `{
  "type": "record", "name": "DemoEvent", "namespace": "io.strmprivacy.schemas.demo.v1", "fields": [
    {"name": "strmMeta", "type": ` + metaSchema + `},
    {"name": "uniqueIdentifier", "type": ["null", "string"], "default": null},
    {"name": "consistentValue", "type": "string"},
    {"name": "someSensitiveValue", "type": ["null", "string"], "default": null},
    {"name": "notSensitiveValue", "type": ["null", "string"], "default": null}
  ]}`
