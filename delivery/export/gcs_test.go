package export_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"sluice/delivery/export"
)

// accountFile is the key file of a service account whose tokens are asked for at an address.
func accountFile(t *testing.T, tokens string) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": "exporter@example.iam.gserviceaccount.com", "private_key_id": "k1", "token_uri": tokens,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	})
	must(t, err)
	return text
}

// tokenServer gives out tokens, as Google's does.
func tokenServer(t *testing.T, answer func(w http.ResponseWriter)) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || r.PostForm.Get("assertion") == "" {
			t.Errorf("a token is asked for by %v", r.PostForm)
		}
		w.Header().Set("Content-Type", "application/json")
		answer(w)
	}))
	t.Cleanup(s.Close)
	return s
}

func goodToken(w http.ResponseWriter) {
	io.WriteString(w, `{"access_token":"a-token","token_type":"Bearer","expires_in":3600}`)
}

// Answers that no store should give, and what is said of them. Nothing of it holds the key or the token.
func TestGCSRefusals(t *testing.T) {
	type step func(w http.ResponseWriter, r *http.Request)
	answer := func(status int, body string, header ...string) step {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	var base string
	session := func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", base+"/session") }
	small, large := 10, export.PartBytes+10
	for name, c := range map[string]struct {
		token func(http.ResponseWriter)
		size  int
		steps []step
		taken bool
		says  string
	}{
		"no right":       {size: small, steps: []step{answer(403, `{"error":{"code":403,"message":"exporter does not have storage.objects.create access"}}`)}, says: "does not have storage.objects.create"},
		"no bucket":      {size: small, steps: []step{answer(404, `Not Found`)}, says: "404 Not Found"},
		"taken":          {size: small, steps: []step{answer(412, `{}`)}, taken: true},
		"taken at once":  {size: large, steps: []step{answer(412, `{}`)}, taken: true},
		"taken at last":  {size: large, steps: []step{session, answer(308, "", "Range", fmt.Sprintf("bytes=0-%d", export.PartBytes-1)), answer(412, `{}`)}, taken: true},
		"kept a part":    {size: large, steps: []step{session, answer(308, "", "Range", "bytes=0-262143"), answer(499, "")}, says: "kept only some of it"},
		"sent elsewhere": {size: large, steps: []step{answer(200, "", "Location", "http://203.0.113.7/session")}, says: "to another place"},
		"redirected":     {size: small, steps: []step{answer(302, "", "Location", "http://203.0.113.7/")}, says: "302 Found"},
		"no such account": {size: small, token: func(w http.ResponseWriter) {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`)
		}, says: "invalid_grant Invalid JWT Signature."},
		"tokens are broken": {size: small, token: func(w http.ResponseWriter) { w.WriteHeader(500) }, says: "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			give := c.token
			if give == nil {
				give = goodToken
			}
			tokens := tokenServer(t, give)
			var n atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer a-token" {
					t.Errorf("the token is %q", r.Header.Get("Authorization"))
				}
				_, _ = io.Copy(io.Discard, r.Body) // the client may be gone
				i := int(n.Add(1)) - 1
				if i >= len(c.steps) {
					t.Errorf("%s %s was not expected", r.Method, r.URL)
					return
				}
				c.steps[i](w, r)
			}))
			defer server.Close()
			base = server.URL
			file := accountFile(t, tokens.URL)
			s, err := export.OpenGCS(export.Target{Type: export.TypeGCS, Bucket: "b", Endpoint: server.URL, Credentials: file})
			must(t, err)
			defer s.Close()
			o, err := s.Create(t.Context(), "n", uuid.NewString(), int64(c.size))
			must(t, err)
			_, err = o.Write(make([]byte, c.size))
			if err == nil {
				err = o.Commit()
			} else {
				o.Abort()
			}
			var refused *export.Refused
			switch {
			case c.taken && !errors.Is(err, export.ErrTaken):
				t.Errorf("a name that is taken gives %v", err)
			case !c.taken && (!errors.As(err, &refused) || !strings.Contains(refused.Reason, c.says)):
				t.Errorf("it says %v, want %q", err, c.says)
			case err != nil && (strings.Contains(err.Error(), "a-token") || strings.Contains(err.Error(), "PRIVATE") || strings.Contains(err.Error(), server.URL)):
				t.Errorf("it says too much: %v", err)
			}
			if int(n.Load()) != len(c.steps) {
				t.Errorf("%d requests, want %d", n.Load(), len(c.steps))
			}
		})
	}
}

// What is no key file is said to be none, and nothing of it is repeated.
func TestGCSCredentials(t *testing.T) {
	good := string(accountFile(t, "https://tokens.example.com"))
	for text, says := range map[string]string{
		"": "not a JSON object", "[1]": "not a JSON object", `{"type":"authorized_user","client_email":"secret@x"}`: "its type is not service_account",
		`{"type":"service_account","private_key":"secret"}`:                          "client_email or private_key is missing",
		strings.Replace(good, "https://tokens.example.com", "file:///etc/secret", 1): "token_uri must be",
	} {
		_, err := export.OpenGCS(export.Target{Type: export.TypeGCS, Bucket: "b", Endpoint: "https://storage.example.com", Credentials: []byte(text)})
		if !errors.Is(err, export.ErrCredentials) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.40s gives %v, want %q", text, err, says)
		}
	}
	if _, err := export.OpenGCS(export.Target{Bucket: "b", Endpoint: "https://u:p@storage.example.com", Credentials: []byte(good)}); err == nil {
		t.Error("an endpoint with a password is taken")
	}
	// A key that is none shows at the first use, in words that hold nothing of it.
	broken := `{"type":"service_account","client_email":"a@b","private_key":"-----BEGIN secret"}`
	s, err := export.OpenGCS(export.Target{Bucket: "b", Endpoint: "https://127.0.0.1:1", Credentials: []byte(broken)})
	must(t, err)
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := s.Probe(ctx, ""); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a broken key gives %v", err)
	}
}
