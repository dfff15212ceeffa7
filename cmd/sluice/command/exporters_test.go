package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/command"
)

// The commands of 2021 as they were typed, and the later ones; what is sent to the stream is in the folder some seconds later.
func TestExport(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"), []string{"SLUICE_ADMIN_TOKEN=" + adminToken, "SLUICE_EXPORT_MIN_INTERVAL=1s"})
	c := s.withAdmin()
	dir := filepath.Join(t.TempDir(), "landing")
	c.ok("create", "stream", "web", "--save")
	c.ok("create", "stream", "--derived-from", "web", "--levels", "2")
	equal(t, c.ok("sinks", "create", "folder", "out", "--bucket-name", dir), map[string]any{"sinkType": "FOLDER", "sinkName": "out", "bucketName": dir})
	equal(t, c.ok("create", "sink", "folder", "own"), map[string]any{"bucketName": "own"})
	equal(t, c.ok("sinks", "list"), map[string]any{"#.sinkName": []any{"out", "own"}})
	equal(t, c.ok("get", "sink", "own"), map[string]any{"sinkName": "own"})

	made := c.ok("exporters", "create", "-en", "s3", "-sn", "out", "-st", "FOLDER", "-i", "1", "-pp", "level01", "web")
	want := map[string]any{"name": "s3", "linkedStream": "web", "sinkName": "out", "sinkType": "FOLDER", "intervalSecs": 1, "type": "BATCH", "pathPrefix": "level01"}
	equal(t, made, want)
	if n := len(gjson.Parse(made).Map()); n != len(want) {
		t.Errorf("it has %d members: %s", n, made)
	}
	equal(t, c.ok("create", "exporter", "web-2", "--sink-name=own", "--interval", "30", "--include-existing-events"),
		map[string]any{"ref.name": "own-web-2", "includeExistingEvents": true})
	equal(t, c.ok("exporters", "list", "web"), map[string]any{"#.name": []any{"s3"}})
	equal(t, c.ok("exporters", "get", "web", "s3"), want)
	if table := c.ok("list", "exporters", "web-2", "-o", "table"); !strings.Contains(table, "own-web-2") || !strings.Contains(table, "INTERVAL") {
		t.Errorf("the table is\n%s", table)
	}

	c.ok("simulate", "random-events", "web", "--count", "20", "--interval", "0", "--quiet")
	lines := 0
	for end := time.Now().Add(10 * time.Second); lines < 20 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		lines = 0
		objects, err := filepath.Glob(filepath.Join(dir, "level01", "20??-??-??T??:??:??-stream-*{0}.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			text, err := os.ReadFile(o)
			if err != nil {
				t.Fatal(err)
			}
			lines += strings.Count(string(text), "\n")
			if first, _, _ := strings.Cut(string(text), "\n"); !gjson.Get(first, "strmMeta.consentLevels").IsArray() {
				t.Errorf("a line is %s", first)
			}
		}
	}
	if lines != 20 {
		t.Errorf("%d events are in the folder", lines)
	}

	c.fails(command.ExitRefused, "Cannot delete sink out: it still has exporter s3 of stream web", "sinks", "delete", "out")
	c.fails(command.ExitRefused, "exporters s3 of web and own-web-2 of web-2", "delete", "stream", "web")
	c.fails(command.ExitUsage, "--bucket-name and --credentials-file are needed", "sinks", "create", "s3", "bb")
	c.fails(command.ExitRefused, "credentials", "sinks", "create", "s3", "bb", "--bucket-name", "bucket", "-cf", c.file("s3.json", "{}"))
	c.fails(command.ExitUsage, "--interval must be", "exporters", "create", "-i=0", "web")
	equal(t, c.ok("exporters", "update", "web", "s3", "-i", "2", "-pp", "level02"), map[string]any{"intervalSecs": 2, "pathPrefix": "level02"})
	c.fails(command.ExitRefused, "it has the segment '..'", "update", "exporter", "web", "s3", "--path-prefix", "../x")
	c.fails(command.ExitUsage, "nothing to change", "update", "exporter", "web", "s3")
	c.fails(command.ExitRefused, "a FOLDER takes no", "update", "sink", "out", "--region", "eu-west-1")
	c.fails(command.ExitUsage, "nothing to change", "sinks", "update", "out")
	equal(t, c.ok("update", "exporter", "web", "s3", "--interval", "1", "--path-prefix", "level01"), map[string]any{"includeExistingEvents": false, "intervalSecs": 1})
	equal(t, c.ok("exporters", "delete", "web", "s3"), want)
	equal(t, c.ok("sinks", "delete", "own", "--recursive"), map[string]any{"sink.sinkName": "own", "exporters.#.name": []any{"own-web-2"}})
	equal(t, c.ok("delete", "sink", "out"), map[string]any{"sinkName": "out"})
}
