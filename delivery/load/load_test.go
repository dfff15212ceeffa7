package load_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"sluice/delivery/load"
	"sluice/relay/registry"
)

const day = "2026-11-20"

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What a run loads of all kinds of values, what it sets aside, and where each came from; and that a repetition changes nothing.
func TestRunLoadsAndRepeats(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("json"), w.orders()
	w.land(st, day, "08-00-00-aaaa.ndjson", `{"id":1,"customer":{"name":"Ünïcode \u0000 'quoted'; DROP TABLE orders"},"amount":1.50}
{"id":"two","customer":{"name":null},"amount":[1,{"a":2}]}
{"customer":{"name":"nobody"}}

{"id":4,"amount":123456789012345678901234567890}
not JSON
[1]
{"id":5,"customer":{"name":true},"amount":9007199254740993}
`)
	w.land(st, day, "08-00-00-aaaa.receipts", `{"_request_id":"r-1","_received_at":"2026-11-20T08:00:01.5Z","records":1}
{"_request_id":"r-2","_received_at":"2026-11-20T08:00:02Z","records":6}
`)
	w.land(st, day, "09-00-00-bbbb.ndjson.gz", `{"id":1,"customer":{"name":"later"},"amount":2}`+"\n")
	w.land(st, day, "09-00-00-bbbb.receipts", `{"_request_id":"r-3","_received_at":"2026-11-20T09:00:00Z","records":1}`+"\n")
	w.land(st, "2026-11-19", "08-00-00-cccc.ndjson", `{"id":1,"customer":{"name":"another day's"}}`+"\n")
	c := w.courier(st, registry.CourierSpec{LoadOperations: loading(false, feed)})
	want := []string{
		"1|later|2|integer|2026-11-20T09:00:00.000Z|r-3",
		"4|<nil>|123456789012345678901234567890|text|2026-11-20T08:00:02.000Z|r-2",
		"5|1|9007199254740993|integer|2026-11-20T08:00:02.000Z|r-2",
		`two|<nil>|[1,{"a":2}]|text|2026-11-20T08:00:02.000Z|r-2`,
	}
	failed := []string{
		`the primary key's column id has no value at id|{"customer":{"name":"nobody"}}|r-2`,
		`it is not valid JSON|not JSON|r-2`,
		`it is not an object|[1]|r-2`,
	}
	for range 2 {
		got := w.run(c, day)
		if got.State != load.Completed || got.Files != 2 || got.FilesDone != 2 || got.Rows != 5 || got.FailedRows != 3 || got.Error != "" {
			t.Fatalf("%+v", got)
		}
		same(t, "orders", w.rows(`SELECT id, name, amount, typeof(amount), _received_at, _request_id FROM orders ORDER BY id`), want...)
		same(t, "failed", w.rows(`SELECT reason, record, _request_id FROM orders_failed ORDER BY _file, _row`), failed...)
	}
	// A day before does not put older rows in the place of newer ones; what has no receipts is as old as can be.
	w.run(c, "2026-11-19")
	same(t, "orders", w.rows(`SELECT name FROM orders WHERE id = 1`), "later")
	if got := w.run(c, "2020-01-01"); got.State != load.Completed || got.Files != 0 || got.Rows != 0 {
		t.Errorf("a day without files: %+v", got)
	}
}

// Rows of a list in a record, with columns of the whole record beside them.
func TestRowPath(t *testing.T) {
	w := newWorld(t)
	st := w.stream("json")
	feed := w.feed(registry.FeedSpec{Name: "lines", Table: "order_lines", PrimaryKey: []string{"order_id", "sku"}, RowPath: "items", Columns: []registry.FeedColumn{
		{Name: "order_id", Path: "$.order.id"}, {Name: "sku", Path: "sku"}, {Name: "n", Path: "n"},
	}})
	w.land(st, day, "00-00-00-a.ndjson", `{"order":{"id":"o1"},"items":[{"sku":"a","n":1},{"sku":"b","n":2},7]}
{"order":{"id":"o2"},"items":{"sku":"c"}}
{"order":{"id":"o3"},"items":[]}
{"order":{"id":"o4"}}
{"order":{"id":"o5"},"items":"text"}
`)
	c := w.courier(st, registry.CourierSpec{LoadOperations: loading(false, feed)})
	if got := w.run(c, day); got.State != load.Completed || got.Rows != 3 || got.FailedRows != 3 {
		t.Fatalf("%+v", got)
	}
	same(t, "rows", w.rows(`SELECT order_id, sku, n FROM order_lines ORDER BY 1, 2`), "o1|a|1", "o1|b|2", "o2|c|<nil>")
	same(t, "failed", w.rows(`SELECT reason FROM order_lines_failed ORDER BY _row`),
		"it is not an object", "there is nothing at the row path items", "at the row path items is neither an object nor a list")
}

// Files of XML streams hold CBOR, a map for each record.
func TestCBOR(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("xml"), w.orders()
	var text bytes.Buffer
	enc := cbor.NewEncoder(&text)
	for i := range 3 {
		must(t, enc.Encode(map[string]any{"id": fmt.Sprint(i), "customer": map[string]any{"name": []any{"a", "b"}}, "_kind": "x"}))
	}
	w.land(st, day, "23-59-00-a.cbor", text.String())
	w.land(st, day, "23-59-00-a.receipts", `{"_request_id":"r-0","_received_at":"2026-11-20T23:59:00Z","records":0}
{"_request_id":"r-1","_received_at":"2026-11-20T23:59:01Z","records":2}
{"_request_id":"r-2","_received_at":"2026-11-20T23:59:02Z","records":1}
`)
	c := w.courier(st, registry.CourierSpec{FileFormat: registry.FormatXML, LoadOperations: loading(false, feed)})
	if got := w.run(c, day); got.State != load.Completed || got.Rows != 3 {
		t.Fatalf("%+v", got)
	}
	same(t, "rows", w.rows(`SELECT id, name, _request_id FROM orders ORDER BY id`), `0|["a","b"]|r-1`, `1|["a","b"]|r-1`, `2|["a","b"]|r-2`)
}

// With truncate the table holds this run's rows and no others, and what hangs on it stays; a run that fails leaves it as it was.
func TestTruncate(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("json"), w.orders()
	w.land(st, "2026-11-18", "08-00-00-a.ndjson", "{\"id\":1}\n{\"id\":2}\nbad\n")
	w.land(st, "2026-11-19", "08-00-00-a.ndjson", "{\"id\":3}\n")
	w.land(st, day, "08-00-00-a.ndjson.gz", "{\"id\":4}\n")
	c := w.courier(st, registry.CourierSpec{LoadOperations: loading(true, feed)})
	w.run(c, "2026-11-18")
	same(t, "the first day", w.rows(`SELECT id FROM orders ORDER BY id`), "1", "2")
	w.run(c, "2026-11-19")
	same(t, "the second day", w.rows(`SELECT id FROM orders UNION ALL SELECT reason FROM orders_failed`), "3")
	w.mu.Lock()
	w.hold = func(string) error { return errors.New("the store is away") }
	w.mu.Unlock()
	asked, err := w.service.Start(t.Context(), c, day)
	must(t, err)
	until(t, "it broke off", func() bool {
		got, err := w.service.Look(t.Context(), w.registry.Snapshot().Courier(w.project(), c.ID), asked.ID)
		must(t, err)
		return got.Attempts > 0 && strings.Contains(got.Error, "the store is away")
	})
	same(t, "a run that breaks off", w.rows(`SELECT id FROM orders`), "3")
	w.mu.Lock()
	w.hold = nil
	w.mu.Unlock()
	if got := w.ended(c, asked.ID); got.State != load.Completed {
		t.Fatalf("%+v", got)
	}
	same(t, "the store is back", w.rows(`SELECT id FROM orders`), "4")
	same(t, "what is left", w.rows(`SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%new%' UNION ALL SELECT run FROM _sluice_loaded`))
}

// A run that is stopped in the middle goes on after a restart, and reads no file twice.
func TestResume(t *testing.T) {
	for _, truncate := range []bool{false, true} {
		t.Run(fmt.Sprint("truncate ", truncate), func(t *testing.T) {
			w := newWorld(t)
			st, feed := w.stream("json"), w.orders()
			for i := range 4 {
				w.land(st, day, fmt.Sprintf("0%d-00-00-a.ndjson", i), fmt.Sprintf("{\"id\":%d}\n", i))
			}
			c := w.courier(st, registry.CourierSpec{LoadOperations: loading(truncate, feed)})
			reached, goOn := make(chan struct{}), make(chan struct{})
			w.hold = func(name string) error {
				if name == "02-00-00-a.ndjson" {
					close(reached)
					<-goOn
				}
				return nil
			}
			asked, err := w.service.Start(t.Context(), c, day)
			must(t, err)
			<-reached
			stopped := make(chan struct{})
			stop := w.stop
			go func() {
				defer close(stopped)
				stop()
			}()
			time.Sleep(20 * time.Millisecond) // let the stop be heard; heard later, the test would only prove less
			close(goOn)
			<-stopped
			w.mu.Lock()
			w.hold = nil
			w.mu.Unlock()
			w.start()
			if got := w.ended(c, asked.ID); got.State != load.Completed || got.Rows != 4 || got.Files != 4 || got.FilesDone != 4 {
				t.Fatalf("%+v", got)
			}
			same(t, "rows", w.rows(`SELECT id FROM orders ORDER BY id`), "0", "1", "2", "3")
			w.mu.Lock()
			defer w.mu.Unlock()
			for name, n := range w.opened {
				if n > 1 {
					t.Errorf("%s was opened %d times", name, n)
				}
			}
		})
	}
}

// Without load operations a run reads the files and loads nothing; of an unknown feed it does not run.
func TestValidateAndUnknownFeed(t *testing.T) {
	w := newWorld(t)
	st := w.stream("json")
	w.land(st, day, "08-10-00-a.ndjson", "{\"id\":1}\n{\"id\":2}\n")
	w.land(st, day, "09-10-00-a.ndjson", "{\"id\":3}\n")
	c := w.courier(st, registry.CourierSpec{FilePatternPrefix: "08", LoadOperations: map[string][]registry.LoadOperation{}})
	if got := w.run(c, day); got.State != load.Completed || got.Files != 1 || got.Rows != 2 {
		t.Errorf("%+v", got)
	}
	samples, err := w.service.Samples(t.Context(), c, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))
	must(t, err)
	if len(samples) != 1 || len(samples[0].Records) != 2 || string(samples[0].Records[1]) != `{"id":2}` {
		t.Errorf("samples %v", samples)
	}
	unknown := map[string][]registry.LoadOperation{"df-xxxxxx": {{Type: "load", File: "streaming"}}}
	c, err = w.registry.UpdateCourier(t.Context(), w.project(), "daily", registry.CourierPatch{LoadOperations: &unknown})
	must(t, err)
	var unready *load.Unready
	if _, err := w.service.Start(t.Context(), c, day); !errors.As(err, &unready) || !strings.Contains(unready.Text, "df-xxxxxx") {
		t.Errorf("a run of an unknown feed: %v", err)
	}
	if _, err := w.service.Start(t.Context(), w.registry.Snapshot().Courier(w.project(), "daily"), "20.11.2026"); err == nil {
		t.Error("a run of no day was taken")
	}
	if _, err := w.service.Look(t.Context(), c, "run-none"); !errors.Is(err, load.ErrNoRun) {
		t.Errorf("a run that was not asked for: %v", err)
	}
}

// A group runs its couriers when its time has come, for the day before, once, also when nobody ran at the time.
func TestGroupSchedule(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("json"), w.orders()
	w.land(st, day, "08-00-00-a.ndjson", "{\"id\":1}\n")
	w.land(st, "2026-11-22", "08-00-00-a.ndjson", "{\"id\":2}\n")
	c := w.courier(st, registry.CourierSpec{LoadOperations: loading(false, feed)})
	_, err := w.registry.CreateCourierGroup(t.Context(), w.project(), registry.CourierGroupSpec{
		Name: "nightly", Couriers: []string{"daily"}, Schedule: "0 2 * * *", Offset: 24 * time.Hour,
	})
	must(t, err)
	runs := func() []load.RunState {
		all, err := w.service.Runs(t.Context(), w.registry.Snapshot().Courier(w.project(), c.ID))
		must(t, err)
		return all
	}
	// Only when the group has noted its beginning may the clock go on: before, the time to come would lie behind it.
	until(t, "the group is owned", func() bool {
		cells, err := w.engine.Cells().List(t.Context(), "delivery")
		if err != nil || len(cells) == 0 {
			cells, err = w.engine.Cells().List(t.Context(), "sub")
		}
		must(t, err)
		for _, cell := range cells {
			if strings.Contains(cell.Key, "couriergroup") && bytes.Contains(cell.Value, []byte(`"last"`)) {
				return true
			}
		}
		return false
	})
	if n := len(runs()); n != 0 {
		t.Fatalf("%d runs before the time", n)
	}
	w.clock.set(time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC))
	until(t, "the first run", func() bool {
		all := runs()
		return len(all) == 1 && all[0].State == load.Completed && all[0].Date == day
	})
	w.stop()
	w.clock.set(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
	w.start()
	until(t, "the missed run", func() bool {
		all := runs()
		return len(all) == 2 && all[0].State == load.Completed && all[0].Date == "2026-11-22"
	})
	same(t, "rows", w.rows(`SELECT id FROM orders ORDER BY id`), "1", "2")
}

func TestCheckSchedule(t *testing.T) {
	for schedule, ok := range map[string]bool{
		"0 2 * * *": true, "@daily": true, "*/15 * * * *": true, "0 0 30 2 *": false, "": false, "0 2 * *": false, "0 0 2 * * *": false, "nightly": false,
	} {
		if err := load.CheckSchedule(schedule); (err == nil) != ok {
			t.Errorf("%q: %v", schedule, err)
		}
	}
}

// A feed that gets a column adds it to its table; one whose table has another key does not load.
func TestFeedChanges(t *testing.T) {
	w := newWorld(t)
	st, feed := w.stream("json"), w.orders()
	w.land(st, day, "08-00-00-a.ndjson", `{"id":1,"extra":"x"}`+"\n")
	c := w.courier(st, registry.CourierSpec{LoadOperations: loading(false, feed)})
	w.run(c, day)
	columns := append(slices.Clone(feed.Columns), registry.FeedColumn{Name: "extra", Path: "extra"})
	_, err := w.registry.UpdateFeed(t.Context(), w.project(), "orders", registry.FeedPatch{Columns: &columns})
	must(t, err)
	w.run(c, day)
	same(t, "rows", w.rows(`SELECT id, extra FROM orders`), "1|x")
	_, err = w.registry.DeleteFeed(t.Context(), w.project(), feed.ID)
	must(t, err)
	other := w.feed(registry.FeedSpec{Name: "orders", PrimaryKey: []string{"extra"}, Columns: columns})
	ops := loading(false, other)
	c, err = w.registry.UpdateCourier(t.Context(), w.project(), "daily", registry.CourierPatch{LoadOperations: &ops})
	must(t, err)
	if got := w.run(c, day); got.State != load.Failed || !strings.Contains(got.Error, "primary key id, not extra") {
		t.Errorf("%+v", got)
	}
}
