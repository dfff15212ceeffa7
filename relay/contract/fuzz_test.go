package contract_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/avro"

	"sluice/relay/contract"
)

const everything = `
	{"name":"i","type":"int","default":0},
	{"name":"l","type":"long","default":-1},
	{"name":"f","type":"float","default":0.5},
	{"name":"b","type":"boolean","default":true},
	{"name":"e","type":{"type":"enum","name":"Kind","symbols":["A","B","string"]},"default":"B"},
	{"name":"x","type":{"type":"fixed","name":"Two","size":2},"default":"ab"},
	{"name":"y","type":"bytes","default":""},
	{"name":"who","type":["null","string"],"default":null},
	{"name":"names","type":{"type":"array","items":"string"},"default":["d\"x"]},
	{"name":"m","type":{"type":"map","values":["null","long","string",{"type":"array","items":"int"}]},"default":{}},
	{"name":"u","type":["null","int","double","Kind","Two","boolean"],"default":null},
	{"name":"o","type":["null",
		{"type":"record","name":"One","fields":[{"name":"a","type":"int"},{"name":"string","type":"string","default":"s"}]},
		{"type":"record","name":"More","fields":[{"name":"a","type":"int"},{"name":"z","type":["null","string"]}]},
		{"type":"map","values":"string"},"string"],"default":null},
	{"name":"t","type":["null",{"type":"record","name":"Tree","fields":[
		{"name":"v","type":"string"},
		{"name":"kids","type":{"type":"array","items":"Tree"},"default":[]},
		{"name":"next","type":["null","Tree"],"default":null}]}],"default":null}`

func everythingContract(t testing.TB) (*contract.Contract, *oracle, *avro.SchemaNode) {
	d := withFields(everything)
	d.PiiFields = map[string]int{"who": 1, "names": 2, "t/v": 3, "t/kids/v": 4}
	o, root := newOracle(d.Schema, "who", "names", "t/v", "t/kids/v")
	return compile(t, d), o, root
}

// compare holds Check to the oracle on one body.
func compareWithOracle(t testing.TB, c *contract.Contract, o *oracle, root *avro.SchemaNode, out *contract.Checked, body []byte) (taken bool) {
	t.Helper()
	want, refused := o.event(root, body)
	if refused == nil {
		key, _ := want.get("session")
		if key == "" {
			refused = errRefused
		}
	}
	err := c.Check(out, body)
	if (err == nil) != (refused == nil) {
		t.Fatalf("%s\n got %v\nwant %v", body, err, refused)
	}
	if err != nil {
		return false
	}
	text := "{" + string(out.Members) + "}"
	got, err := ordered([]byte(text))
	if err != nil {
		t.Fatalf("%s\nbecame %s: %v", body, text, err)
	}
	if !reflect.DeepEqual(got, any(want)) {
		t.Fatalf("%s\n  became %s\nnot like %s", body, text, show(want))
	}
	if again, err := contract.CompactJSON(nil, []byte(text)); err != nil || string(again) != text {
		t.Fatalf("%s\nis not compact", text)
	}
	var personal []string
	for _, p := range out.Personal {
		personal = append(personal, c.PersonalFields()[p.Path]+"="+string(p.Plain))
		if unquote(t, `"`+string(out.Members[p.Off:p.Off+p.Len])+`"`) != string(p.Plain) {
			t.Fatalf("%s\nhas %q where %q should be", text, out.Members[p.Off:p.Off+p.Len], p.Plain)
		}
	}
	if !slices.Equal(personal, o.seen) {
		t.Fatalf("%s\n has the personal values %q\nbut we found %q", body, o.seen, personal)
	}
	return true
}

func show(v any) string {
	switch v := v.(type) {
	case *object:
		var all []string
		for i := range v.names {
			all = append(all, fmt.Sprintf("%q:%s", v.names[i], show(v.values[i])))
		}
		return "{" + strings.Join(all, ",") + "}"
	case []any:
		var all []string
		for i := range v {
			all = append(all, show(v[i]))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func FuzzCheck(f *testing.F) {
	c, o, root := everythingContract(f)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		f.Add([]byte(randomEvent(r, o, root)))
	}
	f.Add([]byte(demoEvent))
	var out contract.Checked
	f.Fuzz(func(t *testing.T, body []byte) {
		compareWithOracle(t, c, o, root, &out, body)
	})
}

// TestAgainstOracle holds Check to the oracle on events that are right or nearly so.
func TestAgainstOracle(t *testing.T) {
	c, o, root := everythingContract(t)
	r := rand.New(rand.NewPCG(3, 4))
	var out contract.Checked
	taken := 0
	const events = 6000
	for range events {
		if compareWithOracle(t, c, o, root, &out, []byte(randomEvent(r, o, root))) {
			taken++
		}
	}
	if taken < events/5 || taken > events*4/5 {
		t.Errorf("%d of %d events were taken: the generator tells too little", taken, events)
	}
}

// randomEvent writes an event of the schema that is sometimes wrong.
func randomEvent(r *rand.Rand, o *oracle, root *avro.SchemaNode) string {
	g := generator{r: r, o: o}
	return g.space() + g.value(root, 0) + g.space()
}

type generator struct {
	r *rand.Rand
	o *oracle
}

func (g *generator) one(all ...string) string { return all[g.r.IntN(len(all))] }

func (g *generator) space() string {
	if g.r.IntN(4) > 0 {
		return ""
	}
	return g.one(" ", "\n", "\t ", "\r\n")
}

func (g *generator) text() string {
	return g.one(`""`, `"a"`, `"A"`, `"B"`, `"ab"`, `"string"`, `"\u0041"`, `"é\n"`, `"\ud83d\ude00"`, `"a longer text, with \"quotes\" in it"`, `"€"`)
}

func (g *generator) value(n *avro.SchemaNode, depth int) string {
	n = g.o.resolve(n)
	if g.r.IntN(150) == 0 { // anything at all
		return g.one("null", "true", "1", "1.5", `"A"`, "[]", "{}", `{"a":1}`, `{"string":"x"}`, `{"int":1}`, "[1]", "tru", "-", `"\ud800"`, "\"\xff\"", "01", "")
	}
	switch n.Type {
	case "null":
		return "null"
	case "boolean":
		return g.one("true", "false")
	case "int":
		return g.one("0", "-0", "7", "63", "2147483647", "-2147483648", "1", "12", "2147483648")
	case "long":
		return g.one("0", "9223372036854775807", "-9223372036854775808", "5", "6", "9223372036854775808")
	case "float", "double":
		return g.one("0", "1.5", "-1e-5", "1E999", "3", "12345678901234567890")
	case "string":
		return g.text()
	case "bytes":
		return g.one(`""`, `"\u00ff\u0000"`, `"ÿ"`, `"plain"`)
	case "fixed":
		return g.one(`"ab"`, `"\u00ffé"`)
	case "enum":
		return g.one(`"A"`, `"B"`, `"\u0042"`, `"string"`)
	case "array":
		var items []string
		for range g.r.IntN(3) {
			items = append(items, g.space()+g.value(n.Items, depth+1)+g.space())
		}
		return "[" + g.space() + strings.Join(items, ",") + "]"
	case "map":
		var items []string
		for range g.r.IntN(4) {
			items = append(items, g.member(g.one(`"a"`, `"b"`, `"\u0061"`, `"string"`, `"map"`, `""`, `"c"`, `"d"`), n.Values, depth))
		}
		return "{" + g.space() + strings.Join(items, ",") + "}"
	case "union":
		b := &n.Branches[g.r.IntN(len(n.Branches))]
		if depth > 4 {
			b = &n.Branches[0]
		}
		text := g.value(b, depth+1)
		if b = g.o.resolve(b); b.Type != "null" && g.r.IntN(3) == 0 {
			return "{" + g.space() + `"` + typeName(b) + `"` + g.space() + ":" + g.space() + text + g.space() + "}"
		}
		return text
	}
	var members []string
	for i := range n.Fields {
		f := &n.Fields[i]
		if optionalField(f) != nil && g.r.IntN(2) == 0 || g.r.IntN(300) == 0 {
			continue
		}
		members = append(members, g.member(`"`+f.Name+`"`, &f.Type, depth))
		if g.r.IntN(400) == 0 {
			members = append(members, g.member(`"`+f.Name+`"`, &f.Type, depth))
		}
	}
	if g.r.IntN(300) == 0 {
		members = append(members, `"extra":1`)
	}
	if g.r.IntN(3) == 0 {
		g.r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	}
	return "{" + g.space() + strings.Join(members, ",") + "}"
}

func (g *generator) member(name string, n *avro.SchemaNode, depth int) string {
	return g.space() + name + g.space() + ":" + g.space() + g.value(n, depth+1) + g.space()
}
