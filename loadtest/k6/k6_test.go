//go:build parts

package k6_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/loadtest/drive"
	"sluice/loadtest/receiver"
	"sluice/loadtest/server"
)

var sluice, k6 string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-k6-")
	if err == nil {
		sluice, err = server.Build(context.Background(), dir, false)
	}
	if k6 = os.Getenv("LOADTEST_K6"); err == nil && k6 == "" {
		k6, err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// build compiles the k6 that the module in tools pins.
func build(dir string) (string, error) {
	path := filepath.Join(dir, "k6")
	cmd := exec.Command("go", "build", "-o", path, "go.k6.io/k6")
	cmd.Dir = "tools"
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build k6: %w\n%s", err, out)
	}
	return path, nil
}

const (
	seconds = 3
	// bounded is how long a scenario may take with all it waits for.
	bounded = 5 * time.Minute
	secret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// run runs a scenario and gives what k6 printed, and its error: that of a threshold that was crossed too.
func run(t *testing.T, scenario string, p *server.Process, door drive.Door, env ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bounded)
	defer cancel()
	cmd := exec.CommandContext(ctx, k6, "run", "--no-usage-report", "--no-color", "--quiet", "--address", "", scenario)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "K6_AUTO_EXTENSION_RESOLUTION=false", "NO_COLOR=1",
		"BASE=" + p.Base, "STREAM=" + door.Name, "TOKEN=" + door.Token, fmt.Sprint("SECONDS=", seconds), "USERS=8",
	}, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func start(t *testing.T) *server.Process {
	t.Helper()
	p, err := server.Start(t.Context(), server.Config{Binary: sluice, Data: t.TempDir(), Env: []string{"SLUICE_WEBHOOKS_ALLOW_CIDRS=127.0.0.1/32"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func stream(t *testing.T, p *server.Process, name string) drive.Door {
	t.Helper()
	d, err := drive.Source(t.Context(), p.Admin, name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// hook makes a webhook from a stream to a receiver and gives the variable that tells the scenario of it.
func hook(t *testing.T, p *server.Process, door drive.Door, cfg receiver.Config) string {
	t.Helper()
	cfg.Secret = secret
	r, err := receiver.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	body, err := json.Marshal(map[string]any{"name": "k6", "stream": door.Name, "url": r.URL, "secret": secret})
	if err != nil {
		t.Fatal(err)
	}
	if status, answer, err := p.Call(t.Context(), http.MethodPost, "/v1/webhooks", body); err != nil || status != http.StatusCreated {
		t.Fatalf("create a webhook: %d %s %v", status, answer, err)
	}
	return "RECEIVER=" + strings.TrimSuffix(r.URL, "/hook") + "/counts"
}

// Every scenario holds against a real server.
func TestScenarios(t *testing.T) {
	p := start(t)
	for _, scenario := range []string{"single.js", "bulk.js", "longpoll.js", "websocket.js", "webhook.js"} {
		t.Run(scenario, func(t *testing.T) {
			door := stream(t, p, strings.TrimSuffix(scenario, ".js"))
			var env []string
			if scenario == "webhook.js" {
				env = append(env, hook(t, p, door, receiver.Config{}))
			}
			out, err := run(t, scenario, p, door, env...)
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			for line := range strings.Lines(out) {
				if strings.Contains(line, "events_") || strings.Contains(line, "checks_succeeded") {
					t.Log(strings.TrimSpace(line))
				}
			}
		})
	}
}

// A scenario that cannot fail would show nothing: one whose token is wrong, and one whose receiver loses events, end with an error.
func TestScenariosFail(t *testing.T) {
	p := start(t)
	door := stream(t, p, "refused")
	door.Token = "not-a-token"
	if out, err := run(t, "single.js", p, door); err == nil || !strings.Contains(out, "is 204") {
		t.Errorf("with a wrong token: %v\n%s", err, out)
	}
	if out, err := run(t, "amperity.js", p, door, "RATE=80", "SECONDS=1"); err == nil || !strings.Contains(out, "not accepted: status 401") {
		t.Errorf("payloads with a wrong token: %v\n%s", err, out)
	}
	door = stream(t, p, "unheard")
	// The ledger sees another receiver's answers: what is stored never arrives there.
	other := stream(t, p, "elsewhere")
	if out, err := run(t, "webhook.js", p, door, hook(t, p, other, receiver.Config{}), "PATIENCE=1"); err == nil || !strings.Contains(out, "everything arrived") {
		t.Errorf("with a webhook of another stream: %v\n%s", err, out)
	}
}
