package golden_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"sluice/loadtest/oracle"
)

// bulkViews are those of the stream that is fed in bulk.
var bulkViews = []oracle.View{
	{Name: "heap-0-1", Kind: "GRANULAR", Levels: []int{0, 1}},
	{Name: "heap-M2", Kind: "CUMULATIVE", Levels: []int{2}, Seed: "hi-there", Masks: map[string][]string{}},
}

// bulk sends the JSON events again, those that are refused among the others, as lines and as arrays, to a stream of their own.
func (g *golden) bulk() {
	g.streams("heap", bulkViews)
	g.exporter("heap", "heap-keys", map[string]any{"exportKeys": true})
	var all []*sent
	for n, b := range g.books {
		type line struct {
			body []byte
			v    oracle.Verdict
			name string
		}
		var lines []line
		for _, c := range b.cases {
			body := c.raw
			if c.event != nil {
				body = oracle.Text(c.event)
			}
			if len(body) == 0 || c.must != nil && c.must.Class == oracle.NoJSON && n%2 == 1 {
				continue // an empty line is no event, and an array must be JSON
			}
			lines = append(lines, line{body, b.Named(b.judge(g.t, &c, body)), c.name})
			if v := lines[len(lines)-1].v; len(v.Faults) == 0 {
				body := oracle.Text(agreeing(c.event, "[0,1,2]"))
				lines = append(lines, line{body, b.Named(b.Judge(body)), c.name + ", more consent"})
			}
		}
		var texts [][]byte
		for _, l := range lines {
			texts = append(texts, l.body)
		}
		body := bytes.Join(texts, []byte("\n\n")) // an empty line between two
		step := 2
		if n%2 == 1 {
			body = slices.Concat([]byte(" [ "), bytes.Join(texts, []byte(" ,\n")), []byte("]"))
			step = 1
		}
		status, answer := g.send("/v1/streams/heap/events", g.tokens["heap"], map[string]string{"Strm-Schema-Ref": b.Ref}, body)
		var got struct {
			Accepted, Rejected int
			Errors             []struct {
				Line    int
				Message string
			}
		}
		if err := json.Unmarshal([]byte(answer), &got); err != nil || status != http.StatusOK {
			g.t.Errorf("%s in bulk: %d %s", b.Ref, status, answer)
			continue
		}
		errors := map[int]string{}
		for _, e := range got.Errors {
			errors[e.Line] = e.Message
		}
		accepted := 0
		for i, l := range lines {
			text, refused := errors[1+i*step]
			delete(errors, 1+i*step)
			switch {
			case len(l.v.Faults) == 0 && !refused:
				accepted++
				all = append(all, &sent{book: b, name: b.Ref + " in bulk, " + l.name, verdict: l.v})
			case len(l.v.Faults) == 0 || !refused, !slices.ContainsFunc(l.v.Faults, func(f oracle.Fault) bool { return f.Says(b.Ref, text) || named(f, text) }):
				g.t.Errorf("%s in bulk, %s: %q\nfor %s\nfaults: %+v", b.Ref, l.name, text, l.body, l.v.Faults)
			}
			g.tellsNothing(b, l.name, text)
		}
		if got.Accepted != accepted || got.Rejected != len(lines)-accepted || len(errors) > 0 {
			g.t.Errorf("%s in bulk: %d accepted and %d rejected of %d, not %d; and errors of no line: %v", b.Ref, got.Accepted, got.Rejected, len(lines), accepted, errors)
		}
	}
	g.compare("heap", bulkViews, all)
}

// named is what a line that names another contract is told: it is taken at its word before the header's.
func named(f oracle.Fault, text string) bool {
	other := f.Class == oracle.Ref || f.Class == oracle.Level && f.Field == "strmMeta/schemaId"
	return other && (strings.HasSuffix(text, " is not known") || strings.HasPrefix(text, "Event does not match schema 'strmprivacy/example/1.5.0'"))
}
