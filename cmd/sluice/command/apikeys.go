package command

import (
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

const (
	apiKeysPath      = "/v1/api-keys"
	integrationsPath = "/v1/integrations"
)

var (
	apiKeyColumns = []column{{"API KEY", "name"}, {"ID", "id"}, {"TYPE", "type"}, {"TENANT", "tenant"}, {"ROTATED", "rotatedAt"}, {"OLD TOKENS UNTIL", "oldTokensUntil"}}
	keyTokenCells = []column{{"TOKEN", "access_token"}, {"TYPE", "token_type"}, {"EXPIRES", "expires_at"}}

	// apiKeyTypes are the types by the words of the command line.
	apiKeyTypes = map[string]string{"streaming-ingest": "STREAMING_INGEST_WRITE", "issuer": "API_TOKEN_ISSUER"}
)

func apiKeyPath(name string) string { return apiKeysPath + "/" + url.PathEscape(name) }

func (m *Main) createAPIKey() *cobra.Command {
	var of string
	cmd := &cobra.Command{
		Use: "api-key NAME", Short: "Make an API key; its client secret is shown this once", Args: cobra.ExactArgs(1),
		Example: "  sluice create api-key web --type streaming-ingest\n  sluice create token --api-key web --days 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOfFlag("--type", of, "streaming-ingest", "issuer"); err != nil {
				return err
			}
			return m.show(cmd, http.MethodPost, apiKeysPath, false, map[string]string{"name": args[0], "type": apiKeyTypes[of]}, apiKeyColumns)
		},
	}
	cmd.Flags().StringVar(&of, "type", "streaming-ingest", "streaming-ingest: its tokens send to /stream/v0/data; issuer: they issue tokens")
	return cmd
}

func (m *Main) listAPIKeys() *cobra.Command {
	return m.reader("api-key", "List the API keys of the project", apiKeysPath, apiKeyColumns)
}

func (m *Main) getAPIKey() *cobra.Command {
	return m.named("api-key KEY", "Show an API key, without its secret", http.MethodGet, apiKeyPath, apiKeyColumns)
}

func (m *Main) deleteAPIKey() *cobra.Command {
	return m.remover(removal{use: "api-key KEY", short: "Delete API keys; all their tokens end at once", columns: apiKeyColumns, path: below(apiKeyPath)})
}

func (m *Main) rotateAPIKey() *cobra.Command {
	return m.named("api-key KEY", "Replace the secret of an API key; tokens of the old one live 30 days more", http.MethodPost,
		func(name string) string { return apiKeyPath(name) + "/rotate" }, append(apiKeyColumns, column{"CLIENT SECRET", "clientSecret"}))
}

func (m *Main) revokeAPIKey() *cobra.Command {
	var old, all bool
	cmd := &cobra.Command{
		Use: "api-key KEY", Short: "End the tokens of an API key: those from before its last rotation, or all", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if old == all {
				return usagef("say which tokens end: --old (issued before the last rotation) or --all")
			}
			which := "old"
			if all {
				which = "all"
			}
			return m.show(cmd, http.MethodPost, apiKeyPath(args[0])+"/revoke", false, map[string]string{"which": which}, apiKeyColumns)
		},
	}
	cmd.Flags().BoolVar(&old, "old", false, "tokens issued before the last rotation")
	cmd.Flags().BoolVar(&all, "all", false, "every token there is")
	return cmd
}

// createToken makes a token of an API key or of an integration.
func (m *Main) createToken() *cobra.Command {
	var key, integration, name, until string
	var days int
	cmd := &cobra.Command{
		Use: "token", Short: "Make a token of an API key or an integration; it is shown this once", Args: cobra.NoArgs,
		Example: "  sluice create token --api-key web --days 3\n  sluice create token --integration warehouse --name second",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (key == "") == (integration == "") {
				return usagef("say whose token it is: --api-key KEY or --integration NAME")
			}
			if integration != "" {
				if days != 0 || until != "" {
					return usagef("a token of an integration has no end: leave --days and --expires-at out")
				}
				body := map[string]string{}
				if name != "" {
					body["name"] = name
				}
				return m.show(cmd, http.MethodPost, integrationPath(integration)+"/tokens", false, body,
					append(tokenColumns, column{"APP KEY", "appKey"}, column{"ACCESS TOKEN", "accessToken"}))
			}
			if name != "" {
				return usagef("a token of an API key has no name: leave --name out")
			}
			body := map[string]any{}
			switch {
			case (days == 0) == (until == ""):
				return usagef("say how long it lives: --days N or --expires-at TIME")
			case days != 0:
				body["days"] = days
			default:
				at, err := time.Parse(time.RFC3339, until)
				if err != nil {
					return usagef("--expires-at takes a time like 2026-06-14T00:24:16Z, not %q", until)
				}
				body["expires_at"] = at
			}
			return m.show(cmd, http.MethodPost, apiKeyPath(key)+"/tokens", false, body, keyTokenCells)
		},
	}
	cmd.Flags().StringVar(&key, "api-key", "", "the API key, by id or name")
	cmd.Flags().IntVar(&days, "days", 0, "of an API key's: how many days it lives")
	cmd.Flags().StringVar(&until, "expires-at", "", "of an API key's, instead: when it ends")
	cmd.Flags().StringVar(&integration, "integration", "", "the integration, by name or id")
	cmd.Flags().StringVar(&name, "name", "", "of an integration's: what it is called")
	return cmd
}
