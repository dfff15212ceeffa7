package usage

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/relay/engine"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clocked is a meter that is told of blocks with times of the test's choosing.
func clocked(t *testing.T, now *time.Time) *Meter {
	t.Helper()
	e, err := engine.Open(t.Context(), engine.Config{Dir: t.TempDir(), Durability: "os", MinFree: 1 << 20, Log: quiet})
	must(t, err)
	t.Cleanup(func() { must(t, e.Close()) })
	m, err := Open(t.Context(), Config{Engine: e, Log: quiet, Now: func() time.Time { return *now }})
	must(t, err)
	return m
}

var someone = engine.StreamID{1, 2, 3}

func sumOf(t *testing.T, m *Meter, from, to time.Time, interval time.Duration) (all []uint64) {
	t.Helper()
	windows, err := m.Windows(t.Context(), someone, from, to, interval)
	must(t, err)
	for _, w := range windows {
		all = append(all, w.Events)
	}
	return all
}

// Minutes stay what they are while hours, days and months go by, written down or not.
func TestTimeGoesBy(t *testing.T) {
	begin := time.Date(2026, 11, 29, 22, 58, 30, 0, time.UTC)
	at := begin
	m := clocked(t, &at)
	want := map[time.Time]uint64{}
	perMonth := map[time.Month]int64{}
	for i := range 400 {
		at = begin.Add(time.Duration(i) * 13 * time.Minute) // over three and a half days and into December
		m.stored(engine.Stored{Stream: someone, Seq: uint64(i + 1), At: at, Events: i + 1})
		want[at.Truncate(time.Minute)] += uint64(i + 1)
		perMonth[at.Month()] += int64(i + 1)
		if i%7 == 0 {
			must(t, m.flush(t.Context()))
		}
		if got := m.Of(someone).Month(at); got != perMonth[at.Month()] {
			t.Fatalf("at %v the month has %d events, want %d", at, got, perMonth[at.Month()])
		}
	}
	for _, flushed := range []bool{false, true} {
		if flushed {
			must(t, m.flush(t.Context()))
		}
		from := begin.Truncate(time.Minute)
		for i, got := range sumOf(t, m, from, at.Add(time.Minute), time.Minute) {
			if minute := from.Add(time.Duration(i) * time.Minute); got != want[minute] {
				t.Fatalf("%v has %d events, want %d", minute, got, want[minute])
			}
		}
	}
	// A block told twice counts once.
	m.stored(engine.Stored{Stream: someone, Seq: 400, At: at, Events: 400})
	if got := m.Of(someone).Month(at); got != perMonth[at.Month()] {
		t.Errorf("told twice, the month has %d events, want %d", got, perMonth[at.Month()])
	}
	// What is older than KeepDays goes when a day is over.
	at = at.AddDate(0, 0, KeepDays+2)
	m.stored(engine.Stored{Stream: someone, Seq: 500, At: at, Events: 1})
	at = at.AddDate(0, 0, 1)
	m.stored(engine.Stored{Stream: someone, Seq: 501, At: at, Events: 1})
	must(t, m.flush(t.Context()))
	cells, err := m.cells.List(t.Context(), dayPrefix)
	must(t, err)
	for _, c := range cells {
		if day, _, _ := dayOf(c.Key); at.Sub(day) > (KeepDays+1)*24*time.Hour {
			t.Errorf("%s is still there", c.Key)
		}
	}
}

// Whatever hour a batch of unknown fate was for, a repeat brings no hour into its day twice.
func TestRepeatedHour(t *testing.T) {
	h := hour{number: 5}
	h.minutes[3] = 7
	day, err := withHour(newDay(), &h)
	must(t, err)
	again, err := withHour(day, &h)
	must(t, err)
	if !bytes.Equal(day, again) {
		t.Error("the hour is there twice")
	}
}

// Other nodes' totals are a part of the month.
func TestOtherNodes(t *testing.T) {
	at := time.Date(2026, 2, 28, 23, 59, 0, 0, time.UTC)
	m := clocked(t, &at)
	m.stored(engine.Stored{Stream: someone, Seq: 1, At: at, Events: 10})
	other := now{seq: 9, month: monthAt(at.UnixMilli()), total: 90, hour: hour{number: hourAt(at.UnixMilli())}}
	other.hour.minutes[59] = 90
	m.heard(engine.Cell{Key: nowKey(someone, "0123456789abcdef"), Value: other.encode()})
	c := m.Of(someone)
	if wait, ok := c.Take(at, 100, 1); ok || wait != time.Minute {
		t.Errorf("one more than the month's 100: %v, %v", wait, ok)
	}
	if _, ok := c.Take(at, 101, 1); !ok {
		t.Error("there is room for one")
	}
	if _, ok := c.Take(at, 101, 1); ok {
		t.Error("there was room for one only")
	}
	c.Done(1)
	if _, ok := c.Take(at.Add(time.Minute), 1, 1); !ok {
		t.Error("a new month has room")
	}
	c.Done(1)
	m.heard(engine.Cell{Key: nowKey(someone, "0123456789abcdef"), Gone: true})
	if got := c.Month(at.Add(time.Minute)); got != 0 {
		t.Errorf("the new month has %d", got)
	}
}

// However many come at once, exactly as many are let in as there is room for.
func TestTakeIsExact(t *testing.T) {
	at := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	m := clocked(t, &at)
	c := m.Of(someone)
	var in, seq atomic.Int64
	var wait sync.WaitGroup
	var order sync.Mutex
	for range 16 {
		wait.Go(func() {
			for range 500 {
				if _, ok := c.Take(at, 1000, 1); !ok {
					continue
				}
				in.Add(1)
				order.Lock() // the blocks of a shard come one after the other
				m.stored(engine.Stored{Stream: someone, Seq: uint64(seq.Add(1)), At: at, Events: 1})
				order.Unlock()
				c.Done(1)
			}
		})
	}
	wait.Wait()
	if in.Load() != 1000 || c.Month(at) != 1000 {
		t.Errorf("%d were let in, %d counted", in.Load(), c.Month(at))
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	at := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	m := clocked(t, &at)
	c := m.Of(someone)
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := c.Take(at, 1000, 1); ok {
			c.Done(1)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A cell of any bytes is refused or means what it says when it is written again.
func FuzzCells(f *testing.F) {
	n := now{seq: 7, month: 24311, total: 12, hour: hour{number: 490000}}
	n.hour.minutes[0], n.hour.minutes[59] = 5, 7
	f.Add(n.encode())
	f.Add([]byte{cellVersion, 1, 2, 3, 4, 60, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := decodeNow(b); err == nil {
			back, err := decodeNow(n.encode())
			if err != nil || back != n {
				t.Errorf("%v became %v, %v", n, back, err)
			}
		}
		last := -1
		_, err := eachMinute(b, func(minute int, _ uint64) {
			if minute <= last || minute >= dayMinutes {
				t.Errorf("minute %d behind %d", minute, last)
			}
			last = minute
		})
		_ = err // any answer is fine
		if at, err := decodeAt(b, 4); err == nil && len(at) != 4 {
			t.Errorf("%v", at)
		}
	})
}
