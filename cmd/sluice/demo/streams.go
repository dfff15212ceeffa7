package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"sluice/cmd/sluice/client"
	"sluice/loadtest/verify"
)

// streamInfo is one stream of the demo, as its readers know it. The first one is the source.
type streamInfo struct {
	name  string
	says  string // what it shows, for people
	rule  verify.Rule
	creds client.Credentials
}

// makeStreams makes the source and two streams derived from it, over the API as any user would.
func makeStreams(ctx context.Context, c *client.Client) ([]streamInfo, error) {
	const source = "demo"
	streams := []streamInfo{
		{name: source, says: "everything, personal fields encrypted"},
		{name: source + "-2", says: "CUMULATIVE 2: from people who agreed to level 2, fields up to it in clear",
			rule: verify.Rule{Derived: true, Cumulative: 2}},
		{name: source + "-0-1", says: "GRANULAR 0,1: from people who agreed to both, fields of these in clear",
			rule: verify.Rule{Derived: true, Granular: []int{0, 1}}},
	}
	for i := range streams {
		s := &streams[i]
		body := map[string]any{"name": s.name}
		switch {
		case s.rule.Granular != nil:
			body = map[string]any{"linkedStream": source, "consentLevels": s.rule.Granular, "consentLevelType": "GRANULAR"}
		case s.rule.Derived:
			body = map[string]any{"linkedStream": source, "consentLevels": []int{s.rule.Cumulative}, "consentLevelType": "CUMULATIVE"}
		}
		answer, err := c.Call(ctx, http.MethodPost, "/v1/streams", c.Scope(), body)
		if err != nil {
			return nil, fmt.Errorf("stream %s cannot be made: %w", s.name, err)
		}
		var made struct {
			Ref         struct{ Name string }
			Credentials []client.Credentials
		}
		if err := json.Unmarshal(answer, &made); err != nil {
			return nil, err
		}
		if made.Ref.Name != s.name || len(made.Credentials) != 1 {
			return nil, fmt.Errorf("stream %s was made as %q with %d credentials", s.name, made.Ref.Name, len(made.Credentials))
		}
		s.creds = made.Credentials[0]
	}
	return streams, nil
}

// open begins an endless answer with the stream's own credentials. What is posted after it returned is in it.
func (s streamInfo) open(ctx context.Context, c *client.Client) (*client.Lines, error) {
	token, _, err := c.AccessToken(ctx, s.creds)
	if err != nil {
		return nil, err
	}
	return c.As(token).Events(ctx, s.name, url.Values{"envelope": {"offset"}})
}
