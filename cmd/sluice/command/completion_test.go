package command_test

import (
	"strings"
	"testing"
)

// The tab key proposes the streams there are wherever one is named, and nothing where no server answers.
func TestCompleteStreams(t *testing.T) {
	_, c := admin(t)
	c.ok("create", "stream", "web")
	c.ok("create", "stream", "--derived-from", "web", "--levels", "2")
	const names = "web\nweb-2\n"
	for args, want := range map[string]string{
		"get stream": names, "delete streams": names, "update stream": names, "listen events": names, "listen web-socket": names, "simulate random-events": names,
		"list consumers": names, "exporters create": names, "create webhook": names, "outputs list": names,
		"create stream": "", "get project": "", "get stream web": "",
	} {
		out := c.ok(append(append([]string{"__complete"}, strings.Fields(args)...), "")...)
		if got, _, _ := strings.Cut(out, ":"); got != want {
			t.Errorf("after %s come %q, want %q", args, got, want)
		}
	}
	alone := newTerminal(t, "SLUICE_URL=http://127.0.0.1:1", "SLUICE_TOKEN=t")
	if out := alone.ok("__complete", "get", "stream", ""); !strings.HasPrefix(out, ":") {
		t.Errorf("without a server come %q", out)
	}
}
