package payload_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/ugorji/go/codec"

	"sluice/relay/payload"
)

// strictCBOR is a decoder that refuses what is not well-formed, not UTF-8 or has a key twice.
func strictCBOR(t testing.TB) cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		DefaultMapType: reflect.TypeFor[map[string]any](), MaxNestedLevels: 1000, MaxArrayElements: 1 << 20, MaxMapPairs: 1 << 20,
	}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// rowsOf reads a sequence of maps by two decoders that know nothing of each other, and holds them to one another.
func rowsOf(t testing.TB, data []byte) []map[string]any {
	t.Helper()
	var rows []map[string]any
	mode := strictCBOR(t)
	handle := new(codec.CborHandle)
	handle.MapType, handle.RawToString = reflect.TypeFor[map[string]any](), true
	second := codec.NewDecoderBytes(data, handle)
	for len(data) > 0 {
		var row, other map[string]any
		rest, err := mode.UnmarshalFirst(data, &row)
		if err != nil {
			t.Fatalf("first decoder: %v", err)
		}
		if err := second.Decode(&other); err != nil {
			t.Fatalf("second decoder: %v", err)
		}
		if !reflect.DeepEqual(row, other) {
			t.Fatalf("the decoders read\n%v and\n%v", row, other)
		}
		rows, data = append(rows, row), rest
	}
	return rows
}

// literal is what a document means, made the plain way: a tree by encoding/xml's own matching of tags, and Go maps.
type literal struct {
	name  string
	attrs []xml.Attr
	items []any // string or *literal
}

func readLiteral(text []byte) (*literal, error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	var stack []*literal
	var root *literal
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return root, nil
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			e := &literal{name: t.Name.Local, attrs: t.Attr}
			if len(stack) > 0 {
				top := stack[len(stack)-1]
				top.items = append(top.items, e)
			} else {
				root = e
			}
			stack = append(stack, e)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) == 0 {
				continue
			}
			top := stack[len(stack)-1]
			if n := len(top.items); n > 0 {
				if s, ok := top.items[n-1].(string); ok {
					top.items[n-1] = s + string(t)
					continue
				}
			}
			top.items = append(top.items, string(t))
		}
	}
}

func (l *literal) value() any {
	kids := 0
	for _, it := range l.items {
		if _, ok := it.(*literal); ok {
			kids++
		}
	}
	if kids == 0 && len(l.attrs) == 0 {
		return strings.Join(texts(l.items), "")
	}
	all := map[string][]any{}
	for _, a := range l.attrs {
		all["_"+a.Name.Local] = append(all["_"+a.Name.Local], a.Value)
	}
	for _, it := range l.items {
		switch v := it.(type) {
		case *literal:
			all[v.name] = append(all[v.name], v.value())
		case string:
			trimmed := strings.Trim(v, " \t\r\n")
			if trimmed == "" {
				continue
			}
			if kids > 0 {
				v = trimmed
			}
			all["_VALUE"] = append(all["_VALUE"], v)
		}
	}
	out := map[string]any{}
	for name, values := range all {
		if out[name] = values[0]; len(values) > 1 {
			out[name] = values
		}
	}
	return out
}

func texts(items []any) []string {
	var all []string
	for _, it := range items {
		all = append(all, it.(string))
	}
	return all
}

func (l *literal) rows() []map[string]any {
	var rows []map[string]any
	for _, it := range l.items {
		e, ok := it.(*literal)
		if !ok {
			continue
		}
		switch v := e.value().(type) {
		case map[string]any:
			rows = append(rows, v)
		case string:
			row := map[string]any{}
			if v != "" {
				row["_VALUE"] = v
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// hold compares what a document became with what it means.
func hold(t testing.TB, text []byte, d *payload.Document) {
	t.Helper()
	line := d.AppendJSON(nil)
	var got any
	if err := json.Unmarshal(line, &got); err != nil || bytes.ContainsAny(line, "\n\r") {
		t.Fatalf("%v: %q", err, line)
	}
	rows := rowsOf(t, d.AppendCBOR(nil))
	if len(rows) != d.Rows() {
		t.Fatalf("%d rows, %d are told", len(rows), d.Rows())
	}
	meaning, err := readLiteral(text)
	if err != nil || meaning == nil {
		t.Fatalf("the literal reading says %v of %q", err, text)
	}
	if want := any(map[string]any{meaning.name: meaning.value()}); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q\nis  %v\nnot %v", text, got, want)
	}
	if want := meaning.rows(); len(rows) != len(want) || len(rows) > 0 && !reflect.DeepEqual(rows, want) {
		t.Fatalf("%q\nhas the rows %v\nnot           %v", text, rows, want)
	}
}

// FuzzDocument holds any text to its literal reading, where it has no prefixes: those are spelled by us and resolved by encoding/xml.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{
		"<records><record a='1'>x<b/>y</record><record/></records>", "<r><![CDATA[x]]><!--c-->y</r>", "<a><b>1</b><b>2</b><c><b/></c></a>",
		"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><r>\xe9</r>", "\xff\xfe<\x00r\x00/\x00>\x00", "<!DOCTYPE r><r/>", "<r>&amp;&#x41;</r>",
		"<r a='1' b='2' c='3' d='4' e='5' f='6' g='7' h='8' i='9'><a/><b/><_a/></r>", "<r>]]></r>", "<r><_VALUE>a</_VALUE>b</r>",
	} {
		f.Add([]byte(s))
	}
	var d payload.Document
	f.Fuzz(func(t *testing.T, text []byte) {
		err := d.Parse(text)
		if err != nil {
			var fault *payload.Fault
			if !errors.As(err, &fault) {
				t.Fatalf("%v is no Fault", err)
			}
			return
		}
		if !json.Valid(d.AppendJSON(nil)) {
			t.Fatal("no JSON")
		}
		rowsOf(t, d.AppendCBOR(nil))
		if bytes.ContainsAny(text, ":") || bytes.Contains(text, []byte("encoding")) || bytes.ContainsAny(text[:min(2, len(text))], "\x00\xff\xfe") {
			return
		}
		hold(t, bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), &d)
	})
}

// TestMadeUp holds documents of every shape that a seeded generator comes upon to their literal reading.
func TestMadeUp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "c", "_a", "_VALUE", "d1", "d2", "d3", "d4", "d5", "d6", "é"}
	bits := []string{" ", "\n", "x", "é", "&amp;", "&#13;", "<![CDATA[<&]]>", "<!-- c -->", "<?p i?>", "\r\n", "\"", "\t"}
	var b strings.Builder
	var write func(depth int)
	write = func(depth int) {
		name := names[rng.IntN(len(names))]
		b.WriteString("<" + name)
		for i := range rng.IntN(4) {
			fmt.Fprintf(&b, " %s%d='%s'", names[rng.IntN(len(names))], i, []string{"", " v ", "&lt;", "\n"}[rng.IntN(4)])
		}
		b.WriteString(">")
		for range rng.IntN(14) {
			if rng.IntN(3) > 0 || depth > 5 {
				b.WriteString(bits[rng.IntN(len(bits))])
			} else {
				write(depth + 1)
			}
		}
		b.WriteString("</" + name + ">")
	}
	var d payload.Document
	documents := 1500
	if !raceOff {
		documents = 200 // it is much slower, and one goroutine has no races
	}
	for range documents {
		b.Reset()
		write(0)
		if err := d.Parse([]byte(b.String())); err != nil {
			t.Fatalf("%v: %s", err, b.String())
		}
		hold(t, []byte(b.String()), &d)
	}
}
