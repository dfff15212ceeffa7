package gateway_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/delivery"
	"sluice/delivery/export"
	"sluice/relay/engine"
	"sluice/relay/gateway"
)

// withLanding gives a world whose payloads land below landing in its directory, once pass has ended their minute.
func withLanding(t *testing.T) (w *manageWorld, pass func()) {
	t.Helper()
	var ahead atomic.Int64
	w = newManageWorldWith(t, func(w *manageWorld, e *engine.Engine, run func(func(context.Context) error), cfg *gateway.Config) {
		runner := delivery.New(e.Cells(), delivery.Config{Alone: true, Log: cfg.Log})
		var err error
		cfg.Exports, err = export.New(export.Config{
			Engine: e, Relay: w.relay, Registry: w.reg, Runner: runner, Folders: filepath.Join(w.dir, "export"), Landing: filepath.Join(w.dir, "landing"),
			Poll: 5 * time.Millisecond, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }, Log: cfg.Log,
		})
		w.must(err)
		run(runner.Run)
		run(cfg.Exports.Run)
	})
	return w, func() { ahead.Add(int64(2 * time.Minute)) }
}

// payload sends a payload as the admin.
func (w *manageWorld) payload(stream manageAnswer, kind, body string) {
	w.t.Helper()
	a := w.send("POST", "/stream/v0/data/"+w.idOf(stream), manageAdmin, body, "X-Amperity-Tenant", "default", "Content-Type", kind)
	if a.status != 202 {
		w.t.Fatalf("%d %s", a.status, a.text)
	}
}

func (w *manageWorld) idOf(stream manageAnswer) string {
	w.t.Helper()
	var st struct{ ID string }
	w.must(json.Unmarshal([]byte(stream.text), &st))
	if !strings.HasPrefix(st.ID, "is-") {
		w.t.Fatalf("the stream's id is %q", st.ID)
	}
	return st.ID
}

func TestManageUnparsable(t *testing.T) {
	w, pass := withLanding(t)
	xml := w.call(201, "POST", "/v1/streams", `{"name":"orders","payload":"xml"}`)
	w.call(201, "POST", "/v1/streams", `{"name":"events"}`)
	const at = "/v1/streams/orders/unparsable"
	if got := w.call(200, "GET", at, "").text; strings.TrimSpace(got) != "[]" {
		t.Errorf("before anything was sent: %s", got)
	}
	began := time.Now().UTC()
	w.payload(xml, "application/xml", "<r><a>1</a></r>")
	w.payload(xml, "application/xml", "<r><a>&x;</a></r>")
	w.payload(xml, "application/xml", "\xff")
	pass()
	type item struct {
		Offset, RequestID, Reason, XML string
		ReceivedAt                     time.Time
		Base64                         []byte
	}
	var all []item
	list := func(query string) (got []item) {
		t.Helper()
		w.must(json.Unmarshal([]byte(w.call(200, "GET", at+query, "").text), &got))
		return got
	}
	for end := time.Now().Add(15 * time.Second); len(all) < 2; time.Sleep(5 * time.Millisecond) {
		if all = list("?date=" + began.Format(time.DateOnly)); time.Now().After(end) {
			t.Fatalf("%+v", all)
		}
	}
	if len(all) != 2 || all[0].XML != "<r><a>&x;</a></r>" || all[0].Reason != "XML cannot be read: it has an entity that XML does not define at line 1" ||
		string(all[1].Base64) != "\xff" || all[1].XML != "" || len(all[0].RequestID) != 36 || all[0].ReceivedAt.Before(began.Truncate(time.Millisecond)) {
		t.Errorf("%+v", all)
	}
	day := "date=" + began.Format(time.DateOnly)
	if got := list("?limit=1&" + day); len(got) != 1 || got[0].Offset != all[0].Offset {
		t.Errorf("the first is %+v", got)
	}
	if got := list("?from=" + all[0].Offset + "&" + day); len(got) != 1 || got[0].Offset != all[1].Offset {
		t.Errorf("behind it is %+v", got)
	}
	if got := list("?date=2020-01-01"); len(got) != 0 {
		t.Errorf("on another day: %+v", got)
	}
	for path, status := range map[string]int{
		at + "?date=today": 400, at + "?from=x": 400, at + "?limit=0": 400, at + "?limit=1001": 400, "/v1/streams/events/unparsable": 400, "/v1/streams/none/unparsable": 404,
	} {
		w.call(status, "GET", path, "")
	}
	w.payload(xml, "application/xml", "<last/>")
	if got := w.lines("orders", 2); got[0] != `{"r":{"a":"1"}}` || got[1] != `{"last":""}` {
		t.Errorf("readers see %s", got)
	}
}

// Where payloads land can be said when a stream is made, and holds its sink.
func TestManageLanding(t *testing.T) {
	w, pass := withLanding(t)
	w.call(201, "POST", "/v1/sinks", `{"sinkType":"FOLDER","sinkName":"own","bucketName":"own"}`)
	st := w.call(201, "POST", "/v1/streams", `{"name":"web","payload":"json","sink":"own","gzip":true}`)
	if !strings.Contains(st.text, `"payload":"json","sink":"own","gzip":true`) {
		t.Errorf("%s", st.text)
	}
	for _, body := range []string{
		`{"name":"a1","sink":"own"}`, `{"name":"a1","gzip":true}`, `{"name":"a1","payload":"json","sink":"none"}`, `{"name":"a1","linkedStream":"web","consentLevels":[1]}`,
		`{"name":"a1","payload":"json","contract":"example/example/1.3.0"}`,
	} {
		w.call(400, "POST", "/v1/streams", body)
	}
	if got := w.call(409, "DELETE", "/v1/sinks/own?recursive=true", "").message(); got != "Cannot delete sink own: the payloads of stream web land in it. Delete it first" {
		t.Errorf("%s", got)
	}
	w.payload(st, "application/json", `{"a":1}`)
	pass()
	dir := filepath.Join(w.dir, "export", "default", "own", "ingest", "stream", "default", w.idOf(st))
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		found, err := filepath.Glob(filepath.Join(dir, "*", "*.ndjson.gz"))
		w.must(err)
		if len(found) == 1 {
			break
		}
		if time.Now().After(end) {
			entries, _ := os.ReadDir(dir)
			t.Fatalf("nothing landed: %v", entries)
		}
	}
	w.call(200, "DELETE", "/v1/streams/web", "")
	w.call(200, "DELETE", "/v1/sinks/own", "")
}
