package command

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

const usersPath = "/v1/users"

var userColumns = []column{{"USER", "email"}, {"ID", "id"}, {"PROJECT", "project"}, {"BILLING ID", "billingId"}}

func userPath(name string) string { return usersPath + "/" + url.PathEscape(name) }

func (m *Main) createUser() *cobra.Command {
	var piped bool
	cmd := &cobra.Command{
		Use: "user EMAIL", Short: "Make a user, who may do everything in the project", Args: cobra.ExactArgs(1),
		Example: "  sluice create user bart@example.com --password-stdin < password.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := m.askPassword("Password of the new user: ", piped)
			if err != nil {
				return err
			}
			return m.show(cmd, http.MethodPost, usersPath, false, map[string]string{"email": args[0], "password": password}, userColumns)
		},
	}
	cmd.Flags().BoolVar(&piped, "password-stdin", false, "read the password from standard input")
	return cmd
}

func (m *Main) listUsers() *cobra.Command {
	return m.reader("user", "List the users of the project", usersPath, userColumns)
}

func (m *Main) getUser() *cobra.Command {
	return m.named("user EMAIL", "Show a user", http.MethodGet, userPath, userColumns)
}

func (m *Main) updateUser() *cobra.Command {
	var email string
	var piped, password bool
	cmd := &cobra.Command{
		Use: "user EMAIL", Short: "Change a user's e-mail address or password; a new password ends their sessions", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			patch := map[string]string{}
			if email != "" {
				patch["email"] = email
			}
			if password || piped {
				typed, err := m.askPassword("New password: ", piped)
				if err != nil {
					return err
				}
				patch["password"] = typed
			}
			if len(patch) == 0 {
				return usagef("nothing to change: give --email, --password or --password-stdin")
			}
			return m.show(cmd, http.MethodPatch, userPath(args[0]), false, patch, userColumns)
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "the new e-mail address")
	cmd.Flags().BoolVar(&password, "password", false, "ask for a new password")
	cmd.Flags().BoolVar(&piped, "password-stdin", false, "read the new password from standard input")
	return cmd
}

func (m *Main) deleteUser() *cobra.Command {
	return m.remover(removal{use: "user EMAIL", short: "Delete users; all their tokens end", columns: userColumns, path: below(userPath)})
}
