//go:build parts

package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/loadtest/server"
)

const (
	nodePackage = "urban-airship-connect@2.0.4"
	patience    = time.Minute // for one thing to happen, on a machine that is busy with other tests
)

// reader follows a stream as that client's own documents have it: an error that says the server is away is answered by
// writing again, with the offset of the last event.
const reader = `
const connect = require('urban-airship-connect')
const [key, token, uri, request] = process.argv.slice(2)
let last = null, again = null
const stream = connect(key, token, {uri})
stream.on('connect', () => console.log(JSON.stringify({connect: true})))
stream.on('data', e => { last = e.offset; console.log(JSON.stringify(e)) })
stream.on('error', err => {
  console.log(JSON.stringify({error: String(err.message)}))
  if (again) return
  again = setTimeout(() => {
    again = null
    stream.write(last ? Object.assign({}, JSON.parse(request), {resume_offset: last}) : JSON.parse(request))
  }, 100)
})
stream.write(JSON.parse(request))
`

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-clients-")
	if err == nil {
		binary, err = server.Build(context.Background(), dir, false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// rig is a server with a stream of Airship's events and an integration for it.
type rig struct {
	t       *testing.T
	server  *server.Process
	dir     string // where the client is installed
	appKey  string
	token   string
	counter int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	r.install()
	var err error
	r.server, err = server.Start(t.Context(), server.Config{Binary: binary, Data: filepath.Join(t.TempDir(), "data"), Args: []string{"--airship-keepalive", "200ms"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.server.Kill() })
	r.call("POST", "/v1/streams", `{"name":"app","contract":"airship/event/3.0.0"}`)
	var made struct{ AppKey, AccessToken string }
	if err := json.Unmarshal(r.call("POST", "/v1/integrations", `{"name":"warehouse","stream":"app","sendLocationEvents":true}`), &made); err != nil {
		t.Fatal(err)
	}
	r.appKey, r.token = made.AppKey, made.AccessToken
	return r
}

// install gets the client from its registry, and nothing it does not need.
func (r *rig) install() {
	r.t.Helper()
	install(r.t, r.dir, nodePackage)
	if err := os.WriteFile(filepath.Join(r.dir, "reader.js"), []byte(reader), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// install gets packages of node's from their registry into a folder, without running anything of theirs.
func install(t *testing.T, dir string, packages ...string) {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Fatalf("these tests need npm: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	args := append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir}, packages...)
	if out, err := exec.CommandContext(ctx, npm, args...).CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, out)
	}
}

func (r *rig) call(method, path, body string) []byte {
	r.t.Helper()
	status, answer, err := r.server.Call(r.t.Context(), method, path, []byte(body))
	if err != nil || status >= 300 {
		r.t.Fatalf("%s %s: %d %s, %v", method, path, status, answer, err)
	}
	return answer
}

// post stores n more events, numbered on.
func (r *rig) post(n int) {
	r.t.Helper()
	var body strings.Builder
	for range n {
		r.counter++
		fmt.Fprintf(&body, `{"id":"e-%d","type":"CUSTOM","occurred":%q,"body":{"name":"größer","n":%d}}`+"\n", r.counter, time.Now().UTC().Format(time.RFC3339Nano), r.counter)
	}
	r.call("POST", "/v1/streams/app/events", body.String())
}

func (r *rig) restart() {
	r.t.Helper()
	if code, err := r.server.Stop(30 * time.Second); err != nil || code != 0 {
		r.t.Fatalf("the server ended with %d: %v", code, err)
	}
	time.Sleep(300 * time.Millisecond) // long enough for a client that comes back at once to find nobody
	next, err := r.server.Again(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	r.server = next
}

func (r *rig) uri() string { return r.server.Base + "/api/events/" }

// program is a running client whose lines are collected.
type program struct {
	t     *testing.T
	mu    sync.Mutex
	lines []string
	wake  chan struct{}
}

func (r *rig) run(args ...string) *program {
	r.t.Helper()
	p := &program{t: r.t, wake: make(chan struct{}, 1)}
	cmd := exec.CommandContext(r.t.Context(), "node", args...)
	cmd.Dir = r.dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	var errors bytes.Buffer
	cmd.Stderr = &errors
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.mu.Lock()
			p.lines = append(p.lines, lines.Text())
			p.mu.Unlock()
			select {
			case p.wake <- struct{}{}:
			default:
			}
		}
	}()
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
		if r.t.Failed() {
			r.t.Logf("%s\n%s", args, errors.String())
		}
	})
	return p
}

// until waits until what the program has said is enough, and gives all of it.
func (p *program) until(what string, enough func(all []string) bool) []string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		all := append([]string(nil), p.lines...)
		p.mu.Unlock()
		if enough(all) {
			return all
		}
		select {
		case <-p.wake:
		case <-deadline:
			p.t.Fatalf("after %v still not: %s; last of %d lines: %q", patience, what, len(all), all[max(0, len(all)-3):])
		}
	}
}

// seen are the events among a reader's lines.
func seen(lines []string) (ids []string) {
	for _, line := range lines {
		var e struct{ ID, Type string }
		if json.Unmarshal([]byte(line), &e) == nil && e.Type == "CUSTOM" {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// TestNodeClient: the published client reads, lives through restarts, and sees every event once, in order.
func TestNodeClient(t *testing.T) {
	r := newRig(t)
	r.post(50)
	plain := r.run("reader.js", r.appKey, r.token, r.uri(), `{"start":"EARLIEST"}`)
	updated := r.run("reader.js", r.appKey, r.token, r.uri(), `{"start":"EARLIEST","enable_offset_updates":true,"filters":[{"types":["CUSTOM"],"predicates":[{"scope":["body"],"key":"n","value":{"at_least":1}}]}]}`)
	for round := range 3 {
		for range 10 {
			r.post(20)
		}
		if round < 2 {
			r.restart()
		}
	}
	for _, p := range []*program{plain, updated} {
		all := p.until("all events", func(all []string) bool { return len(seen(all)) >= r.counter })
		ids := seen(all)
		for i, id := range ids {
			if want := fmt.Sprintf("e-%d", i+1); id != want {
				t.Fatalf("event %d is %s, not %s", i, id, want)
			}
		}
		if len(ids) != r.counter {
			t.Errorf("%d events, want %d", len(ids), r.counter)
		}
		connects := strings.Count(strings.Join(all, "\n"), `{"connect":true}`)
		if connects < 3 {
			t.Errorf("it connected %d times: the restarts were not felt", connects)
		}
		for _, line := range all {
			if strings.Contains(line, `"error"`) && !strings.Contains(line, "ECONNREFUSED") && !strings.Contains(line, "503") && !strings.Contains(line, "ECONNRESET") {
				t.Errorf("it met %s", line)
			}
		}
	}
	// An update of the offset is a line like any other to it, and moves it on: on an idle stream they keep coming.
	updated.until("an offset update", func(all []string) bool { return strings.Contains(all[len(all)-1], "OFFSET_UPDATE") })

	// What it does to a body that is not ASCII: it announces too little, which is a wrong request, and says so.
	wrong := r.run("reader.js", r.appKey, r.token, r.uri(), `{"filters":{"predicates":{"key":"type","value":{"equals":"größer"}}}}`)
	wrong.until("the error", func(all []string) bool {
		return strings.Contains(strings.Join(all, "\n"), `{"error":"400: Bad Request"}`)
	})
}

// TestConnectTool: the client's own command line tool, from the start, from an offset, and live.
func TestConnectTool(t *testing.T) {
	r := newRig(t)
	r.post(5)
	tool := filepath.Join("node_modules", "urban-airship-connect", "bin", "connect.js")
	id := regexp.MustCompile(`id: '(e-\d+)'`)
	offset := regexp.MustCompile(`offset: '(\d+)'`)
	shows := func(p *program, want ...string) []string {
		t.Helper()
		all := p.until(strings.Join(want, " "), func(all []string) bool {
			return len(id.FindAllString(strings.Join(all, "\n"), -1)) >= len(want)
		})
		for i, m := range id.FindAllStringSubmatch(strings.Join(all, "\n"), -1) {
			if i >= len(want) || m[1] != want[i] {
				t.Errorf("event %d is %s, want %v", i, m[1], want)
			}
		}
		return all
	}
	all := shows(r.run(tool, r.appKey, r.token, "--uri", r.uri(), "--earliest"), "e-1", "e-2", "e-3", "e-4", "e-5")
	third := offset.FindAllStringSubmatch(strings.Join(all, "\n"), -1)[2][1]
	// It reads the offset as a number and sends it as one.
	shows(r.run(tool, r.appKey, r.token, "--uri", r.uri(), "--offset", third), "e-4", "e-5")
	live := r.run(tool, r.appKey, r.token, "--uri", r.uri())
	// LATEST is fixed when the answer begins: connected is when the server counts one more reader.
	r.connected(2 + 1)
	r.post(2)
	shows(live, "e-6", "e-7")
}

// connected waits until so many clients read.
func (r *rig) connected(n int) {
	r.t.Helper()
	want := fmt.Sprintf(`sluice_readers{kind="airship",stream="app"} %d`, n)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Get(r.server.Base + "/metrics")
		if err == nil {
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if bytes.Contains(text, []byte(want)) {
				return
			}
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("there is no %s", want)
		}
	}
}
