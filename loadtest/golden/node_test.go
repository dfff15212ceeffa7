package golden_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"sluice/cmd/sluice/command"
	"sluice/loadtest/server"
)

const adminToken = "the-admin-token-of-the-corpus"

// node is the program, serving.
type node struct {
	server.Admin
	t      *testing.T
	client *http.Client
	log    *log
}

// log keeps what the program logs.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func serve(t *testing.T, data string) *node {
	t.Helper()
	n := &node{t: t, client: &http.Client{Transport: &http.Transport{}}, log: &log{}}
	started, ended := make(chan string, 1), make(chan int, 1)
	ctx, stop := context.WithCancel(t.Context())
	m := command.Main{
		Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: n.log, Ready: func(url string) { started <- url },
		Env: []string{"SLUICE_ADMIN_TOKEN=" + adminToken, "SLUICE_EXPORT_MIN_INTERVAL=1s", "SLUICE_LOG_LEVEL=debug"},
	}
	go func() { ended <- m.Run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--data", data}) }()
	t.Cleanup(func() {
		n.client.CloseIdleConnections()
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("the program ended with %d: %s", code, n.log)
		}
	})
	select {
	case url := <-started:
		n.Admin = server.Admin{Base: url, Token: adminToken}
	case code := <-ended:
		ended <- code
		t.Fatalf("the program ended with %d: %s", code, n.log)
	}
	return n
}

// manage is a call of the management API that must be answered 200 or 201.
func (n *node) manage(method, path string, body any) []byte {
	n.t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			n.t.Fatal(err)
		}
	}
	status, answer, err := n.Call(n.t.Context(), method, path, text)
	if err != nil || status != http.StatusOK && status != http.StatusCreated {
		n.t.Fatalf("%s %s answers %d %s %v", method, path, status, answer, err)
	}
	return answer
}

// send makes a request with a body.
func (n *node) send(path, token string, header map[string]string, body []byte) (status int, answer string) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, n.Base+path, bytes.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// lines reads so many events of a stream from its beginning, and looks whether there are more.
func (n *node) lines(stream, token string, count int) (all []string) {
	n.t.Helper()
	var end string
	get := func(query string) {
		req, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, n.Base+"/v1/streams/"+stream+"/events?envelope=offset&"+query, nil)
		if err != nil {
			n.t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := n.client.Do(req)
		if err != nil {
			n.t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			n.t.Fatalf("reading %s: %d %s %v", stream, resp.StatusCode, text, err)
		}
		for line := range strings.Lines(string(text)) {
			var l struct {
				Offset string
				Event  json.RawMessage
			}
			if strings.TrimSpace(line) == "" {
				continue
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				n.t.Fatalf("reading %s: %q %v", stream, line, err)
			}
			if end = l.Offset; l.Event != nil {
				all = append(all, string(l.Event))
			}
		}
	}
	from := "EARLIEST"
	if count > 0 {
		get(fmt.Sprintf("from=EARLIEST&limit=%d&timeout=20s", count))
		from = end
	}
	// Whatever else was accepted is in the log by now, so that an answer that waits for nothing tells of it.
	get("from=" + from + "&limit=1&timeout=100ms")
	return all
}
