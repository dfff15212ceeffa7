//go:build parts

package crash_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/loadtest/drive"
	"sluice/loadtest/server"
	"sluice/loadtest/verify"
	"sluice/loadtest/wire"
	"sluice/relay/sample"
)

const (
	forgotten = "person to forget"
	kept      = "person to keep"
)

// personProducer sends events of one person.
func personProducer(p *server.Process, d door, l *verify.Ledger, id uint32, lines int, person string) *producer {
	prod := newProducer(p.Addr, d, l, id, lines)
	prod.Next = func(dst []byte, m sample.Marker) []byte { return drive.Click(dst, m, person) }
	return prod
}

// One person is forgotten while readers read and producers send events of that person and another.
// Their old fields stay encrypted from then on: to who reads again, to a reader in the middle of the
// stream, after a stop and after kill -9; everybody else's open, and so do the person's later events.
func TestForgottenStaysForgotten(t *testing.T) {
	p := start(t, t.TempDir())
	in := source(t, p, "forget")
	out := cumulative(t, p, in, 1)
	ledger := verify.NewLedger()

	// Enough events that a reader in the middle has most of them still in the log.
	a, b := personProducer(p, in, ledger, 1, 500, forgotten), personProducer(p, in, ledger, 2, 500, kept)
	defer a.Close()
	defer b.Close()
	for range scaled(20, 100) {
		mustSend(t, a)
		mustSend(t, b)
	}
	whole := audit(t, p, out, ledger)
	if err := whole.Finish().Err(); err != nil {
		t.Fatalf("before: %v", err)
	}
	recent, _ := whole.Last()
	middle := openMiddle(t, p, out)
	before := follow(t.Context(), follower(out, p, false), func(uint64, []byte) {})

	// What follows is rendered for the reader that keeps up, and would be handed to another as it is.
	if err := before.Reach(recent, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	mustSend(t, a)
	if err := before.Reach(recent+1, 20*time.Second); err != nil {
		t.Fatal(err)
	}

	// While the call is under way, both send on; what the person sends then may be erased or not.
	racing, others := personProducer(p, in, ledger, 3, 0, forgotten), personProducer(p, in, ledger, 4, 0, kept)
	defer racing.Close()
	defer others.Close()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for _, prod := range []*producer{racing, others} {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					mustSend(t, prod)
				}
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	err := p.Forget(t.Context(), forgotten, in.Name)
	close(stop)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range a.Markers(1, a.Sent()) {
		ledger.Erase(m)
	}
	events, clear := 0, 0
	query := url.Values{"from": {strconv.FormatUint(recent, 10)}, "limit": {"500"}, "timeout": {"5s"}}
	_, err = follower(out, p, false).Read(t.Context(), query, func(_ uint64, body []byte) error {
		events++
		if bytes.Contains(body, []byte(forgotten)) {
			clear++
		}
		return nil
	})
	if err != nil || events != 500 || clear > 0 {
		t.Errorf("of %d events that were rendered before, %d show the person: %v", events, clear, err)
	}
	for _, m := range racing.Markers(1, racing.Sent()) {
		ledger.Race(m)
	}
	if err := middle.conn.ReceiveBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	middle.readOn(t, a.Sent()+b.Sent()-500)
	mustSend(t, a) // of the same person, later: opens
	mustSend(t, b)

	check := func(when string, doors ...door) {
		t.Helper()
		for _, d := range doors {
			if err := audit(t, p, d, ledger).Finish().Err(); err != nil {
				t.Errorf("%s, %s: %v", when, d.Name, err)
			}
		}
	}
	check("after forgetting", in, out)
	end, _ := audit(t, p, out, ledger).Last()
	if err := before.Reach(end, 20*time.Second); err != nil {
		t.Errorf("the reader that was there before: %v", err)
	}
	if _, err := before.End(); err != nil {
		t.Errorf("the reader that was there before: %v", err)
	}
	if code, err := p.Stop(20 * time.Second); code != 0 || err != nil {
		t.Errorf("stop: %d %v", code, err)
	}
	p = again(t, p)
	check("after a restart", out)
	mustSendTo(t, p, a)
	p.Kill()
	p = again(t, p)
	check("after kill -9", out)
}

// A copy of the store from before, with the keys that exist now, opens nothing of the person. With the
// keys of its own time it does, which shows that the copy is whole.
func TestOldCopyOfTheStoreIsNoise(t *testing.T) {
	data := t.TempDir()
	p := start(t, data)
	in := source(t, p, "copied")
	out := cumulative(t, p, in, 1)
	ledger := verify.NewLedger()
	a := personProducer(p, in, ledger, 1, 100, forgotten)
	mustSend(t, a)
	a.Close()
	if code, err := p.Stop(20 * time.Second); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	old := t.TempDir()
	copyFolder(t, old, data)
	p = again(t, p)
	if err := p.Forget(t.Context(), forgotten, in.Name); err != nil {
		t.Fatal(err)
	}
	if code, err := p.Stop(20 * time.Second); code != 0 || err != nil {
		t.Fatal(code, err)
	}

	whole := start(t, old)
	out.Token = whole.Token // credentials may not open on a store whose keys are gone
	if err := audit(t, whole, out, ledger).Finish().Err(); err != nil {
		t.Fatalf("the copy with its own keys: %v", err)
	}
	whole.Kill()

	presentKeys(t, old, data)
	p, err := server.Start(t.Context(), server.Config{Binary: binary, Data: old, Stderr: logOf(t)})
	if err != nil {
		t.Logf("with the present keys the old store is refused: %v", err)
		return
	}
	defer p.Kill()
	out.Token = p.Token
	err = follower(out, p, false).All(t.Context(), time.Second, func(_ uint64, body []byte) error {
		if bytes.Contains(body, []byte(forgotten)) {
			return errors.New("a field of the forgotten person is clear")
		}
		return nil
	})
	var refused *verify.StatusError
	if err != nil && !errors.As(err, &refused) {
		t.Errorf("the old store with the present keys: %v", err)
	}
}

// presentKeys puts the key folder of one data folder in the place of another's. It must differ: else
// nothing was destroyed.
func presentKeys(t *testing.T, into, from string) {
	t.Helper()
	old, present := keyFiles(t, into), keyFiles(t, from)
	if len(present) == 0 || maps.Equal(old, present) {
		t.Fatalf("%d key files, the same before and after a person was forgotten", len(present))
	}
	if err := os.RemoveAll(filepath.Join(into, "keys")); err != nil {
		t.Fatal(err)
	}
	copyFolder(t, filepath.Join(into, "keys"), filepath.Join(from, "keys"))
}

// copyFolder copies files with their modes: a key that others may read is refused.
func copyFolder(t *testing.T, into, from string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(into, rel), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(into, rel), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func keyFiles(t *testing.T, data string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(filepath.Join(data, "keys"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[d.Name()] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func mustSend(t *testing.T, prod *producer) {
	t.Helper()
	if err := prod.Send(); err != nil {
		t.Errorf("a producer: %v", err)
	}
	if prod.Cut() {
		t.Error("a producer was cut")
	}
}

func mustSendTo(t *testing.T, p *server.Process, prod *producer) {
	t.Helper()
	prod.Close()
	prod.Addrs = []string{p.Addr}
	mustSend(t, prod)
}

// middleReader has begun to read a stream and stopped.
type middleReader struct {
	conn  *wire.Conn
	lines chan []byte
	err   chan error
}

// inFlight is how many bytes can be on their way to a reader that has stopped: the sender's socket
// buffer, 4 MiB on Linux, its own, and a chunk or two.
const inFlight = 6 << 20

func openMiddle(t *testing.T, p *server.Process, d door) *middleReader {
	t.Helper()
	conn, err := wire.Dial(p.Addr, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.ReceiveBuffer(smallBuffer); err != nil {
		t.Fatal(err)
	}
	s, err := conn.Open(wire.Request("GET", "/v1/streams/"+d.Name+"/events?from=EARLIEST", p.Addr, []string{"Authorization: Bearer " + d.Token}, nil))
	if err != nil {
		t.Fatal(err)
	}
	m := &middleReader{conn: conn, lines: make(chan []byte), err: make(chan error, 1)}
	go func() {
		m.err <- wire.Lines(s, false, func(line []byte) error {
			m.lines <- bytes.Clone(line)
			return nil
		})
	}()
	for range 10 {
		<-m.lines
	}
	return m
}

// readOn reads the rest of what was there before: what was not on its way yet when the person was
// forgotten must be encrypted.
func (m *middleReader) readOn(t *testing.T, events uint64) {
	t.Helper()
	read, late, clear := 0, 0, 0
	for n := uint64(10); n < events; n++ {
		select {
		case line := <-m.lines:
			read += len(line) + 1
			if read > inFlight {
				late++
				if bytes.Contains(line, []byte(forgotten)) {
					clear++
				}
			}
		case err := <-m.err:
			t.Fatalf("the reader in the middle ended: %v", err)
		case <-time.After(20 * time.Second):
			t.Fatalf("the reader in the middle got %d of %d events", n, events)
		}
	}
	if clear > 0 || late < 100 {
		t.Errorf("of %d events sent after forgetting, %d show the person", late, clear)
	}
}

// markerNumber is the number in an event's marker.
func markerNumber(line []byte) (uint64, error) {
	var e struct{ UserAgent string }
	if err := json.Unmarshal(line, &e); err != nil {
		return 0, fmt.Errorf("a line of the stream: %w", err)
	}
	_, digits, ok := strings.Cut(e.UserAgent, "-")
	if !ok {
		return 0, errors.New("an event without a marker")
	}
	return strconv.ParseUint(digits, 10, 64)
}
