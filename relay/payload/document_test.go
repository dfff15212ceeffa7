package payload_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"

	"sluice/relay/payload"
)

func parse(t *testing.T, text []byte) *payload.Document {
	t.Helper()
	var d payload.Document
	if err := d.Parse(text); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
	return &d
}

func TestJSON(t *testing.T) {
	for name, c := range map[string]struct{ xml, json string }{
		"the seed's":              {"<records>\n <record>\n <field1>value1</field1>\n </record>\n <record>\n <field1>value2</field1>\n </record>\n </records>\n", `{"records":{"record":[{"field1":"value1"},{"field1":"value2"}]}}`},
		"one record":              {`<records><record><a>1</a></record></records>`, `{"records":{"record":{"a":"1"}}}`},
		"order of first names":    {`<r><b>1</b><a>2</a><b>3</b><c/></r>`, `{"r":{"b":["1","3"],"a":"2","c":""}}`},
		"attributes":              {`<r z="1" a='2'><b k="&lt;v&gt;"/></r>`, `{"r":{"_z":"1","_a":"2","b":{"_k":"<v>"}}}`},
		"text beside attributes":  {`<r><a k="1"> x </a></r>`, `{"r":{"a":{"_k":"1","_VALUE":" x "}}}`},
		"blank beside attributes": {"<r><a k=\"1\">\n\t</a></r>", `{"r":{"a":{"_k":"1"}}}`},
		"text beside elements":    {"<r>\n one\n<a/>\n two <b/></r>", `{"r":{"_VALUE":["one","two"],"a":"","b":""}}`},
		"text after elements":     {"<r><a/>tail</r>", `{"r":{"a":"","_VALUE":"tail"}}`},
		"an attribute repeated":   {`<r a="1"><_a>2</_a></r>`, `{"r":{"_a":["1","2"]}}`},
		"an element called value": {`<r>x<_VALUE>y</_VALUE></r>`, `{"r":{"_VALUE":["x","y"]}}`},
		"white space is text":     {`<r><a>  </a></r>`, `{"r":{"a":"  "}}`},
		"cdata":                   {`<r><![CDATA[<a>&amp;]]]]><![CDATA[>]]></r>`, `{"r":"<a>&amp;]]>"}`},
		"comments and PIs":        {`<?xml version="1.0"?><?pi x?><!-- a --><r>a<!-- < & -->b<?pi y?>c</r><!-- z -->`, `{"r":"abc"}`},
		"references":              {`<r>&amp;&lt;&gt;&apos;&quot;&#65;&#x1F600;</r>`, `{"r":"&<>'\"A😀"}`},
		"line ends":               {"<r>a\r\nb\rc\td</r>", `{"r":"a\nb\nc\td"}`},
		"escapes":                 {`<r>"\</r>`, `{"r":"\"\\"}`},
		"prefixes":                {`<x:r xmlns:x="urn:x" xmlns="urn:y"><x:a x:k="1"/></x:r>`, `{"x:r":{"_xmlns:x":"urn:x","_xmlns":"urn:y","x:a":{"_x:k":"1"}}}`},
		"names in all scripts":    {`<日本><ß.é-1>ω</ß.é-1></日本>`, `{"日本":{"ß.é-1":"ω"}}`},
		"only a root":             {`<r/>`, `{"r":""}`},
		"byte order mark":         {"\ufeff<?xml version='1.0' encoding='UTF-8'?><r>é</r>", `{"r":"é"}`},
		"a declared US-ASCII":     {`<?xml version="1.0" encoding="us-ascii"?><r>e</r>`, `{"r":"e"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(parse(t, []byte(c.xml)).AppendJSON([]byte("·"))); got != "·"+c.json {
				t.Errorf("%s\nis  %s\nnot %s", c.xml, got, c.json)
			}
		})
	}
}

// The bytes of the maps, by the table of RFC 8949 and not by a library.
func TestCBOR(t *testing.T) {
	for name, c := range map[string]struct {
		xml, hex string
		rows     int
	}{
		"the seed's":           {"<records>\n<record><f>v1</f></record>\n<record><f>v2</f></record></records>", "a1 6166 627631  a1 6166 627632", 2},
		"order and repeats":    {`<r><x b="1"><a>2</a><c/><a>3</a></x></r>`, "a3 625f62 6131 6161 82 6132 6133 6163 60", 1},
		"children of one text": {`<r><a>1</a><b/><c k="2"/></r>`, "a1 665f56414c5545 6131  a0  a1 625f6b 6132", 3},
		"document order":       {`<r><a><n>1</n></a><b><n>2</n></b><a><n>3</n></a></r>`, "a1 616e 6131 a1 616e 6132 a1 616e 6133", 3},
		"a long text":          {"<r><a><t>" + strings.Repeat("x", 300) + "</t></a></r>", "a1 6174 79012c" + strings.Repeat("78", 300), 1},
		"the root's own":       {`<r k="1">text</r>`, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := hex.DecodeString(strings.ReplaceAll(c.hex, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			d := parse(t, []byte(c.xml))
			if got := d.AppendCBOR(nil); !bytes.Equal(got, want) || d.Rows() != c.rows {
				t.Errorf("%d rows, %x\nnot %x", d.Rows(), got, want)
			}
		})
	}
}

func utf16Bytes(text string, big, mark bool) []byte {
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	var out []byte
	for _, u := range units {
		if big {
			out = append(out, byte(u>>8), byte(u))
		} else {
			out = append(out, byte(u), byte(u>>8))
		}
	}
	return out
}

func TestEncodings(t *testing.T) {
	const text = `<r>née 日本 😀</r>`
	latin, err := charmap.ISO8859_1.NewEncoder().Bytes([]byte(`<?xml version="1.0" encoding="ISO-8859-1"?><r>née</r>`))
	if err != nil {
		t.Fatal(err)
	}
	windows, err := charmap.Windows1252.NewEncoder().Bytes([]byte(`<?xml version="1.0" encoding="windows-1252"?><r>12 €</r>`))
	if err != nil {
		t.Fatal(err)
	}
	whole := `{"r":"née 日本 😀"}`
	for name, c := range map[string]struct {
		text []byte
		want string
	}{
		"UTF-16LE with mark":          {utf16Bytes(text, false, true), whole},
		"UTF-16BE with mark":          {utf16Bytes(text, true, true), whole},
		"UTF-16LE without":            {utf16Bytes(text, false, false), whole},
		"UTF-16BE, declared":          {utf16Bytes(`<?xml version="1.0" encoding="UTF-16"?>`+text, true, false), whole},
		"ISO-8859-1":                  {latin, `{"r":"née"}`},
		"windows-1252":                {windows, `{"r":"12 €"}`},
		"Shift_JIS":                   {[]byte("<?xml version=\"1.0\" encoding=\"Shift_JIS\"?><r>\x93\xfa\x96\x7b</r>"), `{"r":"日本"}`},
		"declared as UTF-16 in UTF-8": {[]byte(`<?xml version="1.0" encoding="UTF-16"?><r/>`), ""},
		"UTF-16 declared as Latin":    {utf16Bytes(`<?xml version="1.0" encoding="ISO-8859-1"?><r/>`, true, true), ""},
		"marked as UTF-8, not so":     {[]byte("\ufeff<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><r/>"), ""},
		"an unknown encoding":         {[]byte(`<?xml version="1.0" encoding="klingon"?><r/>`), ""},
		"Latin without saying so":     {latin[len(`<?xml version="1.0" encoding="ISO-8859-1"?>`):], ""},
		"windows-1252 with a hole":    {bytes.Replace(windows, []byte{0x80}, []byte{0x81}, 1), ""},
		"half a surrogate pair":       {append(utf16Bytes("<r>", false, true), append([]byte{0x3d, 0xd8}, utf16Bytes("</r>", false, false)...)...), ""},
		"half a unit":                 {append(utf16Bytes(text, false, true), 0), ""},
	} {
		t.Run(name, func(t *testing.T) {
			var d payload.Document
			err := d.Parse(c.text)
			if c.want == "" {
				var f *payload.Fault
				if !errors.As(err, &f) {
					t.Fatalf("%v, %s", err, d.AppendJSON(nil))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := string(d.AppendJSON(nil)); got != c.want {
				t.Errorf("%s", got)
			}
		})
	}
}

// What is hostile or broken is a Fault that says nothing of the text, and costs little.
func TestHostile(t *testing.T) {
	bomb := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "secret">` +
		`<!ENTITY lol1 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]><lolz>&lol1;</lolz>`
	for name, text := range map[string]string{
		"entity bomb":          bomb,
		"external entity":      `<!DOCTYPE r [<!ENTITY secret SYSTEM "file:///etc/passwd">]><r>&secret;</r>`,
		"external DTD":         `<!DOCTYPE r SYSTEM "http://127.0.0.1/secret.dtd"><r/>`,
		"an empty DTD":         `<!DOCTYPE r><r/>`,
		"parameter entity":     `<!DOCTYPE r [<!ENTITY % secret SYSTEM "http://127.0.0.1/x"> %secret;]><r/>`,
		"undefined entity":     `<r>&secret;</r>`,
		"entity of HTML":       `<r>&nbsp;</r>`,
		"depth":                strings.Repeat("<secret>", 101) + strings.Repeat("</secret>", 101),
		"depth without end":    strings.Repeat("<a>", 80000),
		"stray text before":    `secret<r/>`,
		"stray text after":     `<r/>secret`,
		"cdata outside":        `<r/><![CDATA[secret]]>`,
		"two roots":            `<r/><r/>`,
		"not closed":           `<r><secret>`,
		"closed twice":         `<r></r></r>`,
		"crossed":              `<r><a><b></a></b></r>`,
		"an attribute twice":   `<r a="1" a="2"/>`,
		"attribute unquoted":   `<r a=secret/>`,
		"attribute with <":     `<r a="<secret"/>`,
		"a NUL":                "<r>\x00</r>",
		"a NUL by reference":   `<r>&#0;</r>`,
		"a control character":  "<r>\x01</r>",
		"not UTF-8":            "<r>\xff</r>",
		"version 1.1":          `<?xml version="1.1"?><r/>`,
		"declaration too late": ` <?xml version="1.0"?><r/>`,
		"declaration within":   `<r><?xml version="1.0"?></r>`,
		"reserved target":      `<?XML version="1.0"?><r/>`,
		"ampersand":            `<r>a & b</r>`,
		"end of cdata in text": `<r>]]></r>`,
		"comment with hyphens": `<r><!-- a -- b --></r>`,
		"empty":                ``,
		"white space":          " \n",
		"JSON":                 `{"secret":1}`,
		"only a mark":          "\ufeff",
		"only a declaration":   `<?xml version="1.0"?>`,
		"random bytes":         "\xfe\xff\x00",
	} {
		t.Run(name, func(t *testing.T) {
			var d payload.Document
			err := d.Parse([]byte(text))
			var f *payload.Fault
			if !errors.As(err, &f) || f.Reason == "" {
				t.Fatalf("%v, %s", err, d.AppendJSON(nil))
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("it tells of the text: %v", err)
			}
		})
	}
	if err := new(payload.Document).Parse([]byte(strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100))); err != nil {
		t.Errorf("a hundred levels: %v", err)
	}
	if err := new(payload.Document).Parse([]byte("<r>\n\n<a></b>")); err == nil || !strings.HasSuffix(err.Error(), "at line 3") {
		t.Errorf("the line: %v", err)
	}
}

// Memory is bounded by the text, whatever its shape; most of what is allocated are tokens that live for a moment.
func TestBounded(t *testing.T) {
	const size = 260096
	many := func(s string) string { return "<r>" + strings.Repeat(s, size/len(s)) + "</r>" }
	names := func() string {
		var b strings.Builder
		for i := 0; b.Len() < size-20; i++ {
			b.WriteString("<a" + strconv.Itoa(i) + "/>")
		}
		return "<r>" + b.String() + "</r>"
	}
	attributes := func() string {
		var b strings.Builder
		for i := 0; b.Len() < size-20; i++ {
			b.WriteString(" a" + strconv.Itoa(i) + "=''")
		}
		return "<r" + b.String() + "/>"
	}
	for name, text := range map[string]string{
		"elements": many("<a/>"), "mixed": many("<a/>x"), "names": names(), "attributes": attributes(), "quotes": many(`"`),
		"text": many("x"), "references": many("&lt;"), "comments": many("<!---->"), "cdata": many("<![CDATA[]]>"),
	} {
		t.Run(name, func(t *testing.T) {
			d := parse(t, []byte(text))
			out := d.AppendJSON(nil)
			if !json.Valid(out) || len(out) > 6*len(text) {
				t.Errorf("%d bytes of JSON from %d", len(out), len(text))
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			parse(t, []byte(text))
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; raceOff && used > 200*uint64(len(text)) {
				t.Errorf("%d bytes allocated for %d", used, len(text))
			}
		})
	}
}

// A Document that parsed another document, or failed to, knows nothing of it any more.
func TestReuse(t *testing.T) {
	var d payload.Document
	texts := []string{
		`<a><b>1</b><b>2</b></a>`, `<a k="1">x`, `<r><c1/><c2/><c3/><c4/><c5/><c6/><c7/><c8/><c9/><c1/></r>`, ``, `<r><c1/><c9/></r>`, `<q>1</q>`,
	}
	for range 2 {
		for _, text := range texts {
			var fresh payload.Document
			err1, err2 := d.Parse([]byte(text)), fresh.Parse([]byte(text))
			if (err1 == nil) != (err2 == nil) {
				t.Fatalf("%s: %v and %v", text, err1, err2)
			}
			if err1 == nil && !bytes.Equal(d.AppendJSON(nil), fresh.AppendJSON(nil)) {
				t.Errorf("%s: %s", text, d.AppendJSON(nil))
			}
		}
	}
}

func TestAppendEscaped(t *testing.T) {
	var all strings.Builder
	for r := rune(0); r < 0x3000; r++ {
		if r < 0xd800 {
			all.WriteRune(r)
		}
	}
	quoted := append(payload.AppendEscaped([]byte{'"'}, all.String()), '"')
	var back string
	if err := json.Unmarshal(quoted, &back); err != nil || back != all.String() {
		t.Errorf("%v", err)
	}
	if testing.AllocsPerRun(10, func() { quoted = payload.AppendEscaped(quoted[:1], "a\"\n\x01b") }) > 0 {
		t.Error("it allocates")
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte("<records>" + strings.Repeat("<record id='7'><name>Somebody</name><mail>somebody@example.com</mail><city>Bern</city></record>", 5) + "</records>")
	var d payload.Document
	var out []byte
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Parse(text); err != nil {
			b.Fatal(err)
		}
		out = d.AppendCBOR(out[:0])
	}
}
