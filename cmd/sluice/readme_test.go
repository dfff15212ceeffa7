package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/config"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The tour of the README is run as it is written, all its bash blocks in one shell, but for the port, which may be taken. What it says
// that is printed must be printed: every line of a text block after a bash block, with … for what differs from run to run.
func TestReadmeTour(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Logf("%s is not installed: the tour is left to .ci/run", tool)
			return
		}
	}
	blocks := regexp.MustCompile("(?ms)^```(bash|text)\n(.*?)^```$").FindAllStringSubmatch(readme(t), -1)
	var script, printed []string
	for _, b := range blocks {
		if b[1] == "bash" {
			script = append(script, b[2])
		} else if len(script) > 0 {
			printed = append(printed, strings.Split(strings.TrimSpace(b[2]), "\n")...)
		}
	}
	if len(script) < 4 || len(printed) < 4 {
		t.Fatalf("%d blocks to run, %d lines of output", len(script), len(printed))
	}
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "sluice")); err != nil {
		t.Fatal(err)
	}
	plain, secure := freeAddress(t), freeAddress(t)
	all := strings.NewReplacer("127.0.0.1:8080", plain, "127.0.0.1:8443", secure).Replace(strings.Join(script, "\n"))
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"+all)
	cmd.Dir = dir
	cmd.Env = []string{runMain + "=1", "HOME=" + dir, "PATH=" + os.Getenv("PATH"), "SLUICE_LISTEN=" + plain}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rest := string(out)
	for _, line := range printed {
		line = strings.TrimSpace(line)
		pattern := strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*?")
		at := regexp.MustCompile(pattern).FindStringIndex(rest)
		if at == nil {
			t.Errorf("it does not print %q, after what comes before; it prints\n%s", line, out)
			continue
		}
		rest = rest[at[1]:]
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The README's table of settings is the settings, with their defaults.
func TestReadmeSettings(t *testing.T) {
	text := readme(t)
	table := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| (?:`([^`]*)`|none) \\|").FindAllStringSubmatch(text, -1) {
		table[m[1]] = m[2]
	}
	l, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range l.Settings() {
		if got, ok := table[s.Path]; !ok || got != s.Value {
			t.Errorf("setting %s, default %q, is %q in the README (%v)", s.Path, s.Value, got, ok)
		}
		delete(table, s.Path)
	}
	for path := range table {
		t.Errorf("the README has a setting %s that there is not", path)
	}
}
