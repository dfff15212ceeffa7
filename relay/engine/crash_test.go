package engine_test

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"sluice/relay/engine"
)

const childDir = "SLUICE_ENGINE_TEST_CHILD"

// childMain is the process that TestKill kills: it appends to many streams and writes a line for each acknowledged
// event. It is false in the test process itself.
func childMain() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	e, err := engine.Open(context.Background(), engine.Config{Dir: dir, MinFree: 1 << 20, Shards: 1, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println("error", err)
		return true
	}
	var out sync.Mutex
	var wg sync.WaitGroup
	for p := range 40 {
		wg.Go(func() {
			s, err := e.NewStream(context.Background(), engine.StreamID(uuid.New()), uuid.NewString())
			if err != nil {
				fmt.Println("error", err)
				return
			}
			b := &engine.Batch{}
			for i := 0; ; i++ {
				b.Reset()
				for n := range 1 + i%3 {
					b.Add(record(fmt.Sprintf("%d-%d-%d", p, i, n), 150))
				}
				r, err := e.Append(context.Background(), s, b)
				if err != nil {
					fmt.Println("error", err)
					return
				}
				out.Lock()
				fmt.Printf("ack %s %d %d %d-%d %v %v\n", hex.EncodeToString(s.ID[:]), s.Shard, s.Since, p, i, r.First, r.Last)
				out.Unlock()
			}
		})
	}
	wg.Wait()
	return true
}

// TestKill: what was acknowledged before a kill -9 is there afterwards, once and where the receipt said, and the log
// takes more behind it.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	type acked struct {
		name        string
		first, last engine.Offset
	}
	acks := map[engine.Stream][]acked{}
	for round := range 2 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		seen := 0
		for lines.Scan() {
			f := strings.Fields(lines.Text())
			if len(f) != 7 || f[0] != "ack" {
				t.Fatalf("child says %q", lines.Text())
			}
			var s engine.Stream
			hex.Decode(s.ID[:], []byte(f[1]))
			fmt.Sscan(f[2]+" "+f[3], &s.Shard, &s.Since)
			first, _ := engine.ParseOffset(f[5])
			last, _ := engine.ParseOffset(f[6])
			acks[s] = append(acks[s], acked{f[4], first, last})
			if seen++; seen == 1500 {
				cmd.Process.Kill() // what it still wrote into the pipe is read on, and counts
			}
		}
		cmd.Wait()
		if seen < 1500 {
			t.Fatalf("the child acknowledged %d only", seen)
		}

		started := time.Now()
		e := open(t, dir)
		t.Logf("round %d: %d acknowledged, reopened in %v", round, seen, time.Since(started))
		for s, list := range acks {
			at := map[string]engine.Offset{}
			last := engine.Offset(0)
			for _, ev := range readAll(t, e, s, 0) {
				if _, twice := at[ev.id]; twice {
					t.Fatalf("%s is stored twice", ev.id)
				}
				if ev.offset <= last {
					t.Fatalf("offset %v after %v", ev.offset, last)
				}
				at[ev.id], last = ev.offset, ev.offset
			}
			for _, a := range list {
				if at[a.name+"-0"] != a.first {
					t.Fatalf("%s was acknowledged at %v and lies at %v", a.name, a.first, at[a.name+"-0"])
				}
			}
			if r := put(t, e, s, fmt.Sprintf("after-%d", round)); r.First <= last {
				t.Fatalf("offset %v after %v", r.First, last)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
