package filter_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/relay/filter"
)

// envelope is an event as a predicate sees it, with its members as plain Go values.
func envelope(e *filter.Event) map[string]any {
	all := map[string]any{}
	if m, ok := value(e.JSON).(map[string]any); ok {
		for k, v := range m {
			all[k] = v
		}
	}
	for _, name := range []string{"id", "type", "occurred", "processed", "offset", "device", "user", "body"} {
		delete(all, name)
	}
	all["id"], all["type"] = string(e.ID), string(e.Type)
	all["occurred"] = "1970-01-01T00:00:00.000Z"
	for name, part := range map[string][]byte{"device": e.Device, "user": e.User, "body": e.Body} {
		if len(part) > 0 {
			all[name] = value(part)
		}
	}
	return all
}

func value(text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	_ = d.Decode(&v)
	return v
}

// holds evaluates a valid predicate literally.
func holds(p map[string]any, subject any) bool {
	if list, ok := p["and"].([]any); ok {
		for _, k := range list {
			if !holds(k.(map[string]any), subject) {
				return false
			}
		}
		return true
	}
	if list, ok := p["or"].([]any); ok {
		for _, k := range list {
			if holds(k.(map[string]any), subject) {
				return true
			}
		}
		return false
	}
	if k, ok := p["not"]; ok {
		if list, ok := k.([]any); ok {
			k = list[0]
		}
		return !holds(k.(map[string]any), subject)
	}
	var path []any
	switch scope := p["scope"].(type) {
	case string:
		path = append(path, scope)
	case []any:
		path = append(path, scope...)
	}
	if key, ok := p["key"]; ok {
		path = append(path, key)
	}
	for _, name := range path {
		m, _ := subject.(map[string]any)
		subject = m[name.(string)]
	}
	fold, _ := p["ignore_case"].(bool)
	return passes(p["value"].(map[string]any), subject, fold)
}

func passes(test map[string]any, v any, fold bool) bool {
	if want, ok := test["equals"]; ok {
		return equal(want, v, fold)
	}
	if want, ok := test["is_present"].(bool); ok {
		return want == (v != nil)
	}
	if want, ok := test["version_matches"].(string); ok {
		s, ok := v.(string)
		return ok && versionMatches(want, s)
	}
	if inner, ok := test["array_contains"].(map[string]any); ok {
		list, _ := v.([]any)
		for i, item := range list {
			if index, ok := test["index"].(json.Number); ok && float(index) != float64(i) {
				continue
			}
			if holds(inner, item) {
				return true
			}
		}
		return false
	}
	n, ok := v.(json.Number)
	if !ok {
		return false
	}
	if least, ok := test["at_least"].(json.Number); ok && less(n, least) {
		return false
	}
	most, ok := test["at_most"].(json.Number)
	return !ok || !less(most, n)
}

func float(n json.Number) float64 {
	f, _ := strconv.ParseFloat(string(n), 64)
	return f
}

func less(a, b json.Number) bool {
	i, err1 := a.Int64()
	j, err2 := b.Int64()
	if err1 == nil && err2 == nil {
		return i < j
	}
	return float(a) < float(b)
}

func equal(a, b any, fold bool) bool {
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return ok && (x == y || fold && strings.EqualFold(x, y))
	case json.Number:
		y, ok := b.(json.Number)
		return ok && !less(x, y) && !less(y, x)
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i], fold) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			if other, ok := y[k]; !ok || !equal(x[k], other, fold) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

var (
	spaces = regexp.MustCompile(`\s`)
	ranges = regexp.MustCompile(`^(.)(.*),(.*)(.)$`)
)

func versionMatches(constraint, version string) bool {
	c := spaces.ReplaceAllString(constraint, "")
	cut := func(s string) string { return strings.Split(strings.TrimSpace(s), "-")[0] }
	if c == "+" {
		return true
	}
	if strings.HasSuffix(c, "+") {
		return strings.HasPrefix(cut(version), cut(c[:len(c)-1]))
	}
	m := ranges.FindStringSubmatch(c)
	if m == nil {
		return cut(version) == cut(c)
	}
	numbers := func(s string) (n [3]int, ok bool) {
		for i, part := range strings.SplitN(s, ".", 4) {
			if i == 3 {
				break
			}
			v, err := strconv.ParseUint(part, 10, 31)
			if err != nil {
				return n, false
			}
			n[i] = int(v)
		}
		return n, true
	}
	compare := func(a, b [3]int) int {
		for i := range a {
			if a[i] != b[i] {
				return a[i] - b[i]
			}
		}
		return 0
	}
	v, ok := numbers(cut(version))
	if !ok {
		return false
	}
	if from, ok := numbers(cut(m[2])); ok && m[1] != "(" {
		if d := compare(v, from); d < 0 || d == 0 && m[1] == "]" {
			return false
		}
	}
	if to, ok := numbers(cut(m[3])); ok && m[4] != ")" {
		if d := compare(v, to); d > 0 || d == 0 && m[4] == "[" {
			return false
		}
	}
	return true
}

// comparePredicate holds the compiled predicate to the literal one; the event's body is the given JSON.
func comparePredicate(t testing.TB, predicate, body []byte) (known, held bool) {
	r, err := filter.Parse(append(append([]byte(`{"filters":{"predicates":[`), predicate...), "]}}"...))
	if err != nil || r.Filter == nil {
		return false, false
	}
	p, ok := value(predicate).(map[string]any)
	if !ok || !json.Valid(body) || !json.Valid(predicate) || !utf8.Valid(body) || bytes.Contains(body, []byte(`\u`)) || repeats(body) || bytes.Contains(predicate, []byte("offset")) {
		return false, false
	}
	// After another event, whose memory it takes, and asked twice, when it remembers what it looked at.
	e := &filter.Event{Type: []byte("OPEN"), JSON: []byte(`{"a":1,"c":{"b":[2]}}`), Body: []byte(`{"a":{"b":{"c":"x"}}}`)}
	r.Filter.Match(e)
	e.Next(filter.Event{Type: []byte("CUSTOM"), ID: []byte("i"), JSON: body, Body: body})
	want := holds(p, envelope(e))
	for range 2 {
		if got := r.Filter.Match(e); got != want {
			t.Fatalf("%s\nof %s: got %t, want %t", predicate, body, got, want)
		}
	}
	return true, want
}

// repeats tells whether an object names a member twice, which events never do.
func repeats(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	var walk func() bool
	walk = func() bool {
		tok, err := d.Token()
		if err != nil {
			return true
		}
		switch tok {
		case json.Delim('{'):
			names := map[string]bool{}
			for d.More() {
				name, err := d.Token()
				if err != nil || names[name.(string)] {
					return true
				}
				names[name.(string)] = true
				if walk() {
					return true
				}
			}
			_, err := d.Token()
			return err != nil
		case json.Delim('['):
			for d.More() {
				if walk() {
					return true
				}
			}
			_, err := d.Token()
			return err != nil
		}
		return false
	}
	return walk()
}

func FuzzPredicate(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		f.Add([]byte(randomPredicate(r, 0, false)), []byte(randomValue(r, 0)))
	}
	f.Fuzz(func(t *testing.T, predicate, body []byte) {
		comparePredicate(t, predicate, body)
	})
}

func TestPredicatesAgainstOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	known, held := 0, 0
	const cases = 8000
	for range cases {
		k, h := comparePredicate(t, []byte(randomPredicate(r, 0, false)), []byte(randomObject(r, 0)))
		if k {
			known++
		}
		if h {
			held++
		}
	}
	if known < cases*9/10 || held < known/10 || held > known*9/10 {
		t.Errorf("of %d predicates %d were valid and %d held: the generator tells too little", cases, known, held)
	}
}

func one(r *rand.Rand, all ...string) string { return all[r.IntN(len(all))] }

func name(r *rand.Rand) string { return one(r, `"a"`, `"b"`, `"c"`) }

func randomObject(r *rand.Rand, depth int) string {
	var members []string
	for _, name := range []string{"a", "b", "c"} {
		if r.IntN(4) > 0 {
			members = append(members, strconv.Quote(name)+": "+randomValue(r, depth+1))
		}
	}
	return "{" + strings.Join(members, " ,") + "}"
}

func randomValue(r *rand.Rand, depth int) string {
	switch n := r.IntN(10); {
	case n < 3 && depth < 4:
		return randomObject(r, depth)
	case n < 5 && depth < 4:
		var items []string
		for range r.IntN(4) {
			items = append(items, randomValue(r, depth+1))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return one(r, `1`, `1.0`, `2`, `-3.5e0`, `9007199254740993`, `9007199254740992`, `true`, `false`, `null`, `"x"`, `"X"`, `"1.2"`, `"1.2.3-b"`, `"é\n"`, `""`)
}

func randomPredicate(r *rand.Rand, depth int, inner bool) string {
	if depth < 4 && r.IntN(3) == 0 {
		switch r.IntN(3) {
		case 0:
			return `{"not":` + randomPredicate(r, depth+1, inner) + `}`
		case 1:
			return `{"and":[` + randomPredicate(r, depth+1, inner) + `,` + randomPredicate(r, depth+1, inner) + `]}`
		}
		return `{"or":[` + randomPredicate(r, depth+1, inner) + `,` + randomPredicate(r, depth+1, inner) + `]}`
	}
	var parts []string
	switch {
	case !inner:
		parts = append(parts, `"scope":`+one(r, `"body"`, `["body"]`, `["body",`+name(r)+`]`, `["body",`+name(r)+`,`+name(r)+`]`, name(r)))
		parts = append(parts, `"key":`+name(r))
	case r.IntN(2) == 0:
		parts = append(parts, `"key":`+name(r))
	}
	if r.IntN(3) == 0 {
		parts = append(parts, `"ignore_case":`+one(r, "true", "false"))
	}
	var test string
	switch r.IntN(6) {
	case 0, 1:
		test = `"equals":` + randomValue(r, 2)
	case 2:
		test = one(r, `"at_least":1`, `"at_most":2`, `"at_least":-3.5,"at_most":1e0`, `"at_least":9007199254740993`)
	case 3:
		test = `"is_present":` + one(r, "true", "false")
	case 4:
		test = `"version_matches":` + one(r, `"1.2"`, `"1.+"`, `"[1.0,1.2]"`, `"]1.2,)"`, `"(,2["`, `"+"`)
	default:
		test = `"array_contains":` + randomPredicate(r, depth+1, true) + one(r, ``, `,"index":0`, `,"index":2`)
	}
	return `{` + strings.Join(append(parts, `"value":{`+test+`}`), ",") + `}`
}
