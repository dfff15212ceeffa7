//go:build parts

package crash_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	_ "modernc.org/sqlite" // to look into the tables

	"sluice/loadtest/server"
)

// window is how long the windows of landing files are.
const window = time.Minute

// manage makes a management call that must succeed and reads its answer into out, unless that is nil.
func manage(t *testing.T, p *server.Process, method, path string, body, out any) {
	t.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	status, answer, err := p.Call(t.Context(), method, path, text)
	if err != nil || status >= 300 {
		t.Fatalf("%s %s: %d %s %v", method, path, status, answer, err)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			t.Fatal(err)
		}
	}
}

// inlet is where payloads of one kind go in and land.
type inlet struct {
	id, kind, token string
	data            string // of the server
}

func newInlet(t *testing.T, p *server.Process, data, name, kind string) inlet {
	t.Helper()
	var st, key struct{ ID string }
	var token struct {
		Text string `json:"access_token"`
	}
	manage(t, p, "POST", "/v1/streams", map[string]any{"name": name, "payload": kind, "gzip": kind == "json"}, &st)
	manage(t, p, "POST", "/v1/api-keys", map[string]any{"name": name, "type": "STREAMING_INGEST_WRITE"}, &key)
	manage(t, p, "POST", "/v1/api-keys/"+key.ID+"/tokens", map[string]any{"days": 1}, &token)
	return inlet{st.ID, kind, token.Text, data}
}

// raw sends a payload as it would stand in a document on HTTP, with a scheme in the Host header, and gives the status.
func (in inlet) raw(t *testing.T, addr, body string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /stream/v0/data/%s HTTP/1.1\r\nHost: https://default.example.com\r\nContent-Type: application/%s\r\nX-Amperity-Tenant: default\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
		in.id, in.kind, in.token, len(body), body)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// send sends payloads made of the numbers from..to as fast as they are answered, until ctx ends, and gives the numbers that were accepted.
// It never breaks off in the middle of a request.
func (in inlet) send(ctx context.Context, t *testing.T, base string, from, to int) (accepted []int) {
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	filler := strings.Repeat("x", 500)
	for n := from; n < to && ctx.Err() == nil; n++ {
		body := fmt.Sprintf("{\n  \"n\": %d,\n  \"price\": 1.50,\n  \"fill\": %q\n}", n, filler)
		if in.kind == "xml" {
			body = fmt.Sprintf("<records>\n <record><n>%d</n><half>1</half><fill>%s</fill></record>\n <record><n>%d</n><half>2</half></record>\n</records>", n, filler, n)
		}
		req, err := http.NewRequest(http.MethodPost, base+"/stream/v0/data/"+in.id, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return accepted
		}
		req.Header.Set("Content-Type", "application/"+in.kind)
		req.Header.Set("X-Amperity-Tenant", "default")
		req.Header.Set("Authorization", "Bearer "+in.token)
		resp, err := c.Do(req)
		if err != nil {
			t.Error(err)
			return accepted
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted || len(text) != 0 {
			t.Errorf("%d: status %d %s", n, resp.StatusCode, text)
			return accepted
		}
		accepted = append(accepted, n)
	}
	return accepted
}

// landed reads the landed files with decoders of others and gives how often each record was found, by the number and the half in it, and under
// which request id.
func (in inlet) landed(t *testing.T) (times map[string]int, request map[string]string) {
	t.Helper()
	times, request = map[string]int{}, map[string]string{}
	root := filepath.Join(in.data, "landing", "ingest", "stream", "default", in.id)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var records []string
		note := func(n, half any) { records = append(records, fmt.Sprint(n, "/", half)) }
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		stem, packed := strings.CutSuffix(path, ".gz")
		if in.kind == "xml" {
			items := cbor.NewDecoder(f)
			for {
				var item map[string]any
				err := items.Decode(&item)
				if err == io.EOF {
					break
				}
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				note(item["n"], item["half"])
			}
		} else {
			if !packed {
				return fmt.Errorf("%s is not packed", path)
			}
			unpacked, err := gzip.NewReader(f)
			if err != nil {
				return err
			}
			lines := bufio.NewScanner(unpacked)
			for lines.Scan() {
				if !bytes.Contains(lines.Bytes(), []byte(`,"price":1.50,`)) {
					return fmt.Errorf("%s: the number is not as it was sent: %s", path, lines.Bytes()[:60])
				}
				var item struct{ N json.Number }
				if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				note(item.N, "")
			}
			if err := lines.Err(); err != nil {
				return err
			}
		}
		receipts, err := os.Open(strings.Replace(strings.TrimSuffix(stem, filepath.Ext(stem))+".ndjson", "/ingest/stream/", "/ingest/receipts/", 1))
		if err != nil {
			return err
		}
		defer receipts.Close()
		at := 0
		for lines := json.NewDecoder(receipts); lines.More(); {
			var r struct {
				ID      string `json:"_request_id"`
				Records int
			}
			if err := lines.Decode(&r); err != nil {
				return err
			}
			for range r.Records {
				times[records[at]]++
				request[records[at]] = r.ID
				at++
			}
		}
		if at != len(records) {
			return fmt.Errorf("%s has %d records, its receipts tell of %d", path, len(records), at)
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return times, request
}

// loaded waits for the end of a run and gives it.
func loaded(t *testing.T, p *server.Process, courier, run string) (got struct {
	State            string
	Rows, FailedRows int
	Files, FilesDone int
	Error            string
}) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		manage(t, p, "GET", "/v1/couriers/"+courier+"/runs/"+run, nil, &got)
		if got.State == "COMPLETED" || got.State == "FAILED" {
			return got
		}
	}
	t.Fatalf("the run does not end: %+v", got)
	return got
}

func ask(t *testing.T, p *server.Process, courier, day string) string {
	t.Helper()
	var asked struct{ RunID string }
	manage(t, p, "POST", "/v1/couriers/"+courier+"/run", map[string]any{"date": day}, &asked)
	return asked.RunID
}

// table gives the rows of a query, each with its columns joined.
func table(t *testing.T, data, query string) (all []string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(data, "feeds", "default.sqlite")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// From requests to rows: JSON and XML come in, the server is killed again and again while their window lands and while couriers load it, and
// in the end each accepted payload is in one file and each record in one row, under the id of its request. A second load changes nothing.
func TestPayloadsToRows(t *testing.T) {
	data := t.TempDir()
	p := start(t, data)
	inlets := map[string]inlet{"json": newInlet(t, p, data, "events", "json"), "xml": newInlet(t, p, data, "orders", "xml")}
	// A window is a minute long; the last seconds of one are enough here.
	ends := time.Now().Truncate(window).Add(window)
	if left := time.Until(ends); left < 5*time.Second {
		ends = ends.Add(window)
	}
	time.Sleep(time.Until(ends) - scaled(6*time.Second, 40*time.Second))
	day := ends.Add(-time.Second).UTC().Format(time.DateOnly)
	for kind, in := range inlets {
		body := map[string]string{"json": "{\"n\": -1,\n \"price\": 1.50, \"field2\": \"value2\"}", "xml": "<records>\n<record>\n<n>-1</n>\n<half>1</half></record>\n<record><n>-1</n><half>2</half></record></records>\n"}[kind]
		if got := in.raw(t, p.Addr, body); got != "HTTP/1.1 202 Accepted" {
			t.Errorf("%s: %s", kind, got)
		}
	}
	if got := inlets["xml"].raw(t, p.Addr, "<records><record>"); got != "HTTP/1.1 202 Accepted" {
		t.Errorf("XML that cannot be read: %s", got)
	}
	sending, stop := context.WithDeadline(t.Context(), ends.Add(-500*time.Millisecond))
	defer stop()
	var all sync.WaitGroup
	var mu sync.Mutex
	want := map[string]map[string]bool{"json": {"-1/": true}, "xml": {"-1/1": true, "-1/2": true}}
	const each = 1_000_000
	for kind, in := range inlets {
		for i := range 3 {
			all.Go(func() {
				accepted := in.send(sending, t, p.Base, i*each, (i+1)*each)
				mu.Lock()
				defer mu.Unlock()
				for _, n := range accepted {
					if kind == "json" {
						want[kind][fmt.Sprint(n, "/")] = true
					} else {
						want[kind][fmt.Sprint(n, "/1")], want[kind][fmt.Sprint(n, "/2")] = true, true
					}
				}
			})
		}
	}
	all.Wait()
	t.Logf("accepted %d of JSON, %d of XML", len(want["json"]), len(want["xml"])/2)
	time.Sleep(time.Until(ends.Add(900 * time.Millisecond)))
	for range scaled(6, 40) {
		time.Sleep(rand.N(150 * time.Millisecond))
		p.Kill()
		p = again(t, p)
	}
	for kind, in := range inlets {
		var times map[string]int
		for end := time.Now().Add(30 * time.Second); len(times) < len(want[kind]) && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			times, _ = in.landed(t)
		}
		for r := range want[kind] {
			if times[r] != 1 {
				t.Fatalf("%s: record %s landed %d times", kind, r, times[r])
			}
		}
		if len(times) != len(want[kind]) {
			t.Errorf("%s: %d records landed, %d were accepted", kind, len(times), len(want[kind]))
		}
	}
	var aside []struct{ XML string }
	manage(t, p, "GET", "/v1/streams/orders/unparsable?date="+day, nil, &aside)
	if len(aside) != 1 || aside[0].XML != "<records><record>" {
		t.Errorf("set aside: %v", aside)
	}

	var feed struct{ ID string }
	columns := func(names ...string) (all []map[string]string) {
		for _, n := range names {
			all = append(all, map[string]string{"name": n, "path": n})
		}
		return all
	}
	for kind, in := range inlets {
		format, key := "NDJSON", []string{"n"}
		if kind == "xml" {
			format, key = "XML", []string{"n", "half"}
		}
		manage(t, p, "POST", "/v1/feeds", map[string]any{"name": kind + "_rows", "primaryKey": key, "columns": columns("n", "half", "fill")}, &feed)
		manage(t, p, "POST", "/v1/couriers", map[string]any{
			"name": kind, "stream": in.id, "fileFormat": format, "loadOperations": map[string]any{feed.ID: []map[string]string{{"type": "load", "file": "streaming"}}},
		}, nil)
	}
	for kind, in := range inlets {
		run := ask(t, p, kind, day)
		for range 2 {
			time.Sleep(rand.N(100 * time.Millisecond))
			p.Kill()
			p = again(t, p)
		}
		if got := loaded(t, p, kind, run); got.State != "COMPLETED" || got.Rows != len(want[kind]) || got.FailedRows != 0 {
			t.Errorf("%s: %+v, want %d rows", kind, got, len(want[kind]))
		}
		_, request := in.landed(t)
		rows := table(t, data, `SELECT n || '/' || coalesce(half, '') || ' ' || _request_id || ' ' || _received_at FROM `+kind+`_rows ORDER BY 1`)
		if len(rows) != len(want[kind]) {
			t.Errorf("%s: %d rows, want %d", kind, len(rows), len(want[kind]))
		}
		for _, row := range rows {
			part := strings.Fields(row)
			at, err := time.Parse(time.RFC3339, part[2])
			if !want[kind][part[0]] || part[1] != request[part[0]] || err != nil || at.Before(ends.Add(-window)) || at.After(ends) {
				t.Fatalf("%s: row %s, its request was %s", kind, row, request[part[0]])
			}
		}
		if got := loaded(t, p, kind, ask(t, p, kind, day)); got.State != "COMPLETED" || got.Rows != len(want[kind]) {
			t.Errorf("%s once more: %+v", kind, got)
		}
		if after := table(t, data, `SELECT n || '/' || coalesce(half, '') || ' ' || _request_id || ' ' || _received_at FROM `+kind+`_rows ORDER BY 1`); strings.Join(after, "\n") != strings.Join(rows, "\n") {
			t.Errorf("%s: a second load changed the table", kind)
		}
	}
}

// A day of many files is loaded while the server is killed: every row is there once, and so says the run, whether rows are added or replace
// those of before.
func TestKillNineWhileLoading(t *testing.T) {
	const day = "2026-11-20"
	files, lines := scaled(24, 200), 4000
	data := t.TempDir()
	p := start(t, data)
	var st struct{ ID string }
	manage(t, p, "POST", "/v1/streams", map[string]any{"name": "events", "payload": "json"}, &st)
	dir := filepath.Join(data, "landing", "ingest", "stream", "default", st.ID, day)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for f := range files {
		var text bytes.Buffer
		for l := range lines {
			fmt.Fprintf(&text, "{\"n\":%d}\n", f*lines+l)
		}
		text.WriteString("{\"no key\":1}\n")
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d-%02d-00-a.ndjson", f/60, f%60)), text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var feed struct{ ID string }
	manage(t, p, "POST", "/v1/feeds", map[string]any{"name": "rows", "primaryKey": []string{"n"}, "columns": []map[string]string{{"name": "n", "path": "n"}}}, &feed)
	for _, ops := range [][]map[string]string{
		{{"type": "load", "file": "streaming"}},
		{{"type": "truncate"}, {"type": "load", "file": "streaming"}},
	} {
		name := "courier-" + strconv.Itoa(len(ops))
		manage(t, p, "POST", "/v1/couriers", map[string]any{
			"name": name, "stream": st.ID, "fileFormat": "NDJSON", "loadOperations": map[string]any{feed.ID: ops},
		}, nil)
		run := ask(t, p, name, day)
		inTheMiddle := 0
		for range scaled(4, 12) {
			time.Sleep(50*time.Millisecond + rand.N(200*time.Millisecond))
			var got struct{ State string }
			manage(t, p, "GET", "/v1/couriers/"+name+"/runs/"+run, nil, &got)
			if got.State == "RUNNING" {
				inTheMiddle++
			}
			p.Kill()
			p = again(t, p)
		}
		if inTheMiddle == 0 {
			t.Error("no kill came in the middle of the run")
		}
		if got := loaded(t, p, name, run); got.State != "COMPLETED" || got.Rows != files*lines || got.FailedRows != files || got.Files != files || got.FilesDone != files {
			t.Errorf("%s: %+v, want %d rows of %d files", name, got, files*lines, files)
		}
		counts := table(t, data, `SELECT count(*) || ' ' || count(DISTINCT n) || ' ' || max(n) || ' ' || (SELECT count(*) FROM rows_failed) FROM rows`)
		if want := fmt.Sprint(files*lines, " ", files*lines, " ", files*lines-1, " ", files); len(counts) != 1 || counts[0] != want {
			t.Errorf("%s: %v, want %s", name, counts, want)
		}
		if left := table(t, data, `SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%new%' UNION ALL SELECT run FROM _sluice_loaded`); len(left) != 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
}
