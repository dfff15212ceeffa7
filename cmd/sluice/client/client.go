// Package client hides how Sluice's HTTP API is called: where tokens go, how a refusal is read whichever surface it comes from, and how
// an endless stream of events is taken line by line. The command line tool and the demo are built on it; it uses nothing that any other
// caller of the API could not.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// DefaultURL is where a server without configuration listens.
const DefaultURL = "http://127.0.0.1:8080"

// maxAnswer bounds a management answer, in bytes: more than 100,000 streams fit.
const maxAnswer = 64 << 20

// Client calls the HTTP API of one server as one caller. Its methods are safe for concurrent use.
type Client struct {
	Base    string // without a closing slash
	Token   string // "" where the call brings its own, or none is known
	Project string
	Agent   string // User-Agent
	HTTP    *http.Client
}

// Credentials open one stream.
type Credentials struct {
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
}

// ErrURL is an address of a server that cannot be one.
var ErrURL = errors.New("the server's address must look like " + DefaultURL)

// New gives a client of the server at base, which is checked and not yet called. caFile names a PEM file of authorities to trust
// instead of the system's, where the server has a certificate of its own; empty: the system's.
func New(base, token, project, agent, caFile string) (*Client, error) {
	base = strings.TrimRight(base, "/")
	if u, err := url.Parse(base); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%w, not %q", ErrURL, base)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16 // one server is all there is to talk to
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &Client{Base: base, Token: token, Project: project, Agent: agent, HTTP: &http.Client{Transport: transport}}, nil
}

// Close lets go of kept connections.
func (c *Client) Close() { c.HTTP.CloseIdleConnections() }

// As gives a client for the same server and connections with another token.
func (c *Client) As(token string) *Client {
	other := *c
	other.Token = token
	return &other
}

// Host is the server's name and port as <host>_<port>, for file names.
func (c *Client) Host() string {
	u, err := url.Parse(c.Base)
	if err != nil {
		return "unknown" // New has parsed it
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Hostname() + "_" + port
}

// Scope is the query that says which project is meant.
func (c *Client) Scope() url.Values { return url.Values{"project": {c.Project}} }

// StreamPath is the path of a stream.
func StreamPath(name string) string { return "/v1/streams/" + url.PathEscape(name) }

// Call sends a management request, with body as JSON where there is one, and gives the answer's JSON. query may be nil. Errors as Send.
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, body any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		payload = bytes.NewReader(text)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	resp, err := c.Send(ctx, method, path, payload, http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s broke off: %w", c.Base, err)
	}
	return answer, nil
}

// Send makes one request with the client's token. It returns the answer, whose body the caller closes, when it is a 2xx; else the error
// is a *Refusal, or says that nobody answers. It keeps and changes header.
func (c *Client) Send(ctx context.Context, method, pathAndQuery string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+pathAndQuery, body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	req.Header.Set("User-Agent", c.Agent)
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, refused(resp)
	}
	return resp, nil
}

// Post sends one JSON event of a contract to the stream whose token the client has; nil means the server has it for good. Errors as Send.
func (c *Client) Post(ctx context.Context, ref string, event []byte) error {
	return c.post(ctx, "/event", ref, event)
}

// PostTo is Post with a token that is no stream's own, and so names the stream.
func (c *Client) PostTo(ctx context.Context, stream, ref string, event []byte) error {
	query := c.Scope()
	query.Set("stream", stream)
	return c.post(ctx, "/event?"+query.Encode(), ref, event)
}

func (c *Client) post(ctx context.Context, path, ref string, event []byte) error {
	resp, err := c.Send(ctx, http.MethodPost, path, bytes.NewReader(event), http.Header{"Content-Type": {"application/json"}, "Strm-Schema-Ref": {ref}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("the server answered %d instead of 204: is %s Sluice?", resp.StatusCode, c.Base)
	}
	return nil
}

// AccessToken gets a token for a stream's own credentials, and when it expires.
func (c *Client) AccessToken(ctx context.Context, cred Credentials) (token string, expires time.Time, err error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {cred.ClientID}, "client_secret": {cred.ClientSecret}}
	resp, err := c.As("").Send(ctx, http.MethodPost, "/auth/realms/streams/protocol/openid-connect/token", strings.NewReader(form.Encode()),
		http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	if err != nil {
		var no *Refusal
		if errors.As(err, &no) && no.Status < 500 {
			no.Hint = "The server does not know these credentials: were they made by another server, or the stream deleted?"
		}
		return "", time.Time{}, err
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil {
		return "", time.Time{}, fmt.Errorf("the token endpoint's answer: %w", err)
	}
	return answer.AccessToken, time.Now().Add(time.Duration(answer.ExpiresIn) * time.Second), nil
}

// Refusal is an answer that says no.
type Refusal struct {
	Status  int
	Message string // the server's own words
	Hint    string // what the caller can do, where there is something
}

func (e *Refusal) Error() string {
	text := fmt.Sprintf("%s (%d)", e.Message, e.Status)
	if e.Hint != "" {
		text += "\n" + e.Hint
	}
	return text
}

// Passing tells whether the refusal may be gone soon: the server is busy, stopping, or limits the caller's rate.
func (e *Refusal) Passing() bool {
	return e.Status == http.StatusServiceUnavailable || e.Status == http.StatusTooManyRequests
}

// refused reads why an answer says no, whichever surface's error shape it has.
func refused(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // a broken body leaves the status, which is enough
	e := &Refusal{Status: resp.StatusCode, Message: strings.TrimSpace(string(body))}
	if gjson.ValidBytes(body) {
		for _, path := range []string{"error.message", "error_description", "message", "error"} {
			if text := gjson.GetBytes(body, path); text.Type == gjson.String {
				e.Message = text.Str
				break
			}
		}
	}
	if e.Message == "" {
		e.Message = http.StatusText(resp.StatusCode)
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		e.Hint = "The server did not take the token: mend SLUICE_TOKEN or --token. `sluice admin-token --data DIR` makes a new admin token while the server is stopped."
	case http.StatusForbidden:
		e.Hint = "The token is known but may not do this: use the admin token, or the credentials of the stream itself."
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if after := resp.Header.Get("Retry-After"); after != "" {
			e.Hint = "Try again in " + after + " s."
		}
	}
	return e
}

// unreachable says what can be done about a server that does not answer.
func (c *Client) unreachable(err error) error {
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "dial" {
		return fmt.Errorf("no server answers at %s: %w\nStart one with `sluice serve`, or name it by --url or SLUICE_URL", c.Base, network.Err)
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("the certificate of %s is not trusted: name its authority's file in SLUICE_CA_FILE", c.Base)
	}
	return err
}
