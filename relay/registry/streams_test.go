package registry_test

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"sluice/relay/consent"
	"sluice/relay/registry"
)

func TestCreateStream(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	st, credentials := create(t, r, p, registry.StreamSpec{Name: "by-hand", Description: "d", Tags: []string{"a", "b"}, Contract: "clickstream"})

	if got := r.Snapshot().Stream(p, "by-hand"); got != st {
		t.Fatal("the snapshot does not have what was created")
	}
	if !regexp.MustCompile(`^is-[A-Za-z0-9]{8}$`).MatchString(st.PublicID) {
		t.Errorf("public id %q", st.PublicID)
	}
	if !regexp.MustCompile(`^stream-[a-z0-9]{28}$`).MatchString(st.ClientID) || credentials.ClientID != st.ClientID {
		t.Errorf("client id %q", st.ClientID)
	}
	if !regexp.MustCompile(`^[A-Za-z0-9]{40}$`).MatchString(credentials.ClientSecret) {
		t.Errorf("secret %q", credentials.ClientSecret)
	}
	if id, err := uuid.Parse(st.UUID); err != nil || id.Version() != 4 || st.Log.ID.String() != st.UUID {
		t.Errorf("uuid %q, in the log %v", st.UUID, st.Log.ID)
	}
	if !st.Enabled || st.EventRate != 999999 || st.EventCount != 999999999 || st.Source != nil || st.Rule != (consent.Rule{}) {
		t.Errorf("stream %+v", st)
	}
	if st.Contract != "strmprivacy/clickstream/1.0.0" || st.Description != "d" || !slices.Equal(st.Tags, []string{"a", "b"}) {
		t.Errorf("stream %+v", st)
	}
	s := r.Snapshot()
	if s.StreamByClient(st.ClientID) != st || s.StreamByPublicID(st.PublicID) != st || s.StreamByUUID(st.UUID) != st {
		t.Error("it is not found by its ids")
	}

	derived, own := create(t, r, p, registry.StreamSpec{DerivedFrom: "by-hand", Levels: []int{2}})
	if derived.Name != "by-hand-2" || derived.Source != st || derived.Log != st.Log || derived.PublicID != "" {
		t.Errorf("derived %+v", derived)
	}
	if derived.Rule != (consent.Rule{Type: consent.Cumulative, Levels: 1 << 2}) || own.ClientID == st.ClientID {
		t.Errorf("derived rule %+v", derived.Rule)
	}
	granular, _ := create(t, r, p, registry.StreamSpec{DerivedFrom: "by-hand", Levels: []int{0, 1, 63}, LevelType: "GRANULAR"})
	if granular.Name != "by-hand-0-1-63" || granular.Rule != (consent.Rule{Type: consent.Granular, Levels: 1<<63 | 3}) {
		t.Errorf("granular %+v", granular)
	}
	if !slices.Equal(granular.Levels(), []int{0, 1, 63}) || st.Levels() != nil {
		t.Errorf("levels %v, %v", granular.Levels(), st.Levels())
	}
	if got := names(r.Snapshot().Derived(st)); got != "by-hand-0-1-63 by-hand-2" {
		t.Errorf("derived: %s", got)
	}
	if got := names(r.Snapshot().Streams(p)); got != "by-hand by-hand-0-1-63 by-hand-2" {
		t.Errorf("streams: %s", got)
	}
}

func names(streams []*registry.Stream) string {
	var all []string
	for _, s := range streams {
		all = append(all, s.Name)
	}
	return strings.Join(all, " ")
}

func TestStreamRules(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	create(t, r, p, registry.StreamSpec{Name: "source"})
	create(t, r, p, registry.StreamSpec{Name: "derived", DerivedFrom: "source", Levels: []int{1}})
	long := strings.Repeat("n", 100)
	many := make([]string, 21)
	levels := make([]int, 51)
	for i := range many {
		many[i] = fmt.Sprint("tag", i)
	}
	for i := range levels {
		levels[i] = i
	}
	for name, tc := range map[string]struct {
		spec  registry.StreamSpec
		field string // "" where it is right
	}{
		"no name":                    {registry.StreamSpec{}, "name"},
		"short":                      {registry.StreamSpec{Name: "a"}, "name"},
		"two":                        {registry.StreamSpec{Name: "ab"}, ""},
		"a hundred":                  {registry.StreamSpec{Name: long}, ""},
		"a hundred wide ones":        {registry.StreamSpec{Name: strings.Repeat("𝄞", 100)}, ""},
		"a hundred and one":          {registry.StreamSpec{Name: long + "n"}, "name"},
		"slash":                      {registry.StreamSpec{Name: "a/b"}, "name"},
		"spaces within":              {registry.StreamSpec{Name: "a b ü"}, ""},
		"space before":               {registry.StreamSpec{Name: " ab"}, "name"},
		"newline":                    {registry.StreamSpec{Name: "a\nb"}, "name"},
		"not UTF-8":                  {registry.StreamSpec{Name: "a\xff"}, "name"},
		"dots":                       {registry.StreamSpec{Name: ".."}, "name"},
		"description":                {registry.StreamSpec{Name: "x1", Description: strings.Repeat("ü", 1000)}, ""},
		"long description":           {registry.StreamSpec{Name: "x2", Description: strings.Repeat("ü", 1001)}, "description"},
		"20 tags":                    {registry.StreamSpec{Name: "x3", Tags: many[:20]}, ""},
		"21 tags":                    {registry.StreamSpec{Name: "x4", Tags: many}, "tags"},
		"tag twice":                  {registry.StreamSpec{Name: "x5", Tags: []string{"a", "b", "a"}}, "tags"},
		"empty tag":                  {registry.StreamSpec{Name: "x6", Tags: []string{""}}, "tags"},
		"long tag":                   {registry.StreamSpec{Name: "x7", Tags: []string{long + "n"}}, "tags"},
		"payload json":               {registry.StreamSpec{Name: "x8", Payload: "json"}, ""},
		"payload xml":                {registry.StreamSpec{Name: "x9", Payload: "xml"}, ""},
		"payload csv":                {registry.StreamSpec{Name: "x10", Payload: "csv"}, "payload"},
		"payload and contract":       {registry.StreamSpec{Name: "x11", Payload: "json", Contract: "clickstream"}, "contract"},
		"unknown contract":           {registry.StreamSpec{Name: "x12", Contract: "acme/nothing/1.0.0"}, "contract"},
		"contract by ref":            {registry.StreamSpec{Name: "x13", Contract: "strmprivacy/example/1.5.0"}, ""},
		"levels without source":      {registry.StreamSpec{Name: "x14", Levels: []int{1}}, "consentLevels"},
		"type without source":        {registry.StreamSpec{Name: "x15", LevelType: "GRANULAR"}, "consentLevelType"},
		"derived, no level":          {registry.StreamSpec{DerivedFrom: "source"}, "consentLevels"},
		"derived, two cumulative":    {registry.StreamSpec{DerivedFrom: "source", Levels: []int{1, 2}}, "consentLevels"},
		"derived, twice the same":    {registry.StreamSpec{DerivedFrom: "source", Levels: []int{1, 1}, LevelType: "GRANULAR"}, "consentLevels"},
		"derived, level 64":          {registry.StreamSpec{DerivedFrom: "source", Levels: []int{64}}, "consentLevels"},
		"derived, level -1":          {registry.StreamSpec{DerivedFrom: "source", Levels: []int{-1}}, "consentLevels"},
		"derived, 50 levels":         {registry.StreamSpec{Name: "x16", DerivedFrom: "source", Levels: levels[:50], LevelType: "GRANULAR"}, ""},
		"derived, 51 levels":         {registry.StreamSpec{Name: "x17", DerivedFrom: "source", Levels: levels, LevelType: "GRANULAR"}, "consentLevels"},
		"derived, unknown type":      {registry.StreamSpec{DerivedFrom: "source", Levels: []int{1}, LevelType: "cumulative"}, "consentLevelType"},
		"derived, unknown source":    {registry.StreamSpec{DerivedFrom: "nothing", Levels: []int{1}}, "linkedStream"},
		"derived of derived":         {registry.StreamSpec{DerivedFrom: "derived", Levels: []int{1}}, "linkedStream"},
		"derived, payload":           {registry.StreamSpec{DerivedFrom: "source", Levels: []int{1}, Payload: "json"}, "payload"},
		"derived, contract":          {registry.StreamSpec{DerivedFrom: "source", Levels: []int{1}, Contract: "clickstream"}, "contract"},
		"derived name gets too long": {registry.StreamSpec{DerivedFrom: long, Levels: []int{1}}, "name"},
	} {
		_, _, err := r.CreateStream(t.Context(), p, tc.spec)
		var invalid *registry.Invalid
		switch {
		case tc.field == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.field != "" && (!errors.As(err, &invalid) || invalid.Field != tc.field || invalid.Reason == ""):
			t.Errorf("%s: %v, want %s to be wrong", name, err, tc.field)
		}
	}
	if _, _, err := r.CreateStream(t.Context(), nil, registry.StreamSpec{Name: "ab"}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("without a project: %v", err)
	}
}

// TestOneNameSpace: streams and derived streams of a project share their names, projects do not.
func TestOneNameSpace(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	create(t, r, p, registry.StreamSpec{Name: "web"})
	create(t, r, p, registry.StreamSpec{Name: "web-1"})
	for name, spec := range map[string]registry.StreamSpec{
		"a stream again":              {Name: "web"},
		"a derived one by default":    {DerivedFrom: "web", Levels: []int{1}},
		"a derived one as its source": {Name: "web", DerivedFrom: "web", Levels: []int{1}},
	} {
		if _, _, err := r.CreateStream(t.Context(), p, spec); !errors.Is(err, registry.ErrExists) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, _, err := r.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	st, _ := create(t, r, other, registry.StreamSpec{Name: "web"})
	if r.Snapshot().Stream(other, "web") != st || r.Snapshot().Stream(p, "web") == st {
		t.Error("a project sees another's stream")
	}
}

func TestUpdateStream(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	source, _ := create(t, r, p, registry.StreamSpec{Name: "web", Tags: []string{"old"}})
	create(t, r, p, registry.StreamSpec{Name: "out", DerivedFrom: "web", Levels: []int{1}})

	got, err := r.UpdateStream(t.Context(), p, "web", registry.StreamPatch{
		Description: ptr("new"), Tags: ptr([]string{"t"}), Enabled: ptr(false), EventRate: ptr(int64(5)), EventCount: ptr(int64(6)),
		Retention: ptr(time.Hour), RetentionBytes: ptr(int64(1 << 30)), Contract: ptr("clickstream"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Description != "new" || !slices.Equal(got.Tags, []string{"t"}) || got.Enabled || got.EventRate != 5 || got.EventCount != 6 ||
		got.Retention != time.Hour || got.RetentionBytes != 1<<30 || got.Contract != "strmprivacy/clickstream/1.0.0" {
		t.Errorf("updated %+v", got)
	}
	if source.Description != "" || !source.Enabled {
		t.Error("a published stream was changed")
	}
	if got.UUID != source.UUID || got.ClientID != source.ClientID || got.Log != source.Log || !got.Created.Equal(source.Created) {
		t.Error("an update changed what a stream is")
	}
	if d := r.Snapshot().Stream(p, "out"); d.Source != got {
		t.Error("the derived stream still has the source as it was")
	}
	got, err = r.UpdateStream(t.Context(), p, "web", registry.StreamPatch{
		Enabled: ptr(true), Contract: ptr(""), Retention: ptr(time.Duration(0)), RetentionBytes: ptr(int64(0)), Tags: ptr([]string(nil))})
	if err != nil || !got.Enabled || got.Contract != "" || got.Retention != 0 || got.RetentionBytes != 0 || got.Tags != nil || got.Description != "new" {
		t.Errorf("updated back: %+v, %v", got, err)
	}
	out, err := r.UpdateStream(t.Context(), p, "out", registry.StreamPatch{Levels: ptr([]int{0, 3}), LevelType: ptr("GRANULAR"), Enabled: ptr(false)})
	if err != nil || out.Rule != (consent.Rule{Type: consent.Granular, Levels: 9}) || out.Enabled || out.Source != got {
		t.Errorf("derived updated: %+v, %v", out, err)
	}

	for name, tc := range map[string]struct {
		stream string
		patch  registry.StreamPatch
		field  string
	}{
		"rate 0":                     {"web", registry.StreamPatch{EventRate: ptr(int64(0))}, "limits.eventRate"},
		"count below 0":              {"web", registry.StreamPatch{EventCount: ptr(int64(-1))}, "limits.eventCount"},
		"retention of a second":      {"web", registry.StreamPatch{Retention: ptr(time.Second)}, "retention"},
		"retention of a byte":        {"web", registry.StreamPatch{RetentionBytes: ptr(int64(1))}, "retentionBytes"},
		"unknown contract":           {"web", registry.StreamPatch{Contract: ptr("a/b/c")}, "contract"},
		"levels of a source":         {"web", registry.StreamPatch{Levels: ptr([]int{1})}, "consentLevels"},
		"level type of a source":     {"web", registry.StreamPatch{LevelType: ptr("GRANULAR")}, "consentLevelType"},
		"tags":                       {"web", registry.StreamPatch{Tags: ptr([]string{"a", "a"})}, "tags"},
		"limits of a derived one":    {"out", registry.StreamPatch{EventRate: ptr(int64(5))}, "limits"},
		"retention of a derived one": {"out", registry.StreamPatch{Retention: ptr(time.Hour)}, "retention"},
		"contract of a derived one":  {"out", registry.StreamPatch{Contract: ptr("clickstream")}, "contract"},
		"two levels made cumulative": {"out", registry.StreamPatch{LevelType: ptr("CUMULATIVE")}, "consentLevels"},
	} {
		_, err := r.UpdateStream(t.Context(), p, tc.stream, tc.patch)
		var invalid *registry.Invalid
		if !errors.As(err, &invalid) || invalid.Field != tc.field {
			t.Errorf("%s: %v, want %s to be wrong", name, err, tc.field)
		}
	}
	if _, err := r.UpdateStream(t.Context(), p, "nothing", registry.StreamPatch{}); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("nothing: %v", err)
	}
}

func TestDeleteStream(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	source, credentials := create(t, r, p, registry.StreamSpec{Name: "by-hand"})
	derived, own := create(t, r, p, registry.StreamSpec{DerivedFrom: "by-hand", Levels: []int{2}})
	if _, _, err := r.UpdateProject(t.Context(), "default", registry.ProjectPatch{EventStream: ptr("by-hand")}); err != nil {
		t.Fatal(err)
	}
	bearer, ownBearer := token(t, r, credentials.ClientID), token(t, r, own.ClientID)
	if _, err := r.Authenticate(bearer); err != nil {
		t.Fatal(err)
	}

	_, err := r.DeleteStream(t.Context(), p, "by-hand", false)
	var inUse *registry.InUse
	const text = "Cannot delete stream by-hand: it still has derived stream by-hand-2. Delete it first, or use --recursive"
	if !errors.As(err, &inUse) || err.Error() != text {
		t.Errorf("not recursive: %v", err)
	}
	deleted, err := r.DeleteStream(t.Context(), p, "by-hand", true)
	if err != nil {
		t.Fatal(err)
	}
	if deleted.Stream.UUID != source.UUID || len(deleted.Derived) != 1 || deleted.Derived[0].UUID != derived.UUID {
		t.Errorf("deleted %+v", deleted)
	}
	s := r.Snapshot()
	if s.Stream(p, "by-hand") != nil || s.Stream(p, "by-hand-2") != nil || s.StreamByClient(credentials.ClientID) != nil ||
		s.StreamByPublicID(source.PublicID) != nil || s.StreamByUUID(source.UUID) != nil || len(s.Derived(source)) != 0 || len(s.AllStreams()) != 0 {
		t.Error("something is left of it")
	}
	if got := s.Project("default").EventStream; got != "" {
		t.Errorf("the project's event stream is still %q", got)
	}
	for _, b := range [][]byte{bearer, ownBearer} {
		if _, err := r.Authenticate(b); err == nil {
			t.Error("a token of a deleted stream still opens")
		}
	}
	if r.Client(credentials.ClientID, credentials.ClientSecret) {
		t.Error("credentials of a deleted stream still open")
	}
	if _, err := r.DeleteStream(t.Context(), p, "by-hand", true); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("deleted twice: %v", err)
	}

	anew, _ := create(t, r, p, registry.StreamSpec{Name: "by-hand"})
	if anew.UUID == source.UUID || anew.PublicID == source.PublicID || anew.ClientID == source.ClientID {
		t.Error("a stream made anew has something of the former one")
	}
	if _, err := r.Authenticate(bearer); err == nil {
		t.Error("a token of the former stream opens the new one")
	}
}

// TestDeleteManyDerived: more go with their source than fit in a batch.
func TestDeleteManyDerived(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	source, _ := create(t, r, p, registry.StreamSpec{Name: "web"})
	const n = 400
	if err := r.AddDerived(t.Context(), source, n); err != nil {
		t.Fatal(err)
	}
	if got := len(r.Snapshot().Derived(source)); got != n {
		t.Fatalf("%d derived", got)
	}
	_, err := r.DeleteStream(t.Context(), p, "web", false)
	const text = "Cannot delete stream web: it still has derived streams web-out-000, web-out-001, web-out-002, web-out-003 and 396 more. Delete them first, or use --recursive"
	if err == nil || err.Error() != text {
		t.Errorf("not recursive: %v", err)
	}
	deleted, err := r.DeleteStream(t.Context(), p, "web", true)
	if err != nil || len(deleted.Derived) != n {
		t.Fatalf("%d derived deleted, %v", len(deleted.Derived), err)
	}
	if left := r.Snapshot().AllStreams(); len(left) != 0 {
		t.Errorf("left: %s", names(left))
	}
}

// TestConcurrentCreates: of many that make the same name at once, on one node and on two, exactly one succeeds.
func TestConcurrentCreates(t *testing.T) {
	s := openStore(t, t.TempDir())
	a := node(t, s, registry.Config{})
	b := node(t, s, registry.Config{})
	p := defaultProject(t, a)
	for round := range 10 {
		var wg sync.WaitGroup
		var won atomic.Int32
		for i := range 6 {
			r := []*registry.Registry{a, b}[i%2]
			wg.Go(func() {
				_, _, err := r.CreateStream(t.Context(), p, registry.StreamSpec{Name: fmt.Sprint("web", round)})
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, registry.ErrExists):
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d succeeded", round, won.Load())
		}
	}
	until(t, "both with ten streams", func() bool {
		return len(a.Snapshot().AllStreams()) == 10 && len(b.Snapshot().AllStreams()) == 10
	})
}

// TestContention: nodes that change the same project at once refuse each other now and then, and all get through.
func TestContention(t *testing.T) {
	s := openStore(t, t.TempDir())
	var wg sync.WaitGroup
	const each = 15
	nodes := []*registry.Registry{node(t, s, registry.Config{}), node(t, s, registry.Config{}), node(t, s, registry.Config{})}
	p := defaultProject(t, nodes[0])
	for n, r := range nodes {
		wg.Go(func() {
			for i := range each {
				if _, _, err := r.CreateStream(t.Context(), p, registry.StreamSpec{Name: fmt.Sprintf("web-%d-%d", n, i)}); err != nil {
					t.Errorf("node %d, stream %d: %v", n, i, err)
				}
			}
		})
	}
	wg.Wait()
	for _, r := range nodes {
		until(t, "seen by all", func() bool { return len(r.Snapshot().Streams(p)) == each*len(nodes) })
	}
}

// TestDeriveWhileDeleting: a derived stream never outlives its source, whoever is faster.
func TestDeriveWhileDeleting(t *testing.T) {
	s := openStore(t, t.TempDir())
	a := node(t, s, registry.Config{})
	b := node(t, s, registry.Config{})
	p := defaultProject(t, a)
	for round := range 10 {
		name := fmt.Sprint("web", round)
		create(t, a, p, registry.StreamSpec{Name: name})
		until(t, "seen by the other node", func() bool { return b.Snapshot().Stream(p, name) != nil })
		var deleteErr, deriveErr error
		var wg sync.WaitGroup
		wg.Go(func() { _, deleteErr = a.DeleteStream(t.Context(), p, name, false) })
		wg.Go(func() {
			_, _, deriveErr = b.CreateStream(t.Context(), p, registry.StreamSpec{DerivedFrom: name, Levels: []int{1}})
		})
		wg.Wait()
		var inUse *registry.InUse
		var invalid *registry.Invalid
		switch {
		case deleteErr == nil && errors.As(deriveErr, &invalid):
		case deriveErr == nil && errors.As(deleteErr, &inUse):
		default:
			t.Fatalf("round %d: delete %v, derive %v", round, deleteErr, deriveErr)
		}
	}
}

// TestManyStreams: creating stays as fast with a hundred streams as with none. What the Snapshot costs with
// ten thousand is held by TestPublishingStaysFlat.
func TestManyStreams(t *testing.T) {
	r := single(t)
	p := defaultProject(t, r)
	const n, part = 120, 30
	// What is allocated stands for the work: a clock would measure the machine.
	var first, last, before, after runtime.MemStats
	for i := range n {
		if i == 0 || i == n-part {
			runtime.ReadMemStats(&before)
		}
		create(t, r, p, registry.StreamSpec{Name: fmt.Sprintf("stream-%04d", i)})
		if i == part-1 || i == n-1 {
			runtime.ReadMemStats(&after)
			after.TotalAlloc -= before.TotalAlloc
			first, last = last, after
		}
	}
	t.Logf("%d bytes allocated for each at first, %d at last", first.TotalAlloc/part, last.TotalAlloc/part)
	if last.TotalAlloc > 4*first.TotalAlloc {
		t.Errorf("%d streams allocated %d bytes at first and %d at last", part, first.TotalAlloc, last.TotalAlloc)
	}
	if got := len(r.Snapshot().Streams(p)); got != n {
		t.Errorf("%d streams", got)
	}
}

// TestDerivedOfWhatAnotherNodeMade: a stream that another node has just made can be derived from, whichever watch hears of it first.
func TestDerivedOfWhatAnotherNodeMade(t *testing.T) {
	s := openStore(t, t.TempDir())
	a, b := node(t, s, registry.Config{}), node(t, s, registry.Config{})
	for i := range 50 {
		source := fmt.Sprint("source-", i)
		create(t, a, defaultProject(t, a), registry.StreamSpec{Name: source})
		create(t, b, defaultProject(t, b), registry.StreamSpec{DerivedFrom: source, Levels: []int{1}, LevelType: "CUMULATIVE"})
	}
}
