package main

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// runMain, set in the environment, makes the test's binary the program itself, so that signals and exit codes are tested as they are.
const runMain = "SLUICE_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		os.Unsetenv(runMain) // the program would warn of it
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// program is the program with these arguments.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = []string{runMain + "=1", "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	return cmd
}

// started starts `sluice serve` and gives the URL it logs that it listens on.
func started(t *testing.T) (cmd *exec.Cmd, url string) {
	t.Helper()
	cmd = program(t, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(t.TempDir(), "data"))
	return cmd, listening(t, cmd)
}

// listening starts a server and gives the URL it logs that it listens on.
func listening(t *testing.T, cmd *exec.Cmd) (url string) {
	t.Helper()
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(log)
	said := regexp.MustCompile(`"msg":"listening","url":"([^"]+)"`)
	for lines.Scan() {
		if m := said.FindStringSubmatch(lines.Text()); m != nil {
			go func() { // a full pipe would stop the program
				for lines.Scan() {
				}
			}()
			return m[1]
		}
	}
	t.Fatalf("it does not listen: %v", lines.Err())
	return ""
}

// A signal is an order to stop: what is in hand is finished, the exit code is 0. A second one ends it at once.
func TestSignals(t *testing.T) {
	for _, sig := range orders() {
		cmd, _ := started(t)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("after %v: %v", sig, err)
		}
	}
	cmd, url := started(t)
	// A request that never ends keeps the program from stopping before its grace of 10 s is over.
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n")); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for n := 0; ; n++ {
		// Signals that come close together are one: they are sent until the program is gone.
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			if exit, ok := err.(*exec.ExitError); n > 0 && (!ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM) {
				t.Errorf("after a second signal: %v", err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func TestExitCodes(t *testing.T) {
	for args, want := range map[string]int{"version": 0, "lst": 2, "config lint /nowhere": 1} {
		err := program(t, strings.Fields(args)...).Run()
		got := 0
		if exit, ok := err.(*exec.ExitError); ok {
			got = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("sluice %s exits %d, want %d", args, got, want)
		}
	}
}
