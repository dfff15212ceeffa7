//go:build parts

package everything_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sluice/loadtest/drive"
	"sluice/loadtest/receiver"
	"sluice/loadtest/server"
	"sluice/loadtest/verify"
)

var (
	full   = os.Getenv("LOADTEST_FULL") != ""
	binary string
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sluice-everything-")
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

func scaled[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

const (
	producers  = 5
	bodyEvents = 50
)

// world is a server under load and all who get something from it.
type world struct {
	t      *testing.T
	server *server.Process
	ledger *verify.Ledger
	doors  []drive.Door // the source, a cumulative and a granular stream

	consumers []consumer
}

func (w *world) consumer(name string, door int, same sameness) *record {
	r := &record{}
	w.consumers = append(w.consumers, consumer{name: fmt.Sprintf("%s of %s", name, w.doors[door].Name), door: door, same: same, got: r})
	return r
}

// start runs a server with three streams.
func start(t *testing.T, data string) *world {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("the server's log ends:\n%s", text[max(0, len(text)-4000):])
		}
		log.Close()
	})
	p, err := server.Start(t.Context(), server.Config{
		Binary: binary, Data: data, Stderr: io.Writer(log),
		Env: []string{"SLUICE_WEBHOOKS_ALLOW_CIDRS=127.0.0.1/32", "SLUICE_EXPORT_MIN_INTERVAL=1s"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	w := &world{t: t, server: p, ledger: verify.NewLedger()}
	add := func(d drive.Door, err error) {
		if err != nil {
			t.Fatal(err)
		}
		w.doors = append(w.doors, d)
	}
	add(drive.Source(t.Context(), p.Admin, "everything"))
	add(drive.Cumulative(t.Context(), p.Admin, w.doors[0], 2))
	add(drive.Granular(t.Context(), p.Admin, w.doors[0], 0, 1))
	return w
}

// load sends so many events a second for d, and gives how many a second it came to.
func (w *world) load(rate int, d time.Duration) float64 {
	w.t.Helper()
	began := time.Now()
	pace := time.Duration(producers*bodyEvents) * time.Second / time.Duration(rate)
	sent := make([]uint64, producers)
	var all sync.WaitGroup
	for i := range producers {
		p := &drive.Producer{Door: w.doors[0], Ledger: w.ledger, ID: uint32(i), Addrs: []string{w.server.Addr}, Lines: bodyEvents}
		all.Go(func() {
			defer p.Close()
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for range int(d / pace) {
				<-tick.C
				if err := p.Send(); err != nil {
					w.t.Error(err)
					return
				}
			}
			sent[i] = p.Sent()
		})
	}
	all.Wait()
	total := uint64(0)
	for _, n := range sent {
		total += n
	}
	return float64(total) / time.Since(began).Seconds()
}

// settle waits until everybody has as many events as their stream shows, and a while longer, in which nothing more may come.
func (w *world) settle(want func(door int) int, within time.Duration) {
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		waiting := false
		for _, c := range w.consumers {
			waiting = waiting || c.got.count() < want(c.door)
		}
		if !waiting {
			break
		}
	}
	time.Sleep(300 * time.Millisecond)
}

// Events come into a source stream and reach ninety readers, five webhooks and two exporters of it and of two derived streams. Everyone gets
// exactly what consent gives to their stream, once and in order; what the failing receiver refused comes again under its old id.
func TestEverything(t *testing.T) {
	rate, lasts := scaled(1000, 5000), scaled(4*time.Second, time.Minute)
	data := t.TempDir()
	w := start(t, data)
	for i := range 50 {
		w.lines(i%3, i%2 == 1)
	}
	for i := range 20 {
		w.served(i % 3)
	}
	for i := range 20 {
		w.socket(i % 3)
	}
	hooks := []*receiver.Receiver{
		w.webhook("source", 0, inOrder, nil, receiver.Config{}),
		w.webhook("cumulative", 1, inOrder, nil, receiver.Config{}),
		w.webhook("unordered", 0, anyOrder, map[string]any{"ordering": "none"}, receiver.Config{}),
		w.webhook("slow", 2, inOrder, nil, receiver.Config{Delay: 20 * time.Millisecond}),
		w.webhook("failing", 1, inOrder, map[string]any{"retry": []string{"20ms", "20ms", "1s"}}, receiver.Config{Refuse: func(n int) bool { return n%2 == 0 }}),
	}
	exports := []struct {
		door    int
		objects func() map[string][]byte
	}{{1, w.folder(1, data)}, {2, w.bucket(2)}}

	reached := w.load(rate, lasts)
	stored, refused, unknown := w.ledger.Tally()
	t.Logf("%.0f events/s for %s, %d acknowledged, %d refused, %d without an answer", reached, lasts, stored, refused, unknown)
	if refused+unknown > 0 || stored < rate*int(lasts/time.Second)*9/10 {
		t.Errorf("%d of %d events were acknowledged", stored, rate*int(lasts/time.Second))
	}
	wholes := make([]*record, len(w.doors))
	for i, d := range w.doors {
		wholes[i] = audit(t.Context(), t, w.server, d, w)
		if i > 0 && (wholes[i].count() == 0 || wholes[i].count() == stored) {
			t.Errorf("%s shows %d of %d events: the rule was not tried", d.Name, wholes[i].count(), stored)
		}
	}
	patience := scaled(time.Minute, 5*time.Minute)
	w.settle(func(door int) int { return wholes[door].count() }, patience)
	for _, c := range w.consumers {
		if err := c.got.differs(wholes[c.door], c.same); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, e := range exports {
		var got *record
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if got = recordOf(e.objects()); got.count() >= wholes[e.door].count() {
				break
			}
		}
		if err := got.differs(wholes[e.door], noOffset); err != nil {
			t.Errorf("exported of %s: %v", w.doors[e.door].Name, err)
		}
		t.Logf("exported of %s: %d events in %d objects", w.doors[e.door].Name, got.count(), len(e.objects()))
	}
	for i, r := range hooks {
		c := r.Counts()
		t.Logf("%s: %+v", w.consumers[90+i].name, c)
		if err := r.Err(); err != nil || c.Doubled > 0 || c.Repeats > 0 {
			t.Errorf("%s: %d events came after they were answered, %v", w.consumers[90+i].name, c.Doubled, err)
		}
		if c.Attempts != c.Batches+c.Refused {
			t.Errorf("%s: %d attempts for %d batches and %d refusals", w.consumers[90+i].name, c.Attempts, c.Batches, c.Refused)
		}
	}
	if c := hooks[4].Counts(); c.Refused < c.Attempts/3 {
		t.Errorf("the failing receiver refused %d of %d attempts", c.Refused, c.Attempts)
	}
	memory, err := w.server.Memory()
	if err != nil {
		t.Error(err)
	}
	for i, d := range w.doors {
		t.Logf("%s showed %d events to each consumer", d.Name, wholes[i].count())
	}
	t.Logf("%d consumers, the server took at most %d MiB", len(w.consumers)+len(exports), memory.Peak>>20)
}
