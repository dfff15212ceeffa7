package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/command"
)

// members counts the members of a JSON object.
func members(text string) int { return len(gjson.Parse(text).Map()) }

// The commands of 2021 print what they printed then: these members, and no others.
func TestStreams2021(t *testing.T) {
	s, c := admin(t)
	if out := c.ok("streams", "list"); strings.TrimSpace(out) != "[]" {
		t.Errorf("nothing is listed as %q", out)
	}
	made := c.ok("streams", "create", "bart", "-d", "clicks", "-t", "a", "-t", "b", "--save")
	equal(t, made, map[string]any{"name": "bart", "tags": []any{"a", "b"}})
	if members(made) != 3 || gjson.Get(made, "credentials.clientId").Str == "" || gjson.Get(made, "credentials.clientSecret").Str == "" {
		t.Errorf("made as %s", made)
	}
	c.ok("simulate", "random-events", "bart", "--count", "1", "--quiet") // with what --save kept

	for args, want := range map[string]map[string]any{
		"bart level0-1 -cl 0 -cl 1 -clt GRANULAR -d why -t x -dn mine": {"name": "level0-1", "consentLevels": []any{0, 1}, "consentLevelType": "GRANULAR", "tags": []any{"x"}},
		"bart level2 --consent-level=2":                                {"name": "level2", "consentLevels": []any{2}, "consentLevelType": "CUMULATIVE"},
		"bart -cl 3 -clt cumulative --save":                            {"name": "bart-3", "consentLevels": []any{3}},
		"bart -cl=1 -clt=granular --decrypter-name d":                  {"name": "bart-1", "consentLevels": []any{1}, "consentLevelType": "GRANULAR"},
	} {
		out := c.ok(append([]string{"outputs", "create"}, strings.Fields(args)...)...)
		equal(t, out, want)
		equal(t, out, map[string]any{"linkedStream": "bart", "decrypterName": "default"})
		if members(out) != 7 || gjson.Get(out, "credentials.clientSecret").Str == "" {
			t.Errorf("%s made %s", args, out)
		}
	}
	equal(t, c.ok("outputs", "list", "bart"), map[string]any{"#.name": []any{"bart-1", "bart-3", "level0-1", "level2"}, "0.credentials.clientSecret": nil})
	got := c.ok("outputs", "get", "bart", "level0-1")
	if equal(t, got, map[string]any{"name": "level0-1", "credentials.clientSecret": nil}); members(got) != 7 {
		t.Errorf("an output is %s", got)
	}
	equal(t, c.ok("streams", "list"), map[string]any{"#.name": []any{"bart"}})
	if got := c.ok("streams", "get", "bart"); members(got) != 3 || gjson.Get(got, "credentials.clientSecret").Exists() {
		t.Errorf("a stream is %s", got)
	}
	if table := c.ok("outputs", "list", "bart", "-o", "table"); !strings.Contains(table, "level0-1") || !strings.Contains(table, "GRANULAR") {
		t.Errorf("the table is\n%s", table)
	}

	c.fails(command.ExitUsage, "--consent-level", "outputs", "create", "bart", "x")
	c.fails(command.ExitUsage, "did you mean --consent-level?", "outputs", "create", "bart", "x", "--consent-levl", "1")
	c.fails(command.ExitUsage, `did you mean "sluice outputs create"?`, "outputs", "creat", "bart")
	c.fails(command.ExitUsage, `did you mean "sluice streams list"?`, "streams", "lst")
	c.fails(command.ExitRefused, "exactly one level", "outputs", "create", "bart", "x", "-cl", "1", "-cl", "2")
	c.fails(command.ExitRefused, "404", "outputs", "create", "lisa", "-cl", "1")
	c.fails(command.ExitRefused, "has no derived stream", "outputs", "get", "bart", "level9")

	c.fails(command.ExitRefused, "still has", "streams", "delete", "bart")
	equal(t, c.ok("outputs", "delete", "bart", "level2"), map[string]any{"name": "level2", "linkedStream": "bart"})
	gone := c.ok("streams", "delete", "bart", "--recursive")
	equal(t, gone, map[string]any{"stream.name": "bart", "derived.#.name": []any{"bart-1", "bart-3", "level0-1"}})
	host := strings.NewReplacer("http://", "", ":", "_").Replace(s.url)
	saved := filepath.Join(strings.TrimPrefix(c.env[0], "HOME="), ".config", "sluice", "saved", host, "default")
	if left, err := os.ReadDir(saved); err != nil || len(left) != 0 {
		t.Errorf("saved credentials outlive their streams: %v, %v", left, err)
	}
}

// One delete takes several names. What went is printed, what was refused is told, and the exit code says that not all went.
func TestDeleteSeveral(t *testing.T) {
	_, c := admin(t)
	for _, name := range []string{"one", "two", "three", "four", "five"} {
		c.ok("create", "stream", name)
	}
	c.ok("create", "stream", "--derived-from", "four", "--levels", "1")
	equal(t, c.ok("delete", "stream", "one", "two"), map[string]any{"#.ref.name": []any{"one", "two"}})
	some := c.run("delete", "streams", "three", "none", "four")
	if equal(t, some.out, map[string]any{"#.ref.name": []any{"three"}}); some.code != command.ExitRefused ||
		!strings.Contains(some.errors, "none: ") || !strings.Contains(some.errors, "four: Cannot delete stream four") {
		t.Errorf("exit %d, %s", some.code, some.errors)
	}
	c.fails(command.ExitRefused, "404", "delete", "stream", "nobody")
	c.fails(command.ExitUsage, "arg", "delete", "stream")
	if out := c.ok("delete", "stream", "-r", "four", "five", "-o", "plain"); out != "four\nfour-1\nfive\n" {
		t.Errorf("gone are %q", out)
	}
	c.ok("create", "project", "p1")
	c.ok("create", "project", "p2")
	equal(t, c.ok("delete", "project", "p1", "p2"), map[string]any{"#.name": []any{"p1", "p2"}})
}

// The same answer in the forms there are.
func TestOutputForms(t *testing.T) {
	_, c := admin(t)
	c.ok("create", "stream", "web", "-d", "a\ttab and\nline")
	c.ok("create", "stream", "--derived-from", "web", "--levels", "0,1", "--consent-type", "granular")
	if raw := c.ok("list", "streams", "-o", "json-raw"); strings.Count(raw, "\n") != 1 || gjson.Get(raw, "#").Int() != 2 {
		t.Errorf("raw is %q", raw)
	}
	if plain := c.ok("list", "streams", "-o", "plain"); plain != "web\nweb-0-1\n" {
		t.Errorf("plain is %q", plain)
	}
	lines := strings.Split(strings.TrimSpace(c.ok("list", "streams", "-o", "table")), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "CONSENT LEVEL TYPE") || !strings.Contains(lines[1], "a tab and line") || !strings.Contains(lines[2], "0,1") {
		t.Errorf("the table is %q", lines)
	}
	if tree := c.ok("get", "stream", "web", "-r", "-o", "plain"); tree != "web\nweb-0-1\n" {
		t.Errorf("the tree is %q", tree)
	}
	equal(t, c.ok("get", "stream", "web", "--recursive"), map[string]any{"stream.ref.name": "web", "derived.0.ref.name": "web-0-1"})
	equal(t, c.ok("update", "stream", "web-0-1", "--levels", "2", "--consent-type", "cumulative"), map[string]any{"consentLevels": []any{2}, "consentLevelType": "CUMULATIVE"})
	header, _, _ := strings.Cut(c.ok("list", "data-contracts", "-o", "table"), "\n")
	for _, title := range []string{"DATA CONTRACT", "STATE", "PUBLIC", "KEY FIELD", "# PII FIELDS", "# VALIDATIONS"} {
		if !strings.Contains(header, title) {
			t.Errorf("%q is not in %q", title, header)
		}
	}
	if row := c.ok("get", "data-contract", "strmprivacy/clickstream/1.0.0", "-o", "table"); !strings.Contains(row, "producerSessionId   2") {
		t.Errorf("the contract's row is\n%s", row)
	}
}
