package command_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/cmd/sluice/command"
	"sluice/relay/sample"
)

// madeUp is an event of the test server, as far as these tests look.
type madeUp struct{ ID, Type, Offset string }

// testEvents opens the test server's events as the seed's documents have it, but for the host.
func testEvents(t *testing.T, s *server, body string) (next func() madeUp, rest func() error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/events/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("sample_connection", "sample_connection")
	req.Header.Set("Accept", "application/vnd.urbanairship+x-ndjson; version=3;")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		t.Fatalf("%d %s", res.StatusCode, text)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	next = func() (e madeUp) {
		t.Helper()
		for lines.Scan() {
			if len(lines.Bytes()) == 0 {
				continue
			}
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			return e
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return e
	}
	rest = func() error {
		for lines.Scan() {
			if len(lines.Bytes()) > 0 {
				if err := json.Unmarshal(lines.Bytes(), new(madeUp)); err != nil {
					return err
				}
			}
		}
		return lines.Err()
	}
	return next, rest
}

// The test server shows the lives of its seed, all types of events among them, and a restart goes on where it ended.
func TestTestServer(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	lives := sample.NewLives(7)
	want := func() string {
		var e madeUp
		if err := json.Unmarshal(lives.Next(nil, time.Now()), &e); err != nil {
			t.Fatal(err)
		}
		return e.ID
	}
	types := map[string]bool{}
	last, body := "", `{"start":"EARLIEST"}`
	for range 2 {
		s := serve(t, data, nil, "--test-server", "--seed", "7", "--rate", "2000")
		if !strings.Contains(s.errors.String(), "curl -N --compressed -u sample_connection:sample_connection -d '{}' "+s.url+"/api/events/") {
			t.Errorf("how to read it is not said: %s", s.errors)
		}
		next, rest := testEvents(t, s, body)
		for range 400 {
			e := next()
			if id := want(); e.ID != id {
				t.Fatalf("event %s %s is not %s, the next of its seed", e.Type, e.ID, id)
			}
			types[e.Type], last = true, e.Offset
		}
		s.stop()
		if err := rest(); err != nil {
			t.Errorf("the stream did not end in order: %v", err)
		}
		if code := s.end(); code != command.ExitOK {
			t.Fatalf("serve ended with %d: %s", code, s.errors)
		}
		body = `{"resume_offset":"` + last + `"}`
	}
	if len(types) != 43 {
		t.Errorf("%d types of events: %v", len(types), types)
	}

	// Without the flag nobody gets in so, and what is there is kept.
	s := serve(t, data, nil)
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/api/events/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("sample_connection", "sample_connection")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d", res.StatusCode)
	}
}

// Another seed in between does not make the first one begin anew, with events that are there and so are not taken again.
func TestTestServerSeeds(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	owner, lives := map[string]string{}, map[string][]string{}
	for seed, number := range map[string]uint64{"7": 7, "8": 8} {
		l := sample.NewLives(number)
		for range 20_000 {
			var e madeUp
			if err := json.Unmarshal(l.Next(nil, time.Now()), &e); err != nil {
				t.Fatal(err)
			}
			owner[e.ID], lives[seed] = seed, append(lives[seed], e.ID)
		}
	}
	seen, body := map[string]int{}, `{"start":"EARLIEST"}`
	for _, seed := range []string{"7", "8", "7", "8"} {
		s := serve(t, data, nil, "--test-server", "--seed", seed, "--rate", "1000")
		next, _ := testEvents(t, s, body)
		for n := 0; n < 100; {
			e := next()
			of := owner[e.ID] // some of the seed before came when nobody read any more
			if want := lives[of][seen[of]]; e.ID != want {
				t.Fatalf("%s, event %d of seed %s is %s, not %s", seed, seen[of], of, e.ID, want)
			}
			if seen[of]++; of == seed {
				n++
			}
			body = `{"resume_offset":"` + e.Offset + `"}`
		}
		res, err := http.Get(s.url + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || !strings.Contains(string(text), `sluice_dropped_events_total{reason="duplicate",stream="events"} 0`) {
			t.Errorf("seed %s made up what it had made up: %v", seed, err)
		}
		s.stop()
		s.end()
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestTestServerUsage(t *testing.T) {
	c := newTerminal(t)
	for want, args := range map[string][]string{
		"--seed is the test server's":  {"--seed", "3"},
		"--rate is the test server's":  {"--rate", "3"},
		"--rate must be 1 to 10000":    {"--test-server", "--rate", "0"},
		"--rate must be 1 to 10000 ev": {"--test-server", "--rate", "10001"},
	} {
		c.fails(command.ExitUsage, want, append([]string{"serve", "--data", filepath.Join(t.TempDir(), "none")}, args...)...)
	}
}
