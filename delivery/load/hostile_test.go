package load_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"sluice/delivery"
	"sluice/delivery/load"
	"sluice/relay/registry"
)

// holdAt makes opening a file wait, once, and tells when it does.
func (w *world) holdAt(file string) (reached <-chan struct{}, goOn func()) {
	at, on := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.during(func(name string) error {
		if name == file {
			once.Do(func() {
				close(at)
				<-on
			})
		}
		return nil
	})
	return at, sync.OnceFunc(func() { close(on) })
}

// during is called whenever a file is opened; nil for nothing.
func (w *world) during(hold func(name string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold = hold
}

func (w *world) look(c *registry.Courier, run string) load.RunState {
	w.t.Helper()
	got, err := w.service.Look(w.t.Context(), w.registry.Snapshot().Courier(w.project(), c.ID), run)
	must(w.t, err)
	return got
}

// days lands files of one row each on a day.
func (w *world) days(st *registry.Stream, files int) {
	for i := range files {
		w.land(st, day, fmt.Sprintf("0%d-00-00-a.ndjson", i), fmt.Sprintf("{\"id\":%d}\n", i))
	}
}

const leftovers = `SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%new%' UNION ALL SELECT run FROM _sluice_loaded`

// A courier that is changed in the middle of its run, from replacing the table to adding to it and the other way: the rows that it has loaded
// so far lie in another table than those to come, and none of them may be missing at the end.
func TestChangedWhileRunning(t *testing.T) {
	for _, truncate := range []bool{false, true} {
		t.Run(fmt.Sprint("truncate ", truncate), func(t *testing.T) {
			w := newWorld(t)
			st, feed := w.stream("json"), w.orders()
			w.days(st, 4)
			c := w.courier(st, registry.CourierSpec{LoadOperations: loading(truncate, feed)})
			reached, goOn := w.holdAt("02-00-00-a.ndjson")
			defer goOn()
			asked, err := w.service.Start(t.Context(), c, day)
			must(t, err)
			<-reached
			ops := loading(!truncate, feed)
			_, err = w.registry.UpdateCourier(t.Context(), w.project(), "daily", registry.CourierPatch{LoadOperations: &ops})
			must(t, err)
			goOn()
			if got := w.ended(c, asked.ID); got.State != load.Completed || got.Files != 4 || got.FilesDone != 4 || got.Rows != 4 {
				t.Errorf("%+v", got)
			}
			same(t, "rows", w.rows(`SELECT id FROM orders ORDER BY id`), "0", "1", "2", "3")
			w.run(c, day) // which clears away
			same(t, "what is left", w.rows(leftovers))
		})
	}
}

// Two couriers that replace the same table: one breaks off in the middle, the other runs from beginning to end, then the first goes on. Its
// table holds all of its rows, not those only that were to come.
func TestTwoReplaceOneTable(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("json"), w.orders()
	w.days(st, 4)
	w.land(st, "2026-11-19", "08-00-00-b.ndjson", "{\"id\":100}\n")
	first := w.courier(st, registry.CourierSpec{LoadOperations: loading(true, feed)})
	second, err := w.registry.CreateCourier(t.Context(), w.project(), registry.CourierSpec{
		Name: "other", Stream: st.PublicID, FileFormat: registry.FormatNDJSON, FileTag: "streaming", LoadOperations: loading(true, feed),
	})
	must(t, err)
	away := errors.New("the store is away")
	w.during(func(name string) error {
		if name == "02-00-00-a.ndjson" {
			return away
		}
		return nil
	})
	asked, err := w.service.Start(t.Context(), first, day)
	must(t, err)
	until(t, "it broke off", func() bool { return w.look(first, asked.ID).Attempts > 0 })
	if got := w.run(second, "2026-11-19"); got.State != load.Completed {
		t.Fatalf("%+v", got)
	}
	same(t, "the second's rows", w.rows(`SELECT id FROM orders ORDER BY id`), "100")
	w.during(nil)
	if got := w.ended(first, asked.ID); got.State != load.Completed || got.Rows != 4 {
		t.Errorf("%+v", got)
	}
	same(t, "the first's rows", w.rows(`SELECT id FROM orders ORDER BY id`), "0", "1", "2", "3")
}

// Couriers of one project that run at the same time write one database: all of them come through, and every row is there.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("json"), w.orders()
	w.days(st, 3)
	runs := map[string]*registry.Courier{}
	for i := range 6 {
		c, err := w.registry.CreateCourier(t.Context(), w.project(), registry.CourierSpec{
			Name: fmt.Sprint("number-", i), Stream: st.PublicID, FileFormat: registry.FormatNDJSON, FileTag: "streaming",
			LoadOperations: loading(i%2 == 0, feed),
		})
		must(t, err)
		asked, err := w.service.Start(t.Context(), c, day)
		must(t, err)
		runs[asked.ID] = c
	}
	for id, c := range runs {
		if got := w.ended(c, id); got.State != load.Completed || got.Rows != 3 || got.Attempts != 0 {
			t.Errorf("%+v", got)
		}
	}
	same(t, "rows", w.rows(`SELECT id FROM orders ORDER BY id`), "0", "1", "2")
}

// A courier, and the stream with all that hangs on it, may be deleted in the middle of a run: what was loaded stays, nothing is left
// half-done, and the next run clears away what this one noted.
func TestDeletedWhileRunning(t *testing.T) {
	for _, what := range []string{"courier", "stream"} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			st, feed := w.stream("json"), w.orders()
			w.days(st, 4)
			w.land(st, "2026-11-18", "08-00-00-a.ndjson", "{\"id\":7}\n")
			c := w.courier(st, registry.CourierSpec{LoadOperations: loading(true, feed)})
			w.run(c, "2026-11-18")
			reached, goOn := w.holdAt("02-00-00-a.ndjson")
			defer goOn()
			_, err := w.service.Start(t.Context(), c, day)
			must(t, err)
			<-reached
			if what == "courier" {
				_, err = w.registry.DeleteCourier(t.Context(), w.project(), c.ID)
			} else {
				_, err = w.registry.DeleteStream(t.Context(), w.project(), st.Name, true)
			}
			must(t, err)
			goOn()
			if what == "stream" {
				st, _, err = w.registry.CreateStream(t.Context(), w.project(), registry.StreamSpec{Name: "again", Payload: "json"})
				must(t, err)
			}
			w.land(st, "2026-11-17", "08-00-00-a.ndjson", "{\"id\":8}\n")
			next := w.courier(st, registry.CourierSpec{LoadOperations: loading(false, feed)})
			if got := w.run(next, "2026-11-17"); got.State != load.Completed {
				t.Fatalf("%+v", got)
			}
			// The run may have come to its end before it heard; what may not be is a part of it.
			if got := strings.Join(w.rows(`SELECT id FROM orders ORDER BY id`), " "); got != "7 8" && got != "0 1 2 3 8" {
				t.Errorf("rows %s", got)
			}
			same(t, "what is left", w.rows(leftovers))
		})
	}
}

// A feed that is deleted while a run waits to go on is named by the run that fails.
func TestFeedDeletedBeforeRun(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("json"), w.orders()
	w.days(st, 2)
	c := w.courier(st, registry.CourierSpec{LoadOperations: loading(true, feed)})
	reached, goOn := w.holdAt("00-00-00-a.ndjson")
	defer goOn()
	first, err := w.service.Start(t.Context(), c, day)
	must(t, err)
	second, err := w.service.Start(t.Context(), c, day)
	must(t, err)
	<-reached
	_, err = w.registry.DeleteFeed(t.Context(), w.project(), feed.ID)
	must(t, err)
	goOn()
	if got := w.ended(c, first.ID); got.State != load.Completed || got.Rows != 2 {
		t.Errorf("the run in hand: %+v", got)
	}
	if got := w.ended(c, second.ID); got.State != load.Failed || !strings.Contains(got.Error, feed.ID) {
		t.Errorf("the run behind it: %+v", got)
	}
}

// Whoever has the database open: a reader in the middle of a query keeps what it sees and does not hold up a run; one who has locked it for
// writing is waited for.
func TestOthersHaveItOpen(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("json"), w.orders()
	w.days(st, 3)
	c := w.courier(st, registry.CourierSpec{LoadOperations: loading(true, feed)})
	w.run(c, day)
	open := func(options string) *sql.DB {
		db, err := sql.Open("sqlite", filepath.Join(w.dir, "feeds", "default.sqlite")+options)
		must(t, err)
		db.SetMaxOpenConns(1)
		t.Cleanup(func() { must(t, db.Close()) })
		return db
	}
	reading, err := open("?mode=ro").Begin()
	must(t, err)
	count := func() (n int) {
		must(t, reading.QueryRow(`SELECT count(*) FROM orders`).Scan(&n))
		return n
	}
	if n := count(); n != 3 {
		t.Fatalf("%d rows", n)
	}
	w.land(st, day, "09-00-00-a.ndjson", "{\"id\":9}\n")
	writing := open("?_txlock=immediate")
	tx, err := writing.Begin()
	must(t, err)
	asked, err := w.service.Start(t.Context(), c, day)
	must(t, err)
	until(t, "it runs", func() bool { return w.look(c, asked.ID).State == load.Running })
	_, err = tx.Exec(`CREATE VIEW ids AS SELECT id FROM orders`)
	must(t, errors.Join(err, tx.Commit()))
	if got := w.ended(c, asked.ID); got.State != load.Completed || got.Rows != 4 {
		t.Errorf("%+v", got)
	}
	if n := count(); n != 3 {
		t.Errorf("a reader saw %d rows in the middle of its transaction", n)
	}
	must(t, reading.Rollback())
	same(t, "a view of theirs", w.rows(`SELECT id FROM ids ORDER BY id`), "0", "1", "2", "9")
}

// The file of the tables may be taken away between two runs: the next makes it anew instead of writing to one that nobody can see.
func TestTablesTakenAway(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("json"), w.orders()
	w.days(st, 2)
	c := w.courier(st, registry.CourierSpec{LoadOperations: loading(false, feed)})
	w.run(c, day)
	at := filepath.Join(w.dir, "feeds", "default.sqlite")
	for _, beside := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(at + beside); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("behind a run there is %s: the file alone does not hold all rows: %v", beside, err)
		}
	}
	must(t, os.Remove(at))
	w.run(c, day)
	same(t, "rows", w.rows(`SELECT id FROM orders ORDER BY id`), "0", "1")
	must(t, os.WriteFile(at, []byte("this is no database, and never was one; "+strings.Repeat("x", 4096)), 0o600))
	asked, err := w.service.Start(t.Context(), c, day)
	must(t, err)
	until(t, "it broke off", func() bool {
		got := w.look(c, asked.ID)
		return got.Attempts > 0 && strings.Contains(got.Error, "not a database")
	})
}

// Files that are damaged: the run says which and why, and a table that it was to replace stays as it was.
func TestDamagedFiles(t *testing.T) {
	var item bytes.Buffer
	must(t, cbor.NewEncoder(&item).Encode(map[string]any{"id": "1"}))
	var odd bytes.Buffer
	must(t, cbor.NewEncoder(&odd).Encode(map[int]any{1: 2.5}))
	receipt := func(records int) string {
		return fmt.Sprintf(`{"_request_id":"r","_received_at":"2026-11-20T08:00:00Z","records":%d}`+"\n", records)
	}
	for what, c := range map[string]struct{ payload, name, text, receipts, want string }{
		"no gzip":               {"json", "08-00-00-x.ndjson.gz.raw", strings.Repeat("{\"id\":1}\n", 10), "", "gzip: invalid header"},
		"gzip cut short":        {"json", "08-00-00-x.ndjson.gz.cut", strings.Repeat("{\"id\":1}\n", 1000), "", "unexpected EOF"},
		"CBOR cut short":        {"xml", "08-00-00-x.cbor", item.String()[:item.Len()-1], receipt(1), "unexpected EOF"},
		"CBOR of another kind":  {"xml", "08-00-00-x.cbor", odd.String(), receipt(1), "CBOR of another kind"},
		"no CBOR":               {"xml", "08-00-00-x.cbor", "\xff\xff", receipt(1), "cbor"},
		"receipts of too few":   {"json", "08-00-00-x.ndjson", "{\"id\":1}\n{\"id\":2}\n", receipt(1), "receipts of a landed file do not match"},
		"receipts of too many":  {"json", "08-00-00-x.ndjson", "{\"id\":1}\n", receipt(1) + receipt(2), "it has fewer records"},
		"records left of one":   {"json", "08-00-00-x.ndjson", "{\"id\":1}\n", receipt(2), "it has fewer records"},
		"receipts not readable": {"json", "08-00-00-x.ndjson", "{\"id\":1}\n", "nothing", "receipts of a landed file do not match"},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			st, feed := w.stream(c.payload), w.orders()
			format := registry.FormatNDJSON
			if c.payload == "xml" {
				format = registry.FormatXML
				w.land(st, "2026-11-19", "08-00-00-a.cbor", item.String())
			} else {
				w.land(st, "2026-11-19", "08-00-00-a.ndjson", "{\"id\":1}\n")
			}
			courier := w.courier(st, registry.CourierSpec{FileFormat: format, LoadOperations: loading(true, feed)})
			w.run(courier, "2026-11-19")
			name, raw := strings.CutSuffix(c.name, ".raw")
			name, cut := strings.CutSuffix(name, ".cut")
			w.land(st, day, name, c.text)
			at := filepath.Join(w.dir, "landing", st.PublicID, day, name)
			if raw {
				must(t, os.WriteFile(at, []byte(c.text), 0o600))
			}
			if cut {
				info, err := os.Stat(at)
				must(t, err)
				must(t, os.Truncate(at, info.Size()-12))
			}
			if c.receipts != "" {
				w.land(st, day, "08-00-00-x.receipts", c.receipts)
			}
			asked, err := w.service.Start(t.Context(), courier, day)
			must(t, err)
			var got load.RunState
			until(t, "it broke off", func() bool {
				got = w.look(courier, asked.ID)
				return got.Attempts > 0
			})
			if !strings.Contains(got.Error, c.want) || !strings.Contains(got.Error, "08-00-00-x") {
				t.Errorf("%+v", got)
			}
			same(t, "the table", w.rows(`SELECT id FROM orders`), "1")
			same(t, "what was set aside", w.rows(`SELECT * FROM orders_failed`))
		})
	}
}

// Members stay in the order in which they were sent, and texts as they are, where a record is shown whole or a column holds a part of it.
func TestCBORKeepsItsOrder(t *testing.T) {
	w := newWorld(t)
	st := w.stream("xml")
	feed := w.feed(registry.FeedSpec{Name: "orders", PrimaryKey: []string{"id"}, Columns: []registry.FeedColumn{{Name: "id", Path: "id"}, {Name: "all", Path: "all"}}})
	// {"id": "1", "all": {"z": "<&>", "a": ["\n", "\"é"]}} and {"z": "", "b": {}}
	text := "\xa2\x62id\x611\x63all\xa2\x61z\x63<&>\x61a\x82\x61\n\x63\"é" + "\xa2\x61z\x60\x61b\xa0"
	w.land(st, day, "08-00-00-a.cbor", text)
	c := w.courier(st, registry.CourierSpec{FileFormat: registry.FormatXML, LoadOperations: loading(false, feed)})
	if got := w.run(c, day); got.State != load.Completed || got.Rows != 1 || got.FailedRows != 1 {
		t.Fatalf("%+v", got)
	}
	same(t, "rows", w.rows(`SELECT id, "all" FROM orders`), `1|{"z":"<&>","a":["\n","\"é"]}`)
	same(t, "failed", w.rows(`SELECT record FROM orders_failed`), `{"z":"","b":{}}`)
	samples, err := w.service.Samples(t.Context(), c, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))
	must(t, err)
	if len(samples) != 1 || string(samples[0].Records[1]) != `{"z":"","b":{}}` {
		t.Errorf("samples %+v", samples)
	}
}

// A schedule that is given or changed holds from then on: times that it names in the past do not come now.
func TestScheduleChanged(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("json"), w.orders()
	w.days(st, 1)
	c := w.courier(st, registry.CourierSpec{LoadOperations: loading(false, feed)})
	group := func() string {
		cells, err := w.engine.Cells().List(t.Context(), strings.TrimSuffix(delivery.Key(load.KindGroup, ""), "."))
		must(t, err)
		if len(cells) == 0 {
			return ""
		}
		return string(cells[0].Value)
	}
	_, err := w.registry.CreateCourierGroup(t.Context(), w.project(), registry.CourierGroupSpec{
		Name: "nightly", Couriers: []string{"daily"}, Schedule: "0 2 * * *", Offset: 24 * time.Hour,
	})
	must(t, err)
	until(t, "the group is owned", func() bool { return strings.Contains(group(), "0 2 * * *") })
	w.clock.set(time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC))
	runs := func() []load.RunState {
		all, err := w.service.Runs(t.Context(), w.registry.Snapshot().Courier(w.project(), c.ID))
		must(t, err)
		return all
	}
	until(t, "the first run", func() bool { return len(runs()) == 1 && runs()[0].State == load.Completed })
	w.clock.set(time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC))
	noon := "0 12 * * *"
	_, err = w.registry.UpdateCourierGroup(t.Context(), w.project(), "nightly", registry.CourierGroupPatch{Schedule: &noon})
	must(t, err)
	until(t, "the new schedule is noted", func() bool { return strings.Contains(group(), noon) })
	w.clock.set(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	until(t, "the second run", func() bool {
		all := runs()
		return len(all) > 1 && all[0].State == load.Completed && all[0].Date == "2026-11-21"
	})
	if n := len(runs()); n != 2 {
		t.Errorf("%d runs: %+v", n, runs())
	}
}
