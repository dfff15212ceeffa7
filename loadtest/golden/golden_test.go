package golden_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/loadtest/oracle"
	"sluice/loadtest/server"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1")) // it runs until the process ends
}

// inventions is how many contracts are made up.
func inventions() int {
	if os.Getenv("LOADTEST_FULL") != "" {
		return 40
	}
	return 4
}

// views are the streams that everything is shown by. The masks are filled in when the contracts are known.
var views = []oracle.View{
	{Name: "golden-0", Kind: "GRANULAR", Levels: []int{0}},
	{Name: "golden-1", Kind: "GRANULAR", Levels: []int{1}},
	{Name: "golden-0-1", Kind: "GRANULAR", Levels: []int{0, 1}},
	{Name: "golden-0-2", Kind: "GRANULAR", Levels: []int{0, 2}},
	{Name: "golden-0-1-2-3", Kind: "GRANULAR", Levels: []int{0, 1, 2, 3}},
	{Name: "golden-63", Kind: "GRANULAR", Levels: []int{63}},
	{Name: "golden-2-40", Kind: "GRANULAR", Levels: []int{2, 40}},
	{Name: "golden-c0", Kind: "CUMULATIVE", Levels: []int{0}},
	{Name: "golden-c1", Kind: "CUMULATIVE", Levels: []int{1}},
	{Name: "golden-c2", Kind: "CUMULATIVE", Levels: []int{2}},
	{Name: "golden-c3", Kind: "CUMULATIVE", Levels: []int{3}},
	{Name: "golden-c50", Kind: "CUMULATIVE", Levels: []int{50}},
	{Name: "golden-M1", Kind: "CUMULATIVE", Levels: []int{1}, Seed: "hi-there", Masks: map[string][]string{}},
	{Name: "golden-M0-1", Kind: "GRANULAR", Levels: []int{0, 1}, Seed: "grüezi\n", Masks: map[string][]string{}},
	{Name: "golden-M63", Kind: "CUMULATIVE", Levels: []int{63}, Seed: "s", Masks: map[string][]string{}},
}

// sent is an event that was accepted.
type sent struct {
	book    *book
	name    string
	verdict oracle.Verdict
	sealed  map[string]any // as the source stream shows it, without strmMeta
	meta    any            // as the source stream shows it
}

// golden is a node with the streams.
type golden struct {
	*node
	books   []*book
	tokens  map[string]string // of the streams' own credentials
	billing string
	data    string
}

func TestGolden(t *testing.T) {
	g := &golden{books: read(t), tokens: map[string]string{}, data: t.TempDir()}
	for seed := range inventions() {
		g.books = append(g.books, invent(t, uint64(seed)))
	}
	g.node = serve(t, g.data)
	for _, b := range g.books {
		g.define(b)
	}
	g.streams("golden", views)
	g.export()
	began := time.Now()
	singles := g.singles()
	refused := g.refusals()
	t.Logf("%d contracts, %d events taken, %d refused one by one in %v", len(g.books), len(singles), refused, time.Since(began))
	g.compare("golden", views, singles)
	g.bulk()
	g.exported(singles) // all that would be in the files too much is there by now
	g.silent()
}

// define makes a contract known to the node, and active.
func (g *golden) define(b *book) {
	if b.builtin {
		return
	}
	var body map[string]any
	if err := json.Unmarshal(b.file, &body); err != nil {
		g.t.Fatal(err)
	}
	body["ref"], body["schema"] = b.Ref, string(b.schema)
	g.manage("POST", "/v1/data-contracts", body)
	g.manage("POST", "/v1/data-contracts/"+strings.ReplaceAll(b.Ref, " ", "%20")+"/activate", nil)
}

// streams makes a source stream and those derived from it.
func (g *golden) streams(source string, views []oracle.View) {
	made := func(answer []byte) {
		var s struct {
			Ref         struct{ Name string }
			Credentials []server.Credentials
		}
		if err := json.Unmarshal(answer, &s); err != nil {
			g.t.Fatal(err)
		}
		token, err := g.AccessToken(g.t.Context(), s.Credentials[0])
		if err != nil {
			g.t.Fatal(err)
		}
		g.tokens[s.Ref.Name] = token
	}
	made(g.manage("POST", "/v1/streams", map[string]any{"name": source}))
	for _, v := range views {
		body := map[string]any{"name": v.Name, "linkedStream": source, "consentLevelType": v.Kind, "consentLevels": v.Levels}
		if v.Masks != nil {
			patterns := map[string]any{}
			for _, b := range g.books {
				if len(b.masks) > 0 {
					v.Masks[b.Ref] = b.masks
					patterns[b.Ref] = map[string]any{"fieldPatterns": b.masks}
				}
			}
			body["maskedFields"] = map[string]any{"seed": v.Seed, "fieldPatterns": patterns}
		}
		made(g.manage("POST", "/v1/streams", body))
	}
	var project struct{ BillingID string }
	if err := json.Unmarshal(g.manage("GET", "/v1/projects/default", nil), &project); err != nil {
		g.t.Fatal(err)
	}
	g.billing = project.BillingID
}

// headers are the ways to say what an event is. JSON may come without a word.
func headers(b *book, n int, binary bool) map[string]string {
	ref := "Strm-Schema-Ref"
	if n%3 == 1 {
		ref = "Strm-Schema-Id"
	}
	h := map[string]string{ref: b.Ref}
	if b.ShortID != "" && n%2 == 1 {
		h[ref] = b.ShortID
	}
	switch {
	case binary && n%3 == 0:
		h["Strm-Serialization-Type"] = "application/x-avro-binary"
	case binary && n%3 == 1:
		h["Content-Type"] = "application/octet-stream"
	case binary:
	case n%5 == 0:
		h["Strm-Serialization-Type"] = "application/json"
	case n%5 == 1:
		h["Content-Type"] = "application/x-www-form-urlencoded"
	case n%5 == 2:
		h["Content-Type"] = "application/json; charset=utf-8"
	case n%5 == 3:
		delete(h, ref) // the event names it
	}
	return h
}

// singles sends what is to be taken, with every consent and in every form, one after the other.
func (g *golden) singles() (all []*sent) {
	for _, b := range g.books {
		for _, c := range b.cases {
			if c.event == nil || c.must != nil {
				continue
			}
			for n, levels := range consents {
				event := agreeing(c.event, levels)
				body := oracle.Text(event)
				v := b.judge(g.t, &c, body)
				if len(v.Faults) > 0 {
					continue // made up; refusals tries it
				}
				forms := [][]byte{body}
				if b.Binary() {
					whole := maps.Clone(v.Event)
					whole["strmMeta"] = v.Meta
					forms = append(forms, b.Datum(whole))
				}
				for form, body := range forms {
					h := headers(b, n+len(all), form == 1)
					if v.Meta["schemaId"] != nil && len(h) == 0 {
						h["Strm-Schema-Id"] = b.ShortID
					}
					if status, answer := g.send("/event", g.tokens["golden"], h, body); status != http.StatusNoContent || answer != "" {
						g.t.Errorf("%s, %s, consent %s, form %d, %v: %d %s\n%s", b.Ref, c.name, levels, form, h, status, answer, body)
						continue
					}
					all = append(all, &sent{book: b, name: fmt.Sprintf("%s, %s, consent %s, form %d", b.Ref, c.name, levels, form), verdict: v})
				}
			}
		}
	}
	return all
}

// refusals sends what is to be refused, and asks for a judgement of all without sending it.
func (g *golden) refusals() (count int) {
	for _, b := range g.books {
		check := "/v1/data-contracts/" + strings.ReplaceAll(b.Ref, " ", "%20") + "/check"
		for n, c := range b.cases {
			body := c.raw
			if c.event != nil {
				body = oracle.Text(c.event)
			}
			v := b.judge(g.t, &c, body)
			status, answer := 0, ""
			if len(v.Faults) > 0 {
				count++
				status, answer = g.send("/event", g.tokens["golden"], map[string]string{"Strm-Schema-Ref": b.Ref, "Content-Type": "application/json"}, body)
				if status != http.StatusBadRequest || !slices.ContainsFunc(v.Faults, func(f oracle.Fault) bool { return f.Says(b.Ref, strings.TrimSuffix(answer, "\n")) }) {
					g.t.Errorf("%s, %s: %d %s\nfor %s\nfaults: %+v", b.Ref, c.name, status, answer, body, v.Faults)
				}
				g.tellsNothing(b, c.name, answer)
			}
			if n%3 > 0 && c.drawn || len(body) == 0 {
				continue
			}
			var checked struct {
				Valid   bool
				Message string
			}
			_, text := g.send(check, adminToken, map[string]string{"Content-Type": "application/json"}, body)
			if err := json.Unmarshal([]byte(text), &checked); err != nil || checked.Valid != (status == 0) || checked.Message != strings.TrimSuffix(answer, "\n") {
				g.t.Errorf("%s, %s: /check says %s, /event %d %q", b.Ref, c.name, text, status, answer)
			}
		}
		if b.Binary() {
			count += g.broken(b)
		}
	}
	return count
}

// tellsNothing: whatever is personal in the corpus begins with "secret", or is 77777.
func (g *golden) tellsNothing(b *book, name, text string) {
	g.t.Helper()
	if strings.HasPrefix(text, "Schema '") {
		return // and that is what the event named as its contract
	}
	said, _, _ := strings.Cut(text, "doesn't match regex: ") // what follows is the contract's
	if strings.Contains(said, "secret") || strings.Contains(said, "77777") {
		g.t.Errorf("%s, %s: the answer tells what was sent: %s", b.Ref, name, text)
	}
}

// broken sends data that are none: each cut off at every place, and with something behind it.
func (g *golden) broken(b *book) (count int) {
	var whole []byte
	for _, c := range b.cases {
		if v := b.Judge(oracle.Text(c.event)); c.event != nil && len(v.Faults) == 0 {
			event := maps.Clone(v.Event)
			event["strmMeta"] = v.Meta
			whole = b.Datum(event)
			break
		}
	}
	no := oracle.Fault{Class: oracle.NoDatum}
	bad := [][]byte{append(slices.Clone(whole), 0), {}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	for n := 1; n < len(whole); n += 1 + len(whole)/25 {
		bad = append(bad, whole[:n])
	}
	for _, body := range bad {
		status, answer := g.send("/event", g.tokens["golden"], map[string]string{"Strm-Schema-Ref": b.Ref, "Strm-Serialization-Type": "application/x-avro-binary"}, body)
		if status != http.StatusBadRequest || !no.Says(b.Ref, strings.TrimSuffix(answer, "\n")) {
			g.t.Errorf("%s: %d of %d bytes of a datum: %d %s", b.Ref, len(body), len(whole), status, answer)
		}
		g.tellsNothing(b, "a datum", answer)
	}
	return len(bad)
}

// compare holds what the streams show to what the oracle says of what was sent.
func (g *golden) compare(source string, views []oracle.View, all []*sent) {
	lines := g.lines(source, g.tokens[source], len(all))
	if len(lines) != len(all) {
		g.t.Fatalf("%s shows %d events, %d were accepted", source, len(lines), len(all))
	}
	used := map[string]bool{}
	for i, s := range all {
		event := g.tree(lines[i])
		s.meta, s.sealed = event["strmMeta"], event
		delete(event, "strmMeta")
		used[g.meta(s)] = true
	}
	keys := g.keys(source, used)
	links, who := map[string]string{}, map[string]string{} // who an event is of, by its key link, and the other way about
	for _, s := range all {
		link := s.meta.(map[string]any)["keyLink"].(string)
		g.sealed(s, keys, link)
		person := strings.Join([]string{s.verdict.Key, fmt.Sprint(s.verdict.NoSubject), s.verdict.Subject}, "\x00")
		if was, known := links[link]; known && was != person {
			g.t.Errorf("%s shares key %s with somebody else", s.name, link)
		}
		// A key ends in the middle of the test now and then.
		at := s.accepted()
		if was, known := who[person]; known && was != link && at < keys[was].Ends {
			g.t.Errorf("%s has key %s, another event of the same person and session has %s, which has not ended", s.name, link, was)
		}
		if ends := keys[link].Ends; at >= ends || ends-at > (24*time.Hour).Milliseconds() {
			g.t.Errorf("%s of %d has key %s, which ends at %d", s.name, at, link, ends)
		}
		links[link], who[person] = person, link
	}
	if g.t.Failed() {
		return
	}
	shown, compared := 0, 0
	for _, v := range views {
		var kept []*sent
		for _, s := range all {
			if v.Keeps(s.verdict.Levels) {
				kept = append(kept, s)
			}
		}
		lines := g.lines(v.Name, g.tokens[v.Name], len(kept))
		if len(lines) != len(kept) {
			g.t.Fatalf("%s shows %d events, not %d", v.Name, len(lines), len(kept))
		}
		for i, s := range kept {
			if fault := s.unlike(v, g.tree(lines[i])); fault != "" {
				g.t.Errorf("%s, event %d: %s", v.Name, i, fault)
			}
		}
		shown += len(kept)
		compared += len(all)
	}
	g.t.Logf("%s: %d events of %d streams compared, of which %d are shown", source, compared, len(views), shown)
}

// unlike says what of an event that a stream shows is not as it must be, "" for nothing.
func (s *sent) unlike(v oracle.View, event map[string]any) string {
	if !oracle.Equal(event["strmMeta"], s.meta) {
		return fmt.Sprintf("%s: strmMeta is %s, in the source %s", s.name, oracle.Text(event["strmMeta"]), oracle.Text(s.meta))
	}
	delete(event, "strmMeta")
	if want := v.Show(s.book.Contract, s.verdict.Event, s.sealed); !oracle.Equal(event, want) {
		return fmt.Sprintf("%s\nshows %s\nnot   %s", s.name, oracle.Text(event), oracle.Text(want))
	}
	return ""
}

func (g *golden) tree(line string) map[string]any {
	g.t.Helper()
	v, err := oracle.Tree([]byte(line))
	event, ok := v.(map[string]any)
	if err != nil || !ok {
		g.t.Fatalf("%v: %s", err, line)
	}
	return event
}

var linkForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// meta checks an event's strmMeta in the source stream, and gives the key link.
func (g *golden) meta(s *sent) string {
	m, ok := s.meta.(map[string]any)
	if !ok {
		g.t.Fatalf("%s has strmMeta %v", s.name, s.meta)
	}
	levels := []any{}
	for _, l := range s.verdict.Levels {
		levels = append(levels, json.Number(fmt.Sprint(l)))
	}
	want := map[string]any{"nonce": m["nonce"], "timestamp": m["timestamp"], "keyLink": m["keyLink"], "consentLevels": levels}
	for _, name := range []string{"eventContractRef", "schemaId"} {
		if v := s.verdict.Meta[name]; v != nil {
			want[name] = v
		}
	}
	if want["schemaId"] != nil {
		want["billingId"] = g.billing
	}
	link, _ := m["keyLink"].(string)
	nonce, _ := m["nonce"].(json.Number)
	stamp, _ := m["timestamp"].(json.Number)
	n, err := nonce.Int64()
	ms, wrong := stamp.Int64()
	if !oracle.Equal(m, want) || !linkForm.MatchString(link) || err != nil || n != int64(int32(n)) || wrong != nil || time.Since(time.UnixMilli(ms)).Abs() > 30*time.Minute {
		g.t.Errorf("%s has strmMeta %s, not like %s", s.name, oracle.Text(m), oracle.Text(want))
	}
	return link
}

// accepted is when an event was accepted, in Unix milliseconds.
func (s *sent) accepted() int64 {
	ms, _ := s.meta.(map[string]any)["timestamp"].(json.Number).Int64() // meta looked at it
	return ms
}

// sealed checks that an event of the source stream is as it was sent, with each personal value under the key of its link.
func (g *golden) sealed(s *sent, keys oracle.Keys, link string) {
	opened := any(s.sealed)
	for path := range s.book.Personal {
		opened = oracle.Leaves(opened, strings.Split(path, "/"), func(value string) string {
			clear, err := keys.Open(link, value)
			if err != nil {
				g.t.Errorf("%s: %s is %q: %v", s.name, path, value, err)
			}
			return clear
		})
	}
	if !oracle.Equal(opened, s.verdict.Event) {
		g.t.Errorf("%s\nis    %s\nopens %s\nnot   %s", s.name, oracle.Text(s.sealed), oracle.Text(opened), oracle.Text(s.verdict.Event))
	}
}

// silent: nothing personal is in what the program logged or counts.
func (g *golden) silent() {
	resp, err := g.client.Get(g.Base + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	var metrics strings.Builder
	if err := resp.Write(&metrics); err != nil {
		g.t.Fatal(err)
	}
	for what, text := range map[string]string{"the log": g.log.String(), "/metrics": metrics.String()} {
		if at := strings.Index(text, "secret-"); at >= 0 {
			g.t.Errorf("%s holds %q", what, text[max(0, at-100):min(len(text), at+100)])
		}
	}
}
