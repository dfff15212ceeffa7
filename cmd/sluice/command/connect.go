package command

import (
	"errors"
	"fmt"

	"sluice/cmd/sluice/client"
)

// client resolves server, token and project: a flag beats the environment, the environment beats the default.
func (m *Main) client() (*client.Client, error) {
	c, err := client.New(
		first(m.flags.url, m.env("SLUICE_URL"), client.DefaultURL),
		first(m.flags.token, m.env("SLUICE_TOKEN")),
		first(m.flags.project, m.env("SLUICE_PROJECT"), "default"),
		"sluice/"+Version(), m.env("SLUICE_CA_FILE"))
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
	if err == nil && c.Token == "" {
		return nil, usagef("no token: set SLUICE_TOKEN or --token. A server prints its first admin token when it starts for the first time; " +
			"`sluice admin-token --data DIR` makes a new one while it is stopped")
	}
	return c, err
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
