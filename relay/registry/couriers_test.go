package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/relay/registry"
)

func ordersFeed(name string) registry.FeedSpec {
	return registry.FeedSpec{
		Name: name, PrimaryKey: []string{"id"}, Columns: []registry.FeedColumn{{Name: "id", Path: "id"}, {Name: "at", Path: "$.at"}},
	}
}

func wantInvalid(t *testing.T, what string, err error, text string) {
	t.Helper()
	var invalid *registry.Invalid
	if !errors.As(err, &invalid) || !strings.Contains(invalid.Error(), text) {
		t.Errorf("%s: %v, want %q", what, err, text)
	}
}

// What is made on one node is the same on another and after a restart.
func TestFeedsCouriersAndGroups(t *testing.T) {
	s := openStore(t, t.TempDir())
	here, there := node(t, s, registry.Config{}), node(t, s, registry.Config{})
	p := defaultProject(t, here)
	st, _ := create(t, here, p, registry.StreamSpec{Name: "web", Payload: "json"})
	feed, err := here.CreateFeed(t.Context(), p, ordersFeed("Web orders 2026"))
	if err != nil || feed.Table != "Web_orders_2026" {
		t.Fatalf("%+v, %v", feed, err)
	}
	courier, err := here.CreateCourier(t.Context(), p, registry.CourierSpec{
		Name: "daily", Stream: st.PublicID, FileFormat: "NDJSON", FileTag: "streaming", FilePatternPrefix: "08",
		LoadOperations: map[string][]registry.LoadOperation{feed.ID: {{Type: "truncate"}, {Type: "load", File: "streaming"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := here.CreateCourierGroup(t.Context(), p, registry.CourierGroupSpec{Name: "nightly", Couriers: []string{"daily"}, Schedule: "0 2 * * *", Offset: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	version := courier.Version
	for range 2 { // the second is the first again
		if courier, err = here.AskRun(t.Context(), p, "daily", registry.CourierRun{ID: "run-1", Date: "2026-11-20"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(courier.Asked) != 1 || courier.Version != version {
		t.Errorf("asked %v; the version must not change by it", courier.Asked)
	}
	if there.FindCourier(t.Context(), p, "daily") == nil || there.FindFeed(t.Context(), p, feed.ID) == nil || there.FindCourierGroup(t.Context(), p, "nightly") == nil {
		t.Error("the other node does not ask the store")
	}
	if there.FindFeed(t.Context(), p, "nothing") != nil {
		t.Error("a feed that nobody made")
	}
	until(t, "seen by the other node", func() bool {
		c := there.Snapshot().Courier(p, "daily")
		return c != nil && len(c.Asked) == 1 && there.Snapshot().CourierGroup(p, "nightly") != nil
	})
	for name, r := range map[string]*registry.Registry{"other": there, "restarted": open(t, s, registry.Config{})} {
		snap := r.Snapshot()
		g, f := snap.CourierGroup(p, "nightly"), snap.Feed(p, feed.ID)
		if len(g.Couriers) != 1 || g.Couriers[0].ID != courier.ID || g.Offset != 24*time.Hour || g.Schedule != "0 2 * * *" {
			t.Errorf("%s: the group is %+v", name, g)
		}
		if f == nil || f.Name != "Web orders 2026" || len(f.Columns) != 2 || f.Columns[1].Path != "$.at" {
			t.Errorf("%s: the feed is %+v", name, f)
		}
		if c := g.Couriers[0]; c.Stream.UUID != st.UUID || c.FilePatternPrefix != "08" || len(c.LoadOperations[feed.ID]) != 2 {
			t.Errorf("%s: the courier is %+v", name, c)
		}
	}
	if err := there.FinishRun(t.Context(), p, courier.ID, "run-1"); err != nil || len(there.Snapshot().Courier(p, "daily").Asked) != 0 {
		t.Errorf("finishing a run: %v", err)
	}
	var inUse *registry.InUse
	if _, err := here.DeleteCourier(t.Context(), p, "daily"); !errors.As(err, &inUse) || !strings.Contains(inUse.Text, "nightly") {
		t.Errorf("deleting a courier of a group: %v", err)
	}
	if _, err := here.DeleteCourierGroup(t.Context(), p, "nightly"); err != nil {
		t.Error(err)
	}
	if _, err := here.DeleteCourier(t.Context(), p, courier.ID); err != nil {
		t.Error(err)
	}
	if _, err := here.DeleteFeed(t.Context(), p, "Web orders 2026"); err != nil {
		t.Error(err)
	}
	if _, err := here.DeleteFeed(t.Context(), p, feed.ID); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("deleting a feed twice: %v", err)
	}
}

func TestFeedRules(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	if _, err := r.CreateFeed(t.Context(), p, ordersFeed("orders")); err != nil {
		t.Fatal(err)
	}
	for text, change := range map[string]func(*registry.FeedSpec){
		"name: is missing":                      func(f *registry.FeedSpec) { f.Name = "" },
		"feed orders has it":                    func(f *registry.FeedSpec) { f.Table = "ORDERS" },
		"feed orders has it; choose another":    func(f *registry.FeedSpec) { f.Table = "orders_failed" },
		"not begin with a digit":                func(f *registry.FeedSpec) { f.Table = "1a" },
		"must not begin with sqlite_":           func(f *registry.FeedSpec) { f.Table = "sqlite_master" },
		"primaryKey: is missing":                func(f *registry.FeedSpec) { f.PrimaryKey = nil },
		"nothing is not one of the columns":     func(f *registry.FeedSpec) { f.PrimaryKey = []string{"nothing"} },
		"primaryKey: id is there twice":         func(f *registry.FeedSpec) { f.PrimaryKey = []string{"id", "id"} },
		"columns: are missing":                  func(f *registry.FeedSpec) { f.Columns = nil },
		"columns[1].name: ID is there twice":    func(f *registry.FeedSpec) { f.Columns[1].Name = "ID" },
		"columns[1].name: _request_id is there": func(f *registry.FeedSpec) { f.Columns[1].Name = "_request_id" },
		`columns[1].name: must be`:              func(f *registry.FeedSpec) { f.Columns[1].Name = `a"; DROP TABLE x` },
		"columns[1].path: is missing":           func(f *registry.FeedSpec) { f.Columns[1].Path = "" },
		"rowPath: has more than":                func(f *registry.FeedSpec) { f.RowPath = strings.Repeat("a", 2000) },
	} {
		spec := ordersFeed("another")
		change(&spec)
		_, err := r.CreateFeed(t.Context(), p, spec)
		wantInvalid(t, text, err, text)
	}
	if _, err := r.CreateFeed(t.Context(), p, ordersFeed("orders")); !errors.Is(err, registry.ErrExists) {
		t.Errorf("a name twice: %v", err)
	}
	if n := len(r.Snapshot().Feeds(p)); n != 1 {
		t.Errorf("%d feeds", n)
	}
}

func TestCourierRules(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	js, _ := create(t, r, p, registry.StreamSpec{Name: "web", Payload: "json"})
	create(t, r, p, registry.StreamSpec{Name: "plain"})
	load := func(ops ...registry.LoadOperation) map[string][]registry.LoadOperation {
		return map[string][]registry.LoadOperation{"df-xxxxxx": ops}
	}
	good := registry.CourierSpec{Name: "daily", Stream: js.PublicID, FileFormat: "NDJSON", FileTag: "t", LoadOperations: load(registry.LoadOperation{Type: "load", File: "t"})}
	for text, change := range map[string]func(*registry.CourierSpec){
		"there is no stream nothing":                 func(c *registry.CourierSpec) { c.Stream = "nothing" },
		"stream plain has no landed files":           func(c *registry.CourierSpec) { c.Stream = "plain" },
		"fileFormat: must be NDJSON, JSON or XML":    func(c *registry.CourierSpec) { c.FileFormat = "CSV" },
		"stream web holds JSON":                      func(c *registry.CourierSpec) { c.FileFormat = "XML" },
		"fileTag: must be":                           func(c *registry.CourierSpec) { c.FileTag = "" },
		"filePatternPrefix: must be an hour":         func(c *registry.CourierSpec) { c.FilePatternPrefix = "25" },
		"loadOperations.df-xxxxxx: has no operation": func(c *registry.CourierSpec) { c.LoadOperations = load() },
		"spark-sql is not an operation":              func(c *registry.CourierSpec) { c.LoadOperations = load(registry.LoadOperation{Type: "spark-sql"}) },
		"the file of a load must be": func(c *registry.CourierSpec) {
			c.LoadOperations = load(registry.LoadOperation{Type: "load", File: "u"})
		},
		"loadOperations.df-xxxxxx: load is there twice": func(c *registry.CourierSpec) {
			l := registry.LoadOperation{Type: "load", File: "t"}
			c.LoadOperations = load(l, l)
		},
		"truncate goes before load": func(c *registry.CourierSpec) {
			c.LoadOperations = load(registry.LoadOperation{Type: "load", File: "t"}, registry.LoadOperation{Type: "truncate"})
		},
	} {
		spec := good
		change(&spec)
		_, err := r.CreateCourier(t.Context(), p, spec)
		wantInvalid(t, text, err, text)
	}
	if _, err := r.CreateCourier(t.Context(), p, good); err != nil {
		t.Fatalf("a courier of a feed that does not exist yet: %v", err)
	}
	if _, err := r.CreateCourier(t.Context(), p, good); !errors.Is(err, registry.ErrExists) {
		t.Errorf("a name twice: %v", err)
	}
	_, err := r.AskRun(t.Context(), p, "daily", registry.CourierRun{ID: "r", Date: "2026-02-30"})
	wantInvalid(t, "a day that does not exist", err, "date: must be a day")
	for i := range 50 {
		if _, err := r.AskRun(t.Context(), p, "daily", registry.CourierRun{ID: fmt.Sprint(i), Date: "2026-11-20"}); err != nil {
			t.Fatal(err)
		}
	}
	var inUse *registry.InUse
	if _, err := r.AskRun(t.Context(), p, "daily", registry.CourierRun{ID: "more", Date: "2026-11-20"}); !errors.As(err, &inUse) {
		t.Errorf("too many runs: %v", err)
	}
	_, err = r.CreateCourierGroup(t.Context(), p, registry.CourierGroupSpec{Name: "nightly", Couriers: []string{"daily", "daily"}})
	wantInvalid(t, "a courier twice", err, "daily is there twice")
	_, err = r.CreateCourierGroup(t.Context(), p, registry.CourierGroupSpec{Name: "nightly", Couriers: []string{"other"}})
	wantInvalid(t, "an unknown courier", err, "there is no courier other")
	_, err = r.CreateCourierGroup(t.Context(), p, registry.CourierGroupSpec{Name: "nightly", Couriers: []string{"daily"}, Offset: time.Minute})
	wantInvalid(t, "an odd offset", err, "offsetHours")
}

// Of many nodes that make a feed of one name or one table at once, one does.
func TestFeedsAtOnce(t *testing.T) {
	s := openStore(t, t.TempDir())
	nodes := []*registry.Registry{node(t, s, registry.Config{}), node(t, s, registry.Config{})}
	p := defaultProject(t, nodes[0])
	var made, refused int
	var mu sync.Mutex
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			spec := ordersFeed(fmt.Sprint("feed-", i))
			spec.Table = "same"
			_, err := nodes[i%2].CreateFeed(t.Context(), p, spec)
			var invalid *registry.Invalid
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case errors.As(err, &invalid):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if made != 1 || refused != 7 {
		t.Errorf("%d made, %d refused", made, refused)
	}
}
