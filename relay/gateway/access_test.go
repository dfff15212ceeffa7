package gateway_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"sluice/relay/registry"
)

// Every data route with every kind of token, and with the names and ids of streams of another project: what is not
// allowed shows nothing, and what belongs to another project cannot be told from what does not exist.
func TestAccess(t *testing.T) {
	t.Parallel() // it mostly waits
	e := newEdge(t, nil)
	// A token that has run out: it was made two hours ago.
	e.ahead.Store(int64(-2 * time.Hour))
	ours := e.stream("default", registry.StreamSpec{Name: "ours"})
	expired := ours.token
	e.ahead.Store(0)
	issued, err := e.reg.Tokens().Issue(t.Context(), ours.ClientID)
	e.must(err)
	ours.token = issued.AccessToken
	derived := e.stream("default", registry.StreamSpec{Name: "derived", DerivedFrom: "ours", Levels: []int{0}})
	sibling := e.stream("default", registry.StreamSpec{Name: "sibling"})
	theirs := e.stream("theirs", registry.StreamSpec{Name: "secret"})
	// Theirs too has a stream of our name: it must not be taken for ours, nor ours for it.
	twin := e.stream("theirs", registry.StreamSpec{Name: "ours"})
	gone := e.stream("default", registry.StreamSpec{Name: "gone"})
	if _, err := e.reg.DeleteStream(t.Context(), gone.Project, "gone", false); err != nil {
		t.Fatal(err)
	}
	e.bulk(ours, 0, 2)
	for _, st := range []made{theirs, twin} {
		e.want(200, "POST", "/v1/streams/"+st.Name+"/events", st.token, clicks(100, 2))
	}

	tokens := map[string]string{
		"admin": adminToken, "source": ours.token, "derived": derived.token, "sibling": sibling.token, "theirs": theirs.token,
		"gone": gone.token, "expired": expired, "garbage": "eyJhbGciOiJub25lIn0.e30.", "none": "",
	}
	// Nobody is let in by these, whatever they ask for.
	strangers := []string{"gone", "expired", "garbage", "none"}
	event := strings.TrimSpace(clicks(0, 1))
	q := url.QueryEscape

	type row struct {
		method, path, body string
		statuses           map[string]int // by token; strangers are always 401
	}
	of := func(admin, source, derived, sibling, theirs int) map[string]int {
		return map[string]int{"admin": admin, "source": source, "derived": derived, "sibling": sibling, "theirs": theirs}
	}
	poll := "?from=EARLIEST&timeout=100ms"
	rows := []row{
		{"POST", "/event", event, of(400, 204, 403, 204, 204)},
		{"POST", "/event?project=", event, of(400, 204, 403, 204, 204)},
		{"GET", "/v1/streams/ours/events" + poll + "&project=", "", of(200, 200, 403, 403, 403)},
		{"POST", "/event?project=default", event, of(400, 204, 403, 204, 404)},
		{"POST", "/event?project=theirs", event, of(400, 404, 403, 404, 204)},
		{"POST", "/event?project=nowhere", event, of(400, 404, 403, 404, 404)},
		{"POST", "/event?stream=ours", event, of(204, 204, 403, 403, 403)},
		{"POST", "/event?stream=derived", event, of(403, 403, 403, 403, 404)},
		{"POST", "/event?stream=secret", event, of(404, 404, 403, 404, 204)},
		{"POST", "/event?stream=ours&project=theirs", event, of(204, 404, 403, 404, 403)},
		{"POST", "/event?stream=secret&project=theirs", event, of(204, 404, 403, 404, 204)},
		{"POST", "/event?stream=nowhere", event, of(404, 404, 403, 404, 404)},
		{"POST", "/event?stream=ours&project=nowhere", event, of(404, 404, 403, 404, 404)},

		{"POST", "/v1/streams/ours/events", event, of(200, 200, 403, 403, 403)},
		{"POST", "/v1/streams/derived/events", event, of(403, 403, 403, 403, 404)},
		{"POST", "/v1/streams/secret/events", event, of(404, 404, 404, 404, 200)},
		{"POST", "/v1/streams/secret/events?project=theirs", event, of(200, 404, 404, 404, 200)},
		{"POST", "/v1/streams/ours/events?project=theirs", event, of(200, 404, 404, 404, 403)},
		{"POST", "/v1/streams/nowhere/events", event, of(404, 404, 404, 404, 404)},

		{"GET", "/v1/streams/ours/events" + poll, "", of(200, 200, 403, 403, 403)},
		{"GET", "/v1/streams/derived/events" + poll, "", of(200, 403, 200, 403, 404)},
		{"GET", "/v1/streams/secret/events" + poll, "", of(404, 404, 404, 404, 200)},
		{"GET", "/v1/streams/secret/events" + poll + "&project=theirs", "", of(200, 404, 404, 404, 200)},
		{"GET", "/v1/streams/ours/events" + poll + "&project=theirs", "", of(200, 404, 404, 404, 403)},
		{"GET", "/v1/streams/ours/events" + poll + "&project=" + theirs.Project.ID, "", of(404, 404, 404, 404, 404)},
		{"GET", "/v1/streams/nowhere/events" + poll, "", of(404, 404, 404, 404, 404)},

		// A wrong body ends what would be endless: 400 is what follows the right to read.
		{"POST", "/api/events", "[]", of(400, 400, 400, 400, 400)},
		{"POST", "/api/events?project=theirs", "[]", of(400, 404, 404, 404, 400)},
		{"POST", "/api/events/?stream=ours", "[]", of(400, 400, 403, 403, 403)},
		{"POST", "/api/events?stream=derived", "[]", of(400, 403, 400, 403, 404)},
		{"POST", "/api/events?stream=secret", "[]", of(404, 404, 404, 404, 400)},
		{"POST", "/api/events?stream=secret&project=theirs", "[]", of(400, 404, 404, 404, 400)},
	}
	// No id of theirs is a name by which a stream of theirs can be had.
	for _, id := range []string{theirs.UUID, theirs.PublicID, theirs.ClientID, "theirs/secret", "../theirs/secret", "secret\x00"} {
		rows = append(rows,
			row{"POST", "/event?stream=" + q(id), event, of(404, 404, 403, 404, 404)},
			row{"POST", "/api/events?stream=" + q(id), "[]", of(404, 404, 404, 404, 404)})
		if !strings.Contains(id, "/") {
			rows = append(rows,
				row{"POST", "/v1/streams/" + url.PathEscape(id) + "/events", event, of(404, 404, 404, 404, 404)},
				row{"GET", "/v1/streams/" + url.PathEscape(id) + "/events" + poll, "", of(404, 404, 404, 404, 404)})
		}
	}
	nowhere := map[string]string{} // the answer for what does not exist, by method and route
	for _, r := range rows {
		for name, token := range tokens {
			want, ok := r.statuses[name]
			if !ok {
				want = 401
			}
			a := e.send(r.method, r.path, token, r.body)
			if a.status != want {
				t.Errorf("%s %s as %s: %d, want %d: %.200s", r.method, r.path, name, a.status, want, a.body)
			}
			if a.status != 200 && strings.Contains(a.body, `"url"`) {
				t.Errorf("%s %s as %s: data in a refusal: %.200s", r.method, r.path, name, a.body)
			}
			if name != "admin" && name != "theirs" && a.status == 200 {
				for _, n := range markers(t, a.body) {
					if n > 100 {
						t.Errorf("%s %s as %s: event %d of another project", r.method, r.path, name, n)
					}
				}
			}
			if a.status == 404 && name != "admin" {
				// Apart from the name that was asked for, the answer says nothing that depends on it.
				text := a.body
				for _, n := range []string{"secret", "ours", "derived", "nowhere", "theirs", "default"} {
					text = strings.ReplaceAll(text, n, "…")
				}
				key := r.method + strings.SplitN(r.path, "?", 2)[0] + name
				if strings.Contains(r.path, "?project=") {
					key += " of a project"
				}
				if !strings.Contains(r.path, theirs.UUID) && !strings.Contains(r.path, theirs.ClientID) && !strings.Contains(r.path, theirs.PublicID) {
					if was, ok := nowhere[key]; ok && was != text && !strings.ContainsAny(r.path, "%") {
						t.Errorf("%s %s as %s: %q is told from %q", r.method, r.path, name, text, was)
					}
					nowhere[key] = text
				}
			}
		}
	}
	for _, name := range strangers {
		if tokens[name] != "" && strings.Contains(e.log.String(), tokens[name]) {
			t.Errorf("the token %s is in the log", name)
		}
	}
}
