package export_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/tidwall/gjson"
	"github.com/ugorji/go/codec"

	"sluice/delivery/export"
	"sluice/relay"
	"sluice/relay/registry"
)

// payload accepts one payload.
func (w *world) payload(st *registry.Stream, body string) {
	w.t.Helper()
	w.sent++
	must(w.t, w.relay.AcceptPayload(w.t.Context(), st, relay.Payload{RequestID: [16]byte{15: byte(w.sent)}, Body: []byte(body)}))
}

var landedName = regexp.MustCompile(`^(ingest/(stream|receipts|unparsable)/default/is-[A-Za-z0-9]+/\d{4}-\d\d-\d\d)/(\d\d-\d\d-\d\d)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}(\.[a-z.]+)$`)

// landed gives the files of a root by their time, which is unique in the test, and holds all names to their form.
func landed(t *testing.T, objects map[string][]byte, root string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for name, text := range objects {
		m := landedName.FindStringSubmatch(name)
		if m == nil {
			t.Errorf("%s is there", name)
			continue
		}
		if m[2] == root {
			at := path.Base(m[1]) + "T" + m[3] + m[4]
			if all[at] != nil {
				t.Errorf("two files of %s", at)
			}
			all[at] = text
		}
	}
	return all
}

func keys(m map[string][]byte) []string { return slices.Sorted(maps.Keys(m)) }

func receipts(t *testing.T, text []byte) (all []export.Receipt) {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		var r export.Receipt
		must(t, json.Unmarshal([]byte(line), &r))
		all = append(all, r)
	}
	return all
}

// Payloads land in files of their minute, as they were sent but for white space, and another library reads the same.
func TestLanding(t *testing.T) {
	for kind, where := range map[string]func(*testing.T) place{"folder": folderPlace, "bucket": bucketPlace} {
		t.Run(kind, func(t *testing.T) {
			w, p := newWorld(t), where(t)
			st := w.stream(registry.StreamSpec{Name: "web", Payload: "json"})
			other := w.stream(registry.StreamSpec{Name: "events"})
			sent := []string{"{\"z\":1.50,\n \"a\":[1e400,-0,12345678901234567890,\"\\u00e9 é \\n\"]}", `{"n":2}`, `{"n":3}`}
			w.payload(st, sent[0])
			w.bulk(other, example("ann", 3), 1)
			w.at(59*time.Second + 999*time.Millisecond)
			w.payload(st, sent[1])
			w.at(60 * time.Second)
			w.payload(st, sent[2])
			defer w.exporting(export.Config{Open: p.open, Landing: "landing"})()
			w.at(61 * time.Second)
			until(t, "the first minute", func() bool { return len(p.objects()) == 2 })
			w.at(121 * time.Second)
			until(t, "the second minute", func() bool { return len(p.objects()) == 4 })
			w.at(24 * time.Hour)
			w.payload(st, `{"n":4}`)
			w.at(24*time.Hour + 61*time.Second)
			until(t, "the next day", func() bool { return len(p.objects()) == 6 })

			files := landed(t, p.objects(), "stream")
			if got := keys(files); !slices.Equal(got, []string{"2030-01-01T12-00-00.ndjson", "2030-01-01T12-01-00.ndjson", "2030-01-02T12-00-00.ndjson"}) {
				t.Fatalf("%v", got)
			}
			first := string(files["2030-01-01T12-00-00.ndjson"])
			if want := `{"z":1.50,"a":[1e400,-0,12345678901234567890,"\u00e9 é \n"]}` + "\n{\"n\":2}\n"; first != want {
				t.Errorf("%s", first)
			}
			lines := 0
			gjson.ForEachLine(first, func(line gjson.Result) bool {
				lines++
				if !gjson.Valid(line.Raw) {
					t.Errorf("%s", line.Raw)
				}
				return true
			})
			if lines != 2 || gjson.Get(first, "..0.a.2").Raw != "12345678901234567890" {
				t.Errorf("another reader sees %d lines", lines)
			}
			notes := landed(t, p.objects(), "receipts")
			if got := receipts(t, notes["2030-01-01T12-00-00.ndjson"]); !slices.Equal(got, []export.Receipt{
				{RequestID: "00000000-0000-0000-0000-000000000001", Received: "2030-01-01T12:00:00.500Z", Records: 1},
				{RequestID: "00000000-0000-0000-0000-000000000002", Received: "2030-01-01T12:00:59.999Z", Records: 1},
			}) {
				t.Errorf("%v", got)
			}
		})
	}
}

// cborRows reads a sequence of maps by two decoders that know nothing of each other, and gives the order of each map's members.
func cborRows(t *testing.T, text []byte) (rows []map[string]any) {
	t.Helper()
	handle := new(codec.CborHandle)
	handle.MapType, handle.RawToString = reflect.TypeFor[map[string]any](), true
	first, second := cbor.NewDecoder(bytes.NewReader(text)), codec.NewDecoder(bytes.NewReader(text), handle)
	for {
		var a, b map[string]any
		err1, err2 := first.Decode(&a), second.Decode(&b)
		if errors.Is(err1, io.EOF) && second.NumBytesRead() == len(text) {
			return rows
		}
		if err1 != nil || err2 != nil {
			t.Fatalf("%v, %v", err1, err2)
		}
		var aj, bj any = normal(t, a), normal(t, b)
		if !reflect.DeepEqual(aj, bj) {
			t.Fatalf("the decoders read %v and %v", a, b)
		}
		rows = append(rows, aj.(map[string]any))
	}
}

// normal has maps of text keys all the way down.
func normal(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			out[name] = normal(t, member)
		}
		return out
	case map[any]any:
		out := map[string]any{}
		for name, member := range v {
			out[name.(string)] = normal(t, member)
		}
		return out
	case []any:
		for i := range v {
			v[i] = normal(t, v[i])
		}
	}
	return v
}

// XML lands as CBOR, one map for each record; what cannot be read is set aside whole, with the reason.
func TestLandingXML(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.stream(registry.StreamSpec{Name: "orders", Payload: "xml"})
	w.payload(st, "<records>\n<record id='1'><f>v1</f><f>v2</f>text</record>\n<record><g><h/></g></record></records>")
	w.payload(st, "<broken>")
	w.payload(st, "<!DOCTYPE r [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><r><x>&a;</x></r>")
	w.payload(st, "<r>\xff</r>")
	w.payload(st, "<r>no record</r>")
	w.payload(st, "<?xml version='1.0' encoding='ISO-8859-1'?><r><record><f>\xe9</f></record></r>")
	x := w.exports(export.Config{Open: p.open, Landing: "landing"})
	w.at(61 * time.Second)
	until(t, "the three files", func() bool { return len(p.objects()) == 3 })
	files := landed(t, p.objects(), "stream")
	rows := cborRows(t, files["2030-01-01T12-00-00.cbor"])
	if want := []map[string]any{
		{"_id": "1", "f": []any{"v1", "v2"}, "_VALUE": "text"}, {"g": map[string]any{"h": ""}}, {"f": "é"},
	}; !reflect.DeepEqual(rows, want) {
		t.Errorf("%v", rows)
	}
	if notes := receipts(t, landed(t, p.objects(), "receipts")["2030-01-01T12-00-00.ndjson"]); len(notes) != 2 || notes[0].Records != 2 || notes[1].Records != 1 || notes[1].RequestID[34:] != "06" {
		t.Errorf("%v", notes)
	}
	day := began
	aside, err := x.Unparsable(t.Context(), st, day, 0, 100)
	must(t, err)
	var got []string
	for _, a := range aside {
		got = append(got, a.RequestID[34:]+" "+a.XML+string(a.Base64)+" "+a.Reason)
	}
	want := []string{
		"02 <broken> XML cannot be read: it ends early at line 1",
		"03 <!DOCTYPE r [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><r><x>&a;</x></r> XML cannot be read: it has a document type declaration, which is not read at line 1",
		"04 <r>\xff</r> XML cannot be read: it has bytes that are not of its encoding at line 1",
		"05 <r>no record</r> The root element has no elements, so there is no record in it",
	}
	if !slices.Equal(got, want) {
		t.Errorf("set aside are\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if page, err := x.Unparsable(t.Context(), st, day, uint64(aside[0].Offset), 2); err != nil || !reflect.DeepEqual(page, aside[1:3]) {
		t.Errorf("%v, %v", page, err)
	}
	if page, err := x.Unparsable(t.Context(), st, day.AddDate(0, 0, 1), 0, 2); err != nil || len(page) != 0 {
		t.Errorf("%v, %v", page, err)
	}
}

// Landed files are found by day and hour, and opened by name with where they came from; packed ones hold the same.
func TestLandedFiles(t *testing.T) {
	w, p := newWorld(t), folderPlace(t)
	st := w.stream(registry.StreamSpec{Name: "web", Payload: "json", Gzip: true})
	foreign := w.stream(registry.StreamSpec{Name: "other", Payload: "json"})
	plain := w.stream(registry.StreamSpec{Name: "events"})
	x := w.exports(export.Config{Open: p.open, Landing: "landing"})
	for i, at := range []time.Duration{time.Second, time.Hour, 11*time.Hour + 59*time.Minute + 59*time.Second, 12*time.Hour + 2*time.Minute} {
		w.at(at)
		w.payload(st, fmt.Sprintf(`{"n": %d}`, i))
		w.at(at + 61*time.Second)
		until(t, fmt.Sprintf("%d files", 2*(i+1)), func() bool { return len(p.objects()) == 2*(i+1) })
	}
	w.payload(foreign, `{}`)
	list := func(st *registry.Stream, day time.Time, hour string) (names []string) {
		t.Helper()
		all, err := x.Landed(t.Context(), st, day, hour)
		must(t, err)
		for _, f := range all {
			names = append(names, f.Name)
			if got := int64(len(p.objects()[f.Name])); got != f.Size || got == 0 {
				t.Errorf("%s has %d bytes, %d are told", f.Name, got, f.Size)
			}
		}
		return names
	}
	today := list(st, began, "")
	if len(today) != 3 || len(list(st, began, "13")) != 1 || len(list(st, began, "23")) != 1 || len(list(st, began, "08")) != 0 || len(list(st, began.AddDate(0, 0, 1), "00")) != 1 {
		t.Errorf("%v", today)
	}
	if len(list(foreign, began, "")) != 0 || len(list(plain, began, "")) != 0 {
		t.Error("files of others")
	}
	read := func(st *registry.Stream, name string) string {
		t.Helper()
		body, err := x.OpenLanded(t.Context(), st, name)
		must(t, err)
		defer body.Close()
		text, err := io.ReadAll(body)
		must(t, err)
		return string(text)
	}
	packed, err := gzip.NewReader(strings.NewReader(read(st, today[0])))
	must(t, err)
	text, err := io.ReadAll(packed)
	must(t, err)
	if string(text) != "{\"n\":0}\n" || !strings.HasSuffix(today[0], ".ndjson.gz") {
		t.Errorf("%s holds %q", today[0], text)
	}
	if got := read(st, strings.TrimSuffix(today[0], ".ndjson.gz")+".receipts"); !strings.Contains(got, `"_received_at":"2030-01-01T12:00:01.000Z","records":1}`) {
		t.Errorf("%s", got)
	}
	for _, name := range []string{"ingest/stream/default/" + st.PublicID + "/../x", "ingest/receipts/x", today[0] + "x", ""} {
		if _, err := x.OpenLanded(t.Context(), st, name); err == nil {
			t.Errorf("%s can be opened", name)
		}
	}
	if _, err := x.OpenLanded(t.Context(), foreign, today[0]); err == nil {
		t.Error("another stream's file can be opened")
	}
}

// Killed at any step, and killed again, the files together hold each payload once, and no receipts or payloads set aside twice.
func TestLandingKilledAtEveryStep(t *testing.T) {
	for kind, where := range map[string]func(*testing.T) place{"folder": folderPlace, "bucket": bucketPlace} {
		t.Run(kind, func(t *testing.T) {
			w, p := newWorld(t), where(t)
			st := w.stream(registry.StreamSpec{Name: "orders", Payload: "xml"})
			now := time.Duration(0)
			good := 0
			send := func() {
				w.payload(st, fmt.Sprintf("<r><record><n>%d</n></record></r>", good))
				good++
				w.payload(st, fmt.Sprintf("<broken n='%d'", w.sent))
			}
			for _, step := range []string{"planned", "create", "written", "unseen", "uploaded", "committed"} {
				for _, skip := range []int{0, 1, 2} {
					w.at(now + 5*time.Second)
					send()
					send()
					now += time.Minute
					w.at(now + time.Second)
					if !landAndDie(t, w, p, step, skip) {
						t.Fatalf("it did not come to %s", step)
					}
				}
			}
			send()
			w.at(now + 2*time.Minute)
			defer w.exporting(export.Config{Open: p.open, Landing: "landing"})()
			count := func() (rows, notes, aside []string) {
				objects := p.objects()
				files := landed(t, objects, "stream")
				for _, name := range keys(files) {
					for _, row := range cborRows(t, files[name]) {
						rows = append(rows, row["n"].(string))
					}
				}
				for _, text := range landed(t, objects, "receipts") {
					for _, r := range receipts(t, text) {
						notes = append(notes, r.RequestID)
					}
				}
				for _, text := range landed(t, objects, "unparsable") {
					for line := range strings.Lines(string(text)) {
						var a export.Aside
						must(t, json.Unmarshal([]byte(line), &a))
						aside = append(aside, a.XML)
					}
				}
				return rows, notes, aside
			}
			until(t, "all payloads", func() bool { rows, _, _ := count(); return len(rows) >= good })
			time.Sleep(50 * time.Millisecond) // for what should not come
			rows, notes, aside := count()
			for i, n := range rows {
				if n != fmt.Sprint(i) {
					t.Errorf("the files hold %v", rows)
					break
				}
			}
			slices.Sort(notes)
			slices.Sort(aside)
			if len(rows) != good || len(notes) != good || len(slices.Compact(notes)) != good || len(aside) != good || len(slices.Compact(aside)) != good {
				t.Errorf("%d rows, %d receipts, %d set aside, of %d each", len(rows), len(notes), len(aside), good)
			}
		})
	}
}

// landAndDie lands until the process dies at a step.
func landAndDie(t *testing.T, w *world, p place, step string, skip int) bool {
	t.Helper()
	return killed(t, func(die func()) func() {
		return w.exporting(export.Config{Landing: "landing", Open: func(target export.Target) (export.Store, error) {
			s, err := p.open(target)
			return &mortal{Store: s, at: step, skip: skip, die: die}, err
		}})
	})
}

// A file never changes once it is there; a minute that is too large is several; a stream that is disabled or has its sink in the project lands
// what it took.
func TestLandingCutAndSink(t *testing.T) {
	w := newWorld(t)
	dirs := map[string]place{"landing": folderPlace(t), "own": folderPlace(t)}
	w.sink("own")
	st := w.stream(registry.StreamSpec{Name: "web", Payload: "json", Sink: "own"})
	if st.SinkName != "own" {
		t.Errorf("the sink is %q", st.SinkName)
	}
	if _, err := w.registry.DeleteSink(t.Context(), w.project(), "own", true); err == nil || !strings.Contains(err.Error(), "the payloads of stream web land in it") {
		t.Errorf("the sink goes: %v", err)
	}
	for _, spec := range []registry.StreamSpec{{Name: "a1", Sink: "own"}, {Name: "a1", Gzip: true}, {Name: "a1", Payload: "json", Sink: "none"}, {DerivedFrom: "web", Levels: []int{1}}} {
		if _, _, err := w.registry.CreateStream(t.Context(), w.project(), spec); err == nil {
			t.Errorf("%+v can be made", spec)
		}
	}
	defer w.exporting(export.Config{Landing: "landing", MaxObject: 17, Open: func(target export.Target) (export.Store, error) {
		return dirs[target.Bucket].open(target)
	}})()
	w.send(st, 9)
	off := false
	_, err := w.registry.UpdateStream(t.Context(), w.project(), "web", registry.StreamPatch{Enabled: &off})
	must(t, err)
	w.at(61 * time.Second)
	until(t, "five files and their receipts", func() bool { return len(dirs["own"].objects()) == 10 })
	if n := len(dirs["landing"].objects()); n != 0 {
		t.Errorf("%d files in the default folder", n)
	}
	before := dirs["own"].objects()
	w.send(st, 1)
	w.at(200 * time.Second)
	until(t, "the sixth", func() bool { return len(dirs["own"].objects()) == 12 })
	var all []int
	for name, text := range dirs["own"].objects() {
		if strings.HasPrefix(name, "ingest/stream/") {
			all = append(all, numbersOf(t, text)...)
		}
		if before[name] != nil && !bytes.Equal(before[name], text) {
			t.Errorf("%s has changed", name)
		}
	}
	if slices.Sort(all); !slices.Equal(all, upTo(10)) {
		t.Errorf("%v", all)
	}
}
