package command

import (
	"errors"
	"fmt"
	"strings"

	"sluice/cmd/sluice/client"
)

// client resolves server, token and project: a flag beats the environment, the environment beats the saved login, which authorized asks
// for a token, and that beats the default.
func (m *Main) client() (*client.Client, error) {
	url, project := first(m.flags.url, m.env("SLUICE_URL")), first(m.flags.project, m.env("SLUICE_PROJECT"))
	token := first(m.flags.token, m.env("SLUICE_TOKEN"))
	if l, err := m.login(); err == nil {
		url = first(url, l.URL)
		if token == "" && strings.TrimRight(url, "/") == l.URL {
			project = first(project, l.Project)
		}
	}
	c, err := client.New(first(url, client.DefaultURL), token, first(project, "default"), "sluice/"+Version(), m.env("SLUICE_CA_FILE"))
	switch {
	case errors.Is(err, client.ErrURL):
		return nil, usagef("%v: mend --url or SLUICE_URL", err)
	case err != nil:
		return nil, fmt.Errorf("SLUICE_CA_FILE: %w", err)
	}
	return c, nil
}

// authorized is client for calls that need a token of its caller.
func (m *Main) authorized() (*client.Client, error) {
	c, err := m.client()
	if err != nil || c.Token != "" {
		return c, err
	}
	l, err := m.login()
	if err == nil {
		c.Token, err = m.savedToken(c, l)
	}
	switch {
	case err != nil && !errors.Is(err, errNotLoggedIn):
		c.Close()
		return nil, err
	case c.Token == "":
		c.Close()
		return nil, usagef("no token: log in with `sluice auth login`, or set SLUICE_TOKEN or --token. A server prints its first admin token when it starts for the first time; " +
			"`sluice admin-token --data DIR` makes a new one while it is stopped")
	}
	return c, nil
}

// first gives the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
