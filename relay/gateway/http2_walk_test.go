package gateway_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sluice/relay/registry"
)

// varying is what differs between two answers to the same request: ids and times.
var varying = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|"[a-z_]*token":"[^"]*"|"expires_at":[0-9]+|127\.0\.0\.1:[0-9]+`)

// perConnection are fields that belong to the connection, or to the moment.
var perConnection = []string{"Connection", "Transfer-Encoding", "Date", "Content-Length", "Keep-Alive"}

// walked is an answer in a form that can be compared.
func walked(t *testing.T, client *http.Client, base, method, path, token, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if path != "/event" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	for _, name := range perConnection {
		res.Header.Del(name)
	}
	if path == "/metrics" {
		text = nil
	}
	var out strings.Builder
	out.WriteString(res.Status)
	if i := strings.IndexByte(res.Status, ' '); i > 0 {
		out.Reset()
		out.WriteString(res.Status[:i])
	}
	for _, name := range slices.Sorted(maps.Keys(res.Header)) {
		out.WriteString("\n" + name + ": " + strings.Join(res.Header[name], ", "))
	}
	return varying.ReplaceAllString(out.String()+"\n\n"+string(text), "…")
}

// Every route answers over TLS, by HTTP/2 and by HTTP/1.1, what it answers by plain HTTP/1.1: those of the OpenAPI
// document and those beside it, for nobody, for a stream and for the operator, with and without a body.
func TestHTTP2Walk(t *testing.T) {
	t.Parallel() // it mostly waits
	s := newSecured(t, nil)
	st := s.stream("default", registry.StreamSpec{Name: "web"})
	s.bulk(st, 0, 3)
	plain := s.beside()
	plainClient := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(plainClient.CloseIdleConnections)

	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	s.must(json.Unmarshal([]byte(s.want(200, "GET", "/openapi.json", "", "").body), &doc))
	type call struct{ method, path string }
	calls := []call{
		{"POST", "/event"}, {"GET", "/event"}, {"PUT", "/event"}, {"POST", "//event"}, {"POST", "/x/../event"}, {"POST", "/event/"},
		{"POST", "/event?stream=web"}, {"POST", "/event?stream=no"}, {"GET", "/api/events"}, {"POST", "/api/events/general"},
		{"POST", "/api/events/general/"}, {"GET", "/ws"}, {"HEAD", "/sse"}, {"POST", "/sse"}, {"GET", "/sse?limit=2&from=EARLIEST&stream=web"},
		{"GET", "/v1/streams/web/events?limit=2&from=EARLIEST"}, {"GET", "/v1/streams/web/events?limit=x"},
		{"GET", "/v1/streams/web/events?from=9000000000000"}, {"GET", "/v1/streams/%77eb/events?limit=1&from=EARLIEST&envelope=airship"},
		{"GET", "/v1/streams/n%c3%b6/events"}, {"POST", "/v1/streams/web/events"}, {"DELETE", "/v1/streams/web/events"},
		{"POST", "/oauth2/token"}, {"GET", "/oauth2/token"}, {"POST", "/auth/realms/streams/protocol/openid-connect/token"},
		{"GET", "/auth/realms/streams/protocol/openid-connect/certs"}, {"GET", "/auth/realms/streams/.well-known/openid-configuration"},
		{"GET", "/ready"}, {"HEAD", "/ready"}, {"GET", "/is-alive"}, {"GET", "/metrics"}, {"GET", "/openapi.json"}, {"HEAD", "/openapi.json"},
		{"GET", "/docs"}, {"GET", "/docs/"}, {"GET", "/"}, {"GET", "/nothing"}, {"GET", "/v1/nothing?a=1&a=2"}, {"BREW", "/v1/streams"},
		{"OPTIONS", "/v1/streams"}, {"OPTIONS", "/sse"}, {"HEAD", "/v1/streams/web"}, {"GET", "/v1/streams/web%2Fx"}, {"GET", "/v1/streams/%ff"},
	}
	for path, methods := range doc.Paths {
		path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "no-such")
		if path == "/sse" || path == "/api/events" {
			continue // with a stream's token they never end; their tests read them over both
		}
		for method := range methods {
			calls = append(calls, call{strings.ToUpper(method), path})
		}
	}
	slices.SortFunc(calls, func(a, b call) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	if len(calls) < 60 {
		t.Fatalf("%d calls only", len(calls))
	}
	differ := 0
	for _, c := range calls {
		for _, by := range [][2]string{{"", ""}, {st.token, "{}"}, {adminToken, ""}, {adminToken, "{}"}, {adminToken, "[not json"}} {
			token, body := by[0], by[1]
			if c.path == "/v1/backup" && token == adminToken {
				continue // each backup is another; TestBackup compares them
			}
			want := walked(t, plainClient, plain, c.method, c.path, token, body)
			for _, client := range []*http.Client{s.one, s.client} {
				if client == s.client && strings.HasPrefix(c.path, "/ws") {
					continue // needs HTTP/1.1
				}
				if got := walked(t, client, s.base, c.method, c.path, token, body); got != want {
					t.Errorf("%s %s, HTTP/2 %v, body %q: plain HTTP/1.1 answers\n%.600s\nthis one\n%.600s", c.method, c.path, client == s.client, body, want, got)
					if differ++; differ > 5 {
						t.FailNow()
					}
				}
			}
		}
	}
	t.Logf("%d calls", len(calls)*5)
}
