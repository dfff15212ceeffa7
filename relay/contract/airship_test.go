package contract_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"sluice/relay/contract"
)

const airshipHead = `"id":"e-1","type":%q,"occurred":"2026-03-01T12:00:00.125Z"`

func airshipEvent(kind, rest string) string {
	head := "{" + fmt.Sprintf(airshipHead, kind)
	if rest != "" {
		head += "," + rest
	}
	return head + "}"
}

func TestAirshipEnvelope(t *testing.T) {
	c := builtin(t, contract.AirshipRef)
	var k contract.Checked
	body := ` { "id" : "caf\u00e9" , "offset":17 ,"processed":null, "type":"CUSTOM", "occurred":"2016-12-08T21:27:01.1Z" ,
		"device":{ "channel":"c","device_type":"IOS" },"user":{"contact_id":"u"}, "experiments":[ 1 , {"a":"\u00e9"} ],
		"strmMeta":{"eventContractRef":"airship/event/3.0.0","consentLevels":[0,2]}, "body":{"name":"n", "x":1.50} } `
	if err := c.Check(&k, []byte(body)); err != nil {
		t.Fatal(err)
	}
	const members = `"device":{"channel":"c","device_type":"IOS"},"user":{"contact_id":"u"},"experiments":[1,{"a":"\u00e9"}],"body":{"name":"n","x":1.50}`
	if string(k.Members) != members {
		t.Errorf("members %s", k.Members)
	}
	part := func(s contract.Span) string { return string(k.Members[s.Off : s.Off+s.Len]) }
	if part(k.Device) != `{"channel":"c","device_type":"IOS"}` || part(k.User) != `{"contact_id":"u"}` || part(k.Body) != `{"name":"n","x":1.50}` {
		t.Errorf("parts %s %s %s", part(k.Device), part(k.User), part(k.Body))
	}
	at := time.Date(2016, 12, 8, 21, 27, 1, 1e8, time.UTC).UnixMilli()
	if string(k.ID) != "café" || string(k.Type) != "CUSTOM" || k.Occurred != at || k.Consent != 5 || string(k.ContractRef) != contract.AirshipRef {
		t.Errorf("%q %q %d %b %q", k.ID, k.Type, k.Occurred, k.Consent, k.ContractRef)
	}
	if len(k.Personal) != 0 || k.Key != nil || k.Subject != nil {
		t.Error("something is personal")
	}
	if err := c.Check(&k, []byte(airshipEvent("OPEN", ""))); err != nil || len(k.Members) != 0 || k.Body.Len != 0 || k.Consent != 0 {
		t.Errorf("%v, members %q", err, k.Members)
	}
}

// airshipTaken are events that pass, by what is special about them.
var airshipTaken = map[string]string{
	"the seed's own event, of the old form": `{"id":"7e7f5990-d277-4636-b22c-912cb2ca2ec9","offset":"1245924","occurred":"2016-12-08T21:27:01.125Z",
		"processed":"2016-12-08T21:27:03.000Z","device":{"ios_channel":"1819298f","attributes":{"locale_variant":"","push_opt_in":"false"}},
		"body":{"name":"finished_game","session_id":"e025","properties":{"game_name":"snaps","game_score":1000}},"type":"CUSTOM"}`,
	"an unknown type":                        airshipEvent("BRAND_NEW", `"body":{"push_id":17},"device":{}`),
	"unknown members everywhere":             airshipEvent("SEND", `"new":[1],"device":{"channel":"c","device_type":"WEB","x":{}},"body":{"push_id":"p","y":null}`),
	"parts that are null":                    airshipEvent("SEND", `"device":null,"user":null,"body":null`),
	"flags as strings":                       airshipEvent("LOCATION", `"body":{"foreground":"true","latitude":"1","longitude":2}`),
	"optional members that are null":         airshipEvent("OPEN", `"body":{"triggering_push":null,"last_delivered":null}`),
	"a named user in place of device":        airshipEvent("CUSTOM", `"device":{"named_user_id":"u"},"body":{"name":"n"}`),
	"an open channel":                        airshipEvent("TAG_CHANGE", `"device":{},"body":{"add":{"g":["t"]}}`),
	"a compliance event":                     airshipEvent("COMPLIANCE", `"device":{"delivery_address":"a@b","device_type":"EMAIL"},"body":{"event_type":"bounce","identifiers":{"address":"a@b"},"properties":{"bounce_class":"10"}}`),
	"an unknown compliance event":            airshipEvent("COMPLIANCE", `"body":{"event_type":"new","identifiers":{}}`),
	"one without a device":                   airshipEvent("COMPLIANCE", `"body":{"event_type":"carrier_deactivation","identifiers":{"msisdn":"1","sender":"2"}}`),
	"a custom event named like a provider's": airshipEvent("CUSTOM", `"device":{"channel":"c","device_type":"IOS"},"body":{"name":"bounce"}`),
	"a list":                                 airshipEvent("ATTRIBUTE_OPERATION", `"body":{"set":[{"key":"k","value":1}],"remove":[]}`),
}

func TestAirshipTakes(t *testing.T) {
	c := builtin(t, contract.AirshipRef)
	var k contract.Checked
	for name, body := range airshipTaken {
		if err := c.Check(&k, []byte(body)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAirshipRefuses(t *testing.T) {
	c := builtin(t, contract.AirshipRef)
	app := `"device":{"channel":"c","device_type":"IOS"},`
	for _, tc := range []struct{ body, want string }{
		{`{}`, `field 'id' is missing`},
		{`{"type":"OPEN","occurred":"2026-03-01T12:00:00Z"}`, `field 'id' is missing`},
		{`{"id":"1","occurred":"2026-03-01T12:00:00Z"}`, `field 'type' is missing`},
		{`{"id":"1","type":"OPEN"}`, `field 'occurred' is missing`},
		{`{"id":"","type":"OPEN"}`, `field 'id' must have 1 to 255 bytes`},
		{`{"id":"` + strings.Repeat("é", 128) + `"}`, `field 'id' must have 1 to 255 bytes`},
		{`{"id":17}`, `field 'id' must be string`},
		{`{"id":null}`, `field 'id' must be string`},
		{`{"id":"1","id":"2"}`, `field 'id' is given twice`},
		{`{"id":"1","\u0069d":"2"}`, `field 'id' is given twice`},
		{`{"type":""}`, `field 'type' must have 1 to 255 bytes`},
		{`{"type":"OFFSET_UPDATE"}`, `field 'type' must not be OFFSET_UPDATE, which each connection makes for itself`},
		{`{"occurred":"yesterday"}`, `field 'occurred' must be a time as 2026-01-31T12:00:00.000Z`},
		{`{"occurred":1700000000}`, `field 'occurred' must be string`},
		{`{"body":[]}`, `field 'body' must be object`},
		{`{"device":"c"}`, `field 'device' must be object`},
		{`{"user":1}`, `field 'user' must be object`},
		{`{"strmMeta":{}}`, `field 'strmMeta/consentLevels' is missing`},
		{airshipEvent("SEND", `"body":{}`), `field 'body/push_id' is missing`},
		{airshipEvent("SEND", `"body":{"push_id":null}`), `field 'body/push_id' is missing`},
		{airshipEvent("SEND", `"body":{"push_id":7}`), `field 'body/push_id' must be string`},
		{airshipEvent("SEND", `"device":{}`), ``}, // an open channel names nothing
		{airshipEvent("CLOSE", `"device":{}`), `field 'device/device_type' is missing`},
		{airshipEvent("CLOSE", `"device":{"channel":"c"}`), `field 'device/device_type' is missing`},
		{airshipEvent("CLOSE", `"device":{"device_type":"IOS"}`), `field 'device/channel' is missing`},
		{airshipEvent("CLOSE", `"device":{"channel":"c","device_type":"WEB"}`), `field 'device/device_type' must be one of IOS, ANDROID, AMAZON`},
		{airshipEvent("CLOSE", `"device":{"channel":"c","device_type":7}`), `field 'device/device_type' must be one of IOS, ANDROID, AMAZON`},
		{airshipEvent("WEB_SESSION", `"device":{"channel":"c","device_type":"WEB","attributes":{}}`), `field 'device/attributes/push_opt_in' is missing`},
		{airshipEvent("REGION", app+`"body":{"action":"enters","region_id":"r","source_info":{}}`), `field 'body/action' must be one of enter, exit`},
		{airshipEvent("REGION", app+`"body":{"action":"enter","region_id":"r","source_info":[]}`), `field 'body/source_info' must be object`},
		{airshipEvent("OPEN", app+`"body":{"triggering_push":{"group_id":"g"}}`), `field 'body/triggering_push/push_id' is missing`},
		{airshipEvent("OPEN", app+`"body":{"triggering_push":"p"}`), `field 'body/triggering_push' must be object`},
		{airshipEvent("UNINSTALL", app+`"body":{"decay":"yes"}`), `field 'body/decay' must be boolean`},
		{airshipEvent("LABEL_EVENT", `"body":{"push_id":"p","labels":[{"id":"1","label":"l"},{"id":"2"}]}`), `field 'body/labels/label' is missing`},
		{airshipEvent("LABEL_EVENT", `"body":{"push_id":"p","labels":["a"]}`), `field 'body/labels' must be array of object`},
		{airshipEvent("TAG_CHANGE", `"body":{"add":["t"]}`), `field 'body/add' must be object`},
		{airshipEvent("SUBSCRIPTION_LIST", `"body":{"current":{}}`), `field 'body/current' must be array`},
		{airshipEvent("IN_APP_FORM_DISPLAY", app+`"body":{"context":{"state":{"form":{"form_identifier":"f"}}}}`), `field 'body/context/state/form/submitted' is missing`},
		{airshipEvent("CUSTOM", app+`"body":{}`), `field 'body/name' is missing`},
		{airshipEvent("CUSTOM", `"device":{"channel":"c","device_type":"EMAIL"},"body":{"name":"bounce","properties":{}}`), `field 'body/triggering_push' is missing`},
		{airshipEvent("COMPLIANCE", `"body":{"event_type":"opted_out"}`), `field 'body/identifiers' is missing`},
		{airshipEvent("COMPLIANCE", `"body":{"event_type":"opted_out","identifiers":{"msisdn":"1"}}`), `field 'body/identifiers/sender' is missing`},
		{airshipEvent("COMPLIANCE", `"device":{"device_type":"SMS"},"body":{"event_type":"registration","identifiers":{"msisdn":"1","sender":"2"},"properties":{"registration_type":"create"}}`),
			`field 'body/properties/opted_in' is missing`},
	} {
		var k contract.Checked
		err := c.Check(&k, []byte(tc.body))
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.body, err)
			}
			continue
		}
		var v *contract.Violation
		if !errors.As(err, &v) || v.Text != "Event does not match schema 'airship/event/3.0.0': "+tc.want {
			t.Errorf("%s\n  %v\n  want %s", tc.body, err, tc.want)
		}
	}
	for _, body := range []string{``, `[]`, `{`, `{"id"`, `{"id":`, `{"id":"1"`, `{"id":"1",`, `{"id":"1",}`, `{"a":nul}`, `{} x`, `{1:2}`, "{\"a\":\"\xff\"}", `{"strmMeta":7}`} {
		var k contract.Checked
		if err := c.Check(&k, []byte(body)); err == nil {
			t.Errorf("%s passes", body)
		}
	}
}

// FuzzAirship holds the check to encoding/json: it takes nothing that is not a JSON object, and what it leaves of an
// event is the event without the members it takes out.
func FuzzAirship(f *testing.F) {
	for _, body := range airshipTaken {
		f.Add([]byte(body))
	}
	f.Add([]byte(`{"id":"1","type":"x","occurred":"2026-03-01T12:00:00Z","a":{"b":[1,2,{"c":"\ud83d\ude00"}]},"processed":{"d":1}}`))
	c := builtin(f, contract.AirshipRef)
	f.Fuzz(func(t *testing.T, body []byte) {
		var k contract.Checked
		if c.Check(&k, body) != nil {
			return
		}
		var sent, left map[string]any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&sent); err != nil {
			t.Fatalf("%q passes: %v", body, err)
		}
		d = json.NewDecoder(strings.NewReader("{" + string(k.Members) + "}"))
		d.UseNumber()
		if err := d.Decode(&left); err != nil {
			t.Fatalf("%q leaves %q: %v", body, k.Members, err)
		}
		if sent["id"] != string(k.ID) || sent["type"] != string(k.Type) {
			t.Fatalf("%q: id %q, type %q", body, k.ID, k.Type)
		}
		maps.DeleteFunc(sent, func(name string, v any) bool {
			switch name {
			case "id", "type", "occurred", "offset", "processed", "strmMeta":
				return true
			case "device", "user", "body":
				return v == nil
			}
			return false
		})
		want, _ := json.Marshal(sent)
		got, _ := json.Marshal(left)
		if !bytes.Equal(want, got) {
			t.Fatalf("%q leaves %s", body, got)
		}
	})
}

func TestAirshipAllocatesNothing(t *testing.T) {
	c := builtin(t, contract.AirshipRef)
	var k contract.Checked
	for name, body := range airshipTaken {
		event := []byte(body)
		if n := testing.AllocsPerRun(100, func() { _ = c.Check(&k, event) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestAirshipSchemaIsNobodyElses(t *testing.T) {
	for _, d := range contract.Builtin() {
		if d.SchemaType != contract.SchemaTypeAirship {
			continue
		}
		d.Ref = "acme/event/3.0.0"
		var de *contract.DefinitionError
		if _, err := contract.Compile(d); !errors.As(err, &de) || de.Field != "schemaType" {
			t.Errorf("%v", err)
		}
		d.Ref = contract.AirshipRef
		for _, schema := range []string{"OPEN app =", "OPEN = a{", "OPEN = a:b", "OPEN = @x", "OPEN/x = a", "OPEN = *"} {
			d.Schema = schema
			if _, err := contract.Compile(d); !errors.As(err, &de) || de.Field != "schema" {
				t.Errorf("%s: %v", schema, err)
			}
		}
	}
}
