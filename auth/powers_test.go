package auth_test

import (
	"strings"
	"testing"

	"sluice/auth"
)

// TestPowers holds the whole table: a caller may do what stands in its row and nothing else.
func TestPowers(t *testing.T) {
	actions := []auth.Action{auth.Send, auth.Read, auth.ReadRTDS, auth.Payload, auth.IssueTokens, auth.Manage, auth.Administer}
	table := []struct {
		kind auth.Kind
		may  string // one letter for each action above: y or .
	}{
		{auth.Nobody, "......."},
		{auth.Admin, "yyyyyyy"},
		{auth.User, "yyyyyy."},
		{auth.Stream, "yyy...."},
		{auth.Derived, ".yy...."},
		{auth.APIKey, "...y..."},
		{auth.Issuer, "....y.."},
		{auth.Integration, "..y...."},
		{auth.Integration + 1, "......."},
		{255, "......."},
	}
	for _, row := range table {
		for i, a := range actions {
			if got, want := auth.May(row.kind, a), row.may[i] == 'y'; got != want {
				t.Errorf("May(%v, %v) = %v", row.kind, a, got)
			}
		}
		for _, a := range []auth.Action{0, auth.Administer + 1, 255} {
			if auth.May(row.kind, a) {
				t.Errorf("May(%v, %d) is true for an action that does not exist", row.kind, a)
			}
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for k := auth.Nobody; k <= auth.Integration; k++ {
		if name := k.String(); name == "" || name == "unknown" || seen[name] {
			t.Errorf("kind %d is called %q", k, name)
		} else {
			seen[name] = true
		}
	}
	for a := auth.Send; a <= auth.Administer; a++ {
		if name := a.String(); name == "" || name == "unknown" || seen["do "+name] {
			t.Errorf("action %d is called %q", a, name)
		} else {
			seen["do "+name] = true
		}
	}
	if got := auth.Kind(200).String() + auth.Action(200).String() + auth.Action(0).String(); got != strings.Repeat("unknown", 3) {
		t.Errorf("what does not exist is called %q", got)
	}
}
