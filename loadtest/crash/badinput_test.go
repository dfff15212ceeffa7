//go:build parts

package crash_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/loadtest/server"
	"sluice/relay/sample"
)

const secret = "somebody-personal"

// valid is a good event, to be spoilt.
const valid = `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0]},"producerSessionId":"` + secret +
	`","url":"https://example.com","eventType":"click","referrer":"r","userAgent":"p001-0000000001","conversion":0,"customer":{"id":"` + secret +
	`"},"abTests":["a"]}`

func spoil(old, new string) string {
	if !strings.Contains(valid, old) {
		panic("nothing to spoil: " + old)
	}
	return strings.Replace(valid, old, new, 1)
}

// request is one bad request and the answer it must get.
type request struct {
	name         string
	method, path string
	token        string
	headers      map[string]string
	body         string
	status       []int
	text         []string // parts of the answer, any case
}

// Every kind of bad input is refused with the right status and a text that says why and shows nothing
// personal; the server lives on in bounded memory, and nothing of it is in the log.
func TestBadInputLeavesNoTrace(t *testing.T) {
	p := start(t, t.TempDir())
	in := source(t, p, "strict")
	out := cumulative(t, p, in, 0)
	other := source(t, p, "other")
	post := func(name, body string, status int, text ...string) request {
		return request{name: name, path: "/event", token: in.Token, body: body, status: []int{status}, text: text}
	}
	bulk := func(name, body string, status int, text ...string) request {
		return request{name: "bulk: " + name, path: "/v1/streams/" + in.Name + "/events", token: in.Token, body: body, status: []int{status}, text: text}
	}
	with := func(r request, headers ...string) request {
		r.headers = map[string]string{}
		for i := 0; i < len(headers); i += 2 {
			r.headers[headers[i]] = headers[i+1]
		}
		return r
	}
	as := func(r request, name, token string) request {
		r.name, r.token = name, token
		return r
	}
	to := func(r request, path string) request {
		r.path = path
		return r
	}
	deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	deepArray := strings.Repeat(`[`, 10_000) + strings.Repeat("]", 10_000)
	million := "[" + strings.Repeat("1,", 999_999) + "1]"
	requests := []request{
		as(post("", valid, 401, "Jwt is missing"), "no token", ""),
		as(post("", valid, 401, "Jwt verification fails"), "a token that is none", "x.y.z"),
		as(post("", valid, 401, "Jwt verification fails"), "a tampered token", in.Token[:len(in.Token)-4]+"AAAA"),
		as(post("", valid, 403), "a derived stream's token", out.Token),
		as(post("", valid, 400, "stream"), "the admin's token names no stream", p.Token),
		as(to(post("", valid, 404), "/event?stream=nowhere"), "the admin's token names no stream there is", p.Token),
		as(bulk("", valid, 401), "bulk: no token", ""),
		as(bulk("", valid, 403), "bulk: another stream's token", other.Token),
		as(bulk("", valid, 403), "bulk: a derived stream's token", out.Token),
		as(to(bulk("", valid, 404), "/v1/streams/nowhere/events"), "bulk: no such stream", p.Token),
		{name: "GET", method: "GET", path: "/event", token: in.Token, status: []int{404, 405}},

		with(post("empty body", "", 400, "JSON"), "Strm-Schema-Ref", sample.ClickstreamRef),
		with(post("only blanks", " \n ", 400, "JSON"), "Strm-Schema-Ref", sample.ClickstreamRef),
		with(post("undecodable", `{"strmMeta":`, 400, "not valid JSON", "byte"), "Strm-Schema-Ref", sample.ClickstreamRef),
		with(post("single quotes", strings.ReplaceAll(valid, `"`, `'`), 400, "JSON"), "Strm-Schema-Ref", sample.ClickstreamRef),
		post("two objects", valid+valid, 400, "JSON"),
		post("an array", "["+valid+"]", 400),
		post("a number", "17", 400),
		post("trailing NULs", valid+"\x00\x00", 400, "JSON"),
		post("a NUL in a string", spoil(`"r"`, "\"r\x00\""), 400, "JSON"),
		post("a NUL between", spoil(`"referrer"`, "\x00\"referrer\""), 400, "JSON"),
		post("invalid UTF-8", spoil(`"r"`, "\"r\xff\xfe\""), 400, "JSON"),
		post("invalid UTF-8 in a personal field", strings.ReplaceAll(valid, secret, secret+"\xc3("), 400, "JSON"),
		post("an overlong encoding", spoil(`"r"`, "\"r\xc0\xaf\""), 400, "JSON"),
		post("an encoded surrogate", spoil(`"r"`, "\"r\xed\xa0\x80\""), 400, "JSON"),
		post("half a surrogate escape", spoil(`"r"`, `"r\ud83d"`), 400),
		post("a bad escape", spoil(`"r"`, `"r\x"`), 400, "JSON"),
		post("duplicate key", spoil(`"referrer":"r"`, `"referrer":"r","referrer":"s"`), 400, "referrer"),
		post("duplicate key by an escape", spoil(`"referrer":"r"`, `"referrer":"r","refer\u0072er":"s"`), 400, "referrer"),
		post("duplicate personal key", spoil(`"customer":{"id":`, `"customer":{"id":"x","id":`), 400, "id"),
		post("duplicate strmMeta", spoil(`{"strmMeta":`, `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0]},"strmMeta":`), 400, "strmMeta"),
		post("10,000 deep", spoil(`"r"`, deep), 400),
		post("10,000 deep arrays", spoil(`["a"]`, deepArray), 400),
		post("10,000 deep and nothing else", deep, 400),
		post("10 MB", spoil(`"r"`, `"`+strings.Repeat("r", 10<<20)+`"`), 413),
		post("a million elements", spoil(`["a"]`, million), 413),
		post("half a million wrong elements", spoil(`["a"]`, "["+strings.Repeat("1,", 400_000)+"1]"), 400, "abTests", "must be"),
		post("missing field", spoil(`"eventType":"click",`, ``), 400, "'eventType'", "missing"),
		post("missing nested field", spoil(`"id":"`+secret+`"`, ``), 400, "'customer/id'", "missing"),
		post("extra field", spoil(`"referrer"`, `"extra":1,"referrer"`), 400, "'extra'", "not in the schema"),
		post("extra nested field", spoil(`"customer":{`, `"customer":{"extra":1,`), 400, "'customer/extra'", "not in the schema"),
		post("wrong type", spoil(`"click"`, `17`), 400, "'eventType'", "must be string"),
		post("wrong type of a personal field", spoil(`"id":"`+secret+`"`, `"id":17`), 400, "'customer/id'", "must be string"),
		post("null where none may be", spoil(`"click"`, `null`), 400, "'eventType'", "must be string"),
		post("a fraction for an int", spoil(`"conversion":0`, `"conversion":0.5`), 400, "'conversion'", "must be"),
		post("an int too large", spoil(`"conversion":0`, `"conversion":3000000000`), 400, "'conversion'", "must be"),
		post("empty key field", spoil(`"producerSessionId":"`+secret, `"producerSessionId":"`), 400, "Key field 'producerSessionId' is empty"),
		post("a value against its rule", spoil(`https://example.com`, `url`), 400, "Field: 'url' in event with schema: 'strmprivacy/clickstream/1.0.0' with value: 'url'\n  doesn't match regex: '"),
		post("a personal value against its rule", spoil(`"id":"`+secret, `"id":"`), 400, "'customer/id'", "****"),
		post("negative consent", spoil(`[0]`, `[-1]`), 400, "consentLevels"),
		post("consent above 63", spoil(`[0]`, `[64]`), 400, "consentLevels"),
		post("consent that is no list", spoil(`[0]`, `0`), 400, "consentLevels"),
		post("no consent", spoil(`,"consentLevels":[0]`, ``), 400, "consentLevels"),
		post("no strmMeta and no header", spoil(`"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0]},`, ``), 400, "Header Strm-Schema-Ref is missing"),
		with(post("no strmMeta", spoil(`"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0]},`, ``), 400, "strmMeta"), "Strm-Schema-Ref", sample.ClickstreamRef),
		with(post("unknown contract", valid, 400, "Schema 'no/such/1.0.0' is not known"), "Strm-Schema-Ref", "no/such/1.0.0"),
		post("unknown contract in the event", spoil("strmprivacy/clickstream/1.0.0", "strmprivacy/clickstream/9.9.9"), 400, "is not known"),
		with(post("header and event disagree", valid, 400), "Strm-Schema-Ref", sample.ExampleRef),
		with(post("gzip bomb", bomb(), 400), "Content-Encoding", "gzip"),

		with(bulk("gzip bomb", bomb(), 413), "Content-Encoding", "gzip"),
		with(bulk("gzip cut short", bomb()[:500], 400), "Content-Encoding", "gzip"),
		with(bulk("gzip that is none", valid, 400), "Content-Encoding", "gzip"),
		bulk("10 MB in a line", spoil(`"r"`, `"`+strings.Repeat("r", 10<<20)+`"`), 413),
		bulk("40 MB", strings.Repeat("\n", 40<<20), 413),
		bulk("an array that does not end", "["+valid, 400),
		bulk("a million numbers", million, 200, `"accepted":0`, `"rejected":1000000`, `"line":1000`),
		bulk("10,000 deep", deep, 200, `"accepted":0`, `"rejected":1`),
		bulk("10,000 deep array", deepArray, 200, `"accepted":0`),
		bulk("bad lines", strings.Join([]string{"{", spoil(`"click"`, `17`), "\x00", spoil(`"r"`, "\"\xff\""), "17", spoil(`"referrer":"r"`, `"referrer":"r","referrer":"s"`)}, "\n"), 200,
			`"accepted":0`, `"rejected":6`, `"line":1`, `"line":2`, `"line":3`, `"line":4`, `"line":5`, `"line":6`),
		with(bulk("unknown contract", spoil("clickstream/1.0.0", "nowhere/1.0.0"), 200, `"accepted":0`, `is not known`)),
		to(bulk("atomic with a bad line", valid+"\n{}\n", 400, `"accepted":0`), "/v1/streams/"+in.Name+"/events?atomic=true"),
	}

	client := &http.Client{Timeout: 30 * time.Second}
	if status, text := call(t, client, p, request{path: "/event", token: in.Token, body: valid}); status != 204 {
		t.Fatalf("the good event: %d %s", status, text)
	}
	mem, err := p.Memory()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		t.Run(r.name, func(t *testing.T) {
			began := time.Now()
			status, text := call(t, client, p, r)
			if !slices.Contains(r.status, status) {
				t.Errorf("status %d, want %v: %.300s", status, r.status, text)
			}
			for _, part := range r.text {
				if !strings.Contains(strings.ToLower(text), strings.ToLower(part)) {
					t.Errorf("no %q in %d %.400q", part, status, text)
				}
			}
			if status >= 400 && strings.TrimSpace(text) == "" && r.method == "" {
				t.Errorf("status %d and no word why", status)
			}
			if strings.Contains(text, secret) {
				t.Errorf("a personal value in the answer: %.300s", text)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
	after, err := p.Memory()
	if err != nil {
		t.Fatal(err)
	}
	if growth := (after.Peak - mem.Peak) >> 20; growth > 300 {
		t.Errorf("bad input drove the server's memory up by %d MiB", growth)
	}
	if status, text := call(t, client, p, request{path: "/event", token: in.Token, body: spoil("p001-0000000001", "p001-0000000002")}); status != 204 {
		t.Errorf("the good event at the end: %d %s", status, text)
	}
	for _, d := range []door{in, other} {
		var markers []string
		err := follower(d, p, false).All(t.Context(), time.Second, func(_ uint64, body []byte) error {
			var e struct{ UserAgent string }
			if err := json.Unmarshal(body, &e); err != nil {
				return err
			}
			markers = append(markers, e.UserAgent)
			return nil
		})
		want := []string{"p001-0000000001", "p001-0000000002"}
		if d.Name == other.Name {
			want = nil
		}
		if err != nil || !slices.Equal(markers, want) {
			t.Errorf("in the log of %s: %v, want %v (%v)", d.Name, markers, want, err)
		}
	}
}

func call(t *testing.T, client *http.Client, p *server.Process, r request) (status int, text string) {
	t.Helper()
	if r.method == "" {
		r.method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(t.Context(), r.method, p.Base+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	for k, v := range r.headers {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Errorf("no answer: %v", err)
		return 0, ""
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		t.Errorf("half an answer: %v", err)
	}
	return resp.StatusCode, string(answer)
}

// bomb is a gigabyte of newlines, packed to a thousandth.
var bomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	newlines := bytes.Repeat([]byte("\n"), 1<<20)
	for range 1 << 10 {
		if _, err := z.Write(newlines); err != nil {
			panic(err) // a buffer takes everything
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.String()
})
