package export

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
)

const (
	gcsEndpoint = "https://storage.googleapis.com"
	gcsScope    = "https://www.googleapis.com/auth/devstorage.read_write"
	// gcsMark is the metadata of an object that says which upload made it.
	gcsMark = "sluice-upload"
	// gcsAnswer bounds what is read of an answer: a page of a listing is the longest.
	gcsAnswer = 4 << 20
	gcsPage   = 500 // objects
)

// GCS is a Store in a bucket of Google Cloud Storage, by its JSON API. An object is one request, or from PartBytes on a
// resumable upload; either appears whole, and by ifGenerationMatch=0 only where nothing is. Metadata says which upload
// made it: to read it takes storage.objects.get; without that right a repeat cannot be told from another's object.
//
// What a crash can leave: a resumable upload that nobody sees, and that the store forgets after a week.
type GCS struct {
	client    *http.Client
	transport *http.Transport
	base      string
	bucket    string
}

var _ Store = (*GCS)(nil)

// OpenGCS makes a Store of a bucket. It asks nothing yet: Probe does. Errors: ErrCredentials, a *Refused.
func OpenGCS(t Target) (*GCS, error) {
	base := gcsEndpoint
	if t.Endpoint != "" {
		if err := checkEndpoint(t.Endpoint); err != nil {
			return nil, &Refused{Reason: "the endpoint " + err.Error()}
		}
		base = strings.TrimSuffix(t.Endpoint, "/")
	}
	// What is not Google has no keys of Google's: whoever names the endpoint may name who gives tokens for it.
	account, err := parseServiceAccount(t.Credentials, t.Endpoint != "")
	if err != nil {
		return nil, err
	}
	transport := newTransport()
	plain := &http.Client{Transport: transport, Timeout: requestTime}
	tokens := account.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, plain))
	client := &http.Client{Transport: &oauth2.Transport{Source: tokens, Base: transport},
		// A redirect would take the token elsewhere, and 308 is an answer of resumable uploads.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &GCS{client: client, transport: transport, base: base, bucket: t.Bucket}, nil
}

// parseServiceAccount reads the key file of a service account. No part of the text is in its error, which wraps
// ErrCredentials.
func parseServiceAccount(text []byte, anyTokens bool) (*jwt.Config, error) {
	var file struct {
		Type     string `json:"type"`
		Email    string `json:"client_email"`
		Key      string `json:"private_key"`
		KeyID    string `json:"private_key_id"`
		TokenURI string `json:"token_uri"`
	}
	bad := func(why string) (*jwt.Config, error) { return nil, fmt.Errorf("%w: %s", ErrCredentials, why) }
	switch {
	case json.Unmarshal(text, &file) != nil:
		return bad("it is not a JSON object of texts")
	case file.Type != "service_account":
		return bad(`its type is not service_account; it takes the JSON key file of a service account`)
	case file.Email == "" || file.Key == "":
		return bad("client_email or private_key is missing")
	}
	c := &jwt.Config{Email: file.Email, PrivateKey: []byte(file.Key), PrivateKeyID: file.KeyID, Scopes: []string{gcsScope}, TokenURL: "https://oauth2.googleapis.com/token"}
	if anyTokens && file.TokenURI != "" {
		u, err := url.Parse(file.TokenURI)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return bad("token_uri must be http:// or https:// and a host")
		}
		c.TokenURL = file.TokenURI
	}
	return c, nil
}

// gcsRefusal is an answer that says no.
type gcsRefusal struct {
	status int
	text   string
}

func (e *gcsRefusal) Error() string { return e.text }

func gcsStatus(err error) int {
	var r *gcsRefusal
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// gcsReason puts an error in one line without addresses and keys.
func gcsReason(err error) string {
	var tokens *oauth2.RetrieveError
	var call *url.Error
	text := err.Error()
	switch {
	case errors.As(err, &tokens):
		// RFC 6749 §5.2, which the library reads for other grants than this one.
		var said struct{ Error, Error_description string } //nolint:revive // the names are the answer's
		if _ = json.Unmarshal(tokens.Body, &said); said.Error == "" {
			said.Error = tokens.Response.Status
		}
		text = "no token for the service account: " + said.Error + " " + said.Error_description
	case errors.As(err, &call):
		text = call.Err.Error()
	}
	return strings.Join(strings.Fields(text), " ")
}

func gcsWrap(doing string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, &Refused{Reason: gcsReason(err)})
}

// send sends a request; an answer of 300 and above is a *gcsRefusal, but for 308, by which a resumable upload says that it
// goes on. ctx must end: it bounds the reading of the answer too.
func (s *GCS) send(ctx context.Context, method, address string, body []byte, header map[string]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 300 || res.StatusCode == http.StatusPermanentRedirect {
		return res, nil
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, gcsAnswer))
	if err != nil {
		return nil, err
	}
	var said struct {
		Error struct{ Message string } `json:"error"`
	}
	_ = json.Unmarshal(answer, &said) // some refusals are plain text, and then the status has to do
	text := res.Status
	if said.Error.Message != "" {
		text += ": " + said.Error.Message
	}
	return nil, &gcsRefusal{res.StatusCode, text}
}

// do is send for an answer that is read whole.
func (s *GCS) do(ctx context.Context, method, address string, body []byte, header map[string]string) (http.Header, []byte, error) {
	res, err := s.send(ctx, method, address, body, header)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, gcsAnswer))
	return res.Header, answer, err
}

func (s *GCS) object(name string) string {
	return s.base + "/storage/v1/b/" + url.PathEscape(s.bucket) + "/o/" + url.PathEscape(name)
}

// uploads is where objects are made, which must not exist yet.
func (s *GCS) uploads(kind string) string {
	return s.base + "/upload/storage/v1/b/" + url.PathEscape(s.bucket) + "/o?" + url.Values{"uploadType": {kind}, "ifGenerationMatch": {"0"}}.Encode()
}

// Look implements Store.
func (s *GCS) Look(ctx context.Context, name, upload string) (Found, error) {
	ctx, cancel := context.WithTimeout(ctx, quickTime)
	defer cancel()
	_, answer, err := s.do(ctx, http.MethodGet, s.object(name), nil, nil)
	switch gcsStatus(err) {
	case http.StatusNotFound:
		return Absent, nil
	case http.StatusForbidden:
		return Unknown, nil
	}
	if err != nil {
		return Unknown, gcsWrap("look for an object in the bucket", err)
	}
	var info struct{ Metadata map[string]string }
	if err := json.Unmarshal(answer, &info); err != nil {
		return Unknown, fmt.Errorf("look for an object in the bucket: %w", &Refused{Reason: "the answer is not an object's metadata"})
	}
	if info.Metadata[gcsMark] == upload {
		return Own, nil
	}
	return Foreign, nil
}

// Create implements Store.
func (s *GCS) Create(ctx context.Context, name, upload string, size int64) (Object, error) {
	return &gcsObject{store: s, ctx: ctx, name: name, upload: upload, part: make([]byte, 0, min(max(size, 1<<10), PartBytes))}, nil
}

// Sweep implements Store: unfinished uploads have no name to find them by, and go by themselves.
func (s *GCS) Sweep(context.Context, string, string) error { return nil }

// Seal implements Store: the mark stays with the object and costs nothing.
func (s *GCS) Seal(context.Context, string) error { return nil }

// Probe implements Store.
func (s *GCS) Probe(ctx context.Context, prefix string) error {
	return probe(ctx, s, prefix, gcsReason, func(ctx context.Context, name string) {
		_, _, _ = s.do(ctx, http.MethodDelete, s.object(name), nil, nil)
	})
}

// List implements Store.
func (s *GCS) List(ctx context.Context, prefix string, fn func(Stored) error) error {
	query := url.Values{"prefix": {prefix}, "maxResults": {strconv.Itoa(gcsPage)}, "fields": {"items(name,size),nextPageToken"}}
	for more := true; more; more = query.Get("pageToken") != "" {
		var page struct {
			Items []struct {
				Name string
				Size string
			}
			NextPageToken string
		}
		if err := s.page(ctx, query, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			size, err := strconv.ParseInt(item.Size, 10, 64)
			if err != nil {
				return fmt.Errorf("list the bucket: %w", &Refused{Reason: "an object has no size"})
			}
			if err := fn(Stored{Name: item.Name, Size: size}); err != nil {
				return err
			}
		}
		query.Set("pageToken", page.NextPageToken)
	}
	return nil
}

func (s *GCS) page(ctx context.Context, query url.Values, page any) error {
	ctx, cancel := context.WithTimeout(ctx, quickTime)
	defer cancel()
	_, answer, err := s.do(ctx, http.MethodGet, s.base+"/storage/v1/b/"+url.PathEscape(s.bucket)+"/o?"+query.Encode(), nil, nil)
	if err != nil {
		return gcsWrap("list the bucket", err)
	}
	if err := json.Unmarshal(answer, page); err != nil {
		return fmt.Errorf("list the bucket: %w", &Refused{Reason: "the answer is not a listing"})
	}
	return nil
}

// Open implements Store.
func (s *GCS) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	res, err := s.send(ctx, http.MethodGet, s.object(name)+"?alt=media", nil, nil)
	if gcsStatus(err) == http.StatusNotFound {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, gcsWrap("read an object of the bucket", err)
	}
	return res.Body, nil
}

// Close implements Store.
func (s *GCS) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// gcsObject holds one part of an object.
type gcsObject struct {
	store        *GCS
	ctx          context.Context
	name, upload string

	part    []byte
	session string // the address of the resumable upload; empty: none was begun
	sent    int64
	taken   bool // somebody else has the name: nothing more is sent
}

// gcsMetadata is what is said of a new object.
type gcsMetadata struct {
	Name        string            `json:"name"`
	ContentType string            `json:"contentType"`
	CRC32C      string            `json:"crc32c,omitempty"`
	Metadata    map[string]string `json:"metadata"`
}

func (o *gcsObject) metadata(crc string) []byte {
	text, err := json.Marshal(gcsMetadata{o.name, contentType(o.name), crc, map[string]string{gcsMark: o.upload}})
	if err != nil {
		panic(err) // texts
	}
	return text
}

func (o *gcsObject) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(o.part) == PartBytes {
			if err := o.send(false); err != nil {
				return 0, err
			}
		}
		k := min(PartBytes-len(o.part), len(p))
		o.part = append(o.part, p[:k]...)
		p = p[k:]
	}
	return n, nil
}

// send uploads the part in hand, with last as the end of the object.
func (o *gcsObject) send(last bool) error {
	if o.taken {
		o.part = o.part[:0]
		return nil
	}
	ctx, cancel := context.WithTimeout(o.ctx, requestTime)
	defer cancel()
	s := o.store
	if o.session == "" {
		header, _, err := s.do(ctx, http.MethodPost, s.uploads("resumable"), o.metadata(""), map[string]string{
			"Content-Type": "application/json; charset=UTF-8", "X-Upload-Content-Type": contentType(o.name),
		})
		if gcsStatus(err) == http.StatusPreconditionFailed {
			o.taken, o.part = true, o.part[:0] // said by Commit
			return nil
		}
		if err != nil {
			return gcsWrap("begin an upload to the bucket", err)
		}
		if o.session = header.Get("Location"); !strings.HasPrefix(o.session, s.base+"/") {
			// The token goes with what is sent there.
			o.session = ""
			return fmt.Errorf("begin an upload to the bucket: %w", &Refused{Reason: "the store sends the upload to another place"})
		}
	}
	end := o.sent + int64(len(o.part))
	total := "*"
	if last {
		total = strconv.FormatInt(end, 10)
	}
	header, _, err := s.do(ctx, http.MethodPut, o.session, o.part, map[string]string{
		"Content-Range": fmt.Sprintf("bytes %d-%d/%s", o.sent, end-1, total),
	})
	switch {
	case gcsStatus(err) == http.StatusPreconditionFailed:
		o.taken, o.part = true, o.part[:0]
		return nil
	case err != nil:
		return gcsWrap("upload a part to the bucket", err)
	case !last && header.Get("Range") != fmt.Sprintf("bytes=0-%d", end-1):
		return fmt.Errorf("upload a part to the bucket: %w", &Refused{Reason: "the store kept only some of it"})
	}
	o.sent, o.part = end, o.part[:0]
	return nil
}

func (o *gcsObject) Commit() error {
	if o.session == "" && !o.taken {
		return o.whole()
	}
	if err := o.send(true); err != nil {
		o.Abort()
		return err
	}
	if o.taken {
		return ErrTaken
	}
	return nil
}

// whole uploads a small object in one request.
func (o *gcsObject) whole() error {
	ctx, cancel := context.WithTimeout(o.ctx, requestTime)
	defer cancel()
	sum := binary.BigEndian.AppendUint32(nil, crc32.Checksum(o.part, crc32.MakeTable(crc32.Castagnoli)))
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for _, part := range []struct {
		kind string
		text []byte
	}{{"application/json; charset=UTF-8", o.metadata(base64.StdEncoding.EncodeToString(sum))}, {contentType(o.name), o.part}} {
		w, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {part.kind}})
		if err != nil {
			return err
		}
		if _, err := w.Write(part.text); err != nil {
			return err
		}
	}
	if err := parts.Close(); err != nil {
		return err
	}
	_, _, err := o.store.do(ctx, http.MethodPost, o.store.uploads("multipart"), body.Bytes(), map[string]string{
		"Content-Type": "multipart/related; boundary=" + parts.Boundary(),
	})
	switch {
	case err == nil:
		return nil
	case gcsStatus(err) == http.StatusPreconditionFailed:
		return ErrTaken
	}
	return gcsWrap("upload an object to the bucket", err)
}

// Abort may come after a completion whose answer was lost: then there is nothing left to abort, and the object stays.
func (o *gcsObject) Abort() {
	if o.session == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), quickTime)
	defer cancel()
	_, _, _ = o.store.do(ctx, http.MethodDelete, o.session, nil, nil)
}
