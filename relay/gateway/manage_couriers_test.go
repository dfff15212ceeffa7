package gateway_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to look into the tables

	"sluice/delivery"
	"sluice/delivery/export"
	"sluice/delivery/load"
	"sluice/relay/engine"
	"sluice/relay/gateway"
	"sluice/relay/registry"
)

// withCouriers gives a world that lands payloads and loads what has landed, below its directory.
func withCouriers(t *testing.T) *manageWorld {
	t.Helper()
	return newManageWorldWith(t, func(w *manageWorld, e *engine.Engine, run func(func(context.Context) error), cfg *gateway.Config) {
		runner := delivery.New(e.Cells(), delivery.Config{Alone: true, Log: cfg.Log})
		var err error
		cfg.Exports, err = export.New(export.Config{
			Engine: e, Relay: w.relay, Registry: w.reg, Runner: runner, Folders: filepath.Join(w.dir, "export"), Landing: filepath.Join(w.dir, "landing"), Log: cfg.Log,
		})
		w.must(err)
		exports := cfg.Exports
		cfg.Couriers, err = load.New(load.Config{
			Dir: filepath.Join(w.dir, "feeds"), Cells: e.Cells(), Registry: w.reg, Runner: runner, Log: cfg.Log,
			List: func(ctx context.Context, st *registry.Stream, day time.Time) ([]load.Landed, error) {
				files, err := exports.Landed(ctx, st, day, "")
				all := make([]load.Landed, len(files))
				for i, f := range files {
					all[i] = load.Landed{Name: f.Name, Size: f.Size}
				}
				return all, err
			},
			Open: func(ctx context.Context, st *registry.Stream, name string) (io.ReadCloser, error) {
				body, err := exports.OpenLanded(ctx, st, name)
				if errors.Is(err, export.ErrAbsent) {
					err = load.ErrNoFile
				}
				return body, err
			},
		})
		w.must(err)
		run(runner.Run)
		run(cfg.Couriers.Run)
		run(cfg.Exports.Run)
	})
}

// land puts a landed file of a stream where it would be.
func (w *manageWorld) land(stream, day, name, text string) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "landing", "ingest", "stream", "default", stream, day)
	w.must(os.MkdirAll(dir, 0o755))
	w.must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
}

func TestManageCouriers(t *testing.T) {
	w := withCouriers(t)
	stream := w.call(201, "POST", "/v1/streams", `{"name":"web","payload":"json"}`).str("id")
	for _, collection := range []string{"feeds", "couriers", "courier-groups"} {
		w.call(200, "GET", "/v1/"+collection, "").want(t, `[]`)
		one := map[string]string{"feeds": "Feed", "couriers": "Courier", "courier-groups": "Courier group"}[collection]
		if a := w.call(404, "GET", "/v1/"+collection+"/nothing", ""); a.message() != one+" 'nothing' does not exist" {
			t.Error(a.message())
		}
	}
	feed := w.call(201, "POST", "/v1/feeds", `{"name":"orders","primaryKey":["id"],"columns":[{"name":"id","path":"id"},{"name":"city","path":"address.city"}]}`)
	feed.want(t, `{"id":"<…>","name":"orders","table":"orders","primaryKey":["id"],"columns":[{"name":"id","path":"id"},{"name":"city","path":"address.city"}],"createdAt":"<…>"}`)
	id := feed.str("id")
	courier := w.call(201, "POST", "/v1/couriers", fmt.Sprintf(`{"name":"daily","stream":%q,"fileFormat":"NDJSON","loadOperations":{%q:[{"type":"load","file":"streaming"}]}}`, stream, id))
	shown := fmt.Sprintf(`{"id":"<…>","name":"daily","stream":%q,"fileFormat":"NDJSON","fileTag":"streaming","loadOperations":{%q:[{"type":"load","file":"streaming"}]},"createdAt":"<…>"}`, stream, id)
	courier.want(t, shown)
	w.call(200, "GET", "/v1/couriers/"+courier.str("id"), "").want(t, shown)
	w.call(200, "GET", "/v1/couriers", "").want(t, "["+shown+"]")

	w.land(stream, "2026-11-20", "08-00-00-aaaa.ndjson", `{"id":1,"address":{"city":"Utrecht"}}`+"\n"+`{"address":{}}`+"\n")
	samples := w.call(200, "GET", "/v1/couriers/daily/sample-files?date=2026-11-20", "")
	if name := samples.str("0", "name"); !strings.HasSuffix(name, stream+"/2026-11-20/08-00-00-aaaa.ndjson") || samples.at("0", "records", "0", "address", "city") != "Utrecht" {
		t.Errorf("samples %s", samples.text)
	}
	asked := w.call(202, "POST", "/v1/couriers/daily/run", `{"date":"2026-11-20"}`)
	asked.want(t, `{"runId":"<…>","state":"QUEUED"}`)
	var run manageAnswer
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		run = w.call(200, "GET", "/v1/couriers/daily/runs/"+asked.str("runId"), "")
		if run.str("state") == "COMPLETED" || time.Now().After(end) {
			break
		}
	}
	run.want(t, `{"runId":"<…>","courier":"daily","date":"2026-11-20","state":"COMPLETED","files":1,"filesDone":1,"rows":1,"failedRows":1,"error":"","startedAt":"<…>","endedAt":"<…>"}`)
	if runs := w.call(200, "GET", "/v1/couriers/daily/runs", ""); runs.str("0", "runId") != asked.str("runId") {
		t.Errorf("runs %s", runs.text)
	}
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "feeds", "default.sqlite")+"?mode=ro")
	w.must(err)
	defer db.Close()
	var city, reason string
	w.must(db.QueryRow(`SELECT city FROM orders WHERE id = 1`).Scan(&city))
	w.must(db.QueryRow(`SELECT reason FROM orders_failed`).Scan(&reason))
	if city != "Utrecht" || !strings.Contains(reason, "primary key") {
		t.Errorf("the table says %q, the other %q", city, reason)
	}

	w.call(201, "POST", "/v1/courier-groups", `{"name":"nightly","couriers":["daily"],"schedule":"0 2 * * *"}`).
		want(t, `{"id":"<…>","name":"nightly","couriers":["daily"],"schedule":"0 2 * * *","offsetHours":24,"createdAt":"<…>"}`)
	w.call(200, "PATCH", "/v1/courier-groups/nightly", `{"schedule":null,"offsetHours":48}`).
		want(t, `{"id":"<…>","name":"nightly","couriers":["daily"],"schedule":"","offsetHours":48,"createdAt":"<…>"}`)
	if a := w.call(202, "POST", "/v1/courier-groups/nightly/run", `{"date":"2026-11-19"}`); a.str("0", "courier") != "daily" || a.str("0", "state") != "QUEUED" {
		t.Errorf("a run of the group: %s", a.text)
	}
	for _, c := range []struct {
		status             int
		method, path, body string
		message            string
	}{
		{409, "POST", "/v1/feeds", `{"name":"orders","primaryKey":["id"],"columns":[{"name":"id","path":"id"}]}`, "Feed 'orders' exists already"},
		{400, "POST", "/v1/feeds", `{"name":"other","primaryKey":["no"],"columns":[{"name":"id","path":"id"}]}`, "primaryKey: no is not one of the columns"},
		{400, "POST", "/v1/couriers", `{"name":"x","stream":"nothing","fileFormat":"NDJSON"}`, "stream: there is no stream nothing"},
		{400, "PATCH", "/v1/couriers/daily", `{"fileFormat":"XML"}`, "fileFormat: stream web holds JSON"},
		{400, "POST", "/v1/couriers/daily/run", `{"date":"yesterday"}`, "date: must be a day like 2026-11-20"},
		{400, "GET", "/v1/couriers/daily/sample-files?date=x", "", "date: must be a day like 2026-11-20"},
		{404, "GET", "/v1/couriers/daily/runs/run-x", "", "Run 'run-x' does not exist"},
		{400, "POST", "/v1/courier-groups", `{"name":"g","couriers":["daily"],"schedule":"at night"}`, `schedule: must be five fields as cron has them, like "0 2 * * *", or a tag like @daily`},
		{400, "PATCH", "/v1/courier-groups/nightly", `{"offsetHours":-1}`, "offsetHours: must be from 0 to 720 whole hours"},
		{409, "DELETE", "/v1/couriers/daily", "", "Cannot delete courier daily: courier group nightly has it. Take it out or delete the group first"},
	} {
		if a := w.call(c.status, c.method, c.path, c.body); a.message() != c.message {
			t.Errorf("%s %s: %s", c.method, c.path, a.message())
		}
	}
	w.call(200, "DELETE", "/v1/feeds/orders", "")
	if a := w.call(409, "POST", "/v1/couriers/daily/run", `{}`); !strings.Contains(a.message(), "loads feed "+id+", which does not exist") {
		t.Errorf("a run without its feed: %s", a.message())
	}
	w.call(200, "PATCH", "/v1/couriers/daily", `{"loadOperations":{}}`)
	w.call(202, "POST", "/v1/couriers/daily/run", "")
	w.call(200, "DELETE", "/v1/courier-groups/nightly", "")
	w.call(200, "DELETE", "/v1/couriers/daily", "")
}
