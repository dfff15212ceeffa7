package command

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

var keyLinkColumns = []column{{"KEY LINK", "keyLink"}, {"EXPIRES", "expiryTime"}}

func (m *Main) getKeyLinks() *cobra.Command {
	var stream string
	cmd := &cobra.Command{
		Use: "key-links SUBJECT", Aliases: []string{"keylinks"}, Short: "Find the key links of a person in the retained events", Args: cobra.ExactArgs(1),
		Long: "Find under which key links the events of a person are stored, by reading the retained log: there is no list of people. Of someone\n" +
			"who was forgotten only what came after that is found.",
		Example: "  sluice get key-links customer-17 --stream web",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			var all struct {
				Subject string            `json:"dataSubjectId"`
				Links   []json.RawMessage `json:"keylinksAndTimestamps"`
			}
			all.Links = []json.RawMessage{}
			for from, more := "", true; more; more = from != "" {
				query := c.Scope()
				for name, value := range map[string]string{"stream": stream, "from": from} {
					if value != "" {
						query.Set(name, value)
					}
				}
				answer, err := c.Call(cmd.Context(), http.MethodGet, "/v1/data-subjects/"+url.PathEscape(args[0])+"/keylinks", query, nil)
				if err != nil {
					return err
				}
				var part struct {
					Subject string            `json:"dataSubjectId"`
					Links   []json.RawMessage `json:"keylinksAndTimestamps"`
					Next    string            `json:"next"`
				}
				if err := json.Unmarshal(answer, &part); err != nil {
					return notJSON(err)
				}
				all.Subject, from = part.Subject, part.Next
				all.Links = append(all.Links, part.Links...)
			}
			whole := any(all)
			if m.flags.output == outputTable || m.flags.output == outputPlain {
				whole = all.Links
			}
			text, err := json.Marshal(whole)
			if err != nil {
				return err
			}
			return m.print(text, keyLinkColumns)
		},
	}
	cmd.Flags().StringVar(&stream, "stream", "", "only in this stream (default all of the project)")
	return cmd
}
