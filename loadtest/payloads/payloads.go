// Package payloads hides the load of single payloads on POST /stream/v0/data: a stream with an API key's token, a
// driver that sends at a steady rate whatever the answers take, and a count of what landed in the files, each payload
// told by its number and held to its text.
//
// k6 measures the same from outside (package k6), but takes several times as much CPU as the server from the machine
// they share; this driver takes less than the server.
package payloads

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/loadtest/server"
	"sluice/loadtest/wire"
)

// Inlet is a stream that takes JSON payloads, and a token of an API key that may send them.
type Inlet struct {
	ID     string // is-…
	Token  string
	Tenant string
}

// Open makes an inlet in the default project.
func Open(ctx context.Context, a server.Admin, name string) (Inlet, error) {
	var stream, key struct{ ID string }
	var token struct {
		Text string `json:"access_token"`
	}
	in := Inlet{Tenant: "default"}
	if err := a.Make(ctx, "/v1/streams", map[string]any{"name": name, "payload": "json"}, &stream); err != nil {
		return in, err
	}
	if err := a.Make(ctx, "/v1/api-keys", map[string]any{"name": name, "type": "STREAMING_INGEST_WRITE"}, &key); err != nil {
		return in, err
	}
	err := a.Make(ctx, "/v1/api-keys/"+key.ID+"/tokens", map[string]any{"days": 1}, &token)
	in.ID, in.Token = stream.ID, token.Text
	return in, err
}

// Load is a run of single payloads.
type Load struct {
	Server *server.Process
	Inlet  Inlet
	Rate   int // requests a second
	For    time.Duration
	Conns  int // keep-alive connections, which take turns
}

// Result is what a run came to. A time is from when a request was due until its answer was there, so that one that had
// to wait for those before it counts as late.
type Result struct {
	Accepted int // payloads, with the numbers below
	Took     time.Duration
	CPU      time.Duration // of the server
	P50, P99 time.Duration
}

// Payload is the payload of a number, compact JSON.
func Payload(dst []byte, n int) []byte {
	return fmt.Appendf(dst, `{"n":%08d,"customer":{"id":"customer-%07d","tier":"gold"},"order":{"id":"order-%08d","total":"%d.50","lines":[{"sku":"sku-1","qty":2},{"sku":"sku-%04d","qty":1}]},"channel":"web","note":"caf\u00e9 1.0"}`,
		n+numberBase, n%1_000_000, n, n%1000, n%10_000)
}

// numberBase keeps the first digit of a number from being 0, which JSON has not.
const numberBase = 10_000_000

// Run sends until the time is over and every answer is there. The first that is not 202 ends it with an error.
func (l Load) Run(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	target := "/stream/v0/data/" + l.Inlet.ID
	headers := []string{"Authorization: Bearer " + l.Inlet.Token, "X-Amperity-Tenant: " + l.Inlet.Tenant, "Content-Type: application/json"}
	conns := make([]*wire.Conn, l.Conns)
	for i := range conns {
		conn, err := wire.Dial(l.Server.Addr, l.For+2*time.Minute)
		if err != nil {
			return Result{}, err
		}
		defer conn.Close()
		conns[i] = conn
	}
	before, err := server.CPU(l.Server.PID())
	if err != nil {
		return Result{}, err
	}
	total := int(float64(l.Rate) * l.For.Seconds())
	times, errs := make([][]time.Duration, l.Conns), make([]error, l.Conns)
	began := time.Now()
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			var body []byte
			for n := i; n < total && ctx.Err() == nil; n += l.Conns {
				due := began.Add(time.Duration(float64(n) / float64(l.Rate) * float64(time.Second)))
				if wait := time.Until(due); wait > 0 {
					time.Sleep(wait)
				}
				body = Payload(body[:0], n)
				status, answer, err := conn.Do(wire.Request("POST", target, l.Server.Addr, headers, body))
				if err != nil || status != http.StatusAccepted {
					errs[i] = fmt.Errorf("payload %d: status %d: %s: %w", n, status, answer, errors.Join(ErrRefused, err))
					cancel()
					return
				}
				times[i] = append(times[i], time.Since(due))
			}
		})
	}
	wg.Wait()
	r := Result{Took: time.Since(began)}
	if err := errors.Join(errs...); err != nil {
		return r, err
	}
	after, err := server.CPU(l.Server.PID())
	if err != nil {
		return r, err
	}
	all := slices.Concat(times...)
	slices.Sort(all)
	r.Accepted, r.CPU = len(all), after-before
	r.P50, r.P99 = all[len(all)/2], all[len(all)*99/100]
	return r, ctx.Err()
}

// ErrRefused: a payload was not accepted, or nobody knows.
var ErrRefused = errors.New("a payload was not accepted")

// Files are the landed files of an inlet below a server's data folder, sorted by name.
func (in Inlet) Files(data string) ([]string, error) {
	var files []string
	root := filepath.Join(data, "landing", "ingest", "stream", in.Tenant, in.ID)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".ndjson") {
			files = append(files, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // the first window is not over
	}
	return files, err
}

// Await waits until files of an inlet hold as many payloads as were accepted, looks again after a while, and calls each
// with every line.
func (in Inlet) Await(ctx context.Context, data string, accepted int, wait time.Duration, each func(line []byte) error) error {
	lines := map[string]int{} // of the files that were counted: a landed file is never changed
	for end := time.Now().Add(wait); ; {
		files, err := in.Files(data)
		if err != nil {
			return err
		}
		sum := 0
		for _, path := range files {
			if _, ok := lines[path]; !ok {
				if lines[path], err = count(path, func([]byte) error { return nil }); err != nil {
					return err
				}
			}
			sum += lines[path]
		}
		if sum >= accepted {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d payloads have landed", sum, accepted)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	files, err := in.Files(data)
	if err != nil {
		return err
	}
	for _, path := range files {
		if _, err := count(path, each); err != nil {
			return err
		}
	}
	return nil
}

func count(path string, each func([]byte) error) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for ; in.Scan(); n++ {
		if err := each(in.Bytes()); err != nil {
			return n, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	return n, in.Err()
}

// Once is a ledger of payloads that Payload made: each may come once.
type Once struct{ seen []bool }

// NewOnce expects the payloads below n.
func NewOnce(n int) *Once { return &Once{make([]bool, n)} }

// Line takes a landed line.
func (o *Once) Line(line []byte) error {
	digits, _, ok := bytes.Cut(line[min(len(line), len(`{"n":`)):], []byte(","))
	n, err := strconv.Atoi(string(digits))
	n -= numberBase
	if !ok || err != nil || n < 0 || n >= len(o.seen) {
		return fmt.Errorf("a line that was not sent: %.200s", line)
	}
	if want := Payload(nil, n); !bytes.Equal(line, want) {
		return fmt.Errorf("payload %d landed as %s, not as %s", n, line, want)
	}
	if o.seen[n] {
		return fmt.Errorf("payload %d landed twice", n)
	}
	o.seen[n] = true
	return nil
}

// Missing is how many have not come.
func (o *Once) Missing() (n int) {
	for _, seen := range o.seen {
		if !seen {
			n++
		}
	}
	return n
}
