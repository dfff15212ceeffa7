package contract_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"sluice/relay/contract"
)

func TestUniqueNames(t *testing.T) {
	many := func(last string) string {
		var b strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&b, `"n%d":{"n%d":[]},`, i, i)
		}
		return "{" + b.String() + last + ":0}"
	}
	for body, at := range map[string]int{
		`{}`: -1, `{"a":1,"b":1}`: -1, `{"a":"a","b":["a","a"],"c":{"a":1}}`: -1, `{"a":{"b":1},"b":{"a":1}}`: -1, `[{"a":1},{"a":1}]`: -1, `{"":1,"b":""}`: -1,
		`{"a":1,"a":2}`: 7, `{"a":1, "b":2, "\u0061":3}`: 15, `{"x":{"a":1,"b":[{"c":1,"c":2}]}}`: 24, `{"":1,"":1}`: 6, `{"é":1,"\u00e9":1}`: 8,
		`{"a":{},"a":{}}`: 8, `{"\ud83d\ude00":1,"😀":1}`: 18, many(`"m"`): -1, many(`"n5"`): len(many(`"n5"`)) - 7,
	} {
		err := contract.UniqueNames([]byte(body))
		var v *contract.Violation
		switch {
		case at < 0 && err != nil:
			t.Errorf("%.80s: %v", body, err)
		case at >= 0 && (!errors.As(err, &v) || !strings.HasSuffix(v.Text, fmt.Sprintf("a name stands twice in an object at byte %d", at))):
			t.Errorf("%.80s: %v, want byte %d", body, err, at)
		}
	}
}

// What encoding/json replaces without a word is refused.
func TestUniqueNamesUnpairedSurrogate(t *testing.T) {
	for _, body := range []string{`{"a":"b\ud800"}`, `["\udc00\ud800"]`, `{"\ud83d":1}`, `{"a":1,"b":["\ud800\u0041"]}`} {
		err := contract.UniqueNames([]byte(body))
		var v *contract.Violation
		if !errors.As(err, &v) || !strings.Contains(v.Text, "an unpaired surrogate stands in a string at byte ") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// unique is the same law by encoding/json's tokens.
func unique(d *json.Decoder) bool {
	token, err := d.Token()
	if err != nil {
		return true
	}
	switch token {
	case json.Delim('{'):
		seen, ok := map[string]bool{}, true
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return true
			}
			ok = ok && !seen[name.(string)]
			seen[name.(string)] = true
			ok = unique(d) && ok
		}
		_, _ = d.Token()
		return ok
	case json.Delim('['):
		ok := true
		for d.More() {
			ok = unique(d) && ok
		}
		_, _ = d.Token()
		return ok
	}
	return true
}

// FuzzUniqueNames holds it to encoding/json, for all objects that CompactJSON takes.
func FuzzUniqueNames(f *testing.F) {
	for _, s := range []string{`{"a":1,"a":2}`, `{"a":{"a":[{"b":1,"\u0062":2}]}}`, `{"x":"\"","y":[]}`, `{"":{},"\\":1,"\/":2,"/":3}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := contract.CompactJSON(nil, body); err != nil {
			return
		}
		want := unique(json.NewDecoder(bytes.NewReader(body)))
		if got := contract.UniqueNames(body) == nil; got != want {
			t.Fatalf("%q: unique is %v, want %v", body, got, want)
		}
	})
}
