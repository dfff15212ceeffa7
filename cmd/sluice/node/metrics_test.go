package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"go.uber.org/goleak"

	"sluice/cmd/sluice/node"
	"sluice/config"
)

const adminToken = "metrics-test-admin-token"

// running is a node in this process, and a client with its admin token.
type running struct {
	t   *testing.T
	url string
}

// run starts a node on an empty folder.
func run(t *testing.T) *running {
	t.Helper()
	c := config.Default()
	c.Data, c.Edge.Listen, c.Engine.MinFree, c.Webhooks.AllowCIDRs = t.TempDir(), "127.0.0.1:0", 1<<20, []string{"127.0.0.1/32"}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- node.Run(ctx, node.Options{
			Config: c, AdminToken: adminToken, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Ready: func(s node.Started) { ready <- s.URL },
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the node ended: %v", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	select {
	case url := <-ready:
		return &running{t, url}
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return nil
}

// open makes a request; the caller closes the body.
func (r *running) open(method, path, body string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(resp.Body)
		r.t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
	}
	return resp
}

func (r *running) call(method, path, body string) string {
	r.t.Helper()
	resp := r.open(method, path, body)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// samples are what /metrics shows, by name with labels as they are printed.
func (r *running) samples() map[string]string {
	r.t.Helper()
	all := map[string]string{}
	for in := bufio.NewScanner(strings.NewReader(r.call("GET", "/metrics", ""))); in.Scan(); {
		if name, value, ok := cutLast(in.Text()); ok && !strings.HasPrefix(name, "#") {
			all[name] = value
		}
	}
	return all
}

func cutLast(line string) (name, value string, ok bool) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", "", false
	}
	return line[:i], line[i+1:], true
}

// until waits for samples with these values.
func (r *running) until(want map[string]string) {
	r.t.Helper()
	var wrong []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		all := r.samples()
		wrong = wrong[:0]
		for name, value := range want {
			if all[name] != value {
				wrong = append(wrong, fmt.Sprintf("%s is %q, want %q", name, all[name], value))
			}
		}
		if len(wrong) == 0 {
			return
		}
	}
	r.t.Errorf("metrics:\n%s", strings.Join(wrong, "\n"))
}

func click(person string, levels string) string {
	return fmt.Sprintf(`{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[%s]},"producerSessionId":"s","url":"https://www.example.com/",`+
		`"eventType":"click","referrer":"","userAgent":"","conversion":0,"customer":{"id":%q},"abTests":[]}`+"\n", levels, person)
}

// Every metric that is promised is there on a running server, with the figures of what was done; what is deleted takes its series along.
func TestPromisedMetrics(t *testing.T) {
	r := run(t)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	r.call("POST", "/v1/streams", `{"name":"web"}`)
	r.call("POST", "/v1/streams", `{"linkedStream":"web","consentLevelType":"CUMULATIVE","consentLevels":[2]}`)
	var hook struct{ ID string }
	if err := json.Unmarshal([]byte(r.call("POST", "/v1/webhooks", fmt.Sprintf(`{"name":"hook","stream":"web-2","url":%q}`, receiver.URL))), &hook); err != nil {
		t.Fatal(err)
	}
	r.call("POST", "/v1/sinks", `{"sinkName":"files","sinkType":"FOLDER","bucketName":"files"}`)
	r.call("POST", "/v1/exporters/web-2", `{"name":"out","sinkName":"files","sinkType":"FOLDER","intervalSecs":30,"pathPrefix":"p"}`)

	lines := r.open("GET", "/v1/streams/web-2/events", "")
	served := r.open("GET", "/sse?stream=web-2", "")
	socket, _, err := websocket.DefaultDialer.Dial(strings.Replace(r.url, "http", "ws", 1)+"/ws?stream=web-2&access_token="+adminToken, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The exporter tells its lag from the moment it is at work.
	r.until(map[string]string{`sluice_export_lag_seconds{exporter="default/web-2/out"}`: "0"})
	r.call("POST", "/v1/streams/web/events", click("ada", "0,1,2")+click("bob", "0")+click("bob", ""))
	r.call("DELETE", "/v1/data-subjects/ada?stream=web", "")
	want := map[string]string{
		`sluice_ingest_events_total{api="bulk",result="accepted",stream="web"}`: "3",
		`sluice_ingest_duration_seconds_count{api="bulk"}`:                      "1",
		`sluice_append_block_events_sum`:                                        "3",
		`sluice_append_fsync_seconds_count`:                                     "1",
		`sluice_dropped_events_total{reason="consent",stream="web-2"}`:          "2",
		`sluice_dropped_events_total{reason="filter",stream="web-2"}`:           "0",
		`sluice_webhook_attempts_total{result="delivered",webhook="hook"}`:      "1",
		`sluice_webhook_pending_events{webhook="hook"}`:                         "0",
		`sluice_delivered_events_total{kind="webhook",stream="web-2"}`:          "1",
		`sluice_forgotten_total`:                                                "1",
	}
	for _, kind := range []string{"ndjson", "sse", "websocket"} {
		want[fmt.Sprintf(`sluice_readers{kind=%q,stream="web-2"}`, kind)] = "1"
		want[fmt.Sprintf(`sluice_reader_lag_events{kind=%q,stream="web-2"}`, kind)] = "0"
		want[fmt.Sprintf(`sluice_delivered_events_total{kind=%q,stream="web-2"}`, kind)] = "1"
	}
	r.until(want)
	for _, body := range []io.Closer{lines.Body, served.Body, socket} {
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	}
	r.until(map[string]string{
		`sluice_readers{kind="ndjson",stream="web-2"}`: "0", `sluice_readers{kind="sse",stream="web-2"}`: "0", `sluice_readers{kind="websocket",stream="web-2"}`: "0",
		`sluice_reader_lag_events{kind="sse",stream="web-2"}`: "",
	})
	all := r.samples()
	for _, beside := range []string{"go_goroutines", "process_open_fds", "process_resident_memory_bytes"} {
		if all[beside] == "" {
			t.Errorf("no %s", beside)
		}
	}
	for name := range all {
		if strings.Contains(name, hook.ID) || strings.Contains(name, "ada") || strings.Contains(name, "bob") {
			t.Errorf("%s names who or what must not be named", name)
		}
	}

	r.call("DELETE", "/v1/streams/web?recursive=true", "")
	var left []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left = left[:0]
		for name := range r.samples() {
			if strings.Contains(name, `"web`) || strings.Contains(name, "hook\"") || strings.Contains(name, "/out") {
				left = append(left, name)
			}
		}
		if len(left) == 0 {
			return
		}
	}
	slices.Sort(left)
	t.Errorf("of what was deleted there are still:\n%s", strings.Join(left, "\n"))
}

// The server date of fasthttp is kept by a goroutine that nothing ends.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}
