package command

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func (m *Main) forget() *cobra.Command {
	var stream string
	cmd := &cobra.Command{
		Use: "forget SUBJECT", Short: "Erase the keys of a person: nothing opens their fields any more", Args: cobra.ExactArgs(1),
		Long: "Erase the keys of a person, named as the contract's data subject field names them (where it names none, by the key field).\n" +
			"Their personal fields stay ciphertext for ever, in every derived stream, in what is already stored too. Later events of the same\n" +
			"person are taken and open as any other. It cannot be undone.",
		Example: "  sluice forget customer-17 --stream web",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			query := c.Scope()
			if stream != "" {
				query.Set("stream", stream)
			}
			answer, err := m.call(cmd.Context(), c, http.MethodDelete, "/v1/data-subjects/"+url.PathEscape(args[0]), query, nil)
			if err != nil {
				return err
			}
			return m.print(answer, []column{{"FORGOTTEN", "forgotten"}, {"STREAMS", "streams"}})
		},
	}
	cmd.Flags().StringVar(&stream, "stream", "", "only in this stream (default all of the project)")
	return cmd
}
