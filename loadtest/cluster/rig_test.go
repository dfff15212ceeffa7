//go:build parts

package cluster_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/loadtest/drive"
	"sluice/loadtest/server"
	"sluice/loadtest/verify"
)

var (
	full                    = os.Getenv("LOADTEST_FULL") != ""
	binary, logServerBinary string
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-cluster-")
	if binary = os.Getenv("LOADTEST_BINARY"); err == nil && binary == "" {
		binary, err = server.Build(context.Background(), dir, false)
	}
	if err == nil {
		logServerBinary, err = buildLogServer(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// scaled is short, or long in a full run.
func scaled[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

// logOf takes a process's log, shown when the test fails.
func logOf(t *testing.T, name string) io.Writer {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		if text, err := os.ReadFile(f.Name()); err == nil && t.Failed() {
			t.Logf("the log of %s ends:\n%s", name, text[max(0, len(text)-4000):])
		}
	})
	return f
}

// world is three log servers and two gateways, a and b, that share log, master key and admin token.
type world struct {
	logs []*logServer
	a, b *server.Process
}

const adminToken = "cluster-admin-token-0123456789"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{logs: logCluster(t, enoughPayload)}
	master := filepath.Join(t.TempDir(), "master.key") // made by the node that is first
	w.a = serve(t, "a", settings(addresses(w.logs), master))
	w.b = serve(t, "b", settings(addresses(w.logs), master))
	return w
}

// settings are a node's configuration file. All of it is the same on every node, the issuer's address too.
func settings(log, master string) string {
	return fmt.Sprintf("public_url: http://sluice.example\nengine:\n  url: %q\n  replicas: 3\n  shards: 2\nkeys:\n  master: %q\n", log, master)
}

func nodeConfig(t *testing.T, name, text string) server.Config {
	t.Helper()
	data := t.TempDir()
	file := filepath.Join(data, "sluice.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.Config{Binary: binary, Data: data, Token: adminToken, Args: []string{"--config", file}, Stderr: logOf(t, name)}
}

func serve(t *testing.T, name, text string) *server.Process {
	t.Helper()
	p, err := server.Start(t.Context(), nodeConfig(t, name, text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// again starts an ended node on its address and data.
func again(t *testing.T, p *server.Process) *server.Process {
	t.Helper()
	p, err := p.Again(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func source(t *testing.T, a server.Admin, name string) drive.Door {
	t.Helper()
	d, err := drive.Source(t.Context(), a, name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func cumulative(t *testing.T, a server.Admin, from drive.Door, level int) drive.Door {
	t.Helper()
	d, err := drive.Cumulative(t.Context(), a, from, level)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// producers are so many that send single events and so many that send ten at once, half of them at each node. Who cannot reach
// its own goes to the other.
func (w *world) producers(d drive.Door, l *verify.Ledger, single, bulk int) []*drive.Producer {
	addrs := [][]string{{w.a.Addr, w.b.Addr}, {w.b.Addr, w.a.Addr}}
	var list []*drive.Producer
	for id := range single + bulk {
		p := &drive.Producer{Door: d, Ledger: l, ID: uint32(id), Addrs: addrs[id%2]}
		if id >= single {
			p.Lines = 10
		}
		list = append(list, p)
	}
	return list
}

// reader is one consumer at one node with its audit.
type reader struct {
	door  drive.Door
	node  string
	audit *verify.Reader
	tail  *drive.Tail
}

func follow(t *testing.T, d drive.Door, p *server.Process, l *verify.Ledger) *reader {
	t.Helper()
	r := &reader{door: d, node: p.Base, audit: verify.NewReader(l, d.Rule)}
	r.tail = drive.Follow(t.Context(), d.Follower(p.Base), r.audit.Event)
	return r
}

// settle waits until every reader has all there is, and holds it against the ledger and against what both nodes serve now.
func (w *world) settle(t *testing.T, l *verify.Ledger, readers ...*reader) {
	t.Helper()
	doors := map[string][2]*verify.Reader{}
	check := func(d drive.Door, name string, whole, got *verify.Reader) {
		if err := got.Finish().Err(); err != nil {
			t.Errorf("%s as read from %s: %v", d.Name, name, err)
		}
		if err := whole.Agrees(got); err != nil || got.Received() != whole.Received() {
			t.Errorf("%s: %s has %d events, a has %d; %v", d.Name, name, got.Received(), whole.Received(), err)
		}
	}
	for _, r := range readers {
		both, audited := doors[r.door.Name]
		if !audited {
			for i, p := range []*server.Process{w.a, w.b} {
				var err error
				if both[i], err = r.door.Audit(t.Context(), p.Base, l); err != nil {
					t.Fatal(err)
				}
			}
			doors[r.door.Name] = both
			check(r.door, "a", both[0], both[0])
			check(r.door, "b", both[0], both[1])
		}
		end, _ := both[0].Last()
		if err := r.tail.Reach(end, 30*time.Second); err != nil {
			t.Error(err)
		}
		if _, err := r.tail.End(); err != nil {
			t.Errorf("%s at %s: %v", r.door.Name, r.node, err)
		}
		check(r.door, "a consumer at "+r.node, both[0], r.audit)
	}
}

// soon waits until ok.
func soon(t *testing.T, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > within {
			t.Fatalf("after %s: %s", within, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(began)
}
