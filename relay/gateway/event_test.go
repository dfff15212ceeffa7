package gateway_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"sluice/relay/gateway"
	"sluice/relay/registry"
	"sluice/relay/sample"
)

const refHeader, clickRef = "Strm-Schema-Ref", sample.ClickstreamRef

func TestEvent(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "by-hand"})
	payload := e.stream("default", registry.StreamSpec{Name: "payload", Payload: "json"})
	derived := e.stream("default", registry.StreamSpec{Name: "by-hand-2", DerivedFrom: "by-hand", Levels: []int{2}})
	off := e.stream("default", registry.StreamSpec{Name: "off"})
	no := false
	if _, err := e.reg.UpdateStream(t.Context(), off.Project, "off", registry.StreamPatch{Enabled: &no}); err != nil {
		t.Fatal(err)
	}
	event := strings.TrimSpace(clicks(0, 1))
	badURL := strings.Replace(event, `"url":"`, `"url":"%`, 1)

	table := []struct {
		name, method, path, token, body string
		headers                         []string
		status                          int
		text                            string // of the answer, exactly; "*" for any that is not empty
	}{
		{"stored", "POST", "/event", st.token, event, []string{refHeader, clickRef}, 204, ""},
		{"without a header the event names its contract", "POST", "/event", st.token, event, nil, 204, ""},
		{"the older header", "POST", "/event", st.token, event, []string{"Strm-Schema-Id", clickRef}, 204, ""},
		{"header names of any case", "POST", "/event", st.token, event, []string{"strm-schema-ref", clickRef, "Content-Type", "application/x-www-form-urlencoded"}, 204, ""},
		{"named as JSON", "POST", "/event", st.token, event, []string{"Strm-Serialization-Type", "application/json; charset=utf-8"}, 204, ""},
		{"the admin names the stream", "POST", "/event?stream=by-hand", adminToken, event, nil, 204, ""},
		{"its own name is fine", "POST", "/event?stream=by-hand", st.token, event, nil, 204, ""},

		{"no token", "POST", "/event", "", event, nil, 401, "Jwt is missing"},
		{"garbage", "POST", "/event", "garbage", event, nil, 401, "Jwt verification fails"},
		{"the admin must name a stream", "POST", "/event", adminToken, event, nil, 400, "*"},
		{"which is not there", "POST", "/event?stream=nowhere", adminToken, event, nil, 404, `Stream 'nowhere' does not exist`},
		{"another stream's token", "POST", "/event?stream=payload", st.token, event, nil, 403, "*"},
		{"derived credentials", "POST", "/event", derived.token, event, nil, 403, "Stream 'by-hand-2' is derived: send to its source 'by-hand'"},
		{"the admin cannot send to a derived stream", "POST", "/event?stream=by-hand-2", adminToken, event, nil, 403, "*"},
		{"disabled", "POST", "/event", off.token, event, nil, 403, "Stream 'off' is disabled"},
		{"payload stream", "POST", "/event", payload.token, event, nil, 404, "*"},

		{"GET", "GET", "/event", st.token, "", nil, 404, "*"},
		{"PUT", "PUT", "/event", st.token, event, nil, 404, "*"},

		{"unknown contract", "POST", "/event", st.token, event, []string{refHeader, "a/b/1.0.0"}, 400, "Schema 'a/b/1.0.0' is not known"},
		{"no contract at all", "POST", "/event", st.token, "{}", nil, 400, "Header Strm-Schema-Ref is missing"},
		{"not JSON", "POST", "/event", st.token, "not json", []string{refHeader, clickRef}, 400, "*"},
		{"nothing", "POST", "/event", st.token, "", []string{refHeader, clickRef}, 400, "*"},
		{"Avro", "POST", "/event", st.token, event, []string{"Strm-Serialization-Type", "application/x-avro-binary"}, 400, "*"},
		{"unknown kind", "POST", "/event", st.token, event, []string{"Strm-Serialization-Type", "text/xml"}, 400, "*"},
		{"packed", "POST", "/event", st.token, event, []string{"Content-Encoding", "gzip"}, 400, "*"},
		{"a rule is broken", "POST", "/event", st.token, badURL, []string{refHeader, clickRef}, 400, "*"},
	}
	for _, row := range table {
		t.Run(row.name, func(t *testing.T) {
			e.t = t
			a := e.want(row.status, row.method, row.path, row.token, row.body, row.headers...)
			if row.text == "*" && a.body == "" || row.text != "*" && a.body != row.text {
				t.Errorf("the answer is %q", a.body)
			}
			if a.status == 204 && len(a.header.Values("Content-Length"))+len(a.header.Values("Content-Type")) > 0 {
				t.Errorf("204 with %v", a.header)
			}
			if a.status != 204 && a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("Content-Type is %q", a.header.Get("Content-Type"))
			}
			if server := a.header.Get("Server"); server != "" {
				t.Errorf("the server calls itself %q", server)
			}
		})
	}
	e.t = t

	// What was answered 204 is in the log, and nothing else.
	stored := 0
	for _, row := range table {
		if row.status == 204 {
			stored++
		}
	}
	a := e.want(200, "GET", "/v1/streams/by-hand/events?from=EARLIEST&timeout=300ms", st.token, "")
	if n := strings.Count(a.body, `"eventContractRef"`); n != stored {
		t.Errorf("%d events are stored, %d were accepted", n, stored)
	}
}

// The seed's 400 has two lines, the second indented by two spaces.
func TestEventSeedViolation(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "by-hand"})
	body := `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0]},"producerSessionId":"producer",
		"url":"url","eventType":"click","referrer":"referrer-id","userAgent":"user-agent","conversion":0,
		"customer":{"id":"customer-id"},"abTests":["a","b"]}`
	a := e.want(400, "POST", "/event", st.token, body, refHeader, clickRef)
	const first = "Field: 'url' in event with schema: 'strmprivacy/clickstream/1.0.0' with value: 'url'\n  doesn't match regex: '"
	if !strings.HasPrefix(a.body, first) {
		t.Errorf("%q", a.body)
	}
}

// The order of the checks: what stands first in the row is answered, whatever else is wrong too.
func TestEventOrderOfChecks(t *testing.T) {
	e := newEdge(t, func(c *gateway.Config) { c.MaxEventBytes = 1 << 10 })
	st := e.stream("default", registry.StreamSpec{Name: "st"})
	derived := e.stream("default", registry.StreamSpec{Name: "st-2", DerivedFrom: "st", Levels: []int{2}})
	slow := e.stream("default", registry.StreamSpec{Name: "slow"})
	one := int64(1)
	if _, err := e.reg.UpdateStream(t.Context(), slow.Project, "slow", registry.StreamPatch{EventRate: &one}); err != nil {
		t.Fatal(err)
	}
	e.bulk(slow, 0, 100)
	for _, size := range []int{2 << 10, 10 << 20} {
		large := strings.Repeat("x", size)
		e.want(401, "POST", "/event", "garbage", large, refHeader, "no/such/1.0.0")
		e.want(403, "POST", "/event", derived.token, large, refHeader, "no/such/1.0.0")
		a := e.want(429, "POST", "/event", slow.token, large, refHeader, "no/such/1.0.0")
		if wait, err := strconv.Atoi(a.header.Get("Retry-After")); a.body != "event rate limit exceeded" || err != nil || wait < 50 || wait > 100 {
			t.Errorf("429 says %q, %v", a.body, a.header)
		}
		e.want(413, "POST", "/event", st.token, large, refHeader, "no/such/1.0.0", "Strm-Serialization-Type", "application/x-avro-binary")
	}
	e.want(400, "POST", "/event", st.token, "x", refHeader, "no/such/1.0.0")
}

func TestEventMetrics(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	event := strings.TrimSpace(clicks(0, 1))
	for range 3 {
		e.want(204, "POST", "/event", st.token, event)
	}
	e.want(400, "POST", "/event", st.token, "x", refHeader, clickRef)
	e.want(401, "POST", "/event", "garbage", event)
	e.want(200, "POST", "/v1/streams/web/events", st.token, clicks(0, 5)+"x\n")
	text := e.want(200, "GET", "/metrics", "", "").body
	for _, line := range []string{
		`sluice_ingest_events_total{api="event",result="accepted",stream="web"} 3`,
		`sluice_ingest_events_total{api="event",result="invalid",stream="web"} 1`,
		`sluice_ingest_events_total{api="event",result="unauthorized",stream=""} 1`,
		`sluice_ingest_events_total{api="bulk",result="accepted",stream="web"} 5`,
		`sluice_ingest_events_total{api="bulk",result="invalid",stream="web"} 1`,
		`sluice_ingest_duration_seconds_count{api="event"} 5`,
		`sluice_ingest_duration_seconds_count{api="bulk"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s in the metrics", line)
		}
	}
}

func TestReaderMetrics(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	e.bulk(st, 0, 5)
	e.want(200, "GET", "/v1/streams/web/events?from=EARLIEST&limit=3", st.token, "")
	e.open("GET", "/sse?from=EARLIEST", st.token, "", nil)
	e.eventually("every reader is counted", func() bool {
		text := e.want(200, "GET", "/metrics", "", "").body
		return strings.Contains(text, `sluice_delivered_events_total{kind="ndjson",stream="web"} 3`+"\n") &&
			strings.Contains(text, `sluice_delivered_events_total{kind="sse",stream="web"} 5`+"\n") &&
			strings.Contains(text, `sluice_readers{kind="ndjson",stream="web"} 0`+"\n") &&
			strings.Contains(text, `sluice_readers{kind="sse",stream="web"} 1`+"\n")
	})
}

func TestBulk(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	derived := e.stream("default", registry.StreamSpec{Name: "web-2", DerivedFrom: "web", Levels: []int{2}})
	plain := e.stream("default", registry.StreamSpec{Name: "plain", Payload: "json"})
	own := e.stream("default", registry.StreamSpec{Name: "own", Contract: clickRef})
	const path = "/v1/streams/web/events"
	two := clicks(0, 2)
	nameless := strings.ReplaceAll(two, `"eventContractRef":"`+clickRef+`",`, "")
	array := "[" + strings.Replace(strings.TrimSpace(two), "\n", ",", 1) + "]"

	table := []struct {
		name, path, token, body string
		headers                 []string
		status                  int
		accepted, rejected      int // of a result
	}{
		{"lines", path, st.token, two, nil, 200, 2, 0},
		{"an array", path, st.token, array, nil, 200, 2, 0},
		{"nothing", path, st.token, "", nil, 200, 0, 0},
		{"gzip", path, st.token, pack(t, two), []string{"Content-Encoding", "gzip"}, 200, 2, 0},
		{"the admin", path, adminToken, two, nil, 200, 2, 0},
		{"one bad line", path, st.token, two + "\nnonsense\n", nil, 200, 2, 1},
		{"all bad", path, st.token, "nonsense\n", nil, 200, 0, 1},
		{"atomic", path + "?atomic=true", st.token, two, nil, 200, 2, 0},
		{"atomic with a bad line", path + "?atomic=true", st.token, two + "nonsense\n", nil, 400, 0, 1},
		{"any object where no contract is asked", "/v1/streams/plain/events", plain.token, `{"a":1}` + "\n[2]\n", nil, 200, 1, 1},
		{"the header's contract", path, st.token, "{}\n", []string{refHeader, "a/b/1.0.0"}, 200, 0, 1},
		{"lines that leave naming it to the header", path, st.token, nameless, []string{refHeader, clickRef}, 200, 2, 0},
		{"lines that leave naming it to the stream", "/v1/streams/own/events", own.token, nameless, nil, 200, 2, 0},
		{"lines that nobody names it for", path, st.token, nameless, nil, 200, 0, 2},
	}
	for _, row := range table {
		a := e.send("POST", row.path, row.token, row.body, row.headers...)
		var res struct {
			Accepted, Rejected int
			Errors             []struct {
				Line    int
				Message string
			}
		}
		if err := json.Unmarshal([]byte(a.body), &res); err != nil {
			t.Errorf("%s: %s", row.name, a.body)
			continue
		}
		if a.status != row.status || res.Accepted != row.accepted || res.Rejected != row.rejected || len(res.Errors) != row.rejected || res.Errors == nil {
			t.Errorf("%s: %d %s", row.name, a.status, a.body)
		}
	}

	for _, row := range []struct {
		name, path, token, body string
		headers                 []string
		status                  int
	}{
		{"no token", path, "", two, nil, 401},
		{"garbage", path, "garbage", two, nil, 401},
		{"not there", "/v1/streams/nowhere/events", st.token, two, nil, 404},
		{"derived credentials", "/v1/streams/web-2/events", derived.token, two, nil, 403},
		{"another stream of the project", "/v1/streams/plain/events", st.token, two, nil, 403},
		{"bad gzip", path, st.token, two, []string{"Content-Encoding", "gzip"}, 400},
		{"cut gzip", path, st.token, pack(t, two)[:50], []string{"Content-Encoding", "gzip"}, 400},
		{"other packing", path, st.token, two, []string{"Content-Encoding", "br"}, 415},
		{"bomb", path, st.token, pack(t, strings.Repeat("\n", 40<<20)), []string{"Content-Encoding", "gzip"}, 413},
		{"an array that is not closed", path, st.token, array[:len(array)-1], nil, 400},
		{"bad atomic", path + "?atomic=yes", st.token, two, nil, 400},
		{"too much for atomic", path + "?atomic=true", st.token, strings.Repeat("\n", 256<<10+1), nil, 413},
		{"a line above the largest event", path, st.token, two + strings.Repeat("x", 1<<20+1), nil, 413},
		{"PUT", path, st.token, two, nil, 405},
	} {
		method := "POST"
		if row.name == "PUT" {
			method = "PUT"
		}
		a := e.send(method, row.path, row.token, row.body, row.headers...)
		var no struct {
			Error struct {
				Code            int
				Status, Message string
			}
		}
		if err := json.Unmarshal([]byte(a.body), &no); err != nil || a.status != row.status || no.Error.Code != row.status || no.Error.Message == "" {
			t.Errorf("%s: %d %s", row.name, a.status, a.body)
		}
	}
	// Nothing of a refused body was stored: fourteen events of the table above are there and no other.
	a := e.want(200, "GET", path+"?from=EARLIEST&timeout=300ms", st.token, "")
	if n := strings.Count(a.body, `"eventContractRef"`); n != 14 {
		t.Errorf("%d events are stored", n)
	}
	if a := e.want(200, "POST", path, st.token, strings.Replace(clicks(0, 1), `"url":"`, `"url":" `, 1)); !strings.Contains(a.body, `doesn't match regex: '^(https?|ftp|file)://[-a-zA-Z0-9+&@#`) {
		t.Errorf("the regex is not as it was written: %s", a.body)
	}
	if shown := e.want(200, "GET", "/v1/streams/own/events?from=EARLIEST&limit=2", own.token, "").body; strings.Count(shown, `{"strmMeta":{"eventContractRef":"`+clickRef+`","nonce":`) != 2 {
		t.Errorf("events whose contract the stream named: %s", shown)
	}
}

// What cannot be read is told so, though it may name no contract either.
func TestBulkSaysWhyALineIsRefused(t *testing.T) {
	t.Parallel()
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	var res struct{ Errors []struct{ Message string } }
	for line, want := range map[string]string{
		`{"strmMeta":{},}`:            "Body is not valid JSON: character '}' is not expected at byte 15",
		`{'strmMeta':{}}`:             "Body is not valid JSON: character ''' is not expected at byte 1",
		"{\"a\":\"\xff\"}":            "Body is not valid JSON: it is not UTF-8 at byte 6",
		`17`:                          "Body is not valid JSON: it is not an object at byte 0",
		`{"a":1}`:                     "Header Strm-Schema-Ref is missing",
		`{"strmMeta":{"schemaId":7}}`: "Header Strm-Schema-Ref is missing",
	} {
		a := e.want(200, "POST", "/v1/streams/web/events", st.token, line)
		if err := json.Unmarshal([]byte(a.body), &res); err != nil || len(res.Errors) != 1 || res.Errors[0].Message != want {
			t.Errorf("%s: %s, want %s", line, a.body, want)
		}
		if line[0] == '{' {
			if a := e.want(400, "POST", "/event", st.token, line); a.body != want {
				t.Errorf("%s as one event: %s, want %s", line, a.body, want)
			}
		}
	}
}

func TestBulkRate(t *testing.T) {
	e := newEdge(t, nil)
	st := e.stream("default", registry.StreamSpec{Name: "web"})
	ten := int64(10)
	if _, err := e.reg.UpdateStream(t.Context(), st.Project, "web", registry.StreamPatch{EventRate: &ten}); err != nil {
		t.Fatal(err)
	}
	e.bulk(st, 0, 25)
	a := e.want(429, "POST", "/v1/streams/web/events", st.token, clicks(0, 1))
	if wait := a.header.Get("Retry-After"); wait != "2" {
		t.Errorf("after 25 events at 10/s: Retry-After %s", wait)
	}
	e.want(429, "POST", "/event", st.token, strings.TrimSpace(clicks(0, 1)))
}

func pack(t *testing.T, text string) string {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := fmt.Fprint(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}
