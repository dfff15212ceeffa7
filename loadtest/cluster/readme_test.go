//go:build parts

package cluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// freeTens finds the front of four digits of ten ports in a row that are free.
func freeTens(t *testing.T) string {
	t.Helper()
next:
	for range 100 {
		front := 2000 + rand.IntN(1200)
		for i := range 10 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d%d", front, i))
			if err != nil {
				continue next
			}
			l.Close()
		}
		return fmt.Sprint(front)
	}
	t.Fatal("no free ports")
	return ""
}

// The cluster of the README is run as it is written, but for ports and binaries, and prints what is written.
func TestReadmeCluster(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Scaling to a cluster\n")
	section, _, found := strings.Cut(section, "\n## ")
	var script, printed []string
	for _, b := range regexp.MustCompile("(?ms)^```(sh|output)\n(.*?)^```$").FindAllStringSubmatch(section, -1) {
		switch {
		case b[1] == "output":
			printed = append(printed, strings.Split(strings.TrimSpace(b[2]), "\n")...)
		case !strings.HasPrefix(b[2], "go build"):
			script = append(script, b[2])
		}
	}
	if !found || len(script) != 1 || len(printed) < 4 {
		t.Fatalf("%d blocks to run, %d lines of output", len(script), len(printed))
	}
	dir := t.TempDir()
	for name, target := range map[string]string{"sluice": binary, "nats-server": logServerBinary} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	tens := strings.NewReplacer("127.0.0.1:422", "127.0.0.1:"+freeTens(t), "127.0.0.1:622", "127.0.0.1:"+freeTens(t), "127.0.0.1:808", "127.0.0.1:"+freeTens(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// The trap ends all that the shell started, also when the time is up.
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -euo pipefail\ntrap 'kill -9 $(jobs -p) 2>/dev/null || true' EXIT\ntrap 'exit 1' INT TERM\n"+tens.Replace(script[0]))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rest := string(out)
	for _, line := range printed {
		_, after, ok := strings.Cut(rest, strings.TrimSpace(line))
		if !ok {
			t.Errorf("it does not print %q, after what comes before; it prints\n%s", line, out)
			continue
		}
		rest = after
	}
}
