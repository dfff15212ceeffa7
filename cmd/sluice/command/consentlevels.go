package command

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"sluice/relay/consent"
)

const levelsPath = "/v1/consent-levels"

var levelColumns = []column{{"CONSENT LEVEL", "id"}, {"NAME", "name"}}

func levelPath(level string) string { return levelsPath + "/" + level }

// levelOf is the check of a LEVEL argument: it becomes a part of the API's path.
func levelOf(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("takes a LEVEL, 0 to %d", consent.MaxLevel)
	}
	if n, err := strconv.Atoi(args[0]); err != nil || n < 0 || n > consent.MaxLevel {
		return fmt.Errorf("a LEVEL is a number from 0 to %d, not %q", consent.MaxLevel, args[0])
	}
	return nil
}

// consentLevels are the commands that begin with the noun.
func (m *Main) consentLevels() *cobra.Command {
	cmd := &cobra.Command{Use: "consent-levels", Short: "What the project calls its consent levels", Args: cobra.ArbitraryArgs, RunE: m.group}
	create, list, get, remove := m.createLevel(), m.listLevels(), m.getLevel(), m.deleteLevel()
	create.Use, list.Use, get.Use, remove.Use = "create LEVEL NAME", "list", "get LEVEL", "delete LEVEL..."
	list.Aliases = nil
	cmd.AddCommand(create, list, get, remove)
	return cmd
}

func (m *Main) createLevel() *cobra.Command {
	return m.nameLevel("create", "Name a consent level; events and contracts go on by its number", http.MethodPost)
}

func (m *Main) updateLevel() *cobra.Command {
	return m.nameLevel("update", "Give a consent level another name", http.MethodPatch)
}

func (m *Main) nameLevel(verb, short, method string) *cobra.Command {
	return &cobra.Command{
		Use: "consent-level LEVEL NAME", Short: short, Example: "  sluice " + verb + " consent-level 2 marketing",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(2)(cmd, args); err != nil {
				return err
			}
			return levelOf(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			path, body := levelsPath, map[string]any{"name": args[1]}
			if method == http.MethodPatch {
				path = levelPath(args[0])
			} else {
				level, err := strconv.Atoi(args[0])
				if err != nil {
					return usagef("%v", err)
				}
				body["id"] = level
			}
			return m.show(cmd, method, path, false, body, levelColumns)
		},
	}
}

func (m *Main) listLevels() *cobra.Command {
	return m.reader("consent-level", "List the consent levels that have names", levelsPath, levelColumns)
}

func (m *Main) getLevel() *cobra.Command {
	cmd := m.named("consent-level LEVEL", "Show what a consent level is called", http.MethodGet, levelPath, levelColumns)
	cmd.Args = cobra.MatchAll(cobra.ExactArgs(1), levelOf)
	return cmd
}

func (m *Main) deleteLevel() *cobra.Command {
	return m.remover(removal{
		use: "consent-level LEVEL", short: "Take the names of consent levels away", columns: levelColumns, path: below(levelPath), check: levelOf,
	})
}
