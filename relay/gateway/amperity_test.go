package gateway_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sluice/relay/gateway"
	"sluice/relay/registry"
)

const payloadLimit = 260096

// key gives a token of an API key of the default project.
func (e *edge) key(name string, of registry.APIKeyType) string {
	e.t.Helper()
	k, _, err := e.reg.CreateAPIKey(e.t.Context(), e.project("default"), name, of)
	e.must(err)
	issued, err := e.reg.IssueKeyToken(e.t.Context(), k, time.Now().Add(time.Hour))
	e.must(err)
	return issued.AccessToken
}

// payloads are the streams and tokens that the tests of payloads need.
type payloads struct {
	*edge
	json, xml, plain made
	token            string
}

func newPayloads(t *testing.T) *payloads {
	p := &payloads{edge: newEdge(t, nil)}
	p.json = p.stream("default", registry.StreamSpec{Name: "web", Payload: "json"})
	p.xml = p.stream("default", registry.StreamSpec{Name: "orders", Payload: "xml"})
	p.plain = p.stream("default", registry.StreamSpec{Name: "events"})
	p.token = p.key("in", registry.StreamingIngest)
	return p
}

// TestPayloadSetting: the limit is a setting, and never above that of events.
func TestPayloadSetting(t *testing.T) {
	for name, c := range map[string]struct{ payload, event, want int }{
		"larger": {500_000, 0, 500_000}, "smaller": {1000, 0, 1000}, "above the limit of events": {0, 100_000, 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEdge(t, func(cfg *gateway.Config) { cfg.MaxPayloadBytes, cfg.MaxEventBytes = c.payload, c.event })
			st := e.stream("default", registry.StreamSpec{Name: "web", Payload: "json"})
			token := e.key("in", registry.StreamingIngest)
			body := `{"a":"` + strings.Repeat("x", c.want-len(`{"a":""}`)) + `"}`
			headers := []string{"X-Amperity-Tenant", "default", "Content-Type", "application/json"}
			e.want(202, "POST", payloadPath(st), token, body, headers...)
			a := e.want(413, "POST", payloadPath(st), token, body+" ", headers...)
			if want := fmt.Sprintf("takes, %d bytes", c.want); !strings.Contains(a.body, want) {
				t.Errorf("%s does not say %s", a.body, want)
			}
		})
	}
}

// shown reads all that a stream shows now.
func (p *payloads) shown(st made) []string {
	p.t.Helper()
	a := p.want(200, "GET", "/v1/streams/"+st.Name+"/events?from=EARLIEST&timeout=200ms", st.token, "")
	var lines []string
	for line := range strings.Lines(a.body) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func payloadPath(st made) string { return "/stream/v0/data/" + st.PublicID }

// Every row of the imitated gateway's table that a request can bring about, and the order in which they are looked for: each case is wrong
// in all that is checked later.
func TestPayloadChecks(t *testing.T) {
	t.Parallel() // it mostly waits
	p := newPayloads(t)
	p.project("other")
	foreign := p.stream("other", registry.StreamSpec{Name: "web", Payload: "json"})
	issuer := p.key("issuer", registry.TokenIssuer)
	off := p.stream("default", registry.StreamSpec{Name: "off", Payload: "json"})
	disabled := false
	_, err := p.reg.UpdateStream(t.Context(), p.project("default"), "off", registry.StreamPatch{Enabled: &disabled})
	p.must(err)
	slow := p.stream("default", registry.StreamSpec{Name: "slow", Payload: "json"})
	rate := int64(1)
	_, err = p.reg.UpdateStream(t.Context(), p.project("default"), "slow", registry.StreamPatch{EventRate: &rate})
	p.must(err)
	huge := strings.Repeat("x", payloadLimit+1)

	tenant := []string{"X-Amperity-Tenant", "default"}
	typed := append([]string{"Content-Type", "application/json"}, tenant...)
	p.want(202, "POST", payloadPath(slow), p.token, "{}", typed...)
	for name, c := range map[string]struct {
		status  int
		message string
		path    string
		token   string
		body    string
		headers []string
	}{
		"no token":                  {401, "Jwt is missing", payloadPath(foreign), "", huge, nil},
		"no JWT":                    {401, "Jwt verification fails", payloadPath(foreign), "nonsense", huge, nil},
		"no tenant":                 {401, "Header X-Amperity-Tenant is missing", payloadPath(foreign), p.token, huge, nil},
		"another tenant":            {401, "Header X-Amperity-Tenant does not name the tenant of the token", payloadPath(foreign), p.token, huge, []string{"X-Amperity-Tenant", "other"}},
		"a tenant in capitals":      {401, "Header X-Amperity-Tenant does not name the tenant of the token", payloadPath(p.json), p.token, huge, []string{"X-Amperity-Tenant", "DEFAULT"}},
		"no such tenant":            {401, "Header X-Amperity-Tenant does not name the tenant of the token", payloadPath(p.json), adminToken, huge, []string{"X-Amperity-Tenant", "nobody"}},
		"another tenant's stream":   {404, "does not exist", payloadPath(foreign), p.token, huge, tenant},
		"no such stream":            {404, "Stream 'is-nonesuch' does not exist", "/stream/v0/data/is-nonesuch", p.token, huge, tenant},
		"no stream at all":          {404, "does not exist", "/stream/v0/data/", p.token, huge, tenant},
		"a stream's name":           {404, "does not exist", "/stream/v0/data/web", p.token, huge, tenant},
		"a stream of events":        {404, "does not exist", payloadPath(p.plain), p.token, huge, tenant},
		"a stream's own token":      {403, "This token may not send payloads", payloadPath(p.json), p.json.token, huge, tenant},
		"an issuer's token":         {403, "This token may not send payloads", payloadPath(p.json), issuer, huge, tenant},
		"a disabled stream":         {403, "is disabled", payloadPath(off), p.token, huge, tenant},
		"over the rate":             {429, "event rate limit exceeded", payloadPath(slow), p.token, huge, tenant},
		"too large":                 {413, "Body is larger than this route takes, 260096 bytes", payloadPath(p.json), p.token, huge, tenant},
		"no type":                   {400, "Header Content-Type must be application/json: the stream takes JSON", payloadPath(p.json), p.token, "{", tenant},
		"XML for a JSON stream":     {400, "Header Content-Type must be application/json: the stream takes JSON", payloadPath(p.json), p.token, "{", append([]string{"Content-Type", "application/xml"}, tenant...)},
		"JSON for an XML stream":    {400, "Header Content-Type must be application/xml: the stream takes XML", payloadPath(p.xml), p.token, "", typed},
		"gzip":                      {400, "Header Content-Encoding must be left out: a payload is sent as it is", payloadPath(p.json), p.token, "{}", append([]string{"Content-Encoding", "gzip"}, typed...)},
		"an empty XML body":         {400, "Body is empty", payloadPath(p.xml), p.token, "", append([]string{"Content-Type", "text/xml; charset=utf-8"}, tenant...)},
		"a payload stream's /event": {404, "", "/event?stream=web", adminToken, "{}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := p.send("POST", c.path, c.token, c.body, c.headers...)
			if a.status != c.status || !strings.Contains(a.body, c.message) {
				t.Fatalf("%d %s, want %d %s", a.status, a.body, c.status, c.message)
			}
			if strings.HasPrefix(c.path, "/stream/") {
				wantPayloadError(t, a)
			}
			if wait := a.header.Get("Retry-After"); (wait != "") != (c.status == 429) {
				t.Errorf("Retry-After is %q", wait)
			}
		})
	}
	for _, st := range []made{p.json, p.xml} {
		if lines := p.shown(st); len(lines) != 0 {
			t.Errorf("%s holds %v", st.Name, lines)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		if a := p.send(method, payloadPath(p.json), p.token, ""); a.status != 405 || a.header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, a.status, a.header.Get("Allow"))
		}
	}
}

// wantPayloadError holds an answer to the shape of this route's errors.
func wantPayloadError(t *testing.T, a answer) {
	t.Helper()
	var e struct {
		Status    int    `json:"status"`
		Message   string `json:"message"`
		RequestID string `json:"request_id"`
	}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil || e.Status != a.status || e.Message == "" || len(e.RequestID) != 36 || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("%v: %s %s", err, a.header.Get("Content-Type"), a.body)
	}
}

// JSON that is no single object, or means different things to different readers, is refused and leaves no trace.
func TestPayloadHostileJSON(t *testing.T) {
	t.Parallel() // it mostly waits
	p := newPayloads(t)
	for name, body := range map[string]string{
		"empty": "", "white space": " \n", "array": `[{"a":1}]`, "two objects": "{} {}", "NDJSON": "{\"a\":1}\n{\"a\":2}\n", "string": `"a"`, "null": "null",
		"single quotes": `{'a': 1}`, "cut": `{"a":`, "trailing comma": `{"a":1,}`, "not UTF-8": "{\"a\":\"\xff\"}", "NUL": "{\"a\":\"\x00\"}", "NUL outside": "{}\x00",
		"deep": strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000), "NaN": `{"a":NaN}`, "leading zero": `{"a":01}`, "half a surrogate": `{"a":"\ud800"}`,
		"a name twice": `{"a":1,"b":{"c":1},"a":2}`, "a name twice within": `{"x":[{"a":1,"a":1}]}`, "a name twice by escape": `{"ab":1,"\u0061b":2}`,
		"a name twice among many": "{" + manyNames(200) + `"n17":0}`, "XML": "<r/>", "gzip": "\x1f\x8b\x08\x00",
	} {
		a := p.send("POST", payloadPath(p.json), p.token, body, "X-Amperity-Tenant", "default", "Content-Type", "application/json")
		if a.status != 400 || !strings.Contains(a.body, "Body is not valid JSON: ") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		wantPayloadError(t, a)
	}
	if lines := p.shown(p.json); len(lines) != 0 {
		t.Errorf("%v", lines)
	}
	elements := `{"a":[` + strings.Repeat("1,", 100000) + `1]}`
	p.want(202, "POST", payloadPath(p.json), p.token, elements, "X-Amperity-Tenant", "default", "Content-Type", "application/json")
	if lines := p.shown(p.json); len(lines) != 1 || lines[0] != elements {
		t.Errorf("%d lines", len(lines))
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"n%d":%d,`, i, i)
	}
	return b.String()
}

// What is accepted is shown: JSON in one line with its order and numbers, XML as JSON, what cannot be read of it not at all.
func TestPayloadAccepted(t *testing.T) {
	p := newPayloads(t)
	typed := func(kind string) []string { return []string{"amperity-tenant", "default", "content-type", kind} }
	send := func(st made, kind, body string) {
		t.Helper()
		a := p.want(202, "POST", payloadPath(st), p.token, body, typed(kind)...)
		if a.body != "" || a.header.Get("Content-Length") != "0" {
			t.Errorf("the answer holds %q, length %q", a.body, a.header.Get("Content-Length"))
		}
	}
	send(p.json, "application/json", " {\"z\" : 1.50,\n  \"a\": [1e400 , -0, \"\\u00e9 é\"] ,\"\":{} }\n")
	send(p.json, "Application/JSON; charset=utf-8", `{"same":[{"a":1},{"a":1}]}`)
	padding := strings.Repeat("x", payloadLimit-len(`{"a":""}`))
	send(p.json, "application/json", `{"a":"`+padding+`"}`)
	want := []string{`{"z":1.50,"a":[1e400,-0,"\u00e9 é"],"":{}}`, `{"same":[{"a":1},{"a":1}]}`, `{"a":"` + padding + `"}`}
	if got := p.shown(p.json); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%.300s", got)
	}

	send(p.xml, "application/xml", "<records><record><field1>value1</field1></record>\n<record id='2'/></records>")
	for _, broken := range []string{"<records>", " ", "not XML", `<!DOCTYPE r [<!ENTITY a "x">]><r>&a;</r>`, strings.Repeat("<a>", 50000), "\x00"} {
		send(p.xml, "text/xml", broken)
	}
	send(p.xml, "application/xml", "<?xml version='1.0' encoding='ISO-8859-1'?><r>\xe9</r>")
	want = []string{`{"records":{"record":[{"field1":"value1"},{"_id":"2"}]}}`, `{"r":"é"}`}
	if got := p.shown(p.xml); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
	// The admin's token is of every tenant, and says which by the header.
	p.want(202, "POST", payloadPath(p.json), adminToken, "{}", typed("application/json")...)
	// In bulk they are taken by the stream's own token.
	if a := p.want(200, "POST", "/v1/streams/web/events", p.json.token, "{\"a\":1}\n{\"a\":1,\"a\":2}\n"); !strings.HasPrefix(a.body, `{"accepted":1,"rejected":1,"errors":[{"line":2,`) {
		t.Errorf("%s", a.body)
	}
	metrics := p.send("GET", "/metrics", "", "").body
	if line := `sluice_ingest_events_total{api="payload",result="accepted",stream="web"} 4`; !strings.Contains(metrics, line) {
		t.Errorf("no %s", line)
	}
}

// Bodies come in every framing, and a refused one is not asked for.
func TestPayloadFraming(t *testing.T) {
	p := newPayloads(t)
	head := func(more string) string {
		return "POST " + payloadPath(p.json) + " HTTP/1.1\r\nHost: https://default.example.com\r\nContent-Type: application/json\r\nX-Amperity-Tenant: default\r\n" +
			"Authorization: Bearer " + p.token + "\r\n" + more + "\r\n"
	}
	chunk := func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }
	big := strings.Repeat("x", payloadLimit/2)
	for name, c := range map[string]struct {
		text   string
		status int
	}{
		"length":              {head("Content-Length: 7\r\n") + `{"a":1}`, 202},
		"chunks":              {head("Transfer-Encoding: chunked\r\n") + chunk(`{"a"`) + chunk(`:2}`) + "0\r\n\r\n", 202},
		"too many chunks":     {head("Transfer-Encoding: chunked\r\n") + chunk(`{"a":"`) + chunk(big) + chunk(big) + chunk(`"}`) + "0\r\n\r\n", 413},
		"an announced giant":  {head("Content-Length: 10000000000\r\n") + strings.Repeat("{", 16<<10), 413},
		"refused before sent": {head("Content-Length: 260097\r\nExpect: 100-continue\r\n"), 413},
		"no body":             {head("Content-Length: 0\r\n"), 400},
		"broken chunks":       {head("Transfer-Encoding: chunked\r\n") + "zz\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			if a := p.talk("POST", c.text); a.status != c.status {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	if got := p.shown(p.json); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// The documents' own requests, as they stand there.
func TestPayloadSeed(t *testing.T) {
	p := newPayloads(t)
	const (
		object  = "{\"field1\": \"value1\",\n    \"field2\": \"value2\"}"
		records = "    <records>\n    <record>\n    <field1>value1</field1>\n    </record>\n    <record>\n    <field1>value2</field1>\n    </record>\n    </records>\n"
	)
	for st, c := range map[*made]struct{ kind, body string }{&p.json: {"application/json", object}, &p.xml: {"application/xml", records}} {
		a := p.talk("POST", "POST /stream/v0/data/"+st.PublicID+" HTTP/1.1\r\nHost: https://default.amperity.com\r\nContent-Type: "+c.kind+
			"\r\nX-Amperity-Tenant: default\r\nAuthorization: Bearer "+p.token+fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n", len(c.body))+c.body)
		if a.status != 202 || a.body != "" {
			t.Errorf("%s: %d %s", c.kind, a.status, a.body)
		}
		curl, err := exec.LookPath("curl")
		if err != nil {
			t.Log("there is no curl here")
			continue
		}
		out, err := exec.CommandContext(t.Context(), curl, "-si", "-XPOST", "-H", "Content-Type: "+c.kind, "-H", "X-Amperity-Tenant: default",
			"-H", "Authorization: Bearer "+p.token, p.base+"/stream/v0/data/"+st.PublicID, "--data-binary", " "+c.body).Output()
		if err != nil || !strings.HasPrefix(string(out), "HTTP/1.1 202 ") {
			t.Errorf("curl: %v %s", err, out)
		}
	}
	for _, st := range []made{p.json, p.xml} {
		want := `{"field1":"value1","field2":"value2"}`
		if st.Payload == "xml" {
			want = `{"records":{"record":[{"field1":"value1"},{"field1":"value2"}]}}`
		}
		for _, line := range p.shown(st) {
			if line != want {
				t.Errorf("%s", line)
			}
		}
	}
}
