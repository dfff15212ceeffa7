package relay

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

func masked(json string, sealed []uint32, device engine.Span, paths ...string) (string, engine.Span) {
	m := &mask{seed: "s", fields: map[string][][]string{}}
	for _, p := range paths {
		m.fields["ref"] = append(m.fields["ref"], strings.Split(p, "/"))
	}
	w := masking{sealed: sealed}
	e := shown{record: &engine.Record{Contract: []byte("ref")}, json: []byte(json), device: device}
	w.apply(m, &e)
	return string(e.json), e.device
}

func hash(value string) string { return string(consent.Mask(nil, "s", []byte(value))) }

// Values are found wherever a path leads, hashed as what they say and not as they are spelled, and nothing else changes.
func TestMaskFinds(t *testing.T) {
	h := hash
	for _, c := range []struct {
		name, json, want string
		paths            []string
	}{
		{"a text", `{"a":"x","b":"x"}`, `{"a":"` + h("x") + `","b":"x"}`, []string{"a"}},
		{"escapes", `{"a":"\u0078\"\n"}`, `{"a":"` + h("x\"\n") + `"}`, []string{"a"}},
		{"empty", `{"a":""}`, `{"a":"` + h("") + `"}`, []string{"a"}},
		{"null and others", `{"a":null,"b":7,"c":{"d":"x"}}`, `{"a":null,"b":7,"c":{"d":"x"}}`, []string{"a", "b", "c"}},
		{"nested", `{"c":{"d":"x","e":{"d":"y"}},"d":"z"}`, `{"c":{"d":"` + h("x") + `","e":{"d":"` + h("y") + `"}},"d":"z"}`, []string{"c/d", "c/e/d"}},
		{"a list", `{"a":["x",null,"y",3]}`, `{"a":["` + h("x") + `",null,"` + h("y") + `",3]}`, []string{"a"}},
		{"through lists", `{"i":[{"s":"x"},{"t":"y"},{"s":["z"]}]}`, `{"i":[{"s":"` + h("x") + `"},{"t":"y"},{"s":["` + h("z") + `"]}]}`, []string{"i/s"}},
		{"names with dots and stars", `{"a.b":"x","*":"y","a":{"b":"z"}}`, `{"a.b":"` + h("x") + `","*":"` + h("y") + `","a":{"b":"z"}}`, []string{"a.b", "*"}},
		{"not there", `{"a":"x"}`, `{"a":"x"}`, []string{"b", "a/b", ""}},
		{"order", `{"b":"1","a":"2"}`, `{"b":"` + h("1") + `","a":"` + h("2") + `"}`, []string{"a", "b"}},
	} {
		got, _ := masked(c.json, nil, engine.Span{}, c.paths...)
		if got != c.want || !gjson.Valid(got) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// What stays sealed stays, and the places of device and user move along.
func TestMaskMoves(t *testing.T) {
	json := `{"a":"AXsealed","d":{"x":"short"},"b":"open"}`
	at := engine.Span{Off: uint32(strings.Index(json, `{"x"`)), Len: uint32(len(`{"x":"short"}`))}
	got, device := masked(json, []uint32{uint32(strings.Index(json, "AX"))}, at, "a", "b", "d/x")
	if want := `{"a":"AXsealed","d":{"x":"` + hash("short") + `"},"b":"` + hash("open") + `"}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if text := got[device.Off : device.Off+device.Len]; text != `{"x":"`+hash("short")+`"}` {
		t.Errorf("the device is %s", text)
	}
}

func TestMaskAllocations(t *testing.T) {
	m := &mask{seed: "s", fields: map[string][][]string{"ref": {{"url"}, {"customer", "id"}}}}
	json := []byte(`{"strmMeta":{"consentLevels":[0]},"url":"https://example.com","customer":{"id":"customer-17"},"abTests":["a","b"]}`)
	rec := &engine.Record{Contract: []byte("ref")}
	var w masking
	if n := testing.AllocsPerRun(100, func() {
		e := shown{record: rec, json: json}
		w.apply(m, &e)
	}); n > allowed(8) {
		t.Errorf("%v allocations", n)
	}
}
