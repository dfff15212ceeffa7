package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// raw sends a request as it stands in a document and gives the status and the body of the answer.
func (w *walker) raw(text string) (status int, body string) {
	w.t.Helper()
	trust := w.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.NextProtos = []string{"http/1.1"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(w.url, "https://"), trust)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&b); err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

// TestWalkAmperity sends what "Streaming Ingest API" tells to send, as raw HTTP with a scheme in the Host line and by curl, goes through its table
// of status codes, and loads what has landed as it describes.
func TestWalkAmperity(t *testing.T) {
	w := newWalker(t, nil, "--tls-self-signed")
	id := func(text string) string { return gjson.Get(text, "id").Str }
	streams := map[string]string{"json": id(w.run(`sluice create stream web --payload json`)), "xml": id(w.run(`sluice create stream orders --payload xml`))}
	if !regexp.MustCompile(`^is-[0-9A-Za-z]{8}$`).MatchString(streams["json"]) {
		t.Errorf("the stream's id is %s", streams["json"])
	}
	key := id(w.run(`sluice create api-key web --type streaming-ingest`))
	w.set("jwt", gjson.Get(w.run(`sluice create token --api-key `+key+` --days 3`), "access_token").Str)
	token := strings.TrimSpace(w.run(`printf %s "$jwt"`))

	bodies := map[string]string{
		"json": "{\"field1\": \"value1\",\n \"field2\": \"value2\"}",
		"xml":  " <records>\n <record>\n <field1>value1</field1>\n ...\n </record>\n <record>\n <field1>value2</field1>\n ... t\n </record>\n </records>",
	}
	for kind, stream := range streams {
		text := fmt.Sprintf("POST /stream/v0/data/%s HTTP/1.1\r\nHost: https://default.example.com\r\nContent-Type: application/%s\r\nX-Amperity-Tenant: default\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
			stream, kind, token, len(bodies[kind]), bodies[kind])
		if status, body := w.raw(text); status != 202 || body != "" {
			t.Errorf("%s by HTTP: %d %s", kind, status, body)
		}
	}
	if w.curl {
		for kind, body := range map[string]string{
			"json": " {\"field1\": \"value1\",\n      \"field2\": \"value2\"}",
			"xml":  "<records>\n    <record>\n    <field1>value1</field1>\n    </record>\n    <record>\n    <field1>value2</field1>\n    </record>\n    </records>\n   ",
		} {
			said := w.run(`curl -sS -w '%{http_code}' -XPOST \
   -H "Content-Type: application/` + kind + `" \
   -H "X-Amperity-Tenant: default" \
   -H "Authorization: Bearer $jwt" \
   $SLUICE_URL/stream/v0/data/` + streams[kind] + ` \
   --data-binary \
   '` + body + `'`)
			if said != "202" {
				t.Errorf("%s by curl: %s", kind, said)
			}
		}
	}

	// The table of status codes, but for 500, 503 and 504, which take a server in trouble.
	w.run(`sluice create stream slow --payload json`)
	slow := id(w.run(`sluice update stream slow --event-rate 1`))
	for _, c := range []struct {
		what    string
		status  int
		stream  string
		body    string
		header  map[string]string
		message string
	}{
		{"accepted", 202, streams["json"], `{"a":1}`, nil, ""},
		{"malformed", 400, streams["json"], `{'field1': 'value1'}`, nil, "Body is not valid JSON"},
		{"two values", 400, streams["json"], "{\"a\":1}\n{\"a\":2}", nil, "followed by something else"},
		{"malformed XML is not noticed", 202, streams["xml"], `<records><record>`, map[string]string{"Content-Type": "application/xml"}, ""},
		{"no token", 401, streams["json"], `{"a":1}`, map[string]string{"Authorization": ""}, "Jwt is missing"},
		{"not verified", 401, streams["json"], `{"a":1}`, map[string]string{"Authorization": "Bearer " + token[:len(token)-8] + "AAAAAAAA"}, "Jwt verification fails"},
		{"another tenant", 401, streams["json"], `{"a":1}`, map[string]string{"X-Amperity-Tenant": "acme"}, "tenant of the token"},
		{"another stream", 404, "is-AbCdEfGh", `{"a":1}`, nil, "does not exist"},
		{"254 kb", 202, streams["json"], `{"a":"` + strings.Repeat("x", 254<<10-8) + `"}`, nil, ""},
		{"too large", 413, streams["json"], `{"a":"` + strings.Repeat("x", 254<<10-7) + `"}`, nil, "larger"},
		{"within the limit", 202, slow, `{"a":1}`, nil, ""},
		{"throttled", 429, slow, `{"a":1}`, nil, "rate"},
	} {
		header := map[string]string{"Authorization": "Bearer " + token, "X-Amperity-Tenant": "default", "Content-Type": "application/json"}
		for name, value := range c.header {
			header[name] = value
			if value == "" {
				delete(header, name)
			}
		}
		got := w.send("POST", "/stream/v0/data/"+c.stream, header, c.body)
		switch {
		case got.status != c.status:
			t.Errorf("%s: %d %s", c.what, got.status, got.body)
		case c.status == 202 && got.body != "":
			t.Errorf("%s: %s", c.what, got.body)
		case c.status != 202 && (gjson.Get(got.body, "status").Int() != int64(c.status) || !strings.Contains(gjson.Get(got.body, "message").Str, c.message) ||
			len(gjson.Get(got.body, "request_id").Str) != 36):
			t.Errorf("%s: %s", c.what, got.body)
		}
	}

	// The same events are those of any stream: one line each, XML as JSON.
	if got := w.run(`sluice listen events web --from EARLIEST --limit 1`); got != `{"field1":"value1","field2":"value2"}`+"\n" {
		t.Errorf("JSON is read as %s", got)
	}
	if got := w.run(`sluice listen events orders --from EARLIEST --limit 1`); got != `{"records":{"record":[{"field1":"value1","_VALUE":"..."},{"field1":"value2","_VALUE":"... t"}]}}`+"\n" {
		t.Errorf("XML is read as %s", got)
	}

	// A courier that names no feed yet is saved and does not run; with {} it only reads; then sample files, feed, load operations, run, group.
	day := "2026-11-20"
	landed := filepath.Join(w.dir, "data", "landing", "ingest", "stream", "default", streams["json"], day)
	if err := os.MkdirAll(landed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(landed, "08-15-00-a.ndjson"), []byte("{\"field1\":\"value1\",\"field2\":{\"nested\":\"value2\"}}\n{\"other\":1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.set("id", streams["json"])
	w.run(`sluice create courier "Streaming Ingest" --stream $id --file-pattern-prefix 08 --load df-xxxxxx`)
	if got := w.run(`! sluice run courier "Streaming Ingest" --date ` + day + ` 2>&1`); !strings.Contains(got, "df-xxxxxx, which does not exist") {
		t.Errorf("a run of a feed that is not there: %s", got)
	}
	w.run(`sluice update courier "Streaming Ingest" --load-operations '{}'`)
	if got := w.run(`sluice run courier "Streaming Ingest" --date ` + day + ` --wait`); gjson.Get(got, "state").Str != "COMPLETED" || gjson.Get(got, "rows").Int() != 2 {
		t.Errorf("validation: %s", got)
	}
	if got := w.run(`sluice list sample-file "Streaming Ingest" --date ` + day); gjson.Get(got, "0.records.0.field2.nested").Str != "value2" {
		t.Errorf("sample files: %s", got)
	}
	w.set("feed", id(w.run(`sluice create feed WebEvents --primary-key field1 --column field1 --column nested=field2.nested`)))
	w.run(`sluice update courier "Streaming Ingest" --load-operations "{\"$feed\": [{\"type\": \"load\", \"file\": \"streaming\"}]}"`)
	if got := w.run(`sluice run courier "Streaming Ingest" --date ` + day + ` --wait`); gjson.Get(got, "rows").Int() != 1 || gjson.Get(got, "failedRows").Int() != 1 {
		t.Errorf("the load: %s", got)
	}
	if got := w.run(`sluice create courier-group Nightly --couriers "Streaming Ingest" --schedule '0 2 * * *'`); gjson.Get(got, "offsetHours").Int() != 24 {
		t.Errorf("the group: %s", got)
	}
}
