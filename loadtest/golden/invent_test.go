package golden_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sluice/loadtest/oracle"
)

// inventor makes up contracts and events, the same for the same seed.
type inventor struct {
	*rand.Rand
	names    int
	personal map[string]int
	rules    []map[string]string
	space    string
}

const (
	openRule   = `^[a-zé]+-[0-9]+$`
	secretRule = `^secret-.`
)

// invent makes up a contract of Avro with events for it.
func invent(t *testing.T, seed uint64) *book {
	t.Helper()
	v := &inventor{Rand: rand.New(rand.NewPCG(seed, 4)), personal: map[string]int{}, space: fmt.Sprint("org.made.up", seed)}
	meta := map[string]any{"type": "record", "name": "StrmMeta", "fields": []any{
		field("eventContractRef", "string"), field("nonce", []any{"null", "int"}), field("timestamp", []any{"null", "long"}),
		field("keyLink", []any{"null", "string"}), field("billingId", []any{"null", "string"}), field("consentLevels", map[string]any{"type": "array", "items": "int"}),
	}}
	key := field("session", "string")
	if v.IntN(2) == 0 {
		key = field("session", []any{"null", "string"})
	}
	if v.IntN(2) == 0 {
		v.personal["session"] = v.level()
	}
	fields := append([]any{field("strmMeta", meta), key}, v.fields("", 0)...)
	schema := map[string]any{"type": "record", "name": "Event", "namespace": v.space, "fields": fields}
	ref := fmt.Sprintf("made-up/contract-%d/1.0.0", seed)
	b := &book{
		schema: oracle.Text(schema),
		file:   oracle.Text(map[string]any{"keyField": "session", "piiFields": v.personal, "validations": v.rules}),
	}
	var err error
	if b.Contract, err = oracle.Parse(ref, b.schema, b.file); err != nil {
		t.Fatal(err)
	}
	b.masks = slices.Sorted(maps.Keys(v.personal))
	for i := range 6 {
		event := map[string]any{"session": fmt.Sprint("secret-session-", v.IntN(3))}
		v.fill(event, fields[2:], i%2 == 1)
		b.cases = append(b.cases, trial{name: fmt.Sprint("made up ", i), event: b.named(event), drawn: true})
		for range 6 {
			changed := oracle.Clone(event).(map[string]any)
			v.spoil(changed)
			b.cases = append(b.cases, trial{name: fmt.Sprint("made up and changed ", i), event: changed, drawn: true})
		}
	}
	return b
}

func field(name string, kind any) map[string]any { return map[string]any{"name": name, "type": kind} }

func (v *inventor) level() int { return v.IntN(5) }

func (v *inventor) name() string { v.names++; return "f" + strconv.Itoa(v.names) }

// fields makes up the fields of a record at a path.
func (v *inventor) fields(path string, depth int) (all []any) {
	for range 3 + v.IntN(5) {
		f := field(v.name(), nil)
		at := strings.TrimPrefix(path+"/"+f["name"].(string), "/")
		f["type"] = v.kind(at, depth)
		if v.IntN(3) == 0 {
			if _, several := f["type"].([]any); !several {
				f["type"] = []any{"null", f["type"]}
				f["default"] = nil
			}
		}
		all = append(all, f)
	}
	return all
}

func (v *inventor) kind(path string, depth int) any {
	if depth < 3 {
		switch v.IntN(8) {
		case 0:
			return map[string]any{"type": "record", "name": "R" + v.name(), "fields": v.fields(path, depth+1)}
		case 1:
			return map[string]any{"type": "array", "items": map[string]any{"type": "record", "name": "R" + v.name(), "fields": v.fields(path, depth+1)}}
		}
	}
	switch v.IntN(10) {
	case 0:
		return "int"
	case 1:
		return "long"
	case 2:
		return "double"
	case 3:
		return "boolean"
	case 4:
		return map[string]any{"type": "enum", "name": "E" + v.name(), "symbols": []any{"ONE", "TWO", "THREE"}}
	case 5:
		return map[string]any{"type": "map", "values": "long"}
	case 6:
		return []any{"null", "int", "string", "boolean"}
	case 7:
		v.text(path)
		return map[string]any{"type": "array", "items": "string"}
	}
	v.text(path)
	return "string"
}

// text decides what a contract says about a text.
func (v *inventor) text(path string) {
	personal := v.IntN(2) == 0
	if personal {
		v.personal[path] = v.level()
	}
	if v.IntN(3) == 0 {
		rule := openRule
		if personal {
			rule = secretRule
		}
		v.rules = append(v.rules, map[string]string{"field": path, "type": "regex", "value": rule})
	}
}

// fill makes up members of a record. What may be left out is, now and then.
func (v *inventor) fill(event map[string]any, fields []any, wrap bool) {
	v.members(event, "", fields, wrap)
}

func (v *inventor) members(event map[string]any, path string, fields []any, wrap bool) {
	for _, f := range fields {
		f := f.(map[string]any)
		name := f["name"].(string)
		at := strings.TrimPrefix(path+"/"+name, "/")
		if union, ok := f["type"].([]any); ok && union[0] == "null" {
			switch v.IntN(4) {
			case 0:
				continue
			case 1:
				event[name] = nil
				continue
			}
			kind := union[1+v.IntN(len(union)-1)]
			value := v.value(at, kind, wrap)
			if wrap {
				value = map[string]any{v.called(kind): value}
			}
			event[name] = value
			continue
		}
		event[name] = v.value(at, f["type"], wrap)
	}
}

// called is by which name a union's wrapped value calls a type.
func (v *inventor) called(kind any) string {
	m, ok := kind.(map[string]any)
	if !ok {
		return kind.(string)
	}
	if name, ok := m["name"].(string); ok {
		return v.space + "." + name
	}
	return m["type"].(string)
}

func (v *inventor) value(path string, kind any, wrap bool) any {
	number := func(n int64) any { return json.Number(strconv.FormatInt(n, 10)) }
	m, complex := kind.(map[string]any)
	if complex {
		kind = m["type"]
	}
	switch kind {
	case "record":
		event := map[string]any{}
		v.members(event, path, m["fields"].([]any), wrap)
		return event
	case "array":
		list := []any{}
		for range v.IntN(4) {
			list = append(list, v.value(path, m["items"], wrap))
		}
		return list
	case "map":
		out := map[string]any{}
		for range v.IntN(3) {
			out[v.word()] = number(v.Int64())
		}
		return out
	case "enum":
		return m["symbols"].([]any)[v.IntN(3)]
	case "int":
		return number(int64(int32(v.Uint32())))
	case "long":
		return number(int64(v.Uint64()))
	case "double":
		return json.Number(strconv.FormatFloat(v.NormFloat64(), 'g', -1, 64))
	case "boolean":
		return v.IntN(2) == 0
	}
	if _, personal := v.personal[path]; personal {
		return []string{"secret-", "secret-\u00e9\U0001f600", "secret-\"\\/\u2028<&>\n"}[v.IntN(3)] + v.word()
	}
	return v.word()
}

func (v *inventor) word() string {
	return []string{"word", "élan", "x"}[v.IntN(3)] + "-" + strconv.Itoa(v.IntN(50))
}

// spoil changes one thing of an event. It may be taken all the same.
func (v *inventor) spoil(event map[string]any) {
	names := slices.Sorted(maps.Keys(event))
	name := names[v.IntN(len(names))]
	if inner, ok := event[name].(map[string]any); ok && len(inner) > 0 && v.IntN(3) > 0 {
		v.spoil(inner)
		return
	}
	if list, ok := event[name].([]any); ok && len(list) > 0 && v.IntN(3) > 0 {
		at := v.IntN(len(list))
		if inner, ok := list[at].(map[string]any); ok && len(inner) > 0 {
			v.spoil(inner)
		} else {
			list[at] = v.wrong()
		}
		return
	}
	switch v.IntN(4) {
	case 0:
		delete(event, name)
	case 1:
		event["added"] = v.wrong()
	default:
		event[name] = v.wrong()
	}
}

func (v *inventor) wrong() any {
	return []any{
		nil, true, json.Number("77777"), json.Number("0.5"), json.Number("99999999999999999999"), json.Number("-1"), "", "secret of none", "NO SUCH",
		[]any{}, []any{nil}, []any{"secret-in a list"}, map[string]any{}, map[string]any{"string": "secret-wrapped"}, map[string]any{"int": "secret-x"},
	}[v.IntN(15)]
}
