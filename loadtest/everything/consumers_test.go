//go:build parts

package everything_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"sluice/loadtest/drive"
	"sluice/loadtest/receiver"
	"sluice/loadtest/server"
	"sluice/loadtest/wire"
)

// consumer is somebody who gets a stream, by whatever way.
type consumer struct {
	name string
	door int
	same sameness
	got  *record
}

// life bounds a connection.
const life = 15 * time.Minute

// lines reads NDJSON, packed or plain.
func (w *world) lines(door int, gzip bool) {
	name := "ndjson"
	headers := []string{"Authorization: Bearer " + w.doors[door].Token}
	if gzip {
		name, headers = "ndjson with gzip", append(headers, "Accept-Encoding: gzip")
	}
	request := wire.Request("GET", "/v1/streams/"+w.doors[door].Name+"/events?from=EARLIEST&envelope=offset", w.server.Addr, headers, nil)
	got := w.consumer(name, door, inOrder)
	w.stream(request, got, func(line []byte) { got.line(line) })
}

// served reads server-sent events.
func (w *world) served(door int) {
	got := w.consumer("server-sent events", door, inOrder)
	request := wire.Request("GET", "/sse?from=EARLIEST&envelope=offset", w.server.Addr, []string{"Authorization: Bearer " + w.doors[door].Token}, nil)
	w.stream(request, got, func(line []byte) {
		if event, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			got.line(event)
		}
	})
}

// stream reads an endless answer until the test ends it.
func (w *world) stream(request []byte, got *record, each func(line []byte)) {
	w.t.Helper()
	conn, err := wire.Dial(w.server.Addr, life)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := conn.Open(request)
	if err != nil {
		w.t.Fatal(err)
	}
	w.reading(s, got, func() error {
		return wire.Lines(s, s.Gzip, func(line []byte) error {
			each(line)
			return nil
		})
	})
}

// socket reads a websocket.
func (w *world) socket(door int) {
	w.t.Helper()
	got := w.consumer("websocket", door, inOrder)
	ws, _, err := websocket.DefaultDialer.DialContext(w.t.Context(), "ws://"+w.server.Addr+"/ws?from=EARLIEST&envelope=offset",
		http.Header{"Authorization": {"Bearer " + w.doors[door].Token}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.reading(ws, got, func() error {
		for {
			kind, message, err := ws.ReadMessage()
			if err != nil {
				return err
			}
			if kind != websocket.TextMessage {
				return fmt.Errorf("a message of kind %d", kind)
			}
			got.line(bytes.TrimSuffix(message, []byte("\n")))
		}
	})
}

// reading reads on a goroutine of its own until the test closes the connection; an end before is a fault.
func (w *world) reading(conn io.Closer, got *record, read func() error) {
	ended := make(chan struct{})
	closing := make(chan struct{})
	go func() {
		defer close(ended)
		err := read()
		select {
		case <-closing:
		default:
			got.fail(fmt.Errorf("it was cut off: %w", err))
		}
	}()
	w.t.Cleanup(func() {
		close(closing)
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			w.t.Error(err)
		}
		<-ended
	})
}

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// webhook makes a webhook to a receiver of its own.
func (w *world) webhook(name string, door int, same sameness, settings map[string]any, cfg receiver.Config) *receiver.Receiver {
	w.t.Helper()
	got := w.consumer("webhook "+name, door, same)
	cfg.Secret, cfg.Each = hookSecret, got.add
	r, err := receiver.Start(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	all := map[string]any{"name": name, "stream": w.doors[door].Name, "url": r.URL, "secret": hookSecret, "batchSize": 100, "timeout": "30s"}
	for k, v := range settings {
		all[k] = v
	}
	w.create("/v1/webhooks", all)
	return r
}

// create makes an entity by the management API.
func (w *world) create(path string, entity any) {
	w.t.Helper()
	body, err := json.Marshal(entity)
	if err != nil {
		w.t.Fatal(err)
	}
	status, answer, err := w.server.Call(w.t.Context(), http.MethodPost, path, body)
	if err != nil || status != http.StatusCreated {
		w.t.Fatalf("POST %s: %d %s %v", path, status, answer, err)
	}
}

const interval = 2 // seconds of an exporter's window

// folder exports into a directory.
func (w *world) folder(door int, data string) (objects func() map[string][]byte) {
	w.t.Helper()
	w.create("/v1/sinks", map[string]any{"sinkName": "folder", "sinkType": "FOLDER", "bucketName": "landing"})
	w.create("/v1/exporters/"+url.PathEscape(w.doors[door].Name), map[string]any{
		"name": "to-folder", "sinkName": "folder", "sinkType": "FOLDER", "intervalSecs": interval, "pathPrefix": "p",
	})
	return func() map[string][]byte {
		all := map[string][]byte{}
		err := filepath.WalkDir(filepath.Join(data, "export"), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".jsonl") {
				return err
			}
			all[path], err = os.ReadFile(path)
			return err
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Error(err)
		}
		return all
	}
}

// bucket exports into an S3 in this process.
func (w *world) bucket(door int) (objects func() map[string][]byte) {
	w.t.Helper()
	memory := s3mem.New()
	if err := memory.CreateBucket("bucket"); err != nil {
		w.t.Fatal(err)
	}
	s3 := httptest.NewServer(gofakes3.New(memory, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	w.t.Cleanup(s3.Close)
	w.create("/v1/sinks", map[string]any{
		"sinkName": "s3", "sinkType": "S3", "bucketName": "bucket", "endpoint": s3.URL, "region": "us-east-1", "pathStyle": true,
		"credentials": map[string]any{"AccessKey": map[string]string{"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "a-secret-that-nobody-sees"}},
	})
	w.create("/v1/exporters/"+url.PathEscape(w.doors[door].Name), map[string]any{
		"name": "to-s3", "sinkName": "s3", "sinkType": "S3", "intervalSecs": interval, "pathPrefix": "p",
	})
	return func() map[string][]byte {
		list, err := memory.ListBucket("bucket", nil, gofakes3.ListBucketPage{})
		if err != nil {
			w.t.Fatal(err)
		}
		all := map[string][]byte{}
		for _, o := range list.Contents {
			object, err := memory.GetObject("bucket", o.Key, nil)
			if err != nil {
				w.t.Fatal(err)
			}
			if all[o.Key], err = io.ReadAll(object.Contents); err != nil {
				w.t.Fatal(err)
			}
			object.Contents.Close()
		}
		return all
	}
}

// recordOf is what objects hold, in the order of their names.
func recordOf(objects map[string][]byte) *record {
	names := make([]string, 0, len(objects))
	for name := range objects {
		if strings.HasSuffix(name, ".jsonl") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	r := &record{}
	for _, name := range names {
		for line := range bytes.Lines(objects[name]) {
			r.body(bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	return r
}

// audit holds everything that a stream shows against the oracle, and gives the record of it.
func audit(ctx context.Context, t *testing.T, p *server.Process, d drive.Door, w *world) *record {
	t.Helper()
	whole := &record{}
	reader, err := d.AuditEach(ctx, p.Base, w.ledger, whole.add)
	if err != nil {
		t.Fatal(err)
	}
	report := reader.Finish()
	if err := report.Err(); err != nil {
		t.Errorf("%s: %v", d.Name, err)
	}
	return whole
}
