package gateway_test

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"sluice/relay/backup"
	"sluice/relay/engine"
	"sluice/relay/gateway"
)

// unpacked is the names of the files in a backup.
func unpacked(t *testing.T, from io.Reader) (names []string, err error) {
	t.Helper()
	for archive := tar.NewReader(from); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return names, err
		}
		names = append(names, h.Name)
		if _, err := io.Copy(io.Discard, archive); err != nil {
			return names, err
		}
	}
}

// enlarge makes the log larger than all buffers on a backup's way: a client that leaves has not had it all.
func (e *edge) enlarge() {
	e.t.Helper()
	st, err := e.engine.NewStream(e.t.Context(), engine.StreamID(uuid.New()), "large")
	e.must(err)
	for range 24 {
		noise := make([]byte, 400_000)
		rand.Read(noise)
		b := &engine.Batch{}
		b.Add(&engine.Record{ID: []byte("x"), Kind: engine.KindJSON, Payload: fmt.Appendf(nil, "%q", base64.StdEncoding.EncodeToString(noise))})
		_, err := e.engine.Append(e.t.Context(), st, b)
		e.must(err)
	}
}

// A backup comes whole over HTTP/1 and over HTTP/2; one is taken at a time; a client that leaves ends it, and the next one may begin.
func TestBackup(t *testing.T) {
	s := newSecured(t, nil)
	s.enlarge()
	get := func(ctx context.Context, client *http.Client, method, query string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, s.base+"/v1/backup"+query, nil)
		s.must(err)
		req.Header.Set("Authorization", "Bearer "+adminToken)
		resp, err := client.Do(req)
		s.must(err)
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	for name, client := range map[string]*http.Client{"HTTP/1": s.one, "HTTP/2": s.client} {
		for query, key := range map[string]bool{"": false, "?masterKey=true": true} {
			resp := get(t.Context(), client, http.MethodGet, query)
			names, err := unpacked(t, resp.Body)
			if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-tar" || len(names) == 0 ||
				names[0] != "manifest.json" || names[len(names)-1] != "complete.json" || strings.Contains(strings.Join(names, " "), "master.key") != key {
				t.Errorf("%s%s: %d %v %v %v", name, query, resp.StatusCode, resp.Header, names, err)
			}
		}
		if resp := get(t.Context(), client, http.MethodHead, ""); resp.StatusCode != 200 || resp.ContentLength > 0 {
			t.Errorf("HEAD over %s: %d, %d bytes", name, resp.StatusCode, resp.ContentLength)
		}
		ctx, leave := context.WithCancel(t.Context())
		slow := get(ctx, client, http.MethodGet, "")
		if _, err := io.ReadFull(slow.Body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		second := get(t.Context(), client, http.MethodGet, "")
		text, err := io.ReadAll(second.Body)
		if err != nil || second.StatusCode != http.StatusConflict || !strings.Contains(string(text), `"message":"A backup is being taken already`) {
			t.Errorf("a second one over %s: %d %s %v", name, second.StatusCode, text, err)
		}
		leave()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			resp := get(t.Context(), client, http.MethodGet, "")
			_, err := unpacked(t, resp.Body)
			if resp.StatusCode == 200 && err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: after a client has left: %d", name, resp.StatusCode)
			}
		}
	}
	if strings.Contains(s.log.String(), "panicked") {
		t.Error(s.log)
	}
}

// A stop waits for a backup as long as for any answer, and breaks it off then: the client does not take it for whole.
func TestBackupAtAStop(t *testing.T) {
	s := newEdge(t, func(c *gateway.Config) { c.Grace = 100 * time.Millisecond })
	s.enlarge()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/v1/backup", nil)
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := s.client.Do(req)
	s.must(err)
	defer resp.Body.Close()
	s.must(s.stop())
	if sum, err := backup.Receive(resp.Body, t.TempDir(), nil); err == nil {
		t.Errorf("a backup that was cut is whole: %+v", sum)
	}
}
