package command_test

import (
	"strings"
	"testing"
)

// The tab key proposes what there is wherever it is named, and nothing where no server answers.
func TestComplete(t *testing.T) {
	_, c := admin(t)
	c.ok("create", "stream", "web")
	c.ok("create", "stream", "--derived-from", "web", "--levels", "2")
	const names = "web\nweb-2\n"
	for args, want := range map[string]string{
		"get stream": names, "delete streams": names, "update stream": names, "listen events": names, "listen web-socket": names, "simulate random-events": names,
		"list consumers": names, "exporters create": names, "create webhook": names, "outputs list": names,
		"create stream": "", "get stream web": "",
	} {
		out := c.ok(append(append([]string{"__complete"}, strings.Fields(args)...), "")...)
		if got, _, _ := strings.Cut(out, ":"); got != want {
			t.Errorf("after %s come %q, want %q", args, got, want)
		}
	}
	c.ok("create", "project", "shop")
	c.ok("create", "api-key", "till", "--type", "streaming-ingest")
	c.ok("create", "integration", "warehouse", "--stream", "web")
	for args, want := range map[string]string{
		"get project": "default\nshop\n", "update project": "default\nshop\n", "delete api-keys": "till\n", "revoke api-key": "till\n",
		"get integration": "warehouse\n", "get webhook": "", "create project": "", "create api-key": "", "get stream web": "",
	} {
		out := c.ok(append(append([]string{"__complete"}, strings.Fields(args)...), "")...)
		if got, _, _ := strings.Cut(out, ":"); got != want {
			t.Errorf("after %s come %q, want %q", args, got, want)
		}
	}
	for _, args := range []string{"get data-contract", "activate data-contract", "archive data-contract"} {
		if out := c.ok(append(append([]string{"__complete"}, strings.Fields(args)...), "")...); !strings.Contains(out, "strmprivacy/example/1.5.0\n") {
			t.Errorf("after %s come %q", args, out)
		}
	}
	if out := c.ok("list", "integrations", "-o", "table"); !strings.Contains(out, "DESCRIPTION") {
		t.Errorf("a table without a column for descriptions: %s", out)
	}
	alone := newTerminal(t, "SLUICE_URL=http://127.0.0.1:1", "SLUICE_TOKEN=t")
	if out := alone.ok("__complete", "get", "stream", ""); !strings.HasPrefix(out, ":") {
		t.Errorf("without a server come %q", out)
	}
}
