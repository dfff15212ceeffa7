package golden_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sluice/loadtest/oracle"
)

// book is a contract with the events that are tried on it.
type book struct {
	*oracle.Contract
	builtin      bool
	schema, file []byte
	masks        []string // of the masked streams
	cases        []trial
}

// trial is an event to try. The consent levels of what is taken are put in when it is sent.
type trial struct {
	name  string
	event map[string]any // nil: raw is sent as it is
	raw   []byte
	must  *oracle.Fault // what the corpus says of it: nil for taken
	drawn bool          // made up: only the oracle says what it is
}

// consents are the sets of levels that events come with, as producers write them.
var consents = []string{"[]", "[0]", "[1]", "[3]", "[0,1]", "[0,1,2]", "[0,1,2,3]", "[3,1,0,1,3]", "[2,40]", "[63]"}

// ref puts a contract's ref into an event that names none.
func (b *book) named(event map[string]any) map[string]any {
	meta, ok := event["strmMeta"].(map[string]any)
	if !ok {
		meta = map[string]any{}
		event["strmMeta"] = meta
	}
	if meta["schemaId"] == nil {
		meta["eventContractRef"] = b.Ref
	}
	meta["consentLevels"] = []any{json.Number("0")}
	return event
}

// read reads the books of testdata.
func read(t *testing.T) (books []*book) {
	t.Helper()
	for _, dir := range entries(t, "testdata") {
		part := func(name string) []byte {
			found, err := filepath.Glob(filepath.Join("testdata", dir, name))
			if err != nil || len(found) != 1 {
				t.Fatalf("%s of %s: %v %v", name, dir, found, err)
			}
			text, err := os.ReadFile(found[0])
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		var head struct {
			Ref     string
			Builtin bool
		}
		b := &book{schema: part("schema.*"), file: part("contract.json")}
		err := json.Unmarshal(b.file, &head)
		if err == nil {
			b.Contract, err = oracle.Parse(head.Ref, b.schema, b.file)
		}
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		b.builtin = head.Builtin
		b.masks = slices.Sorted(maps.Keys(b.Personal))
		v, err := oracle.Tree(part("events.json"))
		if err != nil {
			t.Fatalf("the events of %s: %v", dir, err)
		}
		b.take(t, v.(map[string]any))
		books = append(books, b)
	}
	return books
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// take makes trials of a file of events: those that are taken, and those that are refused, each the first of the former with a change.
func (b *book) take(t *testing.T, file map[string]any) {
	t.Helper()
	taken, refused := file["taken"].(map[string]any), file["refused"].(map[string]any)
	names := slices.Sorted(maps.Keys(taken))
	for _, name := range names {
		b.cases = append(b.cases, trial{name: name, event: b.named(taken[name].(map[string]any))})
	}
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		r := refused[name].(map[string]any)
		c := trial{name: name, must: &oracle.Fault{Class: oracle.Class(r["class"].(string))}}
		c.must.Field, _ = r["field"].(string)
		if raw, ok := r["raw"].(string); ok {
			c.raw = []byte(raw)
		} else {
			c.event = oracle.Clone(taken[names[0]]).(map[string]any)
			set, _ := r["set"].(map[string]any)
			for path, value := range set {
				put(t, c.event, strings.Split(path, "/"), value)
			}
			drop, _ := r["drop"].([]any)
			for _, path := range drop {
				put(t, c.event, strings.Split(path.(string), "/"), nothing{})
			}
		}
		b.cases = append(b.cases, c)
	}
}

// nothing put into an event takes out what is there.
type nothing struct{}

func put(t *testing.T, event map[string]any, path []string, value any) {
	t.Helper()
	at := event
	for _, name := range path[:len(path)-1] {
		next, ok := at[name].(map[string]any)
		if !ok {
			t.Fatalf("there is no %s to change", strings.Join(path, "/"))
		}
		at = next
	}
	if _, out := value.(nothing); out {
		delete(at, path[len(path)-1])
		return
	}
	at[path[len(path)-1]] = value
}

// judge holds the oracle to what the corpus says, where it says something.
func (b *book) judge(t *testing.T, c *trial, body []byte) oracle.Verdict {
	t.Helper()
	v := b.Judge(body)
	switch {
	case c.drawn:
	case c.must == nil && len(v.Faults) > 0:
		t.Fatalf("%s, %s: the oracle refuses what the corpus says is taken: %v", b.Ref, c.name, v.Faults)
	case c.must != nil && !slices.ContainsFunc(v.Faults, func(f oracle.Fault) bool { return f.Class == c.must.Class && f.Field == c.must.Field }):
		t.Fatalf("%s, %s: the oracle finds %v, the corpus says %v", b.Ref, c.name, v.Faults, *c.must)
	}
	return v
}

// agreeing is an event with this consent, where it has strmMeta at all.
func agreeing(event map[string]any, levels string) map[string]any {
	list, err := oracle.Tree([]byte(levels))
	if err != nil {
		panic(fmt.Sprintf("consent of %s: %v", levels, err)) // of this file
	}
	out := oracle.Clone(event).(map[string]any)
	if meta, ok := out["strmMeta"].(map[string]any); ok {
		meta["consentLevels"] = list
	}
	return out
}
