package gateway_test

import (
	"strings"
	"testing"
	"time"

	"sluice/relay/contract"
	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// shopSchema is of events that have an id, a kind and a time of their own, and say whose they are.
const shopSchema = `{"type":"record","name":"Order","fields":[
	{"name":"strmMeta","type":{"type":"record","name":"StrmMeta","fields":[
		{"name":"eventContractRef","type":"string"},{"name":"nonce","type":["null","int"],"default":null},{"name":"timestamp","type":["null","long"],"default":null},
		{"name":"keyLink","type":["null","string"],"default":null},{"name":"billingId","type":["null","string"],"default":null},
		{"name":"consentLevels","type":{"type":"array","items":"int"}}]}},
	{"name":"head","type":{"type":"record","name":"Head","fields":[{"name":"number","type":"long"},{"name":"kind","type":"string"},{"name":"at","type":"string"}]}},
	{"name":"phone","type":["null",{"type":"record","name":"Phone","fields":[{"name":"channel","type":"string"},{"name":"device_type","type":"string"}]}],"default":null},
	{"name":"buyer","type":{"type":"record","name":"Buyer","fields":[{"name":"contact_id","type":"string"}]}},
	{"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[{"name":"sku","type":"string"}]}}}]}`

// A contract that says where in its events the parts of the envelope are makes them events of the streaming API like
// Airship's own: filters find them by type, device and user, and a copy is known by its id.
func TestRTDSOfMappedContract(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.Keepalive = 50 * time.Millisecond })
	st := e.stream("default", registry.StreamSpec{Name: "shop"})
	// Before there is such a contract a type that is not Airship's is a slip.
	e.wantAirshipNo(400, "POST", "/api/events", st.token, `{"filters":{"types":["order.paid"]}}`)
	d := contract.Definition{
		Ref: "acme/shop/1.0.0", SchemaType: contract.SchemaTypeAvro, Schema: shopSchema, KeyField: "buyer/contact_id",
		Envelope: &contract.Envelope{Type: "head.kind", ID: "head.number", Occurred: "head.at", Device: "phone", User: "buyer"},
	}
	e.contract(d)
	order := func(number, kind, phone, buyer, at string) string {
		return `{"strmMeta":{"eventContractRef":"acme/shop/1.0.0","consentLevels":[]},"head":{"number":` + number + `,"kind":"` + kind + `","at":"` + at +
			`"},"phone":` + phone + `,"buyer":{"contact_id":"` + buyer + `"},"lines":[{"sku":"größe-1"}]}`
	}
	const phone = `{"channel":"c-1","device_type":"IOS"}`
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for _, line := range []string{
		order("1", "order.paid", phone, "anna", now), order("2", "order.shipped", "null", "ben", now), order("1", "order.paid", phone, "anna", now),
		order("3", "order.paid", "null", "ben", now),
	} {
		e.want(204, "POST", "/event", st.token, line)
	}
	if a := e.want(400, "POST", "/event", st.token, order("4", "x", "null", "ben", "2020-01-01T00:00:00Z")); !strings.Contains(a.body, "90 days") {
		t.Errorf("%s", a.body)
	}
	for filters, want := range map[string]string{
		`{"types":["order.paid"]}`:                         "1 3",
		`[{"types":["order.shipped"]},{"types":["OPEN"]}]`: "2",
		`{"device_types":["ios"]}`:                         "1",
		`{"devices":[{"channel":"c-1"}]}`:                  "1",
		`{"users":[{"contact_id":"ben"}]}`:                 "2 3",
		`{"predicates":{"scope":["body","lines"],"key":"x","value":{"is_present":false}}}`:                                    "1 2 3",
		`{"predicates":{"scope":"body","key":"lines","value":{"array_contains":{"key":"sku","value":{"equals":"größe-1"}}}}}`: "1 2 3",
	} {
		s := e.open("POST", "/api/events", st.token, `{"start":"EARLIEST","filters":`+filters+`}`, gunzip(t))
		if got := s.ids(strings.Count(want, " ") + 1); got != want {
			t.Errorf("%s passes %s", filters, got)
		}
		if !s.lines.Scan() || s.lines.Text() != "" {
			t.Errorf("%s passes %q too", filters, s.lines.Text())
		}
		s.end()
	}
	v := e.open("POST", "/api/events", st.token, `{"start":"EARLIEST"}`, gunzip(t)).object()
	body := v["body"].(map[string]any)
	if v["type"] != "order.paid" || v["id"] != "1" || v["device"].(map[string]any)["channel"] != "c-1" || v["user"].(map[string]any)["contact_id"] != "anna" ||
		body["lines"] == nil || body["strmMeta"] == nil || !strings.HasSuffix(v["occurred"].(string), "Z") {
		t.Errorf("%v", v)
	}
	// What no event has is refused even so.
	for _, types := range []string{`["OFFSET_UPDATE"]`, `[""]`, `[]`, `[1]`} {
		e.wantAirshipNo(400, "POST", "/api/events", st.token, `{"filters":{"types":`+types+`}}`)
	}
}
