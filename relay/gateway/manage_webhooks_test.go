package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/delivery"
	"sluice/delivery/webhook"
	"sluice/relay/engine"
	"sluice/relay/gateway"
)

// withWebhooks gives a world that delivers: every answer is held to the document, as in the others.
func withWebhooks(t *testing.T) *manageWorld {
	t.Helper()
	return newManageWorldWith(t, func(w *manageWorld, e *engine.Engine, run func(func(context.Context) error), cfg *gateway.Config) {
		runner := delivery.New(e.Cells(), delivery.Config{Alone: true, Log: cfg.Log})
		var err error
		cfg.Webhooks, err = webhook.New(webhook.Config{
			AllowCIDRs: []string{"127.0.0.1"}, Relay: w.relay, Engine: e, Registry: w.reg, Runner: runner, Linger: 20 * time.Millisecond,
			Version: "1.2.3", Log: cfg.Log,
		})
		w.must(err)
		run(runner.Run)
		run(cfg.Webhooks.Run)
	})
}

// inbox is a receiver that keeps what it gets and answers a status.
type inbox struct {
	mu     sync.Mutex
	status int
	bodies []string
	heads  []http.Header
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bodies, b.heads = append(b.bodies, string(body)), append(b.heads, r.Header)
	w.WriteHeader(b.status)
}

func (b *inbox) answer(status int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status = status
}

func (b *inbox) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.bodies)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never %s", what)
		}
	}
}

// store sends events in bulk, which the document does not describe.
func (w *manageWorld) store(stream, body string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.base+"/v1/streams/"+stream+"/events", strings.NewReader(body))
	w.must(err)
	req.Header.Set("Authorization", "Bearer "+manageAdmin)
	res, err := w.client.Do(req)
	w.must(err)
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != 200 || !strings.Contains(string(answer), `"rejected":0`) {
		w.t.Fatalf("bulk: %d %s", res.StatusCode, answer)
	}
}

func TestManageWebhooks(t *testing.T) {
	w := withWebhooks(t)
	box := &inbox{status: 204}
	server := httptest.NewServer(box)
	t.Cleanup(server.Close)
	w.call(201, "POST", "/v1/streams", `{"name":"web","payload":"json"}`)

	made := w.call(201, "POST", "/v1/webhooks", `{"name":"orders","stream":"web","url":"`+server.URL+`/in","authorization":"Basic c2VjcmV0","batchSize":5,"envelope":"none","retry":["10ms","2h"]}`)
	var hook struct {
		ID, Name, Stream, Secret, Ordering, Timeout string
		BatchSize                                   int
		Retry                                       []string
	}
	w.must(json.Unmarshal([]byte(made.text), &hook))
	if !strings.HasPrefix(hook.Secret, "whsec_") || hook.Ordering != "fifo" || hook.Timeout != "15s" || strings.Join(hook.Retry, " ") != "10ms 2h" {
		t.Errorf("made: %s", made.text)
	}
	for _, path := range []string{"/v1/webhooks/orders", "/v1/webhooks/" + hook.ID, "/v1/webhooks"} {
		a := w.call(200, "GET", path, "")
		if strings.Contains(a.text, "whsec_") || strings.Contains(a.text, "c2VjcmV0") || !strings.Contains(a.text, `"id":"`+hook.ID+`"`) {
			t.Errorf("GET %s: %s", path, a.text)
		}
	}
	if got := w.call(200, "GET", "/v1/webhooks/orders", "").text; !strings.Contains(got, `"retry":["10ms","2h"]`) {
		t.Errorf("GET: %s", got)
	}
	// That there is an authorization is shown; what is shown can be sent back.
	if got := w.call(200, "PATCH", "/v1/webhooks/orders", `{"authorization":"****"}`).at("authorization"); got != "****" || !strings.Contains(made.text, `"authorization":"****"`) {
		t.Errorf("the authorization is shown as %v and in %s", got, made.text)
	}
	w.store("web", `{"n":1}`+"\n"+`{"n":2}`)
	eventually(t, "delivered", func() bool { return box.count() == 1 })
	if box.bodies[0] != `[{"n":1},{"n":2}]` || box.heads[0].Get("Authorization") != "Basic c2VjcmV0" || box.heads[0].Get("User-Agent") != "Sluice/1.2.3" {
		t.Errorf("delivered %s %v", box.bodies[0], box.heads[0])
	}
	if err := webhook.Verify(hook.Secret, box.heads[0], []byte(box.bodies[0]), time.Now()); err != nil {
		t.Error(err)
	}
	eventually(t, "listed", func() bool {
		return strings.Contains(w.call(200, "GET", "/v1/webhooks/orders/deliveries", "").text, `"status":204,"result":"delivered"`)
	})

	// The old secret signs beside the new one.
	rotated := w.call(200, "POST", "/v1/webhooks/orders/secret/rotate", "")
	var fresh struct{ Secret string }
	w.must(json.Unmarshal([]byte(rotated.text), &fresh))
	if a := w.call(200, "POST", "/v1/webhooks/orders/test", ""); !strings.Contains(a.text, `"result":"delivered"`) {
		t.Errorf("test: %s", a.text)
	}
	for _, secret := range []string{hook.Secret, fresh.Secret} {
		if err := webhook.Verify(secret, box.heads[1], []byte(box.bodies[1]), time.Now()); err != nil {
			t.Error(err)
		}
	}

	// A batch that fails for good is a dead letter, and goes out again when asked for.
	box.answer(500)
	w.call(200, "PATCH", "/v1/webhooks/orders", `{"retry":[],"description":"d"}`)
	w.store("web", `{"n":3}`)
	eventually(t, "parked", func() bool {
		return strings.Contains(w.call(200, "GET", "/v1/webhooks/orders/dead-letters", "").text, `"status":500,"reason":"status"`)
	})
	box.answer(200)
	before := box.count()
	w.call(200, "POST", "/v1/webhooks/orders/replay", `{"allDeadLetters":true}`)
	eventually(t, "sent again", func() bool { return box.count() == before+1 })
	if got := box.bodies[before]; got != `[{"n":3}]` {
		t.Errorf("sent again: %s", got)
	}
	if got := w.call(200, "GET", "/v1/webhooks/orders/dead-letters", "").text; strings.TrimSpace(got) != "[]" {
		t.Errorf("dead letters: %s", got)
	}
	w.call(404, "POST", "/v1/webhooks/orders/replay", `{"deadLetters":["msg_no"]}`)
	before = box.count()
	w.call(200, "POST", "/v1/webhooks/orders/replay", `{"from":"EARLIEST"}`)
	eventually(t, "the log sent again", func() bool { return box.count() == before+1 })
	if got := box.bodies[before]; got != `[{"n":1},{"n":2},{"n":3}]` {
		t.Errorf("the log sent again: %s", got)
	}
	w.call(200, "DELETE", "/v1/webhooks/orders/dead-letters", "")

	for body, want := range map[string]string{
		`{"stream":"web","url":"ftp://example.com"}`:                             "url: it must begin with https://",
		`{"stream":"web","url":"http://example.com"}`:                            "url: http:// is for loopback addresses that webhooks.allow_cidrs opens; use https://",
		`{"stream":"web","url":"https://10.1.2.3/"}`:                             "url: the address 10.1.2.3 is not allowed; webhooks.allow_cidrs opens it",
		`{"stream":"web","url":"https://[::ffff:169.254.169.254]/"}`:             "url: the address ::ffff:169.254.169.254 is not allowed; webhooks.allow_cidrs opens it",
		`{"stream":"web","url":"https://0x7f000001/"}`:                           "url: an address of numbers is written like 192.0.2.1",
		`{"stream":"web","url":"https://e.com","secret":"whsec_aaaa"}`:           "secret: a secret is whsec_ and 24 to 64 bytes in base64, or whsk_ and the 64 bytes of an ed25519 private key",
		`{"stream":"web","url":"https://e.com","headers":{"host":"x"}}`:          "headers: host is set by Sluice itself",
		`{"stream":"web","url":"https://e.com","headers":{"a":"b\r\nc: d"}}`:     "headers: a has a value that no header can have",
		`{"stream":"web","url":"https://e.com","batchSize":7}`:                   "batchSize: must be one of 1, 5, 10, 15, 20, 30, 50, 100",
		`{"stream":"web","url":"https://e.com","filters":[{"nothing":1}]}`:       "",
		`{"stream":"web","url":"https://e.com","from":"yesterday"}`:              "",
		`{"stream":"web","url":"https://e.com","retry":["soon"]}`:                "",
		`{"stream":"web","url":"https://e.com","authorization":"Basic x\u000a"}`: "authorization: must be the value of a header, at most 4000 bytes",
		`{"stream":"web","url":"https://e.com","unheard":1}`:                     "unheard: is not known here",
	} {
		if a := w.call(400, "POST", "/v1/webhooks", body); want != "" && a.message() != want {
			t.Errorf("%s: %s", body, a.message())
		}
	}
	w.call(409, "POST", "/v1/webhooks", `{"name":"orders","stream":"web","url":"https://e.com"}`)
	w.call(404, "POST", "/v1/webhooks", `{"stream":"nowhere","url":"https://e.com"}`)

	if a := w.call(409, "DELETE", "/v1/streams/web", ""); a.message() != "Cannot delete stream web: it still has webhook orders. Delete it first, or use --recursive" {
		t.Errorf("409: %s", a.message())
	}
	if a := w.call(200, "DELETE", "/v1/streams/web?recursive=true", ""); !strings.Contains(a.text, `"webhooks":[{"id":"`+hook.ID) {
		t.Errorf("recursive: %s", a.text)
	}
	w.call(404, "GET", "/v1/webhooks/orders", "")
	w.call(201, "POST", "/v1/streams", `{"name":"web2"}`)
	w.call(201, "POST", "/v1/webhooks", `{"stream":"web2","url":"https://example.com/x","enabled":false}`)
	w.call(200, "DELETE", "/v1/webhooks/web2", "")
}

// A webhook of another project does not exist.
func TestManageWebhooksStayInTheirProject(t *testing.T) {
	w := withWebhooks(t)
	w.call(201, "POST", "/v1/projects", `{"name":"other"}`)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	made := w.call(201, "POST", "/v1/webhooks", `{"name":"mine","stream":"web","url":"https://example.com/x","enabled":false}`)
	id := made.json.(map[string]any)["id"].(string)
	for _, name := range []string{"mine", id} {
		w.call(404, "GET", "/v1/webhooks/"+name+"?project=other", "")
		w.call(404, "DELETE", "/v1/webhooks/"+name+"?project=other", "")
	}
}
