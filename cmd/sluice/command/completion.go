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

// completeStreams makes the shell complete names of streams where a command takes one as its first argument. Where no server answers, or
// no token is known, nothing is proposed.
func (m *Main) completeStreams(of *cobra.Command) {
	for _, cmd := range of.Commands() {
		m.completeStreams(cmd)
		takes, _, _ := strings.Cut(strings.TrimPrefix(cmd.Use, cmd.Name()), "...")
		words := strings.Fields(strings.Trim(takes, " []"))
		if len(words) == 0 || cmd.ValidArgsFunction != nil {
			continue
		}
		first := strings.Trim(words[0], "[]")
		if first == "STREAM" || first == "NAME" && cmd.Name() == "stream" && cmd.Parent().Name() != "create" {
			cmd.ValidArgsFunction = m.streamNames
		}
	}
}

func (m *Main) streamNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
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
	answer, err := c.Call(ctx, http.MethodGet, "/v1/streams", c.Scope(), nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, name := range gjson.GetBytes(answer, "#.ref.name").Array() {
		names = append(names, name.Str)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
