package command_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"sluice/cmd/sluice/command"
)

// send sends one event of a person to stream web and returns its number when it is acknowledged. Any goroutine.
func (s *server) send(person string, number int) error {
	event := fmt.Sprintf(`{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0,1,2]},"producerSessionId":"s",`+
		`"url":"https://www.example.com/%d","eventType":"click","referrer":"","userAgent":"test","conversion":0,"customer":{"id":%q},"abTests":[]}`, number, person)
	req, err := http.NewRequest(http.MethodPost, s.url+"/v1/streams/web/events", strings.NewReader(event+"\n"))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && gjson.GetBytes(text, "accepted").Int() != 1 {
		err = fmt.Errorf("%d %s", resp.StatusCode, text)
	}
	return err
}

// shown is what a stream shows: the lines by the numbers of their events, and the offsets. Two lines of one event are an error.
func (s *server) shown(stream string) (lines, offsets map[string]string) {
	s.t.Helper()
	lines, offsets = map[string]string{}, map[string]string{}
	text := s.body("/v1/streams/" + stream + "/events?from=EARLIEST&timeout=1s&envelope=offset")
	for line := range strings.Lines(text) {
		number := gjson.Get(line, "event.url").Str
		if number == "" {
			continue // the offset to go on from
		}
		if _, twice := lines[number]; twice {
			s.t.Errorf("%s is in %s twice", number, stream)
		}
		lines[number], offsets[number] = gjson.Get(line, "event").Raw, gjson.Get(line, "offset").Str
	}
	return lines, offsets
}

// box receives a webhook's events and notes their numbers.
type box struct {
	*httptest.Server
	mu   sync.Mutex
	seen map[string]int
}

func newBox(t *testing.T) *box {
	b := &box{seen: map[string]int{}}
	b.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body) // what is cut off comes again
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, e := range gjson.ParseBytes(text).Array() {
			b.seen[e.Get("url").Str]++
		}
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *box) count(number string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[number]
}

func (b *box) empty() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.seen)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

func page(number int) string { return fmt.Sprintf("https://www.example.com/%d", number) }

// A backup that is taken while producers send, a webhook delivers and people are forgotten, and what is made of it.
func TestBackupAndRestore(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	env := []string{"SLUICE_ADMIN_TOKEN=" + adminToken}
	flags := []string{"--webhooks-allow-cidrs", "127.0.0.1", "--public-url", "http://sluice.test"}
	s := serve(t, filepath.Join(t.TempDir(), "data"), env, flags...)
	c := s.withAdmin()
	made := c.ok("create", "stream", "web")
	c.ok("create", "stream", "--derived-from", "web", "--levels", "2")
	hook := newBox(t)
	c.ok("create", "webhook", "web-2", "--url", hook.URL, "--name", "orders", "--envelope", "none")
	const before = 120
	people := []string{"john", "jane", "mid"}
	for i := range before {
		if err := s.send(people[i%3], i); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "delivery before the backup", func() bool { return hook.count(page(before-1)) > 0 })
	s.end() // what was delivered is known for good
	s = serve(t, s.data, env, flags...)
	c = s.withAdmin()
	login := func(s *server) string {
		resp, err := http.PostForm(s.url+"/oauth2/token", url.Values{
			"grant_type": {"client_credentials"}, "client_id": {gjson.Get(made, "credentials.0.clientId").Str}, "client_secret": {gjson.Get(made, "credentials.0.clientSecret").Str},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%d %s, %v", resp.StatusCode, text, err)
		}
		return gjson.GetBytes(text, "access_token").Str
	}
	token := login(s)

	var producers sync.WaitGroup
	stop := make(chan struct{})
	for p := range 4 {
		producers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.send(people[i%2], 1000*(p+1)+i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	producers.Go(func() { c.ok("forget", "mid", "--stream", "web") })
	dir := filepath.Join(t.TempDir(), "backup")
	out := c.ok("backup", dir)
	close(stop)
	producers.Wait()
	equal(t, out, map[string]any{"dir": dir, "masterKey": false})
	c.fails(command.ExitRefused, "is not empty", "backup", dir)

	lines, offsets := s.shown("web-2")
	if len(lines) < before || !strings.Contains(lines[page(1)], `"jane"`) || strings.Contains(lines[page(2)], `"mid"`) {
		t.Fatalf("%d events before the restore: %s, %s", len(lines), lines[page(1)], lines[page(2)])
	}
	c.ok("forget", "jane", "--stream", "web")
	s.end()
	noNames(t, dir, "jane", "john", "mid")
	noNames(t, filepath.Join(s.data, "keys"), "jane", "mid")

	data := filepath.Join(t.TempDir(), "data")
	alone := newTerminal(t)
	alone.fails(command.ExitRefused, "holds no master key", "restore", dir, "--data", data)
	out = alone.ok("restore", dir, "--data", data, "--from-data", s.data)
	if gjson.Get(out, "forgotten").Int() < 2 || gjson.Get(out, "data").Str != data {
		t.Errorf("restore: %s", out)
	}
	alone.fails(command.ExitRefused, "there is a store in", "restore", dir, "--data", data)
	hook.empty()
	s = serve(t, data, env, flags...)
	again, at := s.shown("web-2")
	for number := range before {
		want := lines[page(number)]
		if people[number%3] == "jane" {
			if strings.Contains(again[page(number)], `"jane"`) || again[page(number)] == "" {
				t.Errorf("after the restore jane is there: %s", again[page(number)])
			}
		} else if again[page(number)] != want {
			t.Errorf("event %d is %s, want %s", number, again[page(number)], want)
		}
		if at[page(number)] != offsets[page(number)] {
			t.Errorf("event %d is at %s, want %s", number, at[page(number)], offsets[page(number)])
		}
	}
	for number, offset := range at {
		if offsets[number] != offset {
			t.Errorf("event %s is at %s, want %s", number, offset, offsets[number])
		}
	}

	// The webhook goes on where it was: nothing is left out, and it does not begin anew.
	if err := s.send("john", 9999); err != nil {
		t.Fatal(err)
	}
	eventually(t, "delivery after the restore", func() bool { return hook.count(page(9999)) > 0 })
	if hook.count(page(0)) > 0 {
		t.Error("the webhook has begun anew")
	}
	// Tokens from before are good, and so are the credentials.
	for _, token := range []string{token, login(s)} {
		req, err := http.NewRequest(http.MethodGet, s.url+"/v1/streams/web/events?from=EARLIEST&limit=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("a token of the stream: %d", resp.StatusCode)
		}
	}
	// The list came along: a second restore of the same backup, with what this one knows, forgets her too.
	s.end()
	third := filepath.Join(t.TempDir(), "data")
	alone.ok("restore", dir, "--data", third, "--master", filepath.Join(data, "keys", "master.key"), "--forgotten", filepath.Join(data, "keys", "forgotten"))
	s = serve(t, third, env, flags...)
	if lines, _ := s.shown("web-2"); strings.Contains(lines[page(1)], `"jane"`) || !strings.Contains(lines[page(0)], `"john"`) {
		t.Errorf("after the second restore: %s, %s", lines[page(0)], lines[page(1)])
	}
}

// noNames fails where a file below dir holds one of the names.
func noNames(t *testing.T, dir string, names ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
		text, err := os.ReadFile(path)
		for _, name := range names {
			if strings.Contains(string(text), `"`+name+`"`) {
				t.Errorf("%s names %s", path, name)
			}
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files, %v", files, err)
	}
}

func TestBackupRefuses(t *testing.T) {
	s, c := admin(t)
	c.ok("create", "stream", "web")
	c.fails(command.ExitUsage, "accepts 1 arg", "backup")
	newTerminal(t, "SLUICE_URL="+s.url, "SLUICE_TOKEN=wrong").fails(command.ExitRefused, "(401)", "backup", filepath.Join(t.TempDir(), "b"))
	dir := filepath.Join(t.TempDir(), "b")
	equal(t, c.ok("backup", dir, "--with-master-key"), map[string]any{"masterKey": true})
	data := filepath.Join(t.TempDir(), "data")

	// It was interrupted: no server starts on it, and it can be run again.
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "restoring"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	alone := newTerminal(t)
	alone.fails(command.ExitRefused, "did not come to its end", "serve", "--data", data, "--listen", "127.0.0.1:0")
	alone.ok("restore", dir, "--data", data)
	serve(t, data, nil).withAdmin()
	alone.fails(command.ExitRefused, "there is a store", "restore", dir, "--data", data)
	alone.fails(command.ExitRefused, "no such file", "restore", filepath.Join(dir, "nothing"), "--data", filepath.Join(t.TempDir(), "d"))
	if err := os.Remove(filepath.Join(dir, "complete.json")); err != nil {
		t.Fatal(err)
	}
	alone.fails(command.ExitRefused, "is not complete", "restore", dir, "--data", filepath.Join(t.TempDir(), "d"))
}
