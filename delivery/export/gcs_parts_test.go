//go:build parts

package export_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"encoding/json"

	"sluice/delivery/export"
	"sluice/delivery/export/storetest"
	"sluice/relay/registry"
)

// gcsProgram is the Cloud Storage server that the store is held to: it knows conditions, on whole and on resumable uploads.
const gcsProgram = "github.com/fsouza/fake-gcs-server@v1.56.1"

// gcsServer is a running one.
type gcsServer struct {
	t    *testing.T
	base string
	file []byte
}

func startGCS(t *testing.T) *gcsServer {
	t.Helper()
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	serving(t, exec.Command(installed(t, gcsProgram), "-scheme", "http", "-host", "127.0.0.1", "-port", port, "-backend", "memory",
		"-external-url", "http://"+address, "-public-host", address, "-log-level", "error"), address)
	return &gcsServer{t, "http://" + address, accountFile(t, tokenServer(t, goodToken).URL)}
}

// call speaks to the server as another program would.
func (s *gcsServer) call(method, path, body string) []byte {
	s.t.Helper()
	req, err := http.NewRequest(method, s.base+path, strings.NewReader(body))
	must(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(s.t, err)
	if res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s: %s", method, path, res.Status, answer)
	}
	return answer
}

func (s *gcsServer) bucket(name string) export.Target {
	s.t.Helper()
	s.call(http.MethodPost, "/storage/v1/b", fmt.Sprintf(`{"name":%q}`, name))
	return export.Target{Type: export.TypeGCS, Bucket: name, Endpoint: s.base, Credentials: s.file}
}

func (s *gcsServer) objects(bucket string) map[string][]byte {
	s.t.Helper()
	var list struct{ Items []struct{ Name string } }
	must(s.t, json.Unmarshal(s.call(http.MethodGet, "/storage/v1/b/"+bucket+"/o", ""), &list))
	all := map[string][]byte{}
	for _, o := range list.Items {
		all[o.Name] = s.call(http.MethodGet, "/storage/v1/b/"+bucket+"/o/"+url.PathEscape(o.Name)+"?alt=media", "")
	}
	return all
}

// The store's laws, a bucket that is not there and a killed exporter, against a Cloud Storage server.
func TestFakeGCSServer(t *testing.T) {
	server := startGCS(t)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	n := 0
	t.Run("Store", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) storetest.Place {
			n++
			target := server.bucket(fmt.Sprintf("bucket-%d", n))
			return storetest.Place{
				Open: func(t *testing.T) export.Store {
					s, err := export.OpenGCS(target)
					must(t, err)
					return s
				},
				Objects: func(t *testing.T) map[string][]byte { return server.objects(target.Bucket) },
				Foreign: func(t *testing.T, name string, content []byte) {
					server.call(http.MethodPost, "/upload/storage/v1/b/"+target.Bucket+"/o?uploadType=media&name="+url.QueryEscape(name), string(content))
				},
			}
		})
	})
	t.Run("NoBucket", func(t *testing.T) {
		s, err := export.OpenGCS(export.Target{Type: export.TypeGCS, Bucket: "nowhere", Endpoint: server.base, Credentials: server.file})
		must(t, err)
		defer s.Close()
		if err := s.Probe(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("a bucket that is not there gives %v", err)
		}
	})
	t.Run("Killed", func(t *testing.T) {
		target := server.bucket("exported")
		p := place{
			open:    func(export.Target) (export.Store, error) { return export.OpenGCS(target) },
			objects: func() map[string][]byte { return server.objects(target.Bucket) },
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
