package sample_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"sluice/relay/sample"
)

// urlRule is the validation of the built-in clickstream contract, written out again.
var urlRule = regexp.MustCompile(`^(https?|ftp|file)://[-a-zA-Z0-9+&@#/%?=~_|!:,.;]*[-a-zA-Z0-9+&@#/%=~_|]`)

func decode(t *testing.T, event []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(event, &v); err != nil {
		t.Fatalf("%v in %s", err, event)
	}
	return v
}

func TestSeedEventKeepsItsLength(t *testing.T) {
	if len(sample.SeedEvent) != 434 {
		t.Fatalf("the seed event has %d bytes", len(sample.SeedEvent))
	}
	g := sample.New(1, 10)
	lineLen := len(g.SeedLine(nil, sample.Marker{Producer: 1, N: 1}))
	people := map[any]bool{}
	for n := uint64(1); n < 1000; n++ {
		m := sample.Marker{Producer: 7, N: n * 1_000_003}
		event, line := g.Seed(nil, m), g.SeedLine(nil, m)
		if len(event) != 434 || len(line) != lineLen || bytes.ContainsAny(line, " \n") {
			t.Fatalf("%d and %d bytes: %s %s", len(event), len(line), event, line)
		}
		want := string(m.Append(nil))
		for i, e := range [][]byte{event, line} {
			v := decode(t, e)
			if v["userAgent"] != want {
				t.Fatalf("marker %v, want %s", v["userAgent"], want)
			}
			place := []int{sample.SeedMarker(), sample.SeedLineMarker()}[i]
			if string(e[place:place+sample.MarkerLen]) != want {
				t.Fatalf("no marker at %d of %s", place, e)
			}
			people[v["customer"].(map[string]any)["id"]] = true
		}
	}
	if len(people) != 10 {
		t.Fatalf("%d people, want 10", len(people))
	}
}

func TestEventsFollowTheirContracts(t *testing.T) {
	g := sample.New(2, 50)
	consents, raw := map[string]int{}, strings.Builder{}
	for n := uint64(1); n <= 5000; n++ {
		m := sample.Marker{Producer: 3, N: n}
		line, _ := g.Event(nil, m)
		if bytes.Contains(line, []byte("\n")) {
			t.Fatalf("more than one line: %q", line)
		}
		raw.Write(line)
		v := decode(t, line)
		meta := v["strmMeta"].(map[string]any)
		levels, _ := json.Marshal(meta["consentLevels"])
		consents[string(levels)]++
		marker := string(m.Append(nil))
		switch meta["eventContractRef"] {
		case sample.ClickstreamRef:
			if len(v) != 9 || v["userAgent"] != marker || !urlRule.MatchString(v["url"].(string)) || v["producerSessionId"] == "" {
				t.Fatalf("not a click: %s", line)
			}
			_ = v["conversion"].(float64)
			_ = v["abTests"].([]any)
			if v["customer"].(map[string]any)["id"] == "" {
				t.Fatalf("no person: %s", line)
			}
		case sample.ExampleRef:
			if len(v) != 5 || v["notSensitiveValue"] != marker || v["consistentValue"] == "" {
				t.Fatalf("not a demo event: %s", line)
			}
		default:
			t.Fatalf("contract %v", meta["eventContractRef"])
		}
	}
	for _, set := range []string{"[]", "[0]", "[0,1]", "[0,1,2]", "[0,1,2,3]"} {
		if consents[set] < 500 {
			t.Errorf("consent %s only %d times", set, consents[set])
		}
	}
	if len(consents) != 5 {
		t.Errorf("consents %v", consents)
	}
	for _, part := range []string{`\ud83d\ude00`, `😀`, `\u005c`, `o\"neil`, `\/`, `:null`, `:""`, `李雷`} {
		if !strings.Contains(raw.String(), part) {
			t.Errorf("nowhere %s", part)
		}
	}
}

func TestOnePersonInTwoSpellingsIsOne(t *testing.T) {
	g := sample.New(3, 10)
	spellings, people := map[string]bool{}, map[any]bool{}
	for range 2000 {
		event := g.Clickstream(nil, sample.Marker{})
		_, id, _ := strings.Cut(string(event), `"customer":{"id":`)
		spellings[id[:strings.Index(id, `}`)]] = true
		people[decode(t, event)["customer"].(map[string]any)["id"]] = true
	}
	if len(people) != 10 || len(spellings) != 20 {
		t.Fatalf("%d people in %d spellings", len(people), len(spellings))
	}
}

func TestSameSeedSameEvents(t *testing.T) {
	run := func(seed uint64) (out []byte) {
		g := sample.New(seed, 0)
		for range 100 {
			out, _ = g.Event(out, sample.Marker{})
			out = g.Seed(out, sample.Marker{N: 1})
		}
		return out
	}
	if !bytes.Equal(run(5), run(5)) {
		t.Error("one seed, two sequences")
	}
	if bytes.Equal(run(5), run(6)) {
		t.Error("two seeds, one sequence")
	}
}

func TestNothingIsAllocated(t *testing.T) {
	g, buf, n := sample.New(4, 0), make([]byte, 0, 4096), uint64(0)
	got := testing.AllocsPerRun(1000, func() {
		n++
		m := sample.Marker{Producer: 1, N: n}
		b, _ := g.Event(buf, m)
		b = g.Seed(b, m)
		b = g.SeedLine(b, m)
		_ = g.Example(b, sample.Marker{})
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkLine(b *testing.B) {
	g, buf := sample.New(5, 0), make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = g.Event(buf[:0], sample.Marker{Producer: 1, N: 1})
	}
}
