package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	keys "github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	// uploadMark is the user metadata that says which upload made an object.
	uploadMark = "Sluice-Upload"
	// requestTime bounds one request, of which a part of PartBytes is the largest: 70 kB/s are enough.
	requestTime = 2 * time.Minute
	// quickTime bounds requests without a body.
	quickTime = 30 * time.Second
)

// S3 is a Store in a bucket of AWS or of any server that speaks its protocol. An object is one PUT, or from PartBytes on a multipart
// upload; either appears whole, and by `If-None-Match: *` only where nothing is. Metadata says which upload made it: to read it takes
// s3:GetObject; without that right a repeat of what was stored already cannot be told from another's object and is stored under the next
// name.
//
// What a crash can leave: parts of a multipart upload, which nobody sees (Sweep). A server that does not know conditions answers 501, and
// is then trusted to keep the order of Look and Create.
type S3 struct {
	core      minio.Core
	bucket    string
	transport *http.Transport
	plain     atomic.Bool // the server knows no conditions
}

var _ Store = (*S3)(nil)

// OpenS3 makes a Store of a bucket. It asks nothing yet: Probe does. Errors: ErrCredentials, a *Refused.
func OpenS3(t Target) (*S3, error) {
	c, err := parseCredentials(t.Credentials)
	if err != nil {
		return nil, err
	}
	endpoint := "https://s3.amazonaws.com"
	switch {
	case t.Endpoint != "":
		endpoint = t.Endpoint
	case c.endpoint != "":
		endpoint = c.endpoint
	}
	if err := checkEndpoint(endpoint); err != nil {
		return nil, &Refused{Reason: "the endpoint " + err.Error()}
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, &Refused{Reason: "the endpoint is not a URL"}
	}
	lookup := minio.BucketLookupAuto
	if t.PathStyle || c.pathStyle {
		lookup = minio.BucketLookupPath
	}
	transport := newTransport()
	client, err := minio.New(u.Host, &minio.Options{
		Creds: keys.NewStaticV4(c.key, c.secret, c.session), Secure: u.Scheme == "https", Transport: transport,
		Region: t.Region, BucketLookup: lookup,
		MaxRetries: 1, // the exporter tries again, and tells while it does
	})
	if err != nil {
		return nil, &Refused{Reason: reason(err)}
	}
	return &S3{core: minio.Core{Client: client}, bucket: t.Bucket, transport: transport}, nil
}

// reason puts an error of the store in one line without addresses and keys: its code and its own sentence.
func reason(err error) string {
	var answered minio.ErrorResponse
	var call *url.Error
	text := err.Error()
	switch {
	case errors.As(err, &answered) && answered.Code != "":
		text = answered.Code + ": " + answered.Message
	case errors.As(err, &call):
		text = call.Err.Error()
	}
	return strings.Join(strings.Fields(text), " ")
}

// wrap keeps what callers ask for and drops what must not be in a log.
func wrap(doing string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, &Refused{Reason: reason(err)})
}

func status(err error) int {
	var answered minio.ErrorResponse
	if errors.As(err, &answered) {
		return answered.StatusCode
	}
	return 0
}

// Look implements Store.
func (s *S3) Look(ctx context.Context, name, upload string) (Found, error) {
	ctx, cancel := context.WithTimeout(ctx, quickTime)
	defer cancel()
	info, err := s.core.StatObject(ctx, s.bucket, name, minio.StatObjectOptions{})
	switch {
	case err == nil && info.UserMetadata[uploadMark] == upload:
		return Own, nil
	case err == nil:
		return Foreign, nil
	case status(err) == http.StatusNotFound:
		return Absent, nil
	case status(err) == http.StatusForbidden:
		return Unknown, nil
	}
	return Unknown, wrap("look for an object in the bucket", err)
}

// Create implements Store.
func (s *S3) Create(ctx context.Context, name, upload string, size int64) (Object, error) {
	return &s3Object{store: s, ctx: ctx, name: name, upload: upload, part: make([]byte, 0, min(max(size, 1<<10), PartBytes))}, nil
}

// Sweep implements Store.
func (s *S3) Sweep(ctx context.Context, name, _ string) error {
	ctx, cancel := context.WithTimeout(ctx, quickTime)
	defer cancel()
	// Some servers answer 404 where there is none.
	if err := s.core.RemoveIncompleteUpload(ctx, s.bucket, name); err != nil && status(err) != http.StatusNotFound {
		return wrap("remove unfinished uploads from the bucket", err)
	}
	return nil
}

// Seal implements Store: the mark stays with the object and costs nothing.
func (s *S3) Seal(context.Context, string) error { return nil }

// Probe implements Store.
func (s *S3) Probe(ctx context.Context, prefix string) error {
	return probe(ctx, s, prefix, reason, func(ctx context.Context, name string) {
		_ = s.core.RemoveObject(ctx, s.bucket, name, minio.RemoveObjectOptions{})
	})
}

// Close implements Store.
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// options are those of a new object.
func (s *S3) options(name, upload string) minio.PutObjectOptions {
	o := minio.PutObjectOptions{
		ContentType: contentType(name), UserMetadata: map[string]string{uploadMark: upload},
		// The client's own hash is one for each 64 KiB, in a framing that is larger and that not every server understands. Ours is over
		// the whole body, which is in memory.
		DisableContentSha256: true,
	}
	s.condition(&o)
	return o
}

// condition asks for an object that does not exist yet.
func (s *S3) condition(o *minio.PutObjectOptions) {
	if !s.plain.Load() {
		o.SetMatchETagExcept("*")
	}
}

// conditionally does a request with its condition, and again without one where the server knows none.
func (s *S3) conditionally(doing string, do func() error) error {
	err := do()
	if status(err) == http.StatusNotImplemented && s.plain.CompareAndSwap(false, true) {
		err = do()
	}
	switch {
	case err == nil:
		return nil
	case status(err) == http.StatusPreconditionFailed:
		return ErrTaken
	}
	return wrap(doing, err)
}

// s3Object holds one part of an object. The parts are ours rather than the client's PutObject: that leaves the condition away when it
// completes a multipart upload, and so would write over what is there.
type s3Object struct {
	store        *S3
	ctx          context.Context
	name, upload string

	part  []byte
	id    string // of the multipart upload; empty: none was begun
	parts []minio.CompletePart
}

func (o *s3Object) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(o.part) == PartBytes {
			if err := o.send(); err != nil {
				return 0, err
			}
		}
		k := min(PartBytes-len(o.part), len(p))
		o.part = append(o.part, p[:k]...)
		p = p[k:]
	}
	return n, nil
}

// send uploads the part in hand.
func (o *s3Object) send() error {
	ctx, cancel := context.WithTimeout(o.ctx, requestTime)
	defer cancel()
	s := o.store
	if o.id == "" {
		// The condition belongs to the completion: here it has no meaning, and some servers refuse it.
		id, err := s.core.NewMultipartUpload(ctx, s.bucket, o.name,
			minio.PutObjectOptions{ContentType: contentType(o.name), UserMetadata: map[string]string{uploadMark: o.upload}})
		if err != nil {
			return wrap("begin an upload to the bucket", err)
		}
		o.id = id
	}
	sum := sha256.Sum256(o.part)
	n := len(o.parts) + 1
	made, err := s.core.PutObjectPart(ctx, s.bucket, o.name, o.id, n, bytes.NewReader(o.part), int64(len(o.part)),
		minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(sum[:]), DisableContentSha256: true})
	if err != nil {
		return wrap("upload a part to the bucket", err)
	}
	o.parts = append(o.parts, minio.CompletePart{PartNumber: n, ETag: made.ETag})
	o.part = o.part[:0]
	return nil
}

func (o *s3Object) Commit() error {
	s := o.store
	if o.id == "" {
		sum := sha256.Sum256(o.part)
		return s.conditionally("upload an object to the bucket", func() error {
			ctx, cancel := context.WithTimeout(o.ctx, requestTime)
			defer cancel()
			_, err := s.core.PutObject(ctx, s.bucket, o.name, bytes.NewReader(o.part), int64(len(o.part)), "", hex.EncodeToString(sum[:]), s.options(o.name, o.upload))
			return err
		})
	}
	if err := o.send(); err != nil {
		o.Abort()
		return err
	}
	err := s.conditionally("complete an upload to the bucket", func() error {
		ctx, cancel := context.WithTimeout(o.ctx, requestTime)
		defer cancel()
		var options minio.PutObjectOptions
		s.condition(&options)
		_, err := s.core.CompleteMultipartUpload(ctx, s.bucket, o.name, o.id, o.parts, options)
		return err
	})
	if err != nil {
		o.Abort()
	}
	return err
}

// Abort may come after a completion whose answer was lost: then there is nothing left to abort, and the object stays.
func (o *s3Object) Abort() {
	if o.id == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), quickTime)
	defer cancel()
	_ = o.store.core.AbortMultipartUpload(ctx, o.store.bucket, o.name, o.id)
}

var _ io.Writer = (*s3Object)(nil)
