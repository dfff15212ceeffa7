package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// exampleEvent is an event of the example contract, whose personal fields are uniqueIdentifier (level 1), consistentValue
// (2) and someSensitiveValue (3).
func exampleEvent(n int, consent []int) string {
	levels, _ := json.Marshal(append([]int{}, consent...))
	return fmt.Sprintf(`{"strmMeta":{"eventContractRef":"strmprivacy/example/1.5.0","consentLevels":%s},"uniqueIdentifier":"unique-%d",`+
		`"consistentValue":"session-%d","someSensitiveValue":"sensitive-%d","notSensitiveValue":"not-sensitive-%d"}`, levels, n, n, n, n)
}

// lines reads the first events of a stream.
func (w *manageWorld) lines(stream string, n int) []string {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s/v1/streams/%s/events?from=EARLIEST&limit=%d&timeout=20s", w.base, stream, n), nil)
	w.must(err)
	req.Header.Set("Authorization", "Bearer "+w.token)
	res, err := w.client.Do(req)
	w.must(err)
	defer res.Body.Close()
	var all []string
	read := json.NewDecoder(res.Body)
	for range n {
		var line json.RawMessage
		w.must(read.Decode(&line))
		all = append(all, string(line))
	}
	return all
}

// bulk sends events, each of which must be taken.
func (w *manageWorld) bulk(stream string, events ...string) {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, w.base+"/v1/streams/"+stream+"/events", strings.NewReader(strings.Join(events, "\n")))
	w.must(err)
	req.Header.Set("Authorization", "Bearer "+w.token)
	res, err := w.client.Do(req)
	w.must(err)
	defer res.Body.Close()
	var got struct{ Accepted, Rejected int }
	w.must(json.NewDecoder(res.Body).Decode(&got))
	if res.StatusCode != http.StatusOK || got.Accepted != len(events) {
		w.t.Fatalf("status %d, %+v of %d events", res.StatusCode, got, len(events))
	}
}

// What a derived stream shows of which event: the worked examples, and the corners of both rules.
func TestDerivedStreamsShow(t *testing.T) {
	t.Parallel() // it mostly waits
	w := newManageWorld(t)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"name":"source"}`)
	events := [][]int{{}, {0}, {1}, {2}, {3}, {0, 1}, {0, 2}, {0, 1, 2}, {1, 3}, {0, 1, 2, 3}, {5}, {0, 63}}
	var sent []string
	for i, consent := range events {
		sent = append(sent, exampleEvent(i, consent))
	}
	w.bulk("source", sent...)
	for _, c := range []struct {
		kind   string
		levels string
		kept   [][]int
		clear  []string
	}{
		{"CUMULATIVE", "[1]", [][]int{{1}, {2}, {3}, {0, 1}, {0, 2}, {0, 1, 2}, {1, 3}, {0, 1, 2, 3}, {5}, {0, 63}}, []string{"unique"}},
		// The highest of an event's levels decides: [3] passes 2.
		{"CUMULATIVE", "[2]", [][]int{{2}, {3}, {0, 2}, {0, 1, 2}, {1, 3}, {0, 1, 2, 3}, {5}, {0, 63}}, []string{"unique", "consistent"}},
		{"CUMULATIVE", "[3]", [][]int{{3}, {1, 3}, {0, 1, 2, 3}, {5}, {0, 63}}, []string{"unique", "consistent", "some"}},
		{"CUMULATIVE", "[0]", events[1:], nil},
		{"GRANULAR", "[1]", [][]int{{1}, {0, 1}, {0, 1, 2}, {1, 3}, {0, 1, 2, 3}}, []string{"unique"}},
		{"GRANULAR", "[0,2]", [][]int{{0, 2}, {0, 1, 2}, {0, 1, 2, 3}}, []string{"consistent"}},
		{"GRANULAR", "[0,1]", [][]int{{0, 1}, {0, 1, 2}, {0, 1, 2, 3}}, []string{"unique"}},
		{"GRANULAR", "[3]", [][]int{{3}, {1, 3}, {0, 1, 2, 3}}, []string{"some"}},
		{"GRANULAR", "[5]", [][]int{{5}}, nil},
	} {
		t.Run(c.kind+c.levels, func(t *testing.T) {
			made := w.call(http.StatusCreated, http.MethodPost, "/v1/streams",
				`{"linkedStream":"source","name":"`+strings.ToLower(c.kind)+strings.Trim(strings.ReplaceAll(c.levels, ",", "-"), "[]")+`","consentLevelType":"`+c.kind+`","consentLevels":`+c.levels+`}`)
			// One more event that every stream shows ends the reading: nothing else may come before it.
			w.bulk("source", exampleEvent(99, []int{0, 1, 2, 3, 4, 5}))
			var kept [][]int
			for _, line := range w.lines(made.str("ref", "name"), len(c.kept)+1) {
				var e struct {
					Meta struct {
						Consent []int `json:"consentLevels"`
					} `json:"strmMeta"`
					Unique     string `json:"uniqueIdentifier"`
					Consistent string `json:"consistentValue"`
					Some       string `json:"someSensitiveValue"`
					Not        string `json:"notSensitiveValue"`
				}
				w.must(json.Unmarshal([]byte(line), &e))
				kept = append(kept, e.Meta.Consent)
				for name, clear := range map[string]bool{
					"unique": strings.HasPrefix(e.Unique, "unique-"), "consistent": strings.HasPrefix(e.Consistent, "session-"), "some": strings.HasPrefix(e.Some, "sensitive-"),
				} {
					if want := slices.Contains(c.clear, name); clear != want {
						t.Errorf("%s clear: %t in %s", name, clear, line)
					}
				}
				if !strings.HasPrefix(e.Not, "not-sensitive-") {
					t.Errorf("what is not personal is %q", e.Not)
				}
			}
			if want := append(slices.Clone(c.kept), []int{0, 1, 2, 3, 4, 5}); fmt.Sprint(kept) != fmt.Sprint(want) {
				t.Errorf("kept %v, want %v", kept, want)
			}
		})
	}
}

// The documents' samples of masks, from outside: deterministic, over ciphertext never, beside everything else.
func TestMaskedFields(t *testing.T) {
	w := newManageWorld(t)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"name":"example"}`)
	const fields = `"fieldPatterns":{"strmprivacy/example/1.5.0":{"fieldPatterns":["uniqueIdentifier","consistentValue","someSensitiveValue","notSensitiveValue"]}}`
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams",
		`{"linkedStream":"example","consentLevels":[3],"maskedFields":{"seed":"hi-there",`+fields+`}}`).want(t,
		`{"ref":{"name":"example-M3","projectId":"<uuid>"},"consentLevels":[3],"consentLevelType":"CUMULATIVE","enabled":true,"linkedStream":"example","tags":[],`+
			`"credentials":[{"clientId":"<>","clientSecret":"<>","projectId":"<uuid>"}],"masked_fields":{"hashType":"Murmurhash3","seed":"****",`+
			`"fieldPatterns":{"strmprivacy/example/1.5.0":{"fieldPatterns":["consistentValue","notSensitiveValue","someSensitiveValue","uniqueIdentifier"]}}}}`)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams/example/outputs", `{"name":"partly","consentLevels":[1],"masked_fields":{"seed":"hi-there",`+fields+`}}`)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"linkedStream":"example","name":"plain","consentLevels":[3]}`)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"linkedStream":"example","name":"other","consentLevels":[3],"maskedFields":{`+fields+`}}`)
	if got := w.call(http.StatusOK, http.MethodGet, "/v1/streams/example-M3", "").text; strings.Contains(got, "hi-there") {
		t.Errorf("the seed is shown: %s", got)
	}
	w.bulk("example", `{"strmMeta":{"eventContractRef":"strmprivacy/example/1.5.0","consentLevels":[0,1,2,3]},"uniqueIdentifier":"unique-5",`+
		`"consistentValue":"session-273","someSensitiveValue":"sensitive-0","notSensitiveValue":"not-sensitive-6"}`,
		`{"strmMeta":{"eventContractRef":"strmprivacy/example/1.5.0","consentLevels":[3]},"uniqueIdentifier":null,`+
			`"consistentValue":"zweite \"Sitzung\" ü","someSensitiveValue":"sensitive-0"}`)
	type event struct {
		Unique *string `json:"uniqueIdentifier"`
		Key    string  `json:"consistentValue"`
		Some   string  `json:"someSensitiveValue"`
		Not    *string `json:"notSensitiveValue"`
	}
	read := func(stream string) (all [2]event) {
		for i, line := range w.lines(stream, 2) {
			w.must(json.Unmarshal([]byte(line), &all[i]))
		}
		return all
	}
	masked := read("example-M3")
	if e := masked[0]; *e.Unique != "1083e8169d7138e990cc30095578452" || e.Key != "7cc66d130664caa9efacda1026c1c44" ||
		e.Some != "e49bd309eed4a5094437a71ac2bc1cad" || *e.Not != "538ad30b2aa2781e855c4eb059cf68a3" {
		t.Errorf("masked: %s %s %s %s", *e.Unique, e.Key, e.Some, *e.Not)
	}
	// Equal values have equal masks under another key; null stays null.
	if e := masked[1]; e.Unique != nil || e.Not != nil || e.Some != masked[0].Some || len(e.Key) < 25 {
		t.Errorf("the second event is %+v", e)
	}
	source, partly := read("example"), read("partly")
	if e := partly[0]; *e.Unique != *masked[0].Unique || e.Key != source[0].Key || e.Some != source[0].Some || *e.Not != *masked[0].Not {
		t.Errorf("what stays encrypted is not as in the source: %+v", e)
	}
	if e := read("plain")[0]; *e.Unique != "unique-5" {
		t.Errorf("a stream without masks of the same rule shows %s", *e.Unique)
	}
	if e := read("other")[0]; *e.Unique == *masked[0].Unique || e.Some != read("other")[1].Some {
		t.Errorf("another seed gives %s", *e.Unique)
	}
	for body, says := range map[string]string{
		`{"name":"x1","maskedFields":{` + fields + `}}`:                                                                                                                         "only a derived stream masks",
		`{"linkedStream":"example","consentLevels":[2],"maskedFields":{"seed":"s"}}`:                                                                                            "no use without fields",
		`{"linkedStream":"example","consentLevels":[2],"maskedFields":{"fieldPatterns":{"strmprivacy/example/1.5.0":{"fieldPatterns":["nothing"]}}}}`:                           "field 'nothing' of contract 'strmprivacy/example/1.5.0' is not in the schema",
		`{"linkedStream":"example","consentLevels":[2],"maskedFields":{"fieldPatterns":{"strmprivacy/example/1.5.0":{"fieldPatterns":["strmMeta/keyLink"]}}}}`:                  "must not lie in strmMeta",
		`{"linkedStream":"example","consentLevels":[2],"maskedFields":{"fieldPatterns":{"strmprivacy/clickstream/1.0.0":{"fieldPatterns":["conversion"]}}}}`:                    "must be string",
		`{"linkedStream":"example","consentLevels":[2],"maskedFields":{"fieldPatterns":{"strmprivacy/clickstream/1.0.0":{"fieldPatterns":["customer"]}}}}`:                      "must be string",
		`{"linkedStream":"example","consentLevels":[2],"maskedFields":{"fieldPatterns":{"strmprivacy/example/1.5.0":{"fieldPatterns":["consistentValue","consistentValue"]}}}}`: "there twice",
		`{"linkedStream":"example","consentLevels":[2],"maskedFields":{"fieldPatterns":{"nobody/knows/1.0.0":{"fieldPatterns":["x"]}}}}`:                                        "data contract 'nobody/knows/1.0.0' is not known",
		`{"linkedStream":"example","consentLevels":[2],"maskedFields":{"hashType":"md5",` + fields + `}}`:                                                                       "must be Murmurhash3",
		`{"linkedStream":"example","consentLevels":[2],"maskedFields":{"seed":"****",` + fields + `}}`:                                                                          "send the seed",
		`{"linkedStream":"example","consentLevels":[2],"maskedFields":{` + fields + `},"masked_fields":{` + fields + `}}`:                                                       "is there twice",
	} {
		if got := w.call(http.StatusBadRequest, http.MethodPost, "/v1/streams", body).message(); !strings.Contains(got, says) {
			t.Errorf("%s says %q, want %q", body, got, says)
		}
	}
}

// Lists are masked element by element, also where only some of what stands beside them is clear.
func TestMaskedLists(t *testing.T) {
	w := newManageWorld(t)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"name":"clicks"}`)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"linkedStream":"clicks","consentLevels":[0],"maskedFields":{"seed":"s",`+
		`"fieldPatterns":{"strmprivacy/clickstream/1.0.0":{"fieldPatterns":["abTests","customer/id","producerSessionId"]}}}}`)
	w.bulk("clicks", `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0]},"producerSessionId":"session-1",`+
		`"url":"https://example.com","eventType":"click","referrer":"","userAgent":"curl","conversion":0,"customer":{"id":"customer-17"},"abTests":["a","b\n","a",""]}`)
	var e, source struct {
		Session  string   `json:"producerSessionId"`
		AB       []string `json:"abTests"`
		Customer struct{ ID string }
		URL      string
	}
	w.must(json.Unmarshal([]byte(w.lines("clicks-M0", 1)[0]), &e))
	w.must(json.Unmarshal([]byte(w.lines("clicks", 1)[0]), &source))
	if len(e.AB) != 4 || e.AB[0] != e.AB[2] || e.AB[0] == e.AB[1] || e.AB[3] == "" || strings.Contains(strings.Join(e.AB, ""), "\n") {
		t.Errorf("the list is %q", e.AB)
	}
	if e.Session != source.Session || e.Customer.ID == "customer-17" || e.Customer.ID == source.Customer.ID || e.URL != "https://example.com" {
		t.Errorf("%+v", e)
	}
}

// TestDerivedTokenSends: whoever sends with a derived stream's token is told where its events belong.
func TestDerivedTokenSends(t *testing.T) {
	w := newManageWorld(t)
	w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"name":"source"}`)
	made := w.call(http.StatusCreated, http.MethodPost, "/v1/streams", `{"linkedStream":"source","consentLevels":[2]}`)
	token := w.streamToken(made)
	for _, path := range []string{"/event", "/event?stream=source-2", "/v1/streams/source-2/events"} {
		req, err := http.NewRequest(http.MethodPost, w.base+path, strings.NewReader(exampleEvent(1, nil)))
		w.must(err)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := w.client.Do(req)
		w.must(err)
		text, err := io.ReadAll(res.Body)
		w.must(err)
		res.Body.Close()
		if res.StatusCode != 403 || !strings.Contains(string(text), "Stream 'source-2' is derived: send to its source 'source'") {
			t.Errorf("%s: %d %s", path, res.StatusCode, text)
		}
	}
}
