package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"sluice/loadtest/server"
	"sluice/loadtest/wire"
	"sluice/relay/sample"
)

// bench is one run of one row: a folder of its own, and the servers started in it.
type bench struct {
	options
	name string
	run  int
	dir  string
}

func newBench(o options, parent, name string, run int) (*bench, error) {
	dir := filepath.Join(parent, fmt.Sprintf("%s-%d", name, run))
	return &bench{options: o, name: name, run: run, dir: dir}, os.Mkdir(dir, 0o700)
}

// target is a running server with a source stream and a stream derived from it that opens level 0.
type target struct {
	*server.Process
	log      *os.File
	profiler string // address, empty for none

	stream, derived  string
	write, readToken string
}

// start runs a server on empty data, with one stream.
func (b *bench) start(ctx context.Context) (*target, error) {
	log, err := os.OpenFile(b.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	t := &target{log: log}
	cfg := server.Config{Binary: b.binary, Data: filepath.Join(b.dir, "data"), Stderr: log, Env: []string{"SLUICE_WEBHOOKS_ALLOW_CIDRS=127.0.0.1/32"}}
	if b.profile != "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		t.profiler = l.Addr().String()
		l.Close()
		cfg.Env = append(cfg.Env, server.ProfileEnv+"="+t.profiler)
	}
	if t.Process, err = server.Start(ctx, cfg); err != nil {
		log.Close()
		return nil, err
	}
	if err := t.prepare(ctx); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

func (t *target) prepare(ctx context.Context) error {
	source, err := t.CreateStream(ctx, "bench")
	if err != nil {
		return err
	}
	derived, err := t.CreateDerived(ctx, source.Name, "CUMULATIVE", 0)
	if err != nil {
		return err
	}
	t.stream, t.derived = source.Name, derived.Name
	if t.write, err = t.AccessToken(ctx, source.Credentials); err != nil {
		return err
	}
	t.readToken, err = t.AccessToken(ctx, derived.Credentials)
	return err
}

// end kills the server: what it drains is not measured here.
func (t *target) end() {
	t.Kill()
	t.log.Close()
}

// eventsPerBlock is how many events one commit of the stream took on average.
func (t *target) eventsPerBlock(ctx context.Context) (float64, error) {
	sum, err := t.Metric(ctx, "sluice_append_block_events_sum")
	if err != nil {
		return 0, err
	}
	count, err := t.Metric(ctx, "sluice_append_block_events_count")
	return sum / count, err
}

func (b *bench) logPath() string { return filepath.Join(b.dir, "server.log") }

// logTail is the end of the server's log, for an error.
func (b *bench) logTail() string {
	text, err := os.ReadFile(b.logPath())
	if err != nil || len(text) == 0 {
		return ""
	}
	return "\nthe server's log ends:\n" + string(text[max(0, len(text)-3000):])
}

// profileDuring takes a CPU profile of the server for d, where one was asked for, and one of all
// allocations when the caller, at the end of its row, calls wait.
func (b *bench) profileDuring(t *target, d time.Duration, suffix string) (wait func() error) {
	if t.profiler == "" || b.run > 0 {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() {
		url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", t.profiler, max(1, int(d.Seconds())))
		done <- download(url, filepath.Join(b.profile, b.name+suffix+".cpu.pprof"))
	}()
	return func() error {
		allocs := download("http://"+t.profiler+"/debug/pprof/allocs", filepath.Join(b.profile, b.name+suffix+".allocs.pprof"))
		return errors.Join(<-done, allocs)
	}
}

func download(url, path string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the profiler said %s", resp.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, resp.Body); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// life is how long a connection of a measurement may last.
func (b *bench) life() time.Duration { return b.duration() + time.Minute }

// eventHeaders are what a producer of clickstream events sends.
func eventHeaders(token string) []string {
	return []string{"Authorization: Bearer " + token, "Strm-Schema-Ref: " + sample.ClickstreamRef, "Content-Type: application/json"}
}

// getEvents is the request for a stream's events.
func getEvents(addr, stream, token, query string, gzip bool) []byte {
	headers := []string{"Authorization: Bearer " + token}
	if gzip {
		headers = append(headers, "Accept-Encoding: gzip")
	}
	return wire.Request("GET", "/v1/streams/"+stream+"/events?"+query, addr, headers, nil)
}

var userAgent = []byte(`"userAgent":"`)

// markerIn finds the marker of a clickstream event as a stream shows it.
func markerIn(line []byte) (producer uint32, n uint64, ok bool) {
	i := bytes.Index(line, userAgent)
	if i < 0 || len(line) < i+len(userAgent)+sample.MarkerLen {
		return 0, 0, false
	}
	m := line[i+len(userAgent):][:sample.MarkerLen]
	if m[0] != 'p' || m[4] != '-' {
		return 0, 0, false
	}
	for _, c := range m[1:4] {
		producer = producer*10 + uint32(c-'0')
	}
	for _, c := range m[5:] {
		n = n*10 + uint64(c-'0')
	}
	return producer, n, true
}

// sequence checks that every producer's events come complete and in order.
type sequence struct{ last [1000]uint64 }

func (s *sequence) check(line []byte) error {
	p, n, ok := markerIn(line)
	if !ok {
		return fmt.Errorf("an event without a marker")
	}
	if n != s.last[p%1000]+1 {
		return fmt.Errorf("event %d of producer %d came after %d", n, p, s.last[p%1000])
	}
	s.last[p%1000] = n
	return nil
}
