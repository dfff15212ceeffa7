package command

import (
	"net/http"
	"strconv"

	"github.com/spf13/cobra"
)

var auditColumns = []column{
	{"AT", "at"}, {"EVENT", "event"}, {"ENTITY", "entity"}, {"BY", "by.kind"}, {"ID", "by.id"}, {"RESULT", "result"}, {"STATUS", "status"},
}

func (m *Main) listAudit() *cobra.Command {
	var entity, event, from, to, before string
	var limit int
	cmd := &cobra.Command{
		Use: "audit", Short: "List who changed what, the newest first", Args: cobra.NoArgs,
		Example: "  sluice list audit -o table\n  sluice list audit --event api-key/created --from 2026-11-01T00:00:00Z",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			query := c.Scope()
			for name, value := range map[string]string{"entity": entity, "event": event, "from": from, "to": to, "before": before} {
				if value != "" {
					query.Set(name, value)
				}
			}
			query.Set("limit", strconv.Itoa(limit))
			answer, err := m.call(cmd.Context(), c, http.MethodGet, "/v1/audit", query, nil)
			if err != nil {
				return err
			}
			return m.print(answer, auditColumns)
		},
	}
	f := cmd.Flags()
	f.StringVar(&entity, "entity", "", "of this id or name alone")
	f.StringVar(&event, "event", "", "of this kind alone, like api-key/created")
	f.StringVar(&from, "from", "", "not before this time, like 2026-11-01T00:00:00Z")
	f.StringVar(&to, "to", "", "before this time")
	f.StringVar(&before, "before", "", "the next page: the id of the last entry of the one before")
	f.IntVar(&limit, "limit", 100, "how many at most, up to 1000")
	return cmd
}
