package export

import (
	"context"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// List implements Store. It takes the right to list the bucket.
func (s *S3) List(ctx context.Context, prefix string, fn func(Stored) error) error {
	ctx, cancel := context.WithCancel(ctx) // ends the listing when fn does
	defer cancel()
	for o := range s.core.Client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			return wrap("list the objects of the bucket", o.Err)
		}
		if err := fn(Stored{Name: o.Key, Size: o.Size}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Open implements Store.
func (s *S3) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	body, _, _, err := s.core.GetObject(ctx, s.bucket, name, minio.GetObjectOptions{})
	if status(err) == http.StatusNotFound {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, wrap("open an object of the bucket", err)
	}
	return body, nil
}
