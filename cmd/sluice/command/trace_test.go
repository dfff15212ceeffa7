package command_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/command"
)

// An event that the envelope names is found again, with what became of it; who has it is listed with how far behind it is.
func TestTraceAndConsumers(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"), []string{"SLUICE_ADMIN_TOKEN=" + adminToken, "SLUICE_EXPORT_MIN_INTERVAL=1s"})
	c := s.withAdmin()
	c.ok("create", "stream", "web", "--save")
	c.ok("create", "stream", "--derived-from", "web", "--levels", "3")
	c.ok("create", "sink", "folder", "out")
	c.ok("create", "exporter", "web", "--sink-name", "out", "--exporter-name", "files", "-i", "1")
	c.ok("simulate", "random-events", "web", "--count", "5", "--interval", "0", "--quiet")
	wait(t, func() bool {
		consumers := c.ok("list", "consumers", "web")
		return gjson.Get(consumers, "0.kind").Str == "exporter" && gjson.Get(consumers, "0.name").Str == "files" && gjson.Get(consumers, "0.lag").Int() == 0
	})
	if table := c.ok("list", "consumer", "web", "-o", "table"); !strings.Contains(table, "POSITION") || !strings.Contains(table, "files") {
		t.Errorf("the table is\n%s", table)
	}
	if out := c.ok("list", "consumers", "web-3"); strings.TrimSpace(out) != "[]" {
		t.Errorf("of web-3 there are %s", out)
	}

	id := gjson.Get(s.body("/v1/streams/web/events?from=-1&limit=1&envelope=airship"), "id").Str
	traced := c.ok("trace", id, "--stream", "web-3")
	equal(t, traced, map[string]any{
		"#": 1, "0.id": id, "0.stream": "web", "0.contract": "strmprivacy/example/1.5.0",
		`0.consumers.#(name=="web").state`: "shown", `0.consumers.#(name=="files").state`: "exported", "0.consumers.#": 3,
	})
	levels := gjson.Get(traced, "0.consentLevels").Array()
	want := "consent"
	if len(levels) == 4 {
		want = "shown"
	}
	equal(t, traced, map[string]any{`0.consumers.#(name=="web-3").state`: want})
	if table := c.ok("trace", id, "--stream", "web", "-o", "table"); strings.Count(table, "\n") != 4 || !strings.Contains(table, "exported") {
		t.Errorf("the table is\n%s", table)
	}
	c.fails(command.ExitRefused, "none of the 5 events of web", "trace", "nobody", "--stream", "web")
	c.fails(command.ExitRefused, "none of the 0 events", "trace", id, "--stream", "web", "--from", gjson.Get(traced, "0.offset").Str)
	c.fails(command.ExitRefused, "404", "trace", id, "--stream", "none")
	c.fails(command.ExitUsage, "--stream is needed", "trace", id)
}

func TestConsentLevels(t *testing.T) {
	_, c := admin(t)
	equal(t, c.ok("consent-levels", "create", "2", "marketing"), map[string]any{"id": 2, "name": "marketing"})
	equal(t, c.ok("create", "consent-level", "0", "functional"), map[string]any{"id": 0})
	equal(t, c.ok("consent-levels", "list"), map[string]any{"#.name": []any{"functional", "marketing"}})
	equal(t, c.ok("update", "consent-level", "2", "ads"), map[string]any{"name": "ads"})
	equal(t, c.ok("get", "consent-level", "2"), map[string]any{"name": "ads"})
	c.fails(command.ExitRefused, "exists already", "consent-levels", "create", "2", "again")
	c.fails(command.ExitUsage, "a LEVEL is a number from 0 to 63", "consent-levels", "get", "two")
	c.fails(command.ExitUsage, "a LEVEL is a number from 0 to 63", "create", "consent-level", "64", "x")
	c.fails(command.ExitUsage, "a LEVEL is a number from 0 to 63", "delete", "consent-level", "0", "../streams")
	equal(t, c.ok("delete", "consent-levels", "0", "2"), map[string]any{"#.id": []any{0, 2}})
	c.fails(command.ExitRefused, "has no name", "get", "consent-level", "2")
}
