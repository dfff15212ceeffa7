package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/delivery"
	"sluice/delivery/export"
	"sluice/relay/engine"
	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// withExports gives a world that exports; relative folders lie in its directory, below export.
func withExports(t *testing.T) *manageWorld {
	t.Helper()
	return newManageWorldWith(t, func(w *manageWorld, e *engine.Engine, run func(func(context.Context) error), cfg *gateway.Config) {
		runner := delivery.New(e.Cells(), delivery.Config{Alone: true, Log: cfg.Log})
		var err error
		cfg.Exports, err = export.New(export.Config{
			Engine: e, Relay: w.relay, Registry: w.reg, Runner: runner, Folders: filepath.Join(w.dir, "export"), Log: cfg.Log,
		})
		w.must(err)
		run(runner.Run)
		run(cfg.Exports.Run)
	})
}

func TestManageSinks(t *testing.T) {
	w := withExports(t)
	w.call(200, "GET", "/v1/sinks", "").want(t, `[]`)
	const out, other = `{"sinkType":"FOLDER","sinkName":"out","bucketName":"landing"}`, `{"sinkType":"FOLDER","sinkName":"abs","bucketName":"<dir>"}`
	w.call(201, "POST", "/v1/sinks", out).want(t, out)
	abs, err := json.Marshal(filepath.Join(t.TempDir(), "made"))
	w.must(err)
	w.call(201, "PUT", "/v1/sinks", `{"sinkType":"FOLDER","sinkName":"abs","bucketName":`+string(abs)+`}`).want(t, other)
	w.call(200, "GET", "/v1/sinks", "").want(t, "["+other+","+out+"]")
	w.call(200, "GET", "/v1/sinks/out", "").want(t, out)
	if _, err := os.Stat(filepath.Join(w.dir, "export", "default", "landing")); err != nil {
		t.Error(err)
	}
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(201, "POST", "/v1/exporters/web", `{"name":"one","sinkName":"out"}`)
	if a := w.call(409, "DELETE", "/v1/sinks/out", ""); a.message() != "Cannot delete sink out: it still has exporter one of stream web. Delete it first, or use --recursive" {
		t.Errorf("the refusal is %q", a.message())
	}
	if a := w.call(409, "POST", "/v1/sinks", out); a.message() != "Sink 'out' exists already" {
		t.Errorf("the refusal is %q", a.message())
	}
	w.call(200, "DELETE", "/v1/sinks/out?recursive=true", "").want(t, `{"sink":`+out+`,"exporters":[`+laterExporter("one", "web", 60, "", false)+`]}`)
	w.call(200, "GET", "/v1/exporters/web", "").want(t, `[]`)
	w.call(200, "DELETE", "/v1/sinks/abs", "").want(t, other)
	w.call(404, "GET", "/v1/sinks/abs", "")
	w.call(404, "DELETE", "/v1/sinks/abs", "")
}

// laterExporter is an exporter to sink out in the later shape.
func laterExporter(name, stream string, interval int, prefix string, existing bool) string {
	text, err := json.Marshal(map[string]any{
		"ref": map[string]any{"name": name, "projectId": "<uuid>"}, "name": name, "linkedStream": stream, "sinkName": "out", "sinkType": "FOLDER",
		"intervalSecs": interval, "type": "BATCH", "pathPrefix": prefix, "includeExistingEvents": existing,
	})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// What a sink may not be is refused with the reason, and no part of the credentials is in an answer or a log.
func TestManageSinkRefused(t *testing.T) {
	w := withExports(t)
	for _, c := range []struct{ body, says string }{
		{`{"sinkType":"AZURE","sinkName":"aa","bucketName":"b"}`, "sinkType: unknown sink type; there are S3, GCLOUD and FOLDER"},
		{`{"sinkType":"GCLOUD","sinkName":"aa","bucketName":"b"}`, "credentials: is missing: the JSON key file"},
		{`{"sinkType":"GCLOUD","sinkName":"aa","bucketName":"b","region":"r","credentials":"{}"}`, "a GCLOUD takes no region"},
		{`{"sinkType":"GCLOUD","sinkName":"aa","bucketName":"b","credentials":"key-of-nobody"}`, "credentials: not a credentials file"},
		{`{"sinkType":"GCLOUD","sinkName":"aa","bucketName":"b","endpoint":"http://127.0.0.1:1","credentials":{"type":"service_account","client_email":"a@b","private_key":"key-of-nobody"}}`, "The sink does not take objects"},
		{`{"sinkType":"FOLDER","sinkName":"aa","bucketName":"../b"}`, "bucketName: not a folder to export to"},
		{`{"sinkType":"FOLDER","sinkName":"aa","bucketName":""}`, "bucketName: must have at least 1"},
		{`{"sinkType":"FOLDER","sinkName":"aa","bucketName":"/proc/nothing"}`, "The sink does not take objects: mkdir"},
		{`{"sinkType":"FOLDER","sinkName":"aa","bucketName":"b","credentials":"{}"}`, "a FOLDER takes no credentials"},
		{`{"sinkType":"FOLDER","sinkName":" ","bucketName":"b"}`, "sinkName: begins or ends with a space"},
		{`{"sinkType":"S3","sinkName":"aa","bucketName":"b"}`, "credentials: is missing"},
		{`{"sinkType":"S3","sinkName":"aa","bucketName":"bucket","credentials":"key-of-nobody"}`, "credentials: not a credentials file"},
		{`{"sinkType":"S3","sinkName":"aa","bucketName":"bucket","endpoint":"http://127.0.0.1:1","region":"r","credentials":{"accessKey":"A","secretKey":"key-of-nobody"}}`,
			"The sink does not take objects: dial tcp 127.0.0.1:1: connect: connection refused"},
		{`{"sinkType":"S3","sinkName":"aa","bucketName":"bucket","endpoint":"127.0.0.1","credentials":{"accessKey":"A","secretKey":"key-of-nobody"}}`,
			"the endpoint must be http:// or https://"},
	} {
		a := w.call(400, "POST", "/v1/sinks", c.body)
		if !strings.Contains(a.message(), c.says) || strings.Contains(a.text, "nobody\"") {
			t.Errorf("%s: %q, want %q", c.body, a.message(), c.says)
		}
		if strings.Contains(a.text, "key-of") {
			t.Errorf("the answer shows the secret: %s", a.text)
		}
	}
	if strings.Contains(w.logs.String(), "key-of") {
		t.Error("the log shows the secret")
	}
	w.call(200, "GET", "/v1/sinks", "").want(t, `[]`)
}

func TestManageExporters(t *testing.T) {
	w := withExports(t)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(201, "POST", "/v1/streams", `{"linkedStream":"web","consentLevels":[2]}`)
	if a := w.call(400, "POST", "/v1/exporters/web", `{}`); !strings.Contains(a.message(), "this one has 0") {
		t.Errorf("without a sink: %q", a.message())
	}
	w.call(201, "POST", "/v1/sinks", `{"sinkType":"FOLDER","sinkName":"out","bucketName":"landing"}`)
	const old = `{"name":"s3","linkedStream":"web-2","sinkName":"out","sinkType":"FOLDER","intervalSecs":30,"type":"BATCH","pathPrefix":"level01"}`
	w.call(201, "PUT", "/v1/exporters/web-2", old).want(t, old)
	later := laterExporter("s3", "web-2", 30, "level01", false)
	w.call(200, "GET", "/v1/exporters/web-2/s3", "").want(t, later)
	w.call(200, "GET", "/v1/exporters/web-2/s3?shape=2021", "").want(t, old)
	w.call(200, "GET", "/v1/exporters/web-2?shape=2021", "").want(t, "["+old+"]")
	own := laterExporter("out-web", "web", 60, "", true)
	w.call(201, "POST", "/v1/exporters/web", `{"includeExistingEvents":true}`).want(t, own)
	w.call(200, "GET", "/v1/exporters/web", "").want(t, "["+own+"]")

	for body, says := range map[string]string{
		`{"name":"out-web","pathPrefix":"x"}`:  "Exporter 'out-web' exists already",
		`{"name":"xx"}`:                        "exporter out-web writes to the same place",
		`{"name":"xx","intervalSecs":29}`:      "intervalSecs: must be from 30 to 3600",
		`{"name":"xx","intervalSecs":3601}`:    "intervalSecs: must be from 30 to 3600",
		`{"name":"xx","pathPrefix":"a/../b"}`:  "pathPrefix: not a path prefix",
		`{"name":"xx","sinkName":"nothing"}`:   "sinkName: there is no sink nothing",
		`{"name":"xx","sinkType":"S3"}`:        "sinkType: sink out is of type FOLDER",
		`{"name":"xx","linkedStream":"other"}`: "linkedStream: says another stream",
		`{"name":"xx","exportKey":true}`:       "exportKey: is not known here",
	} {
		want := 400
		if strings.Contains(says, "exists") {
			want = 409
		}
		if a := w.call(want, "POST", "/v1/exporters/web", body); !strings.Contains(a.message(), says) {
			t.Errorf("%s: %q, want %q", body, a.message(), says)
		}
	}
	w.call(404, "POST", "/v1/exporters/nothing", `{}`)
	w.call(404, "GET", "/v1/exporters/web/s3", "")

	if a := w.call(409, "DELETE", "/v1/streams/web", ""); !strings.Contains(a.message(), "derived stream web-2, and exporters out-web of web and s3 of web-2") {
		t.Errorf("the refusal is %q", a.message())
	}
	for _, a := range []manageAnswer{w.call(200, "GET", "/v1/streams/web?recursive=true", ""), w.call(200, "DELETE", "/v1/streams/web?recursive=true", "")} {
		if a.str("exporters", "0", "name") != "out-web" || a.str("exporters", "1", "name") != "s3" || a.str("derived", "0", "ref", "name") != "web-2" {
			t.Errorf("with what hangs on it: %s", a.text)
		}
	}
	// A stream of the same name has none of them.
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(200, "GET", "/v1/exporters/web", "").want(t, `[]`)
	w.call(201, "POST", "/v1/exporters/web", `{"name":"again"}`)
	w.call(200, "DELETE", "/v1/exporters/web/again?shape=2021", "").
		want(t, `{"name":"again","linkedStream":"web","sinkName":"out","sinkType":"FOLDER","intervalSecs":60,"type":"BATCH","pathPrefix":""}`)
	w.call(404, "DELETE", "/v1/exporters/web/again", "")
}

// Another project's sinks and exporters do not exist, and a stream's own token manages none.
func TestManageExportPowers(t *testing.T) {
	w := withExports(t)
	w.call(201, "POST", "/v1/projects", `{"name":"other"}`)
	own := w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	foreign := w.call(201, "POST", "/v1/streams?project=other", `{"name":"web"}`)
	const sink = `{"sinkType":"FOLDER","sinkName":"out","bucketName":"landing"}`
	w.call(201, "POST", "/v1/sinks", sink)
	w.call(201, "POST", "/v1/exporters/web", `{"name":"ex"}`)
	w.call(404, "GET", "/v1/sinks/out?project=other", "")
	w.call(404, "GET", "/v1/exporters/web/ex?project=other", "")
	w.call(400, "POST", "/v1/exporters/web?project=other", `{"name":"ex","sinkName":"out"}`)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/v1/sinks", ""}, {"POST", "/v1/sinks", sink}, {"PUT", "/v1/sinks", sink}, {"GET", "/v1/sinks/out", ""}, {"DELETE", "/v1/sinks/out", ""},
		{"GET", "/v1/exporters/web", ""}, {"POST", "/v1/exporters/web", `{}`}, {"PUT", "/v1/exporters/web", `{}`},
		{"GET", "/v1/exporters/web/ex", ""}, {"DELETE", "/v1/exporters/web/ex", ""},
	} {
		for token, want := range map[string]int{"": 401, w.streamToken(own): 403, w.streamToken(foreign): 404} {
			if a := w.send(c.method, c.path, token, c.body); a.status != want {
				t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, a.status, want, a.text)
			}
		}
	}
}

// A merge patch changes what may be changed and refuses the rest, with the exporter as it was.
func TestManageExporterPatch(t *testing.T) {
	w := withExports(t)
	w.call(201, "POST", "/v1/sinks", `{"sinkType":"FOLDER","sinkName":"out","bucketName":"landing"}`)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(201, "POST", "/v1/exporters/web", `{"name":"one","pathPrefix":"a"}`)
	w.call(201, "POST", "/v1/exporters/web", `{"name":"two","pathPrefix":"b"}`)
	const one = "/v1/exporters/web/one"
	w.call(200, "PATCH", one, `{"intervalSecs":300}`).want(t, laterExporter("one", "web", 300, "a", false))
	w.call(200, "PATCH", one, `{"pathPrefix":"c/d"}`).want(t, laterExporter("one", "web", 300, "c/d", false))
	w.call(200, "PATCH", one, `{}`).want(t, laterExporter("one", "web", 300, "c/d", false))
	for _, c := range []struct {
		status     int
		body, says string
	}{
		{400, `{"intervalSecs":1}`, "intervalSecs: must be from 30 to 3600 whole seconds"},
		{400, `{"intervalSecs":"60"}`, "intervalSecs: must be a whole number"},
		{400, `{"pathPrefix":"../x"}`, "pathPrefix: not a path prefix: it has the segment '..'"},
		{400, `{"pathPrefix":"b"}`, "pathPrefix: exporter two writes to the same place under the same names; choose another"},
		{400, `{"sinkName":"other"}`, "sinkName: is not known here"},
		{400, `{"name":"three"}`, "name: is not known here"},
	} {
		if a := w.call(c.status, "PATCH", one, c.body); a.message() != c.says {
			t.Errorf("%s: %s", c.body, a.message())
		}
	}
	w.call(200, "GET", one, "").want(t, laterExporter("one", "web", 300, "c/d", false))
	w.call(200, "PATCH", one, `{"intervalSecs":null,"pathPrefix":null}`).want(t, laterExporter("one", "web", 60, "", false))
	w.call(404, "PATCH", "/v1/exporters/web/three", `{}`)
}

// How a sink is reached may be changed, what it is of may not, and nothing that its store does not take.
func TestManageSinkPatch(t *testing.T) {
	w := withExports(t)
	w.call(201, "POST", "/v1/sinks", `{"sinkType":"FOLDER","sinkName":"out","bucketName":"landing"}`)
	for body, says := range map[string]string{
		`{"credentials":{"AccessKey":{}}}`: "sinkType: a FOLDER takes no credentials, endpoint, region and pathStyle",
		`{"region":"eu-west-1"}`:           "sinkType: a FOLDER takes no credentials, endpoint, region and pathStyle",
		`{"bucketName":"other"}`:           "bucketName: is not known here",
		`{"sinkName":"other"}`:             "sinkName: is not known here",
	} {
		if a := w.call(400, "PATCH", "/v1/sinks/out", body); a.message() != says {
			t.Errorf("%s: %s", body, a.message())
		}
	}
	w.call(200, "PATCH", "/v1/sinks/out", `{}`).want(t, `{"sinkType":"FOLDER","sinkName":"out","bucketName":"landing"}`)
	w.call(404, "PATCH", "/v1/sinks/none", `{}`)

	// Who does not know the key of a bucket cannot have its tokens shown to an address of theirs.
	curious := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was asked for", r.Method, r.URL) }))
	t.Cleanup(curious.Close)
	_, err := w.reg.CreateSink(t.Context(), w.reg.Snapshot().Project("default"), registry.SinkSpec{
		Name: "gcs", Type: export.TypeGCS, Bucket: "bucket", Credentials: []byte(`{"type":"service_account","client_email":"a@b","private_key":"k","token_uri":"` + curious.URL + `"}`),
	})
	w.must(err)
	if a := w.call(400, "PATCH", "/v1/sinks/gcs", `{"endpoint":"`+curious.URL+`"}`); a.message() != "endpoint: of a GCLOUD is changed together with its credentials; give both" {
		t.Error(a.message())
	}
}

// TestManageExporters2021: what clients of 2021 call beside it, and what they say in a query, means what it did.
func TestManageExporters2021(t *testing.T) {
	w := withExports(t)
	w.call(201, "POST", "/v1/streams", `{"name":"web"}`)
	w.call(201, "POST", "/v1/streams", `{"linkedStream":"web","consentLevels":[2]}`)
	const sink = `{"sinkType":"FOLDER","sinkName":"out","bucketName":"landing"}`
	w.call(201, "PUT", "/v1/sinks", sink).want(t, sink)
	w.call(200, "GET", "/v1/sinks?shape=2021", "").want(t, "["+sink+"]")
	w.call(200, "GET", "/v1/sinks/out?sinkType=FOLDER&shape=2021", "").want(t, sink)
	for _, method := range []string{"GET", "DELETE"} {
		if a := w.call(404, method, "/v1/sinks/out?sinkType=S3", ""); a.message() != "Sink 'out' is not of type S3" {
			t.Errorf("%s: %q", method, a.message())
		}
	}
	shown := func(name, stream, more string) string {
		return `{"name":"` + name + `","linkedStream":"` + stream + `","sinkName":"out","sinkType":"FOLDER","intervalSecs":60,"type":"BATCH","pathPrefix":""` + more + `}`
	}
	put := func(name, stream, more string) {
		t.Helper()
		body := strings.TrimSuffix(shown(name, stream, more), "}")
		w.call(201, "PUT", "/v1/exporters/"+stream, body+`,"extraConfig":{}}`).want(t, shown(name, stream, more))
	}
	put("s3", "web", "")
	put("keys", "web", `,"exportKeys":true`)
	put("s3", "web-2", "")
	if a := w.call(400, "PUT", "/v1/exporters/web", `{"name":"xx","extraConfig":{"a":1}}`); !strings.Contains(a.message(), "extraConfig: has no settings here") {
		t.Errorf("a setting nobody knows: %q", a.message())
	}
	for path, status := range map[string]int{
		"/v1/exporters/web/s3?exportKeys=false":                       200,
		"/v1/exporters/web/s3?exportKeys=true":                        404,
		"/v1/exporters/web/s3?exportKeys=maybe":                       400,
		"/v1/exporters/web/keys?exportKeys=true":                      200,
		"/v1/streams/web/exporters/keys?exportKeys=false":             404,
		"/v1/streams/web/exporters/keys?exportKeys=true":              200,
		"/v1/streams/web/exporters/nothing":                           404,
		"/v1/streams/web/outputs/web-2/exporters/s3":                  200,
		"/v1/streams/web/outputs/web-2/exporters/s3?exportKeys=true":  404,
		"/v1/streams/web/outputs/web/exporters/s3":                    404,
		"/v1/streams/web-2/outputs/web-2/exporters/s3":                404,
		"/v1/streams/web/outputs/web-2/exporters/s3?project=nonesuch": 404,
	} {
		w.call(status, "GET", path, "")
	}
	w.call(404, "DELETE", "/v1/streams/web/exporters/keys?exportKeys=false", "")
	w.call(200, "DELETE", "/v1/streams/web/exporters/keys", "").want(t, shown("keys", "web", `,"exportKeys":true`))
	w.call(200, "DELETE", "/v1/streams/web/outputs/web-2/exporters/s3", "").want(t, shown("s3", "web-2", ""))
	w.call(404, "GET", "/v1/exporters/web-2/s3", "")
	w.call(200, "DELETE", "/v1/sinks/out?recursive=true&shape=2021&sinkType=FOLDER", "").want(t, `{"sink":`+sink+`,"exporters":[`+shown("s3", "web", "")+`]}`)
}
