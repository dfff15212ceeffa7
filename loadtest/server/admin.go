package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Admin calls the management API and the token endpoint. Safe for concurrent use.
type Admin struct {
	Base  string // http://host:port
	Token string // the admin token
}

// Credentials are a stream's own.
type Credentials struct {
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
}

// Stream is what a test needs of a stream it made.
type Stream struct {
	Name        string
	Credentials Credentials
}

// CreateStream makes a source stream.
func (a Admin) CreateStream(ctx context.Context, name string) (Stream, error) {
	return a.create(ctx, map[string]any{"name": name})
}

// CreateDerived makes a derived stream with the default name. Kind is CUMULATIVE or GRANULAR.
func (a Admin) CreateDerived(ctx context.Context, source, kind string, levels ...int) (Stream, error) {
	return a.create(ctx, map[string]any{"linkedStream": source, "consentLevelType": kind, "consentLevels": levels})
}

func (a Admin) create(ctx context.Context, spec map[string]any) (Stream, error) {
	body, err := json.Marshal(spec)
	if err != nil {
		return Stream{}, err
	}
	status, answer, err := a.Call(ctx, http.MethodPost, "/v1/streams", body)
	if err != nil {
		return Stream{}, err
	}
	if status != http.StatusCreated {
		return Stream{}, fmt.Errorf("create a stream: status %d: %s", status, answer)
	}
	var made struct {
		Ref         struct{ Name string }
		Credentials []Credentials
	}
	if err := json.Unmarshal(answer, &made); err != nil {
		return Stream{}, fmt.Errorf("create a stream: %w", err)
	}
	if made.Ref.Name == "" || len(made.Credentials) != 1 {
		return Stream{}, fmt.Errorf("create a stream: the answer lacks name or credentials")
	}
	return Stream{Name: made.Ref.Name, Credentials: made.Credentials[0]}, nil
}

// Call makes a management request with the admin token and gives status and body.
func (a Admin) Call(ctx context.Context, method, path string, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, a.Base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.Token)
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	return do(req)
}

// Make creates a resource, POST path, and reads the answer into made.
func (a Admin) Make(ctx context.Context, path string, body, made any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	status, answer, err := a.Call(ctx, http.MethodPost, path, text)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("status %d: %s", status, answer)
	}
	if err == nil {
		err = json.Unmarshal(answer, made)
	}
	if err != nil {
		return fmt.Errorf("POST %s: %w", path, err)
	}
	return nil
}

// AccessToken gets a token with a stream's own credentials.
func (a Admin) AccessToken(ctx context.Context, c Credentials) (string, error) {
	form := url.Values{"grant_type": {"client_credentials"}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Base+"/auth/realms/streams/protocol/openid-connect/token", strings.NewReader(form))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(c.ClientID, c.ClientSecret)
	status, answer, err := do(req)
	if err != nil {
		return "", err
	}
	var issued struct {
		AccessToken string `json:"access_token"`
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("get a token: status %d: %s", status, answer)
	}
	if err := json.Unmarshal(answer, &issued); err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	return issued.AccessToken, nil
}

// Forget erases a person's keys on a stream.
func (a Admin) Forget(ctx context.Context, subject, stream string) error {
	path := "/v1/data-subjects/" + url.PathEscape(subject) + "?stream=" + url.QueryEscape(stream)
	status, answer, err := a.Call(ctx, http.MethodDelete, path, nil)
	if err != nil {
		return err
	}
	var done struct{ Forgotten bool }
	if status != http.StatusOK || json.Unmarshal(answer, &done) != nil || !done.Forgotten {
		return fmt.Errorf("forget: status %d: %s", status, answer)
	}
	return nil
}

// client opens a connection for each request: one that outlived a kill -9 would fail the next call.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// maxAnswer bounds an answer of the management API.
const maxAnswer = 4 << 20

func do(req *http.Request) (status int, answer []byte, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, err
}
