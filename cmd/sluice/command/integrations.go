package command

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

var (
	integrationColumns = []column{
		{"INTEGRATION", "name"}, {"ID", "id"}, {"STREAM", "stream"}, {"TYPES", "types"}, {"LOCATION", "sendLocationEvents"}, {"TOKENS", "tokens.#.name"},
		{"DESCRIPTION", "description"},
	}
	tokenColumns = []column{{"TOKEN", "name"}, {"ID", "id"}, {"CREATED", "createdAt"}}
)

func integrationPath(name string) string { return integrationsPath + "/" + url.PathEscape(name) }

// integrationFlags are what an integration is made of and can be changed to.
type integrationFlags struct {
	description string
	types       []string
	location    bool
}

func (i *integrationFlags) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&i.description, "description", "d", "", "what it is for")
	f.StringSliceVar(&i.types, "types", nil, "event types it may read, by commas (default all)")
	f.BoolVar(&i.location, "location", false, "location events too")
}

// body gives the members whose flags were given.
func (i *integrationFlags) body(cmd *cobra.Command) map[string]any {
	body := map[string]any{}
	if cmd.Flags().Changed("description") {
		body["description"] = i.description
	}
	if cmd.Flags().Changed("types") {
		body["types"] = append([]string{}, i.types...)
	}
	if cmd.Flags().Changed("location") {
		body["sendLocationEvents"] = i.location
	}
	return body
}

func (m *Main) createIntegration() *cobra.Command {
	var i integrationFlags
	var stream string
	cmd := &cobra.Command{
		Use: "integration NAME", Short: "Make a direct integration, which reads a stream over /api/events; its first token is shown this once",
		Args:    cobra.ExactArgs(1),
		Example: "  sluice create integration warehouse --stream by-hand --types CUSTOM,OPEN",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := i.body(cmd)
			body["name"] = args[0]
			if stream != "" {
				body["stream"] = stream
			}
			return m.show(cmd, http.MethodPost, integrationsPath, false, body, append(integrationColumns, column{"ACCESS TOKEN", "accessToken"}))
		},
	}
	i.bind(cmd)
	cmd.Flags().StringVar(&stream, "stream", "", "the stream it reads, source or derived (default the project's event stream)")
	return cmd
}

func (m *Main) listIntegrations() *cobra.Command {
	return m.reader("integration", "List the integrations of the project", integrationsPath, integrationColumns)
}

func (m *Main) getIntegration() *cobra.Command {
	return m.named("integration NAME", "Show an integration, without its tokens' texts", http.MethodGet, integrationPath, integrationColumns)
}

func (m *Main) updateIntegration() *cobra.Command {
	var i integrationFlags
	var name string
	cmd := &cobra.Command{
		Use: "integration NAME", Short: "Change an integration; its tokens stay", Args: cobra.ExactArgs(1),
		Example: "  sluice update integration warehouse --types OPEN --location=false",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := i.body(cmd)
			if name != "" {
				body["name"] = name
			}
			if len(body) == 0 {
				return usagef("nothing to change: give --name, --description, --types or --location")
			}
			return m.show(cmd, http.MethodPatch, integrationPath(args[0]), false, body, integrationColumns)
		},
	}
	i.bind(cmd)
	cmd.Flags().StringVar(&name, "name", "", "its new name")
	return cmd
}

func (m *Main) deleteIntegration() *cobra.Command {
	return m.remover(removal{
		use: "integration NAME", short: "Delete integrations with their tokens; what they read ends", columns: integrationColumns, path: below(integrationPath),
	})
}

func (m *Main) listTokens() *cobra.Command {
	var integration string
	cmd := &cobra.Command{
		Use: "token --integration NAME", Short: "List the tokens of an integration; those of API keys are not kept", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if integration == "" {
				return usagef("say whose tokens: --integration NAME")
			}
			return m.show(cmd, http.MethodGet, integrationPath(integration)+"/tokens", false, nil, tokenColumns)
		},
	}
	cmd.Flags().StringVar(&integration, "integration", "", "the integration, by name or id")
	return cmd
}

func (m *Main) deleteToken() *cobra.Command {
	var integration string
	cmd := &cobra.Command{
		Use: "token TOKEN --integration NAME", Short: "Revoke a token of an integration; what it reads ends within a second", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if integration == "" {
				return usagef("say whose token: --integration NAME. Tokens of an API key end with `sluice revoke api-key`")
			}
			return m.show(cmd, http.MethodDelete, integrationPath(integration)+"/tokens/"+url.PathEscape(args[0]), false, nil, tokenColumns)
		},
	}
	cmd.Flags().StringVar(&integration, "integration", "", "the integration, by name or id")
	return cmd
}
