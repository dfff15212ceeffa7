package contract_test

import (
	"testing"

	"sluice/relay/contract"
)

// demoEvent is the event that producers are shown first, as it is laid out in a file.
const demoEvent = `{
  "strmMeta": {
    "eventContractRef": "strmprivacy/clickstream/1.0.0",
    "consentLevels": [0]
  },
  "producerSessionId": "producer",
  "url": "https://www.strmprivacy.io",
  "eventType": "click",
  "referrer": "referrer-id",
  "userAgent": "user-agent",
  "conversion": 0,
  "customer": {
    "id": "customer-id"
  },
  "abTests": ["a", "b"]
}
`

const metaRecord = `{"type":"record","name":"StrmMeta","fields":[
	{"name":"eventContractRef","type":"string"},
	{"name":"nonce","type":["null","int"],"default":null},
	{"name":"timestamp","type":["null","long"],"default":null},
	{"name":"keyLink","type":["null","string"],"default":null},
	{"name":"billingId","type":["null","string"],"default":null},
	{"name":"consentLevels","type":{"type":"array","items":"int"}}]}`

// sessionKey is a key field for schemas that are about something else.
const sessionKey = `{"name":"session","type":"string"}`

// withFields is a definition whose schema has strmMeta, a key field "session" and the given fields.
func withFields(fields string) contract.Definition {
	if fields != "" {
		fields = "," + fields
	}
	return contract.Definition{
		Ref: "acme/event-test/1.0.0", SchemaType: "AVRO", KeyField: "session",
		Schema: `{"type":"record","name":"Event","namespace":"com.acme","fields":[
			{"name":"strmMeta","type":` + metaRecord + `},` + sessionKey + fields + `]}`,
	}
}

// event is an event of withFields with the given members.
func event(members string) string {
	if members != "" {
		members = "," + members
	}
	return `{"strmMeta":{"eventContractRef":"acme/event-test/1.0.0","consentLevels":[1]},"session":"s"` + members + `}`
}

func compile(t testing.TB, d contract.Definition) *contract.Contract {
	t.Helper()
	c, err := contract.Compile(d)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return c
}

func builtin(t testing.TB, ref string) *contract.Contract {
	t.Helper()
	for _, d := range contract.Builtin() {
		if d.Ref == ref {
			return compile(t, d)
		}
	}
	t.Fatalf("no built-in contract %s", ref)
	return nil
}
