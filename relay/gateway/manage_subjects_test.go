package gateway_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/relay"
	"sluice/relay/registry"
)

// manageExample is an event of the built in example contract; its person is the consistent value.
func manageExample(person, secret string) string {
	return `{"strmMeta":{"eventContractRef":"strmprivacy/example/1.3.0","consentLevels":[0,1,2,3]},"uniqueIdentifier":"u","consistentValue":` +
		manageQuote(person) + `,"someSensitiveValue":` + manageQuote(secret) + `,"notSensitiveValue":"open"}`
}

// opened is everything that a stream shows from its beginning.
func (w *manageWorld) opened(name string, want int) string {
	w.t.Helper()
	snap := w.reg.Snapshot()
	rd, err := w.relay.OpenReader(context.Background(), relay.Spec{
		Stream: snap.Stream(snap.Project("default"), name), From: relay.Earliest(),
	})
	w.must(err)
	defer rd.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var b strings.Builder
	for n := 0; n < want; {
		c, err := rd.Next(ctx, time.Second, 0)
		w.must(err)
		if c == nil {
			w.t.Fatalf("%s: %d of %d events", name, n, want)
		}
		b.Write(c.Bytes())
		n += c.Events()
		c.Release()
	}
	return b.String()
}

func TestManageForget(t *testing.T) {
	w := newManageWorld(t)
	snap := func(name string) *registry.Stream {
		s := w.reg.Snapshot()
		return s.Stream(s.Project("default"), name)
	}
	for _, name := range []string{"one", "two"} {
		w.call(201, "POST", "/v1/streams", `{"name":"`+name+`"}`)
		w.call(201, "POST", "/v1/streams/"+name+"/outputs", `{"consentLevels":[3]}`)
	}
	w.call(201, "POST", "/v1/projects", `{"name":"other"}`)
	w.call(201, "POST", "/v1/streams?project=other", `{"name":"foreign"}`)

	people := []string{"jan/../../piet", "50% off+more?x=1#y;z", "日本 ü 🎈 e\u0301", strings.Repeat("long", 200), " ", "..", `"quoted"`}
	for _, name := range []string{"one", "two"} {
		for _, p := range append(people, "bystander") {
			w.must(w.relay.Accept(context.Background(), snap(name), relay.Event{Body: []byte(manageExample(p, "secret of "+p))}))
		}
	}
	count := len(people) + 1
	for i, p := range people {
		if shown := w.opened("one-3", count); !strings.Contains(shown, manageQuote("secret of "+p)) {
			t.Fatalf("%q is not open before it is forgotten", p)
		}
		at := "/v1/data-subjects/" + url.PathEscape(p)
		if p == ".." {
			at = "/v1/data-subjects/%2E%2E"
		}
		if i%2 == 0 {
			w.call(200, "DELETE", at+"?stream=one", "").want(t, `{"forgotten":true,"streams":["one"]}`)
			if !strings.Contains(w.opened("two-3", count), manageQuote("secret of "+p)) {
				t.Errorf("%q is forgotten in the other stream too", p)
			}
		}
		w.call(200, "DELETE", at, "").want(t, `{"forgotten":true,"streams":["one","two"]}`)
		for _, name := range []string{"one-3", "two-3"} {
			if shown := w.opened(name, count); strings.Contains(shown, manageQuote("secret of "+p)) {
				t.Errorf("%q is still open in %s", p, name)
			} else if !strings.Contains(shown, `"secret of bystander"`) {
				t.Errorf("somebody else was forgotten with %q", p)
			}
		}
	}

	// Nobody by that name is no error, and no news.
	w.call(200, "DELETE", "/v1/data-subjects/nobody", "").want(t, `{"forgotten":true,"streams":["one","two"]}`)
	w.call(200, "DELETE", "/v1/data-subjects/nobody?project=other", "").want(t, `{"forgotten":true,"streams":["foreign"]}`)
	w.call(404, "DELETE", "/v1/data-subjects/nobody?stream=nonesuch", "")
	w.call(404, "DELETE", "/v1/data-subjects/nobody?stream=foreign", "")
	w.call(404, "DELETE", "/v1/data-subjects/nobody?project=nonesuch", "")
	if got := w.call(400, "DELETE", "/v1/data-subjects/nobody?stream=one-3", "").message(); !strings.Contains(got, "'one'") {
		t.Errorf("message %q", got)
	}
	// A slip in the parameter's name must not forget the person everywhere.
	w.call(400, "DELETE", "/v1/data-subjects/bystander?steam=one", "")
	w.call(400, "DELETE", "/v1/data-subjects/bystander?stream=one&stream=two", "")
	w.call(404, "DELETE", "/v1/data-subjects/", "")
	w.call(405, "GET", "/v1/data-subjects/bystander", "")
	w.call(405, "POST", "/v1/data-subjects/bystander", "")
	if !strings.Contains(w.opened("one-3", count), `"secret of bystander"`) {
		t.Error("a refused request forgot somebody")
	}
	if logs := w.logs.String(); strings.Contains(logs, "bystander") || strings.Contains(logs, "jan/") || strings.Contains(logs, "nobody") {
		t.Errorf("a data subject is in the log: %s", logs)
	}
}

// TestManageForgetRaw sends what Go's client would not.
func TestManageForgetRaw(t *testing.T) {
	w := newManageWorld(t)
	for _, raw := range []string{"%ff%fe", "%C3", "%zz", "%"} {
		req, err := http.NewRequest("DELETE", w.base, nil)
		w.must(err)
		req.URL.Opaque = "/v1/data-subjects/" + raw
		req.Header.Set("Authorization", "Bearer "+manageAdmin)
		res, err := w.client.Do(req)
		w.must(err)
		res.Body.Close()
		if res.StatusCode != 400 {
			t.Errorf("%s: %d", raw, res.StatusCode)
		}
	}
}
