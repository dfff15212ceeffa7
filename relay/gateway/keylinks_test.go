package gateway_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// The key links of a person are those that their events show, of nobody else, and none of a time before they were forgotten.
func TestKeyLinks(t *testing.T) {
	w := newManageWorld(t)
	click := func(customer, session string) string {
		return `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0]},"producerSessionId":"` + session + `",` +
			`"url":"https://example.com","eventType":"click","referrer":"","userAgent":"curl","conversion":0,"customer":{"id":"` + customer + `"},"abTests":[]}`
	}
	for _, name := range []string{"web", "app"} {
		w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"name":"`+name+`"}`)
	}
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"linkedStream":"web","consentLevels":[0]}`)
	w.bulk("web", click("jörg/17", "s1"), click("anna", "s1"), click("jörg/17", "s2"), click("jörg/17", "s1"))
	w.bulk("app", click("jörg/17", "s1"))
	shown := func(stream string, n int) (links []string) {
		for _, line := range w.lines(stream, n) {
			var e struct {
				Meta struct{ KeyLink string } `json:"strmMeta"`
			}
			w.must(json.Unmarshal([]byte(line), &e))
			links = append(links, e.Meta.KeyLink)
		}
		return links
	}
	web, app := shown("web", 4), shown("app", 1)
	found := func(query string) (links []string) {
		t.Helper()
		a := w.call(http.StatusOK, http.MethodGet, "/v1/data-subjects/j%C3%B6rg%2F17/keylinks"+query, "")
		if a.str("dataSubjectId") != "jörg/17" || a.str("next") != "" {
			t.Errorf("the answer is %s", a.text)
		}
		for _, l := range a.at("keylinksAndTimestamps").([]any) {
			l := l.(map[string]any)
			links = append(links, l["keyLink"].(string))
			if ends, err := time.Parse(time.RFC3339, l["expiryTime"].(string)); err != nil || time.Until(ends) <= 0 || time.Until(ends) > 24*time.Hour {
				t.Errorf("it ends at %v, %v", l["expiryTime"], err)
			}
		}
		return links
	}
	same := func(what string, got []string, want ...string) {
		t.Helper()
		if a, b := mustJSON(t, got), mustJSON(t, want); len(got) != len(want) || len(want) > 0 && a != b {
			t.Errorf("%s: %s, want %s", what, a, b)
		}
	}
	same("in one stream", found("?stream=web"), web[0], web[2])
	same("in all", found(""), app[0], web[0], web[2])
	if a := w.call(http.StatusBadRequest, http.MethodGet, "/v1/data-subjects/anna/keylinks?stream=web-0", ""); a.message() == "" {
		t.Error("no message")
	}
	w.call(http.StatusBadRequest, http.MethodGet, "/v1/data-subjects/anna/keylinks?from=nowhere", "")
	w.call(http.StatusBadRequest, http.MethodGet, "/v1/data-subjects/anna/keylinks?from=00000000-0000-0000-0000-000000000000/7", "")
	w.call(http.StatusOK, http.MethodDelete, "/v1/data-subjects/j%C3%B6rg%2F17?stream=web", "")
	same("forgotten", found("?stream=web"))
	w.bulk("web", click("jörg/17", "s1"))
	again := shown("web", 5)[4]
	same("back again", found("?stream=web"), again)
	if again == web[0] {
		t.Error("who comes back has the old link")
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
