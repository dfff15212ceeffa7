package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// walker walks through a tutorial: a shell in a folder of its own, in which `sluice` is the built program, and a server that it talks to.
// Variables that a block sets are there in the next one by set.
type walker struct {
	t    *testing.T
	dir  string
	url  string
	env  []string
	curl bool // there is a real one

	client *http.Client // in its place; it speaks HTTP/2 where the server has TLS
}

const walkToken = "the-admin-token-of-the-walk"

// newWalker starts the server, with these settings and arguments besides.
func newWalker(t *testing.T, settings []string, args ...string) *walker {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "sluice")); err != nil {
		t.Fatal(err)
	}
	_, curl := exec.LookPath("curl")
	w := &walker{t: t, dir: dir, curl: curl == nil}
	server := exec.Command(self, "serve", "--listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	server.Args = append(server.Args, args...)
	// Its end is not the test's context's but an interrupt, in order.
	server.Env = append([]string{runMain + "=1", "HOME=" + dir, "SLUICE_ADMIN_TOKEN=" + walkToken}, settings...)
	w.url = listening(t, server)
	t.Cleanup(func() {
		if err := server.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		if err := server.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	w.env = []string{
		runMain + "=1", "HOME=" + dir, "PATH=" + dir + string(os.PathListSeparator) + os.Getenv("PATH"), "SLUICE_URL=" + w.url, "SLUICE_TOKEN=" + walkToken,
	}
	transport := &http.Transport{ForceAttemptHTTP2: true}
	if slices.Contains(args, "--tls-self-signed") {
		authority := filepath.Join(dir, "data", "tls", "localhost.pem")
		w.set("SLUICE_CA_FILE", authority)
		w.set("CURL_CA_BUNDLE", authority)
		pem, err := os.ReadFile(authority)
		if err != nil {
			t.Fatal(err)
		}
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: trusted}
	}
	w.client = &http.Client{Transport: transport}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

// set makes a variable of the shell.
func (w *walker) set(name, value string) { w.env = append(w.env, name+"="+value) }

func (w *walker) command(ctx context.Context, block string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", block)
	cmd.Dir, cmd.Env = w.dir, w.env
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run runs a block of commands and gives what it printed; stderr is shown when it fails.
func (w *walker) run(block string) string {
	w.t.Helper()
	var out, errs bytes.Buffer
	cmd := w.command(w.t.Context(), block)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("$ %s\n%s%s\n%v", block, &out, &errs, err)
	}
	return out.String()
}

// answer is what a request came back with.
type answer struct {
	status int
	body   string
}

// send is a request as a block of httpie makes it.
func (w *walker) send(method, path string, header map[string]string, body string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := w.client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res.StatusCode, string(text)}
}

// file puts a file into the walker's folder.
func (w *walker) file(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// listener is a command that prints lines until it is stopped.
type listener struct {
	w     *walker
	cmd   *exec.Cmd
	lines *bufio.Reader
	stop  context.CancelFunc
}

// listen starts `sluice` with these arguments, as a process of its own so that an interrupt reaches it.
func (w *walker) listen(args ...string) *listener {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	w.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, filepath.Join(w.dir, "sluice"), args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return &listener{w, cmd, bufio.NewReader(out), cancel}
}

// connected waits until somebody listens to a stream over a websocket.
func (w *walker) connected(stream string) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(w.run("sluice list consumers "+stream), `"websocket"`); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("nobody listens to %s: %s", stream, w.run("sluice list consumers "+stream))
		}
	}
}

// next waits for the next line.
func (l *listener) next() string {
	l.w.t.Helper()
	line, err := l.lines.ReadString('\n')
	if err != nil {
		l.w.t.Fatalf("nothing comes any more: %v", err)
	}
	return line
}

// interrupt ends it as ctrl-C does.
func (l *listener) interrupt() {
	l.w.t.Helper()
	defer l.stop()
	if err := l.cmd.Process.Signal(os.Interrupt); err != nil {
		l.w.t.Fatal(err)
	}
	if err := l.cmd.Wait(); err != nil {
		l.w.t.Errorf("interrupted it ends with %v", err)
	}
}

// forms are what a text in a printed example may stand for, where it differs from run to run.
var forms = map[string]*regexp.Regexp{
	"<uuid>":       regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
	"<client>":     regexp.MustCompile(`^stream-[0-9a-z]{16,}$`),
	"<id>":         regexp.MustCompile(`^[0-9A-Za-z-]{16,}$`),
	"<secret>":     regexp.MustCompile(`^\S{16,}$`),
	"<ciphertext>": regexp.MustCompile(`^A[A-Za-z0-9+/]{27,}=*$`), // base64 whose first byte is 1, and that is long enough for a key id and an IV
	"<any>":        regexp.MustCompile(`.`),
}

// like holds JSON to an example: the same members, types and values, but for the forms. With more it may have members that the example,
// which is older, has not.
func (w *walker) like(got, example string, more bool) {
	w.t.Helper()
	var have, want any
	if err := json.Unmarshal([]byte(got), &have); err != nil {
		w.t.Fatalf("not JSON: %s", got)
	}
	if err := json.Unmarshal([]byte(example), &want); err != nil {
		w.t.Fatalf("the example is not JSON: %v", err)
	}
	if fault := unlike("", have, want, more); fault != "" {
		w.t.Errorf("%s\ngot  %s\nlike %s", fault, got, example)
	}
}

func unlike(at string, have, want any, more bool) string {
	switch want := want.(type) {
	case string:
		text, ok := have.(string)
		if form, known := forms[want]; ok && known && form.MatchString(text) || ok && !known && text == want {
			return ""
		}
	case float64:
		if want == 0 { // any number
			if _, ok := have.(float64); ok {
				return ""
			}
		} else if have == want {
			return ""
		}
	case map[string]any:
		members, ok := have.(map[string]any)
		if !ok {
			break
		}
		for name, value := range want {
			if fault := unlike(at+"/"+name, members[name], value, more); fault != "" {
				return fault
			}
		}
		if !more && len(members) != len(want) {
			return fmt.Sprintf("%s has other members: %v", at, members)
		}
		return ""
	case []any:
		list, ok := have.([]any)
		if !ok || len(list) != len(want) {
			break
		}
		for i, value := range want {
			if fault := unlike(fmt.Sprint(at, "/", i), list[i], value, more); fault != "" {
				return fault
			}
		}
		return ""
	default:
		if have == want {
			return ""
		}
	}
	return fmt.Sprintf("%s is %v, and not like %v", at, have, want)
}
