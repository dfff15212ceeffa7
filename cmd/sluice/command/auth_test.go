package command_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/command"
)

// piped runs a command with something on its standard input.
func (c *terminal) piped(input string, args ...string) output {
	c.t.Helper()
	var out, errs bytes.Buffer
	m := command.Main{Stdin: strings.NewReader(input), Stdout: &out, Stderr: &errs, Env: c.env}
	code := m.Run(c.t.Context(), args)
	return output{code, out.String(), errs.String()}
}

func TestAuth(t *testing.T) {
	s, root := admin(t)
	const password = "the password of Ann"
	root.ok("create", "project", "shop")
	if got := root.piped(password+"\n", "-p", "shop", "create", "user", "ann@example.com", "--password-stdin"); got.code != command.ExitOK {
		t.Fatalf("%+v", got)
	}
	c := newTerminal(t)
	home := strings.TrimPrefix(c.env[0], "HOME=")
	file := filepath.Join(home, ".config", "sluice", "credentials.json")
	c.fails(command.ExitRefused, "sluice auth login", "auth", "show")
	c.fails(command.ExitUsage, "sluice auth login", "list", "streams")
	c.fails(command.ExitUsage, "name the e-mail address", "auth", "login")
	c.fails(command.ExitUsage, "--password-stdin", "auth", "login", "ann@example.com")
	if got := c.piped("wrong\n", "--url", s.url, "auth", "login", "ann@example.com", "--password-stdin"); got.code != command.ExitRefused || !strings.Contains(got.errors, "is wrong (401)") {
		t.Errorf("%+v", got)
	}
	if got := c.piped(password+"\n", "--url", s.url, "auth", "login", "ann@example.com", "--password-stdin"); got.code != command.ExitOK || got.out != "Succesfully logged in as ann@example.com\n" {
		t.Fatalf("%+v", got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}

	// The login names the server and the project from now on.
	c.ok("create", "stream", "till")
	equal(t, root.ok("-p", "shop", "get", "stream", "till"), map[string]any{"ref.name": "till"})
	show := c.ok("auth", "show")
	if !regexp.MustCompile(`^Credentials for ann@example\.com\nBilling id = shop\d{10}\nCurrent token valid until = \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d UTC\n$`).MatchString(show) {
		t.Errorf("show prints %q", show)
	}
	if table := c.ok("auth", "show", "--json", "-o", "table"); !strings.Contains(table, " UTC") {
		t.Errorf("a table for people: %s", table)
	}
	asJSON := c.ok("auth", "show", "--json")
	var members map[string]any
	if err := json.Unmarshal([]byte(asJSON), &members); err != nil || len(members) != 5 {
		t.Errorf("%s, %v", asJSON, err)
	}
	token := strings.TrimSpace(c.ok("auth", "print-access-token"))
	if token != gjson.Get(asJSON, "idToken").Str || strings.Count(token, ".") != 2 {
		t.Errorf("token %q", token)
	}
	// Another server does not see the token.
	c.fails(command.ExitUsage, "no token", "--url", "http://127.0.0.1:1", "list", "streams")
	// One that is nearly over is renewed without a word.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`"expiresAt": \d+`).ReplaceAll(text, []byte(`"expiresAt": 1000000000`))
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	c.ok("list", "streams")
	if until := gjson.Get(c.ok("auth", "show", "--json"), "expiresAt").Int(); until < time.Now().Unix() {
		t.Errorf("not renewed: %d", until)
	}
	if out := c.ok("auth", "revoke"); out != "Logged out ann@example.com\n" {
		t.Errorf("revoke prints %q", out)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
	root.fails(command.ExitRefused, "401", "--token", token, "-p", "shop", "list", "streams")
	// A saved login that has ended is said to be.
	if err := os.WriteFile(file, old, 0o600); err != nil {
		t.Fatal(err)
	}
	c.fails(command.ExitRefused, "login is over", "list", "streams")
	c.ok("auth", "revoke")
}

func TestKeysAndTokens(t *testing.T) {
	_, c := admin(t)
	made := c.ok("create", "api-key", "web", "--type", "streaming-ingest")
	equal(t, made, map[string]any{"name": "web", "type": "STREAMING_INGEST_WRITE", "tenant": "default"})
	id := gjson.Get(made, "id").Str
	equal(t, c.ok("create", "api-key", "issuer", "--type", "issuer"), map[string]any{"type": "API_TOKEN_ISSUER"})
	c.fails(command.ExitUsage, "--type", "create", "api-key", "other", "--type", "root")
	token := c.ok("create", "token", "--api-key", id, "--days", "3")
	until, err := time.Parse(time.RFC3339, gjson.Get(token, "expires_at").Str)
	if left := time.Until(until); err != nil || left < 71*time.Hour || left > 72*time.Hour || gjson.Get(token, "token_type").Str != "Bearer" {
		t.Errorf("%s, %v", token, err)
	}
	c.ok("create", "token", "--api-key", "web", "--expires-at", time.Now().Add(time.Hour).Format(time.RFC3339))
	for says, args := range map[string][]string{
		"whose": {"create", "token"}, "how long": {"create", "token", "--api-key", "web"}, "takes a time": {"create", "token", "--api-key", "web", "--expires-at", "soon"},
		"which tokens": {"revoke", "api-key", "web"}, "no end": {"create", "token", "--integration", "in", "--days", "3"}, "whose token:": {"delete", "token", "first"},
	} {
		c.fails(command.ExitUsage, says, args...)
	}
	rotated := c.ok("rotate", "api-key", "web")
	if gjson.Get(rotated, "clientSecret").Str == "" || gjson.Get(rotated, "oldTokensUntil").Str == "" {
		t.Errorf("rotated: %s", rotated)
	}
	if gjson.Get(c.ok("revoke", "api-key", "web", "--old"), "oldTokensUntil").Exists() {
		t.Error("the old tokens are still good")
	}
	c.ok("revoke", "api-key", id, "--all")
	c.fails(command.ExitUsage, "nope cannot be read: no such file", "create", "data-contract", "acme/clicks/1.0.0", "--schema-definition", "nope", "--contract-definition", "nope")
	if table := c.ok("list", "api-keys", "-o", "table"); !strings.Contains(table, id) {
		t.Errorf("%s", table)
	}
	c.ok("delete", "api-key", "web")
	c.fails(command.ExitRefused, "404", "get", "api-key", "web")

	c.ok("create", "stream", "web")
	equal(t, c.ok("create", "integration", "in", "--stream", "web", "--types", "CUSTOM,OPEN", "--location"),
		map[string]any{"stream": "web", "types": []any{"CUSTOM", "OPEN"}, "sendLocationEvents": true, "tokens.#.name": []any{"first"}})
	equal(t, c.ok("create", "token", "--integration", "in", "--name", "second"), map[string]any{"name": "second"})
	equal(t, c.ok("list", "tokens", "--integration", "in"), map[string]any{"#.name": []any{"first", "second"}})
	equal(t, c.ok("update", "integration", "in", "--types", "", "--location=false"), map[string]any{"types": nil, "sendLocationEvents": false})
	equal(t, c.ok("delete", "token", "first", "--integration", "in"), map[string]any{"name": "first"})
	equal(t, c.ok("delete", "stream", "web", "--recursive"), map[string]any{"integrations.#.name": []any{"in"}})
	if table := c.ok("list", "audit", "-o", "table", "--event", "api-key/rotated"); !strings.Contains(table, id) || strings.Count(table, "\n") != 2 {
		t.Errorf("%s", table)
	}
}
