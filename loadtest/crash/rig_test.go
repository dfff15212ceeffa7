//go:build parts

package crash_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"sluice/loadtest/drive"
	"sluice/loadtest/server"
	"sluice/loadtest/verify"
)

var (
	full   = os.Getenv("LOADTEST_FULL") != ""
	binary string
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-crash-")
	if binary = os.Getenv("LOADTEST_BINARY"); err == nil && binary == "" {
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

// scaled is short, or long in a full run.
func scaled[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

// logOf is the server's log, shown when the test fails.
func logOf(t *testing.T) io.Writer {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		if text, err := os.ReadFile(f.Name()); err == nil && t.Failed() {
			t.Logf("the server's log ends:\n%s", text[max(0, len(text)-4000):])
		}
	})
	return f
}

// start runs a server on data, which may be empty, until the test ends.
func start(t *testing.T, data string, env ...string) *server.Process {
	t.Helper()
	p, err := server.Start(t.Context(), server.Config{Binary: binary, Data: data, Env: env, Stderr: logOf(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// again starts an ended server on its address and data.
func again(t *testing.T, p *server.Process) *server.Process {
	t.Helper()
	p, err := p.Again(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

type (
	door     = drive.Door
	producer = drive.Producer
	tail     = drive.Tail
)

func source(t *testing.T, p *server.Process, name string) door {
	t.Helper()
	return made(t)(drive.Source(t.Context(), p.Admin, name))
}

func cumulative(t *testing.T, p *server.Process, from door, level int) door {
	t.Helper()
	return made(t)(drive.Cumulative(t.Context(), p.Admin, from, level))
}

func granular(t *testing.T, p *server.Process, from door, levels ...int) door {
	t.Helper()
	return made(t)(drive.Granular(t.Context(), p.Admin, from, levels...))
}

func made(t *testing.T) func(door, error) door {
	return func(d door, err error) door {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

func follower(d door, p *server.Process, gzip bool) *verify.Follower {
	f := d.Follower(p.Base)
	f.Gzip = gzip
	return f
}

// audit reads a stream from its beginning to its end and gives the audit, not yet finished.
func audit(t *testing.T, p *server.Process, d door, l *verify.Ledger) *verify.Reader {
	t.Helper()
	r, err := d.Audit(t.Context(), p.Base, l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newProducer(addr string, d door, l *verify.Ledger, id uint32, lines int) *producer {
	return &producer{Door: d, Ledger: l, ID: id, Addrs: []string{addr}, Lines: lines}
}

func follow(ctx context.Context, f *verify.Follower, each func(offset uint64, body []byte)) *tail {
	return drive.Follow(ctx, f, each)
}
