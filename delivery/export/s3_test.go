package export_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"sluice/delivery/export"
	"sluice/delivery/export/storetest"
)

// bucket is an S3 in this process.
type bucket struct {
	*s3mem.Backend
	target export.Target
}

const keyFile = `{"AccessKey":{"UserName":"u","AccessKeyId":"AKIDEXAMPLE","Status":"Active","SecretAccessKey":"a-secret-that-nobody-sees","CreateDate":"2021-01-15T09:00:00Z"}}`

// newBucket starts one. wrap may put something before it.
func newBucket(t *testing.T, wrap func(http.Handler) http.Handler) *bucket {
	t.Helper()
	b := &bucket{Backend: s3mem.New()}
	handler := gofakes3.New(b, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	handler = conditional(b.Backend, handler)
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	must(t, b.CreateBucket("bucket"))
	b.target = export.Target{Type: export.TypeS3, Bucket: "bucket", Endpoint: server.URL, Region: "us-east-1", PathStyle: true, Credentials: []byte(keyFile)}
	return b
}

// conditional adds what gofakes3 does not do: it completes a multipart upload whatever is there.
func conditional(b *s3mem.Backend, next http.Handler) http.Handler {
	var one sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
			one.Lock()
			defer one.Unlock()
			name := strings.TrimPrefix(r.URL.Path, "/bucket/")
			if _, err := b.HeadObject("bucket", name); err == nil && r.Header.Get("If-None-Match") == "*" {
				w.WriteHeader(http.StatusPreconditionFailed)
				_, _ = io.WriteString(w, `<Error><Code>PreconditionFailed</Code><Message>it is there</Message></Error>`)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (b *bucket) open(t *testing.T) export.Store {
	t.Helper()
	s, err := export.OpenS3(b.target)
	must(t, err)
	return s
}

func (b *bucket) objects(t *testing.T) map[string][]byte {
	t.Helper()
	list, err := b.ListBucket("bucket", nil, gofakes3.ListBucketPage{})
	must(t, err)
	all := map[string][]byte{}
	for _, o := range list.Contents {
		object, err := b.GetObject("bucket", o.Key, nil)
		must(t, err)
		content, err := io.ReadAll(object.Contents)
		must(t, err)
		all[o.Key] = content
	}
	return all
}

func TestS3(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Place {
		b := newBucket(t, nil)
		return storetest.Place{
			Open:    b.open,
			Objects: b.objects,
			Foreign: func(t *testing.T, name string, content []byte) {
				_, err := b.PutObject("bucket", name, map[string]string{"Last-Modified": "Mon, 2 Jan 2006 15:04:05 GMT"}, bytes.NewReader(content), int64(len(content)), nil)
				must(t, err)
			},
		}
	})
}

// A store that does not take objects says why, and the reason holds no secret.
func TestS3Refuses(t *testing.T) {
	denied := func(code int, body string) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/xml")
				w.WriteHeader(code)
				_, _ = io.WriteString(w, body)
			})
		}
	}
	for name, c := range map[string]struct {
		wrap   func(http.Handler) http.Handler
		change func(*export.Target)
		says   string
	}{
		"no bucket": {change: func(t *export.Target) { t.Bucket = "another" }, says: "NoSuchBucket"},
		"no right":  {wrap: denied(403, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`), says: "AccessDenied: Access Denied"},
		"wrong key": {wrap: denied(403, `<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.</Message><StringToSign>secret stuff</StringToSign></Error>`), says: "SignatureDoesNotMatch"},
		"nobody":    {change: func(t *export.Target) { t.Endpoint = "http://127.0.0.1:1" }, says: "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucket(t, c.wrap)
			if c.change != nil {
				c.change(&b.target)
			}
			s := b.open(t)
			defer s.Close()
			err := s.Probe(t.Context(), "p")
			var refused *export.Refused
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, c.says) {
				t.Fatalf("it says %v, want %s", err, c.says)
			}
			for _, secret := range []string{"a-secret", "AKIDEXAMPLE", "secret stuff"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("it says %q", err)
				}
			}
		})
	}
}

// A server that knows no conditions is written to without.
func TestS3WithoutConditions(t *testing.T) {
	b := newBucket(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotImplemented)
				_, _ = io.WriteString(w, `<Error><Code>NotImplemented</Code><Message>no</Message></Error>`)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	s := b.open(t)
	defer s.Close()
	o, err := s.Create(t.Context(), "n", "upload", 4)
	must(t, err)
	_, err = o.Write([]byte("data"))
	must(t, err)
	must(t, o.Commit())
	if found, err := s.Look(t.Context(), "n", "upload"); found != export.Own || err != nil {
		t.Errorf("it finds %v, %v", found, err)
	}
}

// Who may write but not look is told so.
func TestS3WriteOnly(t *testing.T) {
	b := newBucket(t, writeOnly)
	s := b.open(t)
	defer s.Close()
	if found, err := s.Look(t.Context(), "n", "upload"); found != export.Unknown || err != nil {
		t.Errorf("it finds %v, %v", found, err)
	}
	must(t, s.Probe(t.Context(), ""))
}

func writeOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead || r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func TestCredentials(t *testing.T) {
	for _, c := range []struct{ file, says string }{
		{keyFile, ""},
		{`{"AccessKey":{"AccessKeyId":"A","SecretAccessKey":"B"}}`, ""},
		{`{"url":"https://minio.example.com","accessKey":"A","secretKey":"B","api":"s3v4","path":"auto"}`, ""},
		{`{"accessKey":"A","secretKey":"B"}`, ""},
		{`{"AccessKey":{"AccessKeyId":"A"}}`, "SecretAccessKey is missing"},
		{`{"AccessKey":"sss-secret"}`, "AccessKey is of another kind"},
		{`{"accessKey":"A"}`, "aws iam create-access-key"},
		{`{"accessKey":"A","secretKey":["sss-secret"]}`, "secretKey is of another kind"},
		{`{"accessKey":"A","secretKey":"sss-secret","api":"s3v2"}`, "api must be s3v4"},
		{`{"url":"ftp://x","accessKey":"A","secretKey":"sss-secret"}`, "url must be http"},
		{`{"url":"https://u:sss-secret@x","accessKey":"A","secretKey":"B"}`, "must not hold a user"},
		{`{"AccessKey":{"AccessKeyId":"A","SecretAccessKey":"B"},"assumeRoleArn":"arn"}`, "assumeRoleArn is not supported"},
		{`sss-secret`, "not a JSON object"}, {`null`, "not a JSON object"}, {`[]`, "not a JSON object"}, {``, "not a JSON object"},
	} {
		s, err := export.OpenS3(export.Target{Type: export.TypeS3, Bucket: "bucket", Credentials: []byte(c.file)})
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", c.file, err)
				continue
			}
			must(t, s.Close())
			continue
		}
		if !errors.Is(err, export.ErrCredentials) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "sss") {
			t.Errorf("%s: %v", c.file, err)
		}
	}
}
