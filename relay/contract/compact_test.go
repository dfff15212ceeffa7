package contract_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"sluice/relay/contract"
)

func TestCompactJSON(t *testing.T) {
	for _, tc := range []struct{ body, want string }{
		{" { } ", "{}"},
		{"{\"b\" : 1.50 ,\r\n\t\"a\":[ 1 , {\"x\" : \"a  \\u0041\" } , [ ] ,true,false,null,-0]}", `{"b":1.50,"a":[1,{"x":"a  \u0041"},[],true,false,null,-0]}`},
		{`{"a":1,"a":2}`, `{"a":1,"a":2}`},
		{`{"a":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `}`, `{"a":` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `}`},
	} {
		got, err := contract.CompactJSON([]byte("x"), []byte(tc.body))
		if err != nil || string(got) != "x"+tc.want {
			t.Errorf("%s\n got %s, %v\nwant %s", tc.body, got, err, tc.want)
		}
	}
	for _, tc := range []struct{ body, want string }{
		{``, "the text ends too early at byte 0"},
		{`[]`, "it is not an object at byte 0"},
		{`{}{}`, "the object is followed by something else at byte 2"},
		{`{"a":1,}`, "character '}' is not expected at byte 7"},
		{`{"a":[1}}`, "character '}' is not expected at byte 7"},
		{`{"a":"\ud800"}`, "an unpaired surrogate stands in a string at byte 6"},
		{"{\"a\":\"\xff\"}", "it is not UTF-8 at byte 6"},
		{`{"a":` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + `}`, "it is nested deeper than 128 levels at byte 132"},
	} {
		got, err := contract.CompactJSON([]byte("x"), []byte(tc.body))
		if err == nil || err.Error() != "Body is not valid JSON: "+tc.want || string(got) != "x" {
			t.Errorf("%s\n got %s, %v\nwant %s", tc.body, got, err, tc.want)
		}
	}
	body, buf := []byte(demoEvent), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buf, _ = contract.CompactJSON(buf[:0], body) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestStringScan puts every byte at every place of strings that are longer than a machine word.
func TestStringScan(t *testing.T) {
	for at := range 24 {
		for b := range 0x80 {
			text := bytes.Repeat([]byte("x"), 24)
			text[at] = byte(b)
			body := append(append([]byte(`{"a":"`), text...), `"}`...)
			_, err := contract.CompactJSON(nil, body)
			if want := json.Valid(body); want != (err == nil) {
				t.Errorf("%q: got %v, want valid %t", body, err, want)
			}
		}
	}
}

// FuzzCompactJSON holds the reader of JSON to encoding/json.
func FuzzCompactJSON(f *testing.F) {
	for _, s := range []string{demoEvent, `{}`, `[]`, `{"a":[1,-0.5e+3,"\ud83d\ude00"]}`, `{"a":"\ud800"}`, `{"a":tru}`, `{"a":01}`, "{\"\xff\":1}", `{"a":1}x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := contract.CompactJSON(nil, body)
		want := json.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) &&
			utf8.Valid(body) && !loneSurrogate(body) && nesting(body) <= 128
		if want != (err == nil) {
			t.Fatalf("%q\n got %v, want valid %t", body, err, want)
		}
		if err != nil {
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, body); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, compact.Bytes()) {
			t.Fatalf("%q\n got %q\nwant %q", body, got, compact.Bytes())
		}
	})
}

// loneSurrogate tells whether a JSON text has an escaped surrogate that is not half of a pair.
func loneSurrogate(body []byte) bool {
	var high bool
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			if high {
				return true
			}
			continue
		}
		i++
		if i < len(body) && body[i] == 'u' && i+4 < len(body) {
			switch c := strings.ToLower(string(body[i+1 : i+3])); {
			case c >= "d8" && c <= "db":
				if high {
					return true
				}
				high = true
				i += 4
				continue
			case c >= "dc" && c <= "df":
				if !high {
					return true
				}
				high = false
				i += 4
				continue
			}
			if high {
				return true
			}
			i += 4
			continue
		}
		if high {
			return true
		}
	}
	return high
}

// nesting is how deep the containers of a valid JSON text are nested.
func nesting(body []byte) int {
	d := json.NewDecoder(bytes.NewReader(body))
	depth, most := 0, 0
	for {
		tok, err := d.Token()
		if err != nil {
			return most
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			depth++
			most = max(most, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}
