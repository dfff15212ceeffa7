//go:build parts

package export_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	s3keys "github.com/minio/minio-go/v7/pkg/credentials"

	"sluice/delivery/export"
	"sluice/delivery/export/storetest"
	"sluice/relay/registry"
)

// gatewayProgram is the S3 server that the stores are held to: it checks signatures and conditions, on single objects and on multipart
// uploads.
const gatewayProgram = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

const (
	partsKey    = "test-access-key"
	partsSecret = "a-secret-that-nobody-sees"
)

// startGateway installs and starts the S3 server and gives its address.
func startGateway(t *testing.T) string {
	t.Helper()
	address := freeAddress(t)
	server := exec.Command(installed(t, gatewayProgram), "--port", address, "posix", t.TempDir())
	server.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+partsKey, "ROOT_SECRET_KEY="+partsSecret)
	serving(t, server, address)
	return address
}

// installed installs a program and gives the path of it.
func installed(t *testing.T, program string) string {
	t.Helper()
	bin := t.TempDir()
	install := exec.CommandContext(t.Context(), "go", "install", program)
	install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("installing %s: %v\n%s", program, err, out)
	}
	name, _, _ := strings.Cut(path.Base(program), "@")
	return filepath.Join(bin, name)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	return l.Addr().String()
}

// serving starts a server, which the test ends, and waits until it listens.
func serving(t *testing.T, server *exec.Cmd, address string) {
	t.Helper()
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	must(t, server.Start())
	t.Cleanup(func() {
		must(t, server.Process.Kill())
		_ = server.Wait() // it was killed, and says so
		if t.Failed() {
			t.Logf("the server said:\n%s", log.String())
		}
	})
	until(t, "the server listens", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			err = c.Close()
		}
		return err == nil
	})
}

// gatewayBucket is an empty bucket on the server.
func gatewayBucket(t *testing.T, address, name string) (export.Target, *minio.Client) {
	t.Helper()
	transport := &http.Transport{}
	client, err := minio.New(address, &minio.Options{
		Creds: s3keys.NewStaticV4(partsKey, partsSecret, ""), BucketLookup: minio.BucketLookupPath, Region: "us-east-1", Transport: transport,
	})
	must(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	must(t, client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}))
	return export.Target{
		Type: export.TypeS3, Bucket: name,
		Credentials: fmt.Appendf(nil, `{"url":"http://%s","accessKey":%q,"secretKey":%q,"api":"s3v4","path":"auto"}`, address, partsKey, partsSecret),
	}, client
}

func gatewayObjects(t *testing.T, client *minio.Client, bucket string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for o := range client.ListObjectsIter(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		must(t, o.Err)
		object, err := client.GetObject(t.Context(), bucket, o.Key, minio.GetObjectOptions{})
		must(t, err)
		content, err := io.ReadAll(object)
		must(t, err)
		must(t, object.Close())
		all[o.Key] = content
	}
	return all
}

// The store's laws, a wrong key and a killed exporter, against a real S3 server.
func TestVersityGateway(t *testing.T) {
	address := startGateway(t)
	n := 0
	t.Run("Store", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) storetest.Place {
			n++
			target, client := gatewayBucket(t, address, fmt.Sprintf("bucket-%d", n))
			return storetest.Place{
				Open: func(t *testing.T) export.Store {
					s, err := export.OpenS3(target)
					must(t, err)
					return s
				},
				Objects: func(t *testing.T) map[string][]byte { return gatewayObjects(t, client, target.Bucket) },
				Foreign: func(t *testing.T, name string, content []byte) {
					_, err := client.PutObject(t.Context(), target.Bucket, name, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
					must(t, err)
				},
			}
		})
	})
	t.Run("WrongKey", func(t *testing.T) {
		target, _ := gatewayBucket(t, address, "closed")
		target.Credentials = bytes.ReplaceAll(target.Credentials, []byte(partsSecret), []byte("another-secret"))
		s, err := export.OpenS3(target)
		must(t, err)
		defer s.Close()
		if err := s.Probe(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "SignatureDoesNotMatch") || strings.Contains(err.Error(), "another-secret") {
			t.Errorf("a wrong key gives %v", err)
		}
	})
	t.Run("Killed", func(t *testing.T) {
		target, client := gatewayBucket(t, address, "exported")
		p := place{
			open:    func(export.Target) (export.Store, error) { return export.OpenS3(target) },
			objects: func() map[string][]byte { return gatewayObjects(t, client, target.Bucket) },
		}
		w := newWorld(t)
		st := w.numbers()
		w.sink("out")
		w.exporter(st, registry.ExporterSpec{PathPrefix: "p"})
		w.send(st, 10)
		w.at(11 * time.Second)
		for _, step := range []string{"planned", "written", "uploaded", "committed"} {
			if !killAt(t, w, p, step, 0) {
				t.Fatalf("it did not come to %s", step)
			}
		}
		defer w.exporting(export.Config{Open: p.open, MaxObject: 17})()
		until(t, "all events", func() bool { return len(numbersInOrder(t, p.objects())) >= w.sent })
		if got := numbersInOrder(t, p.objects()); !slices.Equal(got, upTo(w.sent)) {
			t.Errorf("the objects hold %v", got)
		}
	})
}
