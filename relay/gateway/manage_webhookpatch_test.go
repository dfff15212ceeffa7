package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// A merge patch of the headers sets some of them and leaves the others; null takes away one, or all.
func TestManageWebhookHeadersMerge(t *testing.T) {
	w := withWebhooks(t)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(201, "POST", "/v1/webhooks", `{"name":"orders","stream":"web","url":"https://example.com/x","enabled":false}`)
	for _, c := range []struct{ patch, want string }{
		{`{"headers":{"X-A":"1","X-B":"2"}}`, `{"X-A":"1","X-B":"2"}`},
		{`{"headers":{"X-C":"3"}}`, `{"X-A":"1","X-B":"2","X-C":"3"}`},
		{`{"headers":{"X-B":null,"X-Never":null}}`, `{"X-A":"1","X-C":"3"}`},
		{`{"headers":{"x-a":"4"}}`, `{"x-a":"4","X-C":"3"}`},
		{`{"headers":{}}`, `{"x-a":"4","X-C":"3"}`},
		{`{"description":"d"}`, `{"x-a":"4","X-C":"3"}`},
		{`{"headers":null}`, `{}`},
		{`{"headers":{"X-A":null}}`, `{}`},
	} {
		a := w.call(200, "PATCH", "/v1/webhooks/orders", c.patch)
		if got := a.at("headers"); !manageSame(parsed(t, c.want), got) {
			t.Errorf("%s: %v, want %s", c.patch, got, c.want)
		}
	}
	for patch, want := range map[string]any{`{"authorization":"Basic x"}`: "****", `{"authorization":null}`: nil} {
		if w.call(200, "PATCH", "/v1/webhooks/orders", patch); w.call(200, "GET", "/v1/webhooks/orders", "").at("authorization") != want {
			t.Errorf("%s: %s", patch, w.call(200, "GET", "/v1/webhooks/orders", "").text)
		}
	}
	w.call(200, "PATCH", "/v1/webhooks/orders", `{"headers":{"X-A":"1"}}`)
	for patch, want := range map[string]string{
		`{"headers":{"x-b":"1","X-B":"2"}}`:           "is there twice",
		`{"headers":{"Webhook-Id":"1","X-A":"2"}}`:    "headers: Webhook-Id is set by Sluice itself",
		`{"headers":{"X-A":3}}`:                       "headers.X-A: must be a string",
		`{"retry":["1s","soon"]}`:                     "retry[1]: must be a duration such as 36h or 7d",
		`{"timeout":"5"}`:                             "timeout: must be a duration such as 36h or 7d",
		`{"timeout":"0s"}`:                            "timeout: must be from 100ms to 5m",
		`{"url":"https://example.com:0/","retry":[]}`: "url: a port is from 1 to 65535",
		`{"url":null}`:                                "url: it must be https:// and a host",
		`{"name":null}`:                               "name: is missing",
		`{"types":["OPEN",""]}`:                       "types: must hold names of 1 to 255 bytes",
		`{"filters":[{},{"colour":1}]}`:               "filters/1/colour: is not an attribute of a filter",
	} {
		if a := w.call(400, "PATCH", "/v1/webhooks/orders", patch); !strings.HasSuffix(a.message(), want) {
			t.Errorf("%s: %s", patch, a.message())
		}
	}
	for body, want := range map[string]string{
		`{"stream":"web","url":"https://example.com/x","timeout":"0s"}`:       "timeout: must be from 100ms to 5m",
		`{"stream":"web","url":"https://example.com/x","timeout":""}`:         "timeout: must be a duration such as 36h or 7d",
		`{"stream":"web","url":"https://example.com/x","retry":["-5s"]}`:      "retry[0]: must be a duration such as 36h or 7d",
		`{"stream":"web","url":"https://example.com/x","retry":["5s","5"]}`:   "retry[1]: must be a duration such as 36h or 7d",
		`{"stream":"web","url":"https://example.com/x","retry":["30d12h"]}`:   "retry: each must be from 1ms to 7d",
		`{"stream":"web","url":"https://example.com/x","retry":["1d","1dd"]}`: "retry[1]: must be a duration such as 36h or 7d",
	} {
		if a := w.call(400, "POST", "/v1/webhooks", body); a.message() != want {
			t.Errorf("%s: %s", body, a.message())
		}
	}
	if got := w.call(200, "GET", "/v1/webhooks/orders", "").at("headers"); !manageSame(parsed(t, `{"X-A":"1"}`), got) {
		t.Errorf("after what was refused: %v", got)
	}
	if a := w.call(415, "POST", "/v1/webhooks", `{}`, "Content-Type", "text/plain"); a.message() != "The body must be JSON, sent as Content-Type application/json and not compressed" {
		t.Errorf("415: %s", a.message())
	}
}

func parsed(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
