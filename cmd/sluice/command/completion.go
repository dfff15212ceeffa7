package command

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
)

// completeTime bounds how long a press of the tab key waits for the server.
const completeTime = 2 * time.Second

// listed is where the names are that a word of a command line may be: the list and, as a gjson path, the name of each.
type listed struct{ path, names string }

// nouns are the resources whose names the tab key proposes, by what the command calls them.
var nouns = map[string]listed{
	"stream": {"/v1/streams", "#.ref.name"}, "project": {projectsPath, "#.name"}, "data-contract": {contractsPath, "#.ref"},
	"schema": {schemasPath, "#.ref"}, "webhook": {"/v1/webhooks", "#.name"}, "integration": {integrationsPath, "#.name"}, "api-key": {apiKeysPath, "#.name"},
	"courier": {"/v1/couriers", "#.name"}, "courier-group": {"/v1/courier-groups", "#.name"}, "feed": {"/v1/feeds", "#.name"},
	"sink": {sinksPath, "#.sinkName"}, "user": {usersPath, "#.email"},
}

// completeNames makes the shell complete the names of what there is where a command takes one as its first argument. Where no server answers,
// or no token is known, nothing is proposed.
func (m *Main) completeNames(of *cobra.Command) {
	for _, cmd := range of.Commands() {
		m.completeNames(cmd)
		if cmd.ValidArgsFunction != nil {
			continue
		}
		if list, ok := firstArgument(cmd); ok {
			cmd.ValidArgsFunction = m.namesIn(list)
		}
	}
}

// firstArgument tells what a command's first argument names, as far as it is something there is already.
func firstArgument(cmd *cobra.Command) (listed, bool) {
	takes, _, _ := strings.Cut(strings.TrimPrefix(cmd.Use, cmd.Name()), "...")
	words := strings.Fields(takes)
	if len(words) == 0 {
		return listed{}, false
	}
	switch word := strings.Trim(words[0], "[]"); word {
	case "STREAM", "COURIER":
		return nouns[strings.ToLower(word)], true
	case "NAME", "REF", "KEY", "EMAIL":
		for at := cmd; at.HasParent(); at = at.Parent() {
			if at.Name() == "create" {
				return listed{}, false
			}
		}
		list, ok := nouns[cmd.Name()]
		if !ok { // noun first, as in webhooks test NAME
			list, ok = nouns[strings.TrimSuffix(cmd.Parent().Name(), "s")]
		}
		return list, ok
	}
	return listed{}, false
}

func (m *Main) namesIn(list listed) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := m.authorized()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
		defer cancel()
		answer, err := c.Call(ctx, http.MethodGet, list.path, c.Scope(), nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for _, name := range gjson.GetBytes(answer, list.names).Array() {
			names = append(names, name.Str)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
