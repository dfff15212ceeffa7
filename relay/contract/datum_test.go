package contract_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/twmb/avro"

	"sluice/relay/contract"
)

// datum writes an event, given as JSON, as Avro does.
func datum(t testing.TB, schema, event string) []byte {
	t.Helper()
	s := avro.MustParse(schema)
	var v any
	if err := s.DecodeJSON([]byte(event), &v); err != nil {
		t.Fatal(err)
	}
	b, err := s.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const wholeMeta = `"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","nonce":null,"timestamp":null,"keyLink":null,"billingId":null,"consentLevels":[0,2]}`

const wholeEvent = `{` + wholeMeta + `,"producerSessionId":"producer \"é\"","url":"https://www.example.com/","eventType":"click\n",
	"referrer":"","userAgent":"","conversion":-7,"abTests":["a","b"],"customer":{"id":"customer-id"}}`

func TestCheckAvro(t *testing.T) {
	c := builtin(t, "strmprivacy/clickstream/1.0.0")
	body := datum(t, c.Definition().Schema, wholeEvent)
	for _, enc := range []contract.Encoding{contract.AvroBinary, contract.Unknown} {
		var got contract.Checked
		if err := c.CheckAs(&got, enc, body); err != nil {
			t.Fatal(err)
		}
		const want = `"producerSessionId":"producer \"é\"","url":"https://www.example.com/","eventType":"click\u000a","referrer":"","userAgent":"","conversion":-7,"abTests":["a","b"],"customer":{"id":"customer-id"}`
		if string(got.Members) != want {
			t.Errorf("got %s", got.Members)
		}
		if string(got.Key) != `producer "é"` || string(got.Subject) != "customer-id" || got.Consent != 0b101 || len(got.Personal) != 2 {
			t.Errorf("key %q, subject %q, consent %b, %d personal", got.Key, got.Subject, got.Consent, len(got.Personal))
		}
	}
}

// field is a datum of withFields: strmMeta, the session, and what is given.
func fieldDatum(rest ...byte) []byte {
	ref := "acme/event-test/1.0.0"
	b := binary.AppendVarint(nil, int64(len(ref)))
	b = append(b, ref...)
	b = append(b, 0, 0, 0, 0) // nonce, timestamp, keyLink, billingId
	b = append(b, 2, 2, 0)    // consentLevels [1]
	b = append(b, 2, 's')
	return append(b, rest...)
}

func TestCheckAvroRefusals(t *testing.T) {
	const notOne = "Body is not an Avro datum of schema 'acme/event-test/1.0.0'"
	about := func(rule string) string {
		return "Event does not match schema 'acme/event-test/1.0.0': field 'f' " + rule
	}
	nan := binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN()))
	inf := binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(math.Inf(-1))))
	huge := binary.AppendVarint(nil, math.MaxInt64)
	least := binary.AppendVarint(nil, math.MinInt64)
	table := []struct {
		name, kind string
		rest       []byte
		want       string // "" for taken
	}{
		{"int", `"int"`, []byte{1}, ""},
		{"an int of 33 bits", `"int"`, binary.AppendVarint(nil, 1<<31), notOne},
		{"a long of more than 64 bits", `"long"`, bytes.Repeat([]byte{0xff}, 11), notOne},
		{"cut off", `"long"`, []byte{0x80}, notOne},
		{"something behind", `"int"`, []byte{1, 0}, notOne},
		{"string longer than the body", `"string"`, []byte{8, 'a'}, notOne},
		{"string of a negative length", `"string"`, []byte{1}, notOne},
		{"string of 9 exabytes", `"string"`, huge, notOne},
		{"string that is not UTF-8", `"string"`, []byte{2, 0xff}, notOne},
		{"bytes that are not UTF-8", `"bytes"`, []byte{2, 0xff}, ""},
		{"bytes of a negative length", `"bytes"`, []byte{3}, notOne},
		{"boolean 2", `"boolean"`, []byte{2}, notOne},
		{"fixed cut off", `{"type":"fixed","name":"F","size":2}`, []byte{1}, notOne},
		{"enum", `{"type":"enum","name":"E","symbols":["A","B"]}`, []byte{2}, ""},
		{"enum above", `{"type":"enum","name":"E","symbols":["A","B"]}`, []byte{4}, notOne},
		{"enum below", `{"type":"enum","name":"E","symbols":["A","B"]}`, []byte{1}, notOne},
		{"union above", `["null","int"]`, []byte{4, 0}, notOne},
		{"union below", `["null","int"]`, []byte{1, 0}, notOne},
		{"union with null at its end", `["int","null"]`, []byte{2}, ""},
		{"union with null in its middle", `["int","null","string"]`, []byte{4, 2, 'x'}, ""},
		{"NaN", `"double"`, nan, about("must be a finite number")},
		{"-Inf", `"float"`, inf, about("must be a finite number")},
		{"array of a sized block", `{"type":"array","items":"int"}`, []byte{3, 4, 1, 1, 0}, ""},
		{"whose size is not true", `{"type":"array","items":"int"}`, []byte{3, 2, 1, 1, 0}, notOne},
		{"whose size is negative", `{"type":"array","items":"int"}`, []byte{3, 1, 1, 1, 0}, notOne},
		{"array of the least count", `{"type":"array","items":"int"}`, append(least, 0), notOne},
		{"array without an end", `{"type":"array","items":"int"}`, []byte{2, 1}, notOne},
		{"array that announces too much", `{"type":"array","items":"int"}`, huge, notOne},
		{"array of 2^63-1 nulls", `{"type":"array","items":"null"}`, append(huge, 0), "*is too large: as JSON the event has more than"},
		{"array of empty records", `{"type":"array","items":{"type":"record","name":"Nothing","fields":[]}}`, append(huge, 0), "*is too large"},
		{"map", `{"type":"map","values":"int"}`, []byte{4, 2, 'a', 1, 2, 'b', 1, 0}, ""},
		{"map that looks like a wrapped one", `["null",{"type":"map","values":{"type":"map","values":"int"}}]`, []byte{2, 2, 6, 'm', 'a', 'p', 2, 2, 'a', 1, 0, 0}, ""},
		{"map with a name twice", `{"type":"map","values":"int"}`, []byte{4, 2, 'a', 1, 2, 'a', 1, 0}, "*field 'f/*' is given twice"},
		{"map with a name that is not UTF-8", `{"type":"map","values":"int"}`, []byte{2, 2, 0xff, 1, 0}, notOne},
		{"endless recursion", `{"type":"record","name":"R","fields":[{"name":"r","type":["R","null"]}]}`, make([]byte, 1000), "*is nested deeper than 128 levels"},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			c := compile(t, withFields(`{"name":"f","type":`+row.kind+`}`))
			var out contract.Checked
			err := c.CheckAvro(&out, fieldDatum(row.rest...))
			want, part := strings.CutPrefix(row.want, "*")
			switch {
			case err == nil && want != "", err != nil && want == "":
				t.Errorf("got %v", err)
			case err != nil && !part && err.Error() != want, part && !strings.Contains(err.Error(), want):
				t.Errorf("got %q", err)
			}
			if held := out.Held(); held > 1<<20 {
				t.Errorf("%d bytes are held", held)
			}
		})
	}
}

func TestCheckAsInfers(t *testing.T) {
	c := builtin(t, "strmprivacy/clickstream/1.0.0")
	whole := datum(t, c.Definition().Schema, wholeEvent)
	// Of this one the first field is a string of -62 bytes or the beginning of JSON: 0x7b is '{'.
	odd := withFields("")
	odd.Schema = `{"type":"record","name":"Event","fields":[{"name":"n","type":"int"},{"name":"session","type":"string"},{"name":"strmMeta","type":` + metaRecord + `}]}`
	o := compile(t, odd)
	oddDatum := append([]byte{'{', 2, 's'}, fieldDatum()[:len(fieldDatum())-2]...)
	table := []struct {
		name string
		c    *contract.Contract
		enc  contract.Encoding
		body []byte
		want string
	}{
		{"JSON", c, contract.Unknown, []byte("\n " + wholeEvent), ""},
		{"Avro", c, contract.Unknown, whole, ""},
		{"Avro called JSON", c, contract.JSON, whole, "Body is not valid JSON"},
		{"JSON called Avro", c, contract.AvroBinary, []byte(wholeEvent), "Body is not an Avro datum of schema 'strmprivacy/clickstream/1.0.0'"},
		{"broken JSON", c, contract.Unknown, []byte(`{'a':1}`), "Body is not valid JSON: character ''' is not expected at byte 1"},
		{"nothing", c, contract.Unknown, nil, "Body is not valid JSON: the text ends too early at byte 0"},
		{"words", c, contract.Unknown, []byte("url=x"), "Body is not an Avro datum of schema 'strmprivacy/clickstream/1.0.0'"},
		{"a datum that begins like JSON", o, contract.Unknown, oddDatum, ""},
		{"neither", o, contract.Unknown, oddDatum[:9], "Body is not valid JSON"},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			var out contract.Checked
			err := row.c.CheckAs(&out, row.enc, row.body)
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.HasPrefix(err.Error(), row.want)) {
				t.Errorf("got %v, want %q", err, row.want)
			}
		})
	}
}

func TestCheckAvroAllocatesNothing(t *testing.T) {
	c := builtin(t, "strmprivacy/clickstream/1.0.0")
	body := datum(t, c.Definition().Schema, wholeEvent)
	var out contract.Checked
	check := func() {
		if err := c.CheckAs(&out, contract.Unknown, body); err != nil {
			t.Fatal(err)
		}
	}
	check()
	if n := testing.AllocsPerRun(100, check); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// compareDatum holds CheckAvro to an independent decoder: both take a datum or refuse it, and what it says is what the
// decoder's own JSON of it says.
func compareDatum(t testing.TB, c *contract.Contract, s *avro.Schema, body []byte) (taken bool) {
	t.Helper()
	var got, want contract.Checked
	err := c.CheckAvro(&got, body)
	var v any
	rest, decodeErr := s.Decode(body, &v)
	if decodeErr != nil || len(rest) > 0 {
		if err == nil {
			t.Fatalf("%x is taken, but: %v, %d bytes behind", body, decodeErr, len(rest))
		}
		return false
	}
	text, jsonErr := s.EncodeJSON(v, avro.TaggedUnions())
	if jsonErr != nil {
		return false
	}
	checkErr := c.Check(&want, text)
	if err != nil {
		// What the decoder is lenient about, as a boolean of 2, it writes otherwise. Beside that only we refuse text that
		// is not UTF-8, a name twice, and what has no JSON.
		again, encodeErr := s.Encode(v)
		strict := strings.Contains(err.Error(), "finite") || strings.Contains(err.Error(), "twice") || !validText(v)
		if checkErr == nil && encodeErr == nil && bytes.Equal(again, body) && !strict {
			t.Fatalf("%x is refused: %v\nas JSON it is taken: %s", body, err, text)
		}
		return false
	}
	if checkErr != nil {
		t.Fatalf("%x is taken, as JSON it is not: %v\n%s", body, checkErr, text)
	}
	var a, b any
	for _, side := range []struct {
		members []byte
		to      *any
	}{{got.Members, &a}, {want.Members, &b}} {
		if err := json.Unmarshal([]byte("{"+string(side.members)+"}"), side.to); err != nil {
			t.Fatal(err)
		}
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	if !bytes.Equal(x, y) {
		t.Fatalf("%x became\n%s\nnot\n%s", body, x, y)
	}
	return true
}

// validText tells whether all text in a decoded value is UTF-8.
func validText(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.ToValidUTF8(v, "") == v
	case map[string]any:
		for name, value := range v {
			if !validText(name) || !validText(value) {
				return false
			}
		}
	case []any:
		for _, value := range v {
			if !validText(value) {
				return false
			}
		}
	}
	return true
}

func TestAvroAgainstOracle(t *testing.T) {
	c, o, root := everythingContract(t)
	s := avro.MustParse(c.Definition().Schema)
	r := rand.New(rand.NewPCG(5, 6))
	taken := 0
	const events = 3000
	for range events {
		var v any
		if err := s.DecodeJSON([]byte(randomEvent(r, o, root)), &v); err != nil {
			continue
		}
		body, err := s.Encode(v)
		if err != nil {
			continue
		}
		if r.IntN(3) == 0 {
			body[r.IntN(len(body))] ^= 1 << r.IntN(8)
		}
		if compareDatum(t, c, s, body) {
			taken++
		}
	}
	if taken < events/10 {
		t.Errorf("%d of %d datums were taken: the generator tells too little", taken, events)
	}
}

func FuzzCheckAvro(f *testing.F) {
	c, o, root := everythingContract(f)
	s := avro.MustParse(c.Definition().Schema)
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var v any
		if s.DecodeJSON([]byte(randomEvent(r, o, root)), &v) == nil {
			if body, err := s.Encode(v); err == nil {
				f.Add(body)
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) <= 4<<10 { // the oracle is slow
			compareDatum(t, c, s, body)
		}
	})
}
