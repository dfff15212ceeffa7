package command_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	_ "modernc.org/sqlite" // to look into the tables

	"sluice/cmd/sluice/command"
)

// land puts a landed file of a stream where it would be.
func (s *server) land(stream, day, name, text string) {
	s.t.Helper()
	dir := filepath.Join(s.data, "landing", "ingest", "stream", "default", stream, day)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// rows is what a query of the project's tables gives, a line for each row of one column.
func (s *server) rows(query string) string {
	s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.data, "feeds", "default.sqlite")+"?mode=ro")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Query(query)
	if err != nil {
		s.t.Fatal(err)
	}
	defer found.Close()
	var all []string
	for found.Next() {
		var v string
		if err := found.Scan(&v); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, v)
	}
	if err := found.Err(); err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

const landedDay = "2026-11-20"

func TestCourierCommands(t *testing.T) {
	s, c := admin(t)
	stream := gjson.Get(c.ok("create", "stream", "web", "--payload", "json"), "id").Str
	s.land(stream, landedDay, "08-00-00-a.ndjson", `{"id":1,"customer":{"name":"Ann"},"items":[{"sku":"a"},{"sku":"b"}]}`+"\n"+`{"customer":{}}`+"\n")
	s.land(stream, landedDay, "09-00-00-b.ndjson", `{"id":2,"customer":{"name":"Bob"}}`+"\n")

	feed := c.ok("create", "feed", "orders", "--primary-key", "id", "--column", "id", "--column", "name=customer.name")
	id := gjson.Get(feed, "id").Str
	if got := gjson.Get(feed, "columns.1.path").Str; got != "customer.name" || !strings.HasPrefix(id, "df-") {
		t.Errorf("feed: %s", feed)
	}
	lines := gjson.Get(c.ok("create", "feed", "order-lines", "--row-path", "items", "--primary-key", "order_id,sku", "--column", "order_id=$.id", "--column", "sku"), "id").Str
	made := c.ok("create", "courier", "daily", "--stream", stream, "--load", id, "--truncate", lines)
	if got := gjson.Get(made, "loadOperations|@ugly").Raw; gjson.Get(got, lines+".0.type").Str != "truncate" || gjson.Get(got, lines+".1.file").Str != "streaming" ||
		gjson.Get(got, id+".#").Int() != 1 || gjson.Get(made, "fileFormat").Str != "NDJSON" {
		t.Errorf("courier: %s", made)
	}
	run := c.ok("run", "courier", "daily", "--date", landedDay, "--wait")
	for path, want := range map[string]string{"state": "COMPLETED", "files": "2", "filesDone": "2", "rows": "4", "failedRows": "3", "error": "", "date": landedDay} {
		if got := gjson.Get(run, path).String(); got != want {
			t.Errorf("%s is %q, want %q: %s", path, got, want, run)
		}
	}
	if got := s.rows(`SELECT name FROM orders ORDER BY id`); got != "Ann\nBob" {
		t.Errorf("orders: %s", got)
	}
	if got := s.rows(`SELECT order_id || sku FROM order_lines ORDER BY 1`); got != "1a\n1b" {
		t.Errorf("order lines: %s", got)
	}
	for args, want := range map[string]string{
		"list feed":              "FEED ",
		"list courier":           "daily ",
		"list courier-run daily": landedDay,
		"list sample-file daily --date " + landedDay:           "09-00-00-b.ndjson",
		"get courier-run daily " + gjson.Get(run, "runId").Str: "COMPLETED",
		"run courier daily --wait --date " + landedDay:         "COMPLETED",
	} {
		if got := c.ok(append(strings.Fields(args), "-o", "table")...); !strings.Contains(got, want) || strings.Contains(got, "{") {
			t.Errorf("sluice %s -o table:\n%s", args, got)
		}
	}
	if got := c.ok("list", "sample-file", "daily", "--date", landedDay); gjson.Get(got, "1.records.0.customer.name").Str != "Ann" {
		t.Errorf("sample files: %s", got)
	}
	// Without --wait a run is only asked for; without --date it is yesterday's.
	if got := c.ok("run", "courier", "daily"); gjson.Get(got, "state").Str != "QUEUED" || gjson.Get(got, "runId").Str == "" {
		t.Errorf("run: %s", got)
	}
	changed := c.ok("update", "courier", "daily", "--file-pattern-prefix", "09", "--load-operations", `{}`)
	if gjson.Get(changed, "filePatternPrefix").Str != "09" || gjson.Get(changed, "loadOperations").Raw != "{}" {
		t.Errorf("update: %s", changed)
	}
	if got := c.ok("run", "courier", "daily", "--date", landedDay, "--wait"); gjson.Get(got, "rows").Int() != 1 || gjson.Get(got, "files").Int() != 1 {
		t.Errorf("a run that only reads: %s", got)
	}

	group := c.ok("create", "courier-group", "nightly", "--couriers", "daily", "--schedule", "0 2 * * *")
	if gjson.Get(group, "offsetHours").Int() != 24 || gjson.Get(group, "couriers.0").Str != "daily" {
		t.Errorf("group: %s", group)
	}
	if got := c.ok("update", "courier-group", "nightly", "--schedule", "", "--offset-hours", "48"); gjson.Get(got, "offsetHours").Int() != 48 || gjson.Get(got, "schedule").Str != "" {
		t.Errorf("group: %s", got)
	}
	if got := c.ok("run", "courier-group", "nightly", "--date", landedDay); gjson.Get(got, "0.courier").Str != "daily" {
		t.Errorf("a run of the group: %s", got)
	}
	c.fails(command.ExitRefused, "courier group nightly has it", "delete", "courier", "daily")
	c.fails(command.ExitRefused, "Cannot delete stream web: it still has courier daily. Delete it first, or use --recursive", "delete", "stream", "web")
	if got := c.ok("delete", "stream", "web", "--recursive"); gjson.Get(got, "couriers.0.name").Str != "daily" {
		t.Errorf("deleted: %s", got)
	}
	if got := c.ok("get", "courier-group", "nightly"); gjson.Get(got, "couriers.#").Int() != 0 {
		t.Errorf("the group behind: %s", got)
	}
	c.ok("delete", "courier-group", "nightly")
	c.ok("delete", "feed", "orders")
	if got := s.rows(`SELECT count(*) FROM orders`); got != "2" {
		t.Errorf("the table of a deleted feed has %s rows", got)
	}
}

// A run that fails prints how far it came and ends with 1, so that a script notices.
func TestRunThatFails(t *testing.T) {
	s, c := admin(t)
	stream := gjson.Get(c.ok("create", "stream", "web", "--payload", "json"), "id").Str
	s.land(stream, landedDay, "08-00-00-a.ndjson", "{\"id\":1}\n")
	first := gjson.Get(c.ok("create", "feed", "orders", "--primary-key", "id", "--column", "id"), "id").Str
	c.ok("create", "courier", "daily", "--stream", "web", "--load", first)
	c.ok("run", "courier", "daily", "--date", landedDay, "--wait")
	c.ok("delete", "feed", "orders")
	c.fails(command.ExitRefused, "loads feed "+first+", which does not exist", "run", "courier", "daily", "--wait")
	other := gjson.Get(c.ok("create", "feed", "orders", "--primary-key", "name", "--column", "name", "--column", "id"), "id").Str
	c.ok("update", "courier", "daily", "--load", other)
	got := c.run("run", "courier", "daily", "--date", landedDay, "--wait")
	if got.code != command.ExitRefused || gjson.Get(got.out, "state").Str != "FAILED" || !strings.Contains(got.errors, "the run failed: Table orders of feed "+other+" has the primary key id, not name") {
		t.Errorf("exit %d: %s%s", got.code, got.out, got.errors)
	}
}

// What is wrong with the words is told before anything is asked of the server, with exit 2; what the server refuses is 1.
func TestCourierMistakes(t *testing.T) {
	_, c := admin(t)
	c.ok("create", "stream", "web", "--payload", "json")
	c.ok("create", "courier", "daily", "--stream", "web")
	for _, m := range []struct {
		code int
		says string
		args []string
	}{
		{2, "a courier needs --stream", []string{"create", "courier", "other"}},
		{2, "accepts 1 arg", []string{"create", "courier", "--stream", "web"}},
		{2, "give it without --load", []string{"create", "courier", "other", "--stream", "web", "--load", "df-x", "--load-operations", "{}"}},
		{2, "must be a JSON object", []string{"create", "courier", "other", "--stream", "web", "--load-operations", "[1]"}},
		{2, "must be a JSON object", []string{"update", "courier", "daily", "--load-operations", "{'a':1}"}},
		{2, "nothing to change", []string{"update", "courier", "daily"}},
		{2, "nothing to change", []string{"update", "courier-group", "nightly"}},
		{2, "nothing to change", []string{"update", "feed", "orders"}},
		{2, "a feed needs --column and --primary-key", []string{"create", "feed", "orders", "--column", "id"}},
		{2, "--wait", []string{"run", "courier-group", "nightly", "--wait"}},
		{2, "is not known", []string{"run", "courier", "daily", "--day", "2026-11-20"}},
		{2, "no such file", []string{"create", "courier", "other", "--stream", "web", "--load-operations", "@/nowhere/operations.json"}},
		{2, "no such file", []string{"create", "feed", "orders", "--definition", "/nowhere/feed.json"}},
		{1, "there is no stream nothing", []string{"create", "courier", "other", "--stream", "nothing"}},
		{1, "stream web holds JSON", []string{"create", "courier", "other", "--stream", "web", "--file-format", "xml"}},
		{1, "must be NDJSON, JSON or XML", []string{"create", "courier", "other", "--stream", "web", "--file-format", "csv"}},
		{1, "must be an hour, 00 to 24", []string{"create", "courier", "other", "--stream", "web", "--file-pattern-prefix", "25"}},
		{1, "truncate goes before load", []string{"update", "courier", "daily", "--load-operations", `{"df-x":[{"type":"load","file":"streaming"},{"type":"truncate"}]}`}},
		{1, "must be the courier's fileTag, streaming", []string{"update", "courier", "daily", "--load-operations", `{"df-x":[{"type":"load","file":"other"}]}`}},
		{1, "must be a day like 2026-11-20", []string{"run", "courier", "daily", "--date", "yesterday", "--wait"}},
		{1, "must be a day like 2026-11-20", []string{"list", "sample-file", "daily", "--date", "20-11-2026"}},
		{1, "Courier 'nobody' does not exist", []string{"run", "courier", "nobody", "--wait"}},
		{1, "Courier 'nobody' does not exist", []string{"list", "sample-file", "nobody"}},
		{1, "Run 'run-x' does not exist", []string{"get", "courier-run", "daily", "run-x"}},
		{1, "there is no courier nobody", []string{"create", "courier-group", "nightly", "--couriers", "nobody"}},
		{1, "five fields as cron has them", []string{"create", "courier-group", "nightly", "--couriers", "daily", "--schedule", "at night"}},
	} {
		c.fails(m.code, m.says, m.args...)
	}
	if got := c.ok("list", "courier", "-o", "plain"); got != "daily\n" {
		t.Errorf("couriers: %q", got)
	}
}
