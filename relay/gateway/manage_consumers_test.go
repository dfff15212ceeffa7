package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// reading opens an endless answer and gives what waits for its next n lines, blank ones left out.
func (w *manageWorld) reading(path string) (lines func(n int) []string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	w.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+path, nil)
	w.must(err)
	req.Header.Set("Authorization", "Bearer "+manageAdmin)
	res, err := w.client.Do(req)
	w.must(err)
	w.t.Cleanup(func() { res.Body.Close() })
	text := bufio.NewReader(res.Body)
	return func(n int) (got []string) {
		for len(got) < n {
			line, err := text.ReadString('\n')
			w.must(err)
			if line = strings.TrimSpace(line); line != "" {
				got = append(got, line)
			}
		}
		return got
	}
}

type manageListed struct {
	Kind, Name, Stream, Position string
	Lag                          int
}

func (w *manageWorld) consumers(stream string) (all []manageListed) {
	w.t.Helper()
	w.must(json.Unmarshal([]byte(w.call(200, "GET", "/v1/consumers/"+stream, "").text), &all))
	return all
}

// consented is an event of a person who agreed to these levels.
func consented(levels string) string {
	return `{"strmMeta":{"eventContractRef":"strmprivacy/example/1.3.0","consentLevels":[` + levels + `]},"uniqueIdentifier":"u","consistentValue":"s","someSensitiveValue":"v","notSensitiveValue":"n"}`
}

// Who gets a stream's events is listed with how far each has come: live readers, of this stream and project alone, and webhooks.
func TestManageConsumers(t *testing.T) {
	w := withWebhooks(t)
	box := &inbox{status: 204}
	server := httptest.NewServer(box)
	t.Cleanup(server.Close)
	w.call(201, "POST", "/v1/projects", `{"name":"other"}`)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(201, "POST", "/v1/streams?project=other", `{"name":"web"}`)
	w.call(201, "POST", "/v1/streams", `{"linkedStream":"web","consentLevels":[2]}`)
	if got := w.call(200, "GET", "/v1/consumers/web", "").text; strings.TrimSpace(got) != "[]" {
		t.Errorf("nobody is %s", got)
	}
	w.call(201, "POST", "/v1/webhooks", `{"name":"hook","stream":"web-2","url":"`+server.URL+`","retry":["1h"],"from":"EARLIEST"}`)
	lines, events := w.reading("/v1/streams/web/events?envelope=offset"), w.reading("/sse?stream=web-2")
	w.reading("/v1/streams/web/events?project=other")
	w.store("web", consented("0,1,2")+"\n"+consented("0"))
	got := lines(2)
	events(2)
	var second struct{ Offset string }
	w.must(json.Unmarshal([]byte(got[1]), &second))

	eventually(t, "read", func() bool {
		all := w.consumers("web")
		return len(all) == 1 && all[0] == manageListed{Kind: "ndjson", Stream: "web", Position: second.Offset}
	})
	eventually(t, "delivered", func() bool {
		all := w.consumers("web-2")
		return len(all) == 2 && all[0].Kind == "sse" && all[1].Kind == "webhook" && all[1].Name == "hook" && all[0].Lag+all[1].Lag == 0 && all[1].Position == second.Offset
	})
	// One that fails falls behind, and stands first.
	box.answer(500)
	tried := box.count()
	w.store("web", consented("2")+"\n"+consented("0")+"\n"+consented("2"))
	eventually(t, "tried", func() bool { return box.count() > tried })
	eventually(t, "behind", func() bool {
		all := w.consumers("web-2")
		return len(all) == 2 && all[0].Kind == "webhook" && all[0].Lag == 3 && all[1].Lag == 0
	})
	w.call(404, "GET", "/v1/consumers/none", "")
}

// An event is found by its own id, or by the one that the envelope shows, with what became of it at each consumer.
func TestManageTrace(t *testing.T) {
	w := withWebhooks(t)
	box := &inbox{status: 204}
	server := httptest.NewServer(box)
	t.Cleanup(server.Close)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	for _, level := range []string{"1", "2"} {
		w.call(201, "POST", "/v1/streams", `{"linkedStream":"web","consentLevels":[`+level+`]}`)
	}
	for _, hook := range []string{`"name":"takes","stream":"web-1"`, `"name":"picks","stream":"web-1","types":["OPEN"]`, `"name":"barred","stream":"web-2"`} {
		w.call(201, "POST", "/v1/webhooks", `{`+hook+`,"url":"`+server.URL+`","retry":[]}`)
	}
	w.store("web", consented("0")+"\n"+consented("0,1")+"\n"+consented("0"))
	enveloped := w.reading("/v1/streams/web/events?from=EARLIEST&envelope=airship")(3)
	var event struct{ ID, Offset string }
	w.must(json.Unmarshal([]byte(enveloped[1]), &event))

	states := func(id string) (all map[string]string, a manageAnswer) {
		a = w.call(200, "GET", "/v1/trace/web/"+id, "")
		all = map[string]string{}
		list, _ := a.at("events", "0", "consumers").([]any)
		for _, c := range list {
			c := c.(map[string]any)
			all[fmt.Sprint(c["name"])] = fmt.Sprint(c["state"])
		}
		return all, a
	}
	same := func(got map[string]string, want string) bool { return fmt.Sprint(got) == "map["+want+"]" }
	eventually(t, "delivered", func() bool {
		got, _ := states(event.ID)
		return same(got, "barred:consent picks:filtered takes:delivered web:shown web-1:shown web-2:consent")
	})
	_, a := states(event.ID)
	if a.str("events", "0", "offset") != event.Offset || a.str("events", "0", "stream") != "web" || a.str("events", "0", "type") != "CUSTOM" ||
		a.str("events", "0", "contract") != "strmprivacy/example/1.3.0" || !manageUUID.MatchString(a.str("events", "0", "keyLink")) ||
		fmt.Sprint(a.at("events", "0", "consentLevels")) != "[0 1]" || a.at("scanned") != 3.0 || a.at("next") != nil || a.at("events", "1") != nil {
		t.Errorf("traced as %s", a.text)
	}
	if strings.Contains(a.text, "notSensitive") {
		t.Errorf("it shows the payload: %s", a.text)
	}
	// By a derived stream's name the same; behind it, and of nobody, nothing.
	if w.call(200, "GET", "/v1/trace/web-2/"+event.ID, "").str("events", "0", "offset") != event.Offset {
		t.Error("a derived stream's name does not find it")
	}
	for _, path := range []string{"/v1/trace/web/" + event.ID + "?from=" + event.Offset, "/v1/trace/web/nobody"} {
		if a := w.call(200, "GET", path, ""); a.at("events", "0") != nil {
			t.Errorf("%s: %s", path, a.text)
		}
	}
	w.call(400, "GET", "/v1/trace/web/x?from=soon", "")
	w.call(404, "GET", "/v1/trace/none/x", "")

	// What a webhook gave up is told; a consumer that was made later never had it.
	box.answer(500)
	w.store("web", consented("1"))
	w.must(json.Unmarshal([]byte(w.reading("/v1/streams/web/events?from=-1&envelope=airship")(1)[0]), &event))
	eventually(t, "parked", func() bool { got, _ := states(event.ID); return got["takes"] == "parked" })
	w.call(201, "POST", "/v1/webhooks", `{"name":"late","stream":"web","url":"`+server.URL+`"}`)
	if got, _ := states(event.ID); got["late"] != "before" {
		t.Errorf("late is %s", got["late"])
	}
}

// Names of consent levels are the project's, last, and mean nothing to events.
func TestManageConsentLevels(t *testing.T) {
	w := newManageWorld(t)
	w.call(201, "POST", "/v1/consent-levels", `{"id":2,"name":"marketing"}`).want(t, `{"id":2,"name":"marketing"}`)
	if a := w.call(409, "POST", "/v1/consent-levels", `{"id":2,"name":"again"}`); a.message() != "A name of consent level '2' exists already" {
		t.Error(a.text)
	}
	w.call(200, "PUT", "/v1/consent-levels", `{"id":2,"name":"ads"}`)
	w.call(200, "PUT", "/v1/consent-levels", `{"id":0,"name":"función"}`)
	w.call(200, "GET", "/v1/consent-levels", "").want(t, `[{"id":0,"name":"función"},{"id":2,"name":"ads"}]`)
	w.call(200, "PATCH", "/v1/consent-levels/2", `{"name":"advertising"}`).want(t, `{"id":2,"name":"advertising"}`)
	w.call(200, "GET", "/v1/consent-levels/2", "").want(t, `{"id":2,"name":"advertising"}`)
	w.call(200, "DELETE", "/v1/consent-levels/2", "").want(t, `{"id":2,"name":"advertising"}`)
	for _, no := range []struct {
		status             int
		method, path, body string
	}{
		{404, "GET", "/v1/consent-levels/2", ""}, {404, "DELETE", "/v1/consent-levels/2", ""}, {404, "PATCH", "/v1/consent-levels/2", `{"name":"x"}`},
		{400, "POST", "/v1/consent-levels", `{"id":64,"name":"x"}`}, {400, "POST", "/v1/consent-levels", `{"id":-1,"name":"x"}`},
		{400, "POST", "/v1/consent-levels", `{"id":1,"name":""}`}, {400, "POST", "/v1/consent-levels", `{"id":1,"name":"a\nb"}`},
		{400, "POST", "/v1/consent-levels", `{"id":1,"name":"` + strings.Repeat("é", 101) + `"}`}, {400, "GET", "/v1/consent-levels/two", ""}, {400, "GET", "/v1/consent-levels/64", ""},
	} {
		w.call(no.status, no.method, no.path, no.body)
	}
	w.call(201, "POST", "/v1/projects", `{"name":"other"}`)
	if got := w.call(200, "GET", "/v1/consent-levels?project=other", "").text; strings.TrimSpace(got) != "[]" {
		t.Errorf("the other project has %s", got)
	}
	w.call(200, "PATCH", "/v1/projects/default", `{"rotateMasterSecret":true}`)
	w.call(200, "GET", "/v1/consent-levels", "").want(t, `[{"id":0,"name":"función"}]`)
}
