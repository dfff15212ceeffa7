//go:build parts

package payloads_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"sluice/loadtest/payloads"
	"sluice/loadtest/server"
)

func scaled[T any](short, long T) T {
	if os.Getenv("LOADTEST_FULL") != "" { // asked for here, so that a cached result is one of the same length
		return long
	}
	return short
}

// What is accepted at a steady rate lands, each payload in exactly one file and as it was sent.
func TestSteadyPayloads(t *testing.T) {
	dir := t.TempDir()
	binary := os.Getenv("LOADTEST_BINARY")
	if binary == "" {
		var err error
		if binary, err = server.Build(t.Context(), dir, false); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	p, err := server.Start(t.Context(), server.Config{Binary: binary, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	in, err := payloads.Open(t.Context(), p.Admin, "steady")
	if err != nil {
		t.Fatal(err)
	}
	l := payloads.Load{Server: p, Inlet: in, Rate: scaled(1000, 12_000), For: scaled(4*time.Second, 2*time.Minute), Conns: scaled(16, 64)}
	r, err := l.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d payloads in %s, %.0f/s: p50 %s, p99 %s from when they were due, %.1f µs of the server's CPU each", r.Accepted, r.Took.Round(time.Millisecond),
		float64(r.Accepted)/r.Took.Seconds(), r.P50.Round(10*time.Microsecond), r.P99.Round(10*time.Microsecond), float64(r.CPU.Microseconds())/float64(r.Accepted))
	if most := l.For + scaled(time.Minute, time.Second); r.Took > most {
		t.Errorf("to send took %s", r.Took)
	}
	// The last window is over within a minute.
	once := payloads.NewOnce(r.Accepted)
	if err := in.Await(t.Context(), data, r.Accepted, 3*time.Minute, once.Line); err != nil {
		t.Fatal(err)
	}
	if n := once.Missing(); n > 0 {
		t.Errorf("%d payloads did not land", n)
	}
	files, err := in.Files(data)
	t.Logf("%d files, %v", len(files), err)
}

// The ledger sees what it is there to see.
func TestOnce(t *testing.T) {
	o := payloads.NewOnce(3)
	for _, n := range []int{2, 0} {
		if err := o.Line(payloads.Payload(nil, n)); err != nil {
			t.Error(err)
		}
	}
	changed := payloads.Payload(nil, 1)
	changed[len(changed)-3] = '1'
	for what, line := range map[string][]byte{"twice": payloads.Payload(nil, 2), "never sent": payloads.Payload(nil, 3), "changed": changed, "empty": {}} {
		if o.Line(line) == nil {
			t.Errorf("a line is taken that is %s", what)
		}
	}
	if o.Missing() != 1 {
		t.Errorf("%d are missing", o.Missing())
	}
}
