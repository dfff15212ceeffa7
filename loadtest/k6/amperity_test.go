//go:build parts

package k6_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/loadtest/drive"
	"sluice/loadtest/payloads"
	"sluice/loadtest/server"
)

var acceptedLine = regexp.MustCompile(`events_accepted\.*: (\d+)`)

// What k6 was told is accepted lands, each payload in one file. With LOADTEST_FULL=1 at 12,000 requests a second for two
// minutes, or LOADTEST_RATE where k6 and the server share too few cores for that.
func TestPayloads(t *testing.T) {
	rate, seconds, users, late, p99 := "300", "4", "50", "100000", "20000"
	if os.Getenv("LOADTEST_FULL") != "" {
		rate, seconds, users, late, p99 = "12000", "120", "150", "0", "5000"
		if r := os.Getenv("LOADTEST_RATE"); r != "" {
			rate = r
		}
	}
	data := t.TempDir()
	p, err := server.Start(t.Context(), server.Config{Binary: sluice, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	in, err := payloads.Open(t.Context(), p.Admin, "k6")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	out, err := run(t, "amperity.js", p, drive.Door{Name: in.ID, Token: in.Token},
		"RATE="+rate, "SECONDS="+seconds, "USERS="+users, "LATE="+late, "P99="+p99, "TENANT="+in.Tenant)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	cpu, err := server.CPU(p.PID())
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(out) {
		for _, name := range []string{"events_accepted", "http_req_duration.", "events_late", "events_refused"} {
			if strings.Contains(line, name) {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
	t.Logf("the server used %s of CPU, all took %s", cpu, time.Since(began).Round(time.Second))
	found := acceptedLine.FindStringSubmatch(out)
	if found == nil {
		t.Fatalf("k6 does not say how many were accepted:\n%s", out)
	}
	accepted, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err = in.Await(t.Context(), data, accepted, 3*time.Minute, func(line []byte) error {
		var payload struct{ Mark string }
		if err := json.Unmarshal(line, &payload); err != nil {
			return err
		}
		if payload.Mark == "" || seen[payload.Mark] {
			return fmt.Errorf("%s landed twice", payload.Mark)
		}
		seen[payload.Mark] = true
		return nil
	})
	if err != nil || len(seen) != accepted {
		t.Errorf("%d of %d payloads landed, %v", len(seen), accepted, err)
	}
}
