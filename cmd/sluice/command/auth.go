package command

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
	"golang.org/x/term"

	"sluice/cmd/sluice/client"
)

const (
	// renewBefore is how long before its end a saved token is exchanged for a new one.
	renewBefore = time.Minute
	// maxTyped bounds an e-mail address or password that is typed or piped in, in bytes.
	maxTyped = 4096
)

// login is what `auth login` keeps. Of its members the server gave five; URL and Project say where the token is good.
type login struct {
	session
	URL     string `json:"url"`
	Project string `json:"project"`
}

// session is the server's answer to a login, and what `auth show --json` prints.
type session struct {
	Email        string `json:"email"`
	BillingID    string `json:"billingId"`
	ExpiresAt    int64  `json:"expiresAt"` // seconds since 1970
	IDToken      string `json:"idToken"`
	RefreshToken string `json:"refreshToken"`
}

var (
	errNotLoggedIn = errors.New("nobody is logged in: run `sluice auth login`")
	errLoginOver   = errors.New("the login is over: run `sluice auth login` again")
)

func (m *Main) loginPath() (string, error) {
	dir, err := m.configDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "credentials.json"), nil
}

// login reads the saved login; errNotLoggedIn when there is none.
func (m *Main) login() (*login, error) {
	path, err := m.loginPath()
	if err != nil {
		return nil, errNotLoggedIn // without a place nothing was saved
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotLoggedIn
	}
	if err != nil {
		return nil, err
	}
	var l login
	if err := json.Unmarshal(text, &l); err != nil || l.IDToken == "" || l.URL == "" {
		return nil, fmt.Errorf("%s holds no login: run `sluice auth login` again", path)
	}
	return &l, nil
}

func (m *Main) saveLogin(l *login) error {
	path, err := m.loginPath()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return writePrivate(path, append(text, '\n'))
}

// savedToken gives the saved login's token for a server, renewed where its time is nearly over; empty where the login is another server's,
// which must not see it.
func (m *Main) savedToken(c *client.Client, l *login) (string, error) {
	if strings.TrimRight(l.URL, "/") != c.Base {
		return "", nil
	}
	if time.Until(time.Unix(l.ExpiresAt, 0)) > renewBefore {
		return l.IDToken, nil
	}
	answer, err := c.As("").Call(m.context(), http.MethodPost, "/v1/refresh", nil, map[string]string{"refreshToken": l.RefreshToken})
	var no *client.Refusal
	if errors.As(err, &no) && no.Status == http.StatusUnauthorized {
		return "", errLoginOver
	}
	if err != nil {
		return "", err
	}
	renewed := *l
	if err := json.Unmarshal(answer, &renewed.session); err != nil || renewed.IDToken == "" {
		return "", fmt.Errorf("the answer of %s to a renewal is no login, is this Sluice?", c.Base)
	}
	return renewed.IDToken, m.saveLogin(&renewed)
}

// tokenProject is the project that a user's token is of, which the token says; empty where it does not.
func tokenProject(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	return gjson.GetBytes(text, "tenant").String()
}

// context is that of the present Run, for calls below functions that every command goes through.
func (m *Main) context() context.Context {
	if m.running != nil {
		return m.running
	}
	return context.Background()
}

func (m *Main) auth() *cobra.Command {
	cmd := &cobra.Command{Use: "auth", Short: "Log in and out", Args: cobra.ArbitraryArgs, RunE: m.group}
	cmd.AddCommand(m.authLogin(), m.authShow(), m.authPrint(), m.authRevoke())
	return cmd
}

func (m *Main) authLogin() *cobra.Command {
	var piped, asJSON bool
	cmd := &cobra.Command{
		Use: "login [EMAIL]", Short: "Log in with an e-mail address and a password", Args: cobra.MaximumNArgs(1),
		Long: "Log in with an e-mail address and a password. The token is kept in credentials.json, which only you can read, and renewed by itself;\n" +
			"commands for that server use it where neither --token nor SLUICE_TOKEN is given.",
		Example: "  sluice auth login bart@example.com\n  sluice auth login bart@example.com --password-stdin < password.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.client()
			if err != nil {
				return err
			}
			defer c.Close()
			email, err := m.askEmail(args, piped)
			if err != nil {
				return err
			}
			password, err := m.askPassword("Please enter your password: ", piped)
			if err != nil {
				return err
			}
			answer, err := c.As("").Call(cmd.Context(), http.MethodPost, "/v1/auth", nil, map[string]string{"email": email, "password": password})
			var no *client.Refusal
			if errors.As(err, &no) && no.Status == http.StatusUnauthorized {
				no.Hint = "" // the one about tokens is of no use here
			}
			if err != nil {
				return err
			}
			l := login{URL: c.Base}
			if err := json.Unmarshal(answer, &l.session); err != nil || l.IDToken == "" {
				return fmt.Errorf("the answer of %s is no login, is this Sluice?", c.Base)
			}
			l.Project = tokenProject(l.IDToken)
			if err := m.saveLogin(&l); err != nil {
				return err
			}
			if asJSON {
				return m.printSession(&l)
			}
			// The words of the tool that this one stands in for, its spelling included: scripts look for them.
			_, err = fmt.Fprintf(m.Stdout, "Succesfully logged in as %s\n", l.Email)
			return err
		},
	}
	cmd.Flags().BoolVar(&piped, "password-stdin", false, "read the password from standard input")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the login as JSON, tokens included")
	return cmd
}

func (m *Main) authShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show", Short: "Show who is logged in", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := m.login()
			if err != nil {
				return err
			}
			if asJSON {
				return m.printSession(l)
			}
			_, err = fmt.Fprintf(m.Stdout, "Credentials for %s\nBilling id = %s\nCurrent token valid until = %s\n", l.Email, l.BillingID, l.until())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, tokens included")
	return cmd
}

func (m *Main) printSession(l *login) error {
	// The time beside the number is for tables, which people read.
	shown := struct {
		*session
		Until string `json:"until"`
	}{&l.session, l.until()}
	var of any = &l.session
	if m.flags.output == outputTable {
		of = &shown
	}
	text, err := json.Marshal(of)
	if err != nil {
		return err
	}
	return m.print(text, []column{{"EMAIL", "email"}, {"BILLING ID", "billingId"}, {"EXPIRES", "until"}})
}

// until is when the access token ends.
func (l *login) until() string {
	return time.Unix(l.ExpiresAt, 0).UTC().Format("2006-01-02T15:04:05") + " UTC"
}

func (m *Main) authPrint() *cobra.Command {
	return &cobra.Command{
		Use: "print-access-token", Short: "Print the bare token that calls are made with", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = fmt.Fprintln(m.Stdout, c.Token)
			return err
		},
	}
}

func (m *Main) authRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke", Short: "Log out: end all sessions of the user, on every machine, and forget the saved one", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := m.login()
			if err != nil {
				return err
			}
			path, err := m.loginPath()
			if err != nil {
				return err
			}
			m.flags.url = l.URL // of the saved login and nobody else's
			c, err := m.client()
			if err != nil {
				return err
			}
			defer c.Close()
			token, err := m.savedToken(c, l)
			if err == nil {
				_, err = c.As(token).Call(cmd.Context(), http.MethodPost, "/v1/revoke", nil, nil)
			}
			var no *client.Refusal
			ended := errors.Is(err, errLoginOver) || errors.As(err, &no) && no.Status == http.StatusUnauthorized
			if err != nil && !ended {
				return err
			}
			if err := os.Remove(path); err != nil {
				return err
			}
			_, err = fmt.Fprintf(m.Stdout, "Logged out %s\n", l.Email)
			return err
		},
	}
}

// askEmail gives the address of the arguments, else asks on the terminal, proposing that of the login before.
func (m *Main) askEmail(args []string, piped bool) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	in, ok := m.keyboard()
	if !ok || piped {
		return "", usagef("name the e-mail address: sluice auth login EMAIL")
	}
	before, offered := "", ""
	if l, err := m.login(); err == nil {
		before, offered = l.Email, " ["+l.Email+"]"
	}
	fmt.Fprintf(m.Stderr, "Please enter your email address%s: ", offered)
	typed, err := bufio.NewReader(io.LimitReader(in, maxTyped)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if typed = first(strings.TrimSpace(typed), before); typed == "" {
		return "", usagef("an e-mail address is needed")
	}
	return typed, nil
}

// askPassword reads a password from standard input, or from the keyboard without showing it.
func (m *Main) askPassword(prompt string, piped bool) (string, error) {
	if piped {
		text, err := io.ReadAll(io.LimitReader(m.Stdin, maxTyped))
		if err != nil {
			return "", err
		}
		password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if password == "" {
			return "", usagef("standard input holds no password")
		}
		return password, nil
	}
	in, ok := m.keyboard()
	if !ok {
		return "", usagef("standard input is no terminal to ask for a password on: pipe it in with --password-stdin")
	}
	fmt.Fprint(m.Stderr, prompt)
	typed, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(m.Stderr)
	if err != nil {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	return string(typed), nil
}

// keyboard is standard input where somebody types.
func (m *Main) keyboard() (*os.File, bool) {
	f, ok := m.Stdin.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}
