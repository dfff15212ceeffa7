package command

import (
	"net/http"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/client"
)

var unparsableColumns = []column{{"OFFSET", "offset"}, {"RECEIVED", "receivedAt"}, {"REQUEST", "requestId"}, {"REASON", "reason"}}

func (m *Main) listUnparsable() *cobra.Command {
	var date string
	cmd := &cobra.Command{
		Use: "unparsable STREAM", Short: "List the payloads of a day that were accepted and could not be read", Args: cobra.ExactArgs(1),
		Long: "List the payloads of an XML stream that were accepted on a day (UTC) and could not be read, with the reason. Readers of the\n" +
			"stream do not see them; they are here a minute after they were accepted at the latest.",
		Example: "  sluice list unparsable orders --date 2026-11-20",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			query := c.Scope()
			if date != "" {
				query.Set("date", date)
			}
			answer, err := c.Call(cmd.Context(), http.MethodGet, client.StreamPath(args[0])+"/unparsable", query, nil)
			if err != nil {
				return err
			}
			return m.print(answer, unparsableColumns)
		},
	}
	cmd.Flags().StringVar(&date, "date", "", "the day, such as 2026-11-20 (default today, UTC)")
	return cmd
}
