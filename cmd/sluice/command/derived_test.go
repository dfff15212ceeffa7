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

// Masks, usage, key links and keys from the command line, and usage again after a restart.
func TestDepth(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	env := []string{"SLUICE_ADMIN_TOKEN=" + adminToken, "SLUICE_EXPORT_MIN_INTERVAL=1s"}
	s := serve(t, data, env)
	c := s.withAdmin()
	dir := filepath.Join(t.TempDir(), "keys")
	c.ok("create", "stream", "web", "--save")
	const fields = "strmprivacy/example/1.5.0:uniqueIdentifier,consistentValue"
	equal(t, c.ok("create", "stream", "--derived-from", "web", "--levels", "3", "-M", fields, "--mask-seed", "hi-there"),
		map[string]any{"ref.name": "web-M3", "masked_fields.seed": "****"})
	c.fails(command.ExitUsage, "a contract and its fields", "create", "stream", "--derived-from", "web", "--levels", "1", "-M", "nothing")
	c.fails(command.ExitUsage, "for a derived stream", "create", "stream", "x1", "-M", fields)
	c.fails(command.ExitUsage, "no use without", "create", "stream", "--derived-from", "web", "--levels", "1", "--mask-seed", "s")
	c.fails(command.ExitRefused, "is not in the schema", "create", "stream", "--derived-from", "web", "--levels", "1", "-M", "strmprivacy/example/1.5.0:nothing")

	c.ok("sinks", "create", "folder", "k", "--bucket-name", dir)
	equal(t, c.ok("create", "exporter", "web", "--sink-name=k", "--interval", "1", "--export-keys"), map[string]any{"name": "k-web-keys", "exportKeys": true})
	c.fails(command.ExitRefused, "web-M3 is derived", "create", "exporter", "web-M3", "--sink-name=k", "--interval", "1", "--export-keys")
	c.ok("simulate", "random-events", "web", "--count", "20", "--interval", "0", "--quiet")

	until := time.Now().Add(15 * time.Second)
	var keys []byte
	for len(keys) == 0 && time.Now().Before(until) {
		files, err := filepath.Glob(filepath.Join(dir, "*-keys-*{0}.csv"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if keys, err = os.ReadFile(f); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !strings.HasPrefix(string(keys), "keyLink,encryptionKey,policyId,expiresAt\n") || !strings.Contains(string(keys), `""primaryKeyId""`) {
		t.Errorf("the keys are %.300s", keys)
	}
	session := gjson.Get(c.ok("listen", "events", "web", "--from", "EARLIEST", "--limit", "1"), "strmMeta.keyLink").Str
	if session == "" || !strings.Contains(string(keys), session) {
		t.Errorf("the key of %s is not exported", session)
	}
	equal(t, c.ok("get", "key-links", "nobody"), map[string]any{"dataSubjectId": "nobody", "keylinksAndTimestamps": []any{}})

	counted := func(c *terminal) {
		t.Helper()
		sum := 0
		for _, window := range gjson.Parse(c.ok("get", "usage", "web")).Array() {
			sum += int(window.Get("eventCount").Int())
		}
		if sum != 20 {
			t.Errorf("usage tells of %d events", sum)
		}
		lines := strings.Split(strings.TrimSpace(c.ok("get", "usage", "web", "--interval", "6h", "-o", "csv")), "\n")
		if len(lines) != 5 || lines[0] != "from,count,duration,change,rate" || !strings.HasSuffix(lines[1], ",0,21600,NaN,NaN") || !strings.HasSuffix(lines[4], ",20,21600,20,0.0009259") {
			t.Errorf("as CSV:\n%s", strings.Join(lines, "\n"))
		}
	}
	counted(c)
	c.fails(command.ExitUsage, "--output", "list", "streams", "-o", "csv")
	c.fails(command.ExitRefused, "whole minutes", "get", "usage", "web", "--interval", "1s")
	c.fails(command.ExitUsage, "--bucket-name and --credentials-file are needed", "sinks", "create", "gcs", "g")
	c.fails(command.ExitRefused, "service_account", "sinks", "create", "gcs", "g", "--bucket-name", "bucket", "-cf", c.file("gcs.json", "{}"))
	s.end()
	counted(serve(t, data, env).withAdmin())
}
