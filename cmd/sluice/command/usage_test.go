package command_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/cmd/sluice/command"
)

// Wrong usage exits 2, says what to do on stderr, and tries nothing: no server runs here.
func TestWrongUsage(t *testing.T) {
	c := newTerminal(t, "SLUICE_TOKEN=t")
	for _, u := range []struct{ args, says string }{
		{"lst", `did you mean "sluice list"?`},
		{"create strem x", `did you mean "sluice create stream"?`},
		{"create nonsense", ", data-contract, "},
		{"config lnt x", `did you mean "sluice config lint"?`},
		{"serve --lisen x", "did you mean --listen?"},
		{"serve --qqqqqqqq x", "the flag --qqqqqqqq is not known"},
		{"serve --grace soon --listen 80", "listen must be host:port"},
		{"serve extra", "extra"},
		{"get stream", "1 arg"},
		{"-o yaml list stream", "--output must be json or json-raw or table or plain"},
		{"create stream", "a stream needs a NAME"},
		{"create stream x --levels 1", "--derived-from"},
		{"create stream x --derived-from y", "--levels"},
		{"create stream x --derived-from y --levels 1 --payload json", "from its source"},
		{"create stream x --sink y", "--payload"},
		{"create stream x --gzip", "--payload"},
		{"list unparsable", "arg"},
		{"create stream x --derived-from y --levels one", "levels"},
		{"update stream x", "nothing to change"},
		{"update stream x --enable --disable", "not both"},
		{"update project x", "nothing to change"},
		{"create data-contract a/b", "three parts"},
		{"get data-contract a/b/", "three parts"},
		{"create data-contract a/b/1.0.0", "--schema-definition and --contract-definition are needed"},
		{"listen events x --client-id y", "go together"},
		{"listen events x --envelope airship", "--envelope must be"},
		{"simulate random-events x --interval -1", "must not be negative"},
		{"simulate random-events x --session-range 0", "1 or more"},
		{"demo --rate 0", "--rate"},
		{"completion tcsh", "bash, zsh and fish"},
		{"--generate-completion tcsh", "bash, zsh and fish"},
		{"list stream --url nowhere", "must look like http://127.0.0.1:8080"},
	} {
		c.fails(command.ExitUsage, u.says, strings.Fields(u.args)...)
		c.fails(command.ExitUsage, "--help", strings.Fields(u.args)...)
	}
	newTerminal(t).fails(command.ExitUsage, "no token", "list", "stream")
}

func TestHelpVersionCompletion(t *testing.T) {
	c := newTerminal(t)
	for args, want := range map[string]string{
		"":                           "Available Commands",
		"--help":                     "sluice demo",
		"create":                     "data-contract",
		"version":                    "sluice ",
		"completion bash":            "__start_sluice",
		"completion zsh":             "#compdef sluice",
		"completion fish":            "complete -c sluice",
		"--generate-completion bash": "__start_sluice",
		"--generate-completion zsh":  "#compdef sluice",
		"--generate-completion fish": "complete -c sluice",
	} {
		if out := c.ok(strings.Fields(args)...); !strings.Contains(out, want) {
			t.Errorf("sluice %s does not say %q", args, want)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	c := newTerminal(t, "SLUICE_LOG_LEVEL=debug", "SLUICE_LOGLEVEL=debug", "SLUICE_ENGINE_URL=nats://u:hunter2@h:4222")
	example := c.file("example.yaml", c.ok("config", "example"))
	if out := c.ok("config", "lint", example); !strings.Contains(out, "is in order") {
		t.Errorf("lint of the example says %q", out)
	}
	got := c.run("config", "--config", example, "--retention-age", "1d")
	if got.code != 0 || strings.Contains(got.out, "hunter2") {
		t.Errorf("config: exit %d, %s", got.code, got.out)
	}
	for _, want := range []string{"# --retention-age", "# SLUICE_LOG_LEVEL", "# " + example} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in %s", want, got.out)
		}
	}
	if !strings.Contains(got.errors, "SLUICE_LOGLEVEL is not known; did you mean SLUICE_LOG_LEVEL?") {
		t.Errorf("no warning in %q", got.errors)
	}
	wrong := c.file("wrong.yaml", "lisen: x\ngrace: y\n")
	c.fails(command.ExitRefused, "lisen is not known; did you mean listen?", "config", "lint", wrong)
	c.fails(command.ExitRefused, "has 2 faults", "config", "lint", wrong)
	c.fails(command.ExitUsage, "did you mean listen?", "serve", "--config", wrong)
	c.fails(command.ExitRefused, "cannot be read", "config", "lint", filepath.Join(t.TempDir(), "none"))
}

func TestNoServer(t *testing.T) {
	newTerminal(t, "SLUICE_TOKEN=t", "SLUICE_URL=http://127.0.0.1:1").fails(command.ExitRefused, "Start one with `sluice serve`", "list", "stream")
}

// The version stands in the User-Agent of deliveries, as one token of a header.
func TestVersionFitsAHeader(t *testing.T) {
	if v := command.Version(); !regexp.MustCompile(`^[0-9A-Za-z.+-]+$`).MatchString(v) {
		t.Errorf("the version is %q", v)
	}
}
