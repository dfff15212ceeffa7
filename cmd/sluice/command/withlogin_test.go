package command_test

import (
	"strings"
	"testing"

	"sluice/cmd/sluice/command"
)

// Who logged in sends to and reads the streams of the project without their credentials: those of a stream are shown once, and may be
// with somebody else.
func TestSimulateAndListenWithLogin(t *testing.T) {
	s, root := admin(t)
	const password = "the password of Ann"
	if got := root.piped(password+"\n", "create", "user", "ann@example.com", "--password-stdin"); got.code != command.ExitOK {
		t.Fatalf("%+v", got)
	}
	root.ok("streams", "create", "bart")
	root.ok("create", "stream", "--derived-from", "bart", "--levels", "0")
	c := newTerminal(t)
	for _, args := range [][]string{{"simulate", "random-events", "bart", "--count", "1"}, {"listen", "events", "bart", "--limit", "1"}} {
		c.fails(command.ExitRefused, "sluice auth login", append(args, "--url", s.url)...)
	}
	if got := c.piped(password+"\n", "--url", s.url, "auth", "login", "ann@example.com", "--password-stdin"); got.code != command.ExitOK {
		t.Fatalf("%+v", got)
	}
	c.ok("simulate", "random-events", "bart", "--count", "3", "--interval", "0")
	c.fails(command.ExitRefused, "bart-0", "simulate", "random-events", "bart-0", "--count", "1", "--quiet")
	for _, kind := range []string{"events", "web-socket"} {
		if got := c.ok("listen", kind, "bart", "--from", "EARLIEST", "--limit", "3"); strings.Count(got, "\n") != 3 {
			t.Errorf("%s: %q", kind, got)
		}
	}
	// The admin token may do it too.
	root.ok("simulate", "random-events", "bart", "--count", "1", "--quiet")
	if got := root.ok("listen", "events", "bart", "--from=-1", "--limit", "1"); !strings.Contains(got, "strmMeta") {
		t.Errorf("%q", got)
	}
}
