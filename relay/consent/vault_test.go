package consent_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a vault with the real log under it, in a folder that outlives it.
type house struct {
	t      testing.TB
	dir    string
	clock  atomic.Int64
	shared bool
	hears  bool // its vault runs

	log   *engine.Engine
	vault *consent.Vault
}

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func newHouse(t testing.TB) *house {
	h := &house{t: t, dir: t.TempDir()}
	h.clock.Store(noon.UnixNano())
	h.open()
	t.Cleanup(func() { h.shut() })
	return h
}

func (h *house) now() time.Time { return time.Unix(0, h.clock.Load()).UTC() }

func (h *house) advance(d time.Duration) { h.clock.Add(int64(d)) }

func (h *house) config() consent.Config {
	return consent.Config{Dir: filepath.Join(h.dir, "keys"), Now: h.now, Log: quiet, Shared: h.shared}
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func (h *house) openLog() {
	h.t.Helper()
	var err error
	h.log, err = engine.Open(context.Background(), engine.Config{Dir: filepath.Join(h.dir, "log"), Log: quiet, MinFree: 1 << 20})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) open() {
	h.t.Helper()
	if h.log == nil {
		h.openLog()
	}
	var err error
	if h.vault, err = consent.Open(context.Background(), h.log.Cells(), h.config()); err != nil {
		h.t.Fatal(err)
	}
	if !h.hears {
		h.vault.Deafen()
	}
}

func (h *house) shut() {
	h.t.Helper()
	if h.log == nil {
		return
	}
	if err := h.log.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.log, h.vault = nil, nil
}

// reopen is a restart of vault and log.
func (h *house) reopen() {
	h.t.Helper()
	h.shut()
	h.open()
}

func newStream() engine.StreamID { return engine.StreamID(uuid.New()) }

// event is what lies in the log of an event with one personal field.
type event struct {
	stream engine.StreamID
	link   engine.KeyLink
	at     engine.Locator
	text   []byte
}

const secret = "jane@example.com"

func (h *house) seal(s engine.StreamID, subject, keyField string) event {
	h.t.Helper()
	var who []byte
	if subject != "" {
		who = []byte(subject)
	}
	k, link, at, err := h.vault.KeyFor(context.Background(), s, who, []byte(keyField), h.now())
	if err != nil {
		h.t.Fatal(err)
	}
	return event{s, link, at, k.Seal(nil, []byte(secret))}
}

func (h *house) try(e event) error {
	k, err := h.vault.KeyAt(context.Background(), e.stream, e.link, e.at)
	if err != nil {
		return err
	}
	got, err := k.Open(nil, e.text)
	if err != nil {
		return err
	}
	if string(got) != secret {
		return fmt.Errorf("opened %q", got)
	}
	return nil
}

func (h *house) opens(events ...event) {
	h.t.Helper()
	for i, e := range events {
		if err := h.try(e); err != nil {
			h.t.Fatalf("event %d does not open: %v", i, err)
		}
	}
}

func (h *house) forgotten(events ...event) {
	h.t.Helper()
	for i, e := range events {
		if err := h.try(e); !errors.Is(err, consent.ErrForgotten) {
			h.t.Fatalf("event %d: %v, want ErrForgotten", i, err)
		}
	}
}

func (h *house) forget(s engine.StreamID, subjects ...string) {
	h.t.Helper()
	if err := h.vault.Forget(context.Background(), s, subjects...); err != nil {
		h.t.Fatal(err)
	}
}

func TestKeyOfAPerson(t *testing.T) {
	h := newHouse(t)
	s, other := newStream(), newStream()
	a := h.seal(s, "jane", "session-1")
	again := h.seal(s, "jane", "session-1")
	if a.link != again.link || a.at != again.at || string(a.text) != string(again.text) {
		t.Error("the same person and session have two keys in one window")
	}
	if u := uuid.UUID(a.link); u.Version() != 8 || u.Variant() != uuid.RFC4122 {
		t.Errorf("the keyLink is not a UUIDv8: %s", u)
	}
	if a.at.Era == 0 || a.at.Generation != 0 {
		t.Errorf("locator %+v", a.at)
	}

	session := h.seal(s, "jane", "session-2")
	if session.link == a.link || string(session.text) == string(a.text) {
		t.Error("two sessions of a person look related")
	}
	if session.at != a.at {
		t.Error("two sessions of a person have two leaves")
	}
	john := h.seal(s, "john", "session-1")
	if john.link == a.link || john.at == a.at || string(john.text) == string(a.text) {
		t.Error("two people share a key")
	}
	elsewhere := h.seal(other, "jane", "session-1")
	if elsewhere.link == a.link || elsewhere.at.Leaf == a.at.Leaf {
		t.Error("two streams share a key")
	}
	// Where a part ends is part of the message.
	if x, y := h.seal(s, "ab", "c"), h.seal(s, "a", "bc"); x.link == y.link {
		t.Error("subject and key field are joined without their lengths")
	}
	h.opens(a, session, john, elsewhere)

	h.reopen()
	h.opens(a, session, john, elsewhere)
	if b := h.seal(s, "jane", "session-1"); b.link != a.link || string(b.text) != string(a.text) {
		t.Error("after a restart the person has another key")
	}
}

func TestKeyFieldStandsForTheSubject(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	a, b := h.seal(s, "", "session-1"), h.seal(s, "", "session-2")
	if a.at.Leaf == b.at.Leaf {
		t.Error("two sessions without a subject share a leaf")
	}
	h.opens(a, b)
	h.forget(s, "session-1")
	h.forgotten(a)
	h.opens(b)
	for _, none := range [][]byte{nil, {}} {
		if _, _, _, err := h.vault.KeyFor(context.Background(), s, none, none, h.now()); !errors.Is(err, consent.ErrNoPerson) {
			t.Errorf("nobody's key: %v", err)
		}
	}
	if err := h.vault.Forget(context.Background(), s, "x", ""); !errors.Is(err, consent.ErrNoPerson) {
		t.Errorf("forgetting nobody: %v", err)
	}
}

func TestWindowsTurnOverOnceADay(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	const people, hours = 40, 72
	turns := map[int]int{} // by hour of the day
	for p := range people {
		h.clock.Store(noon.UnixNano())
		name := fmt.Sprint("person-", p)
		last := h.seal(s, name, "session")
		links, since := map[engine.KeyLink]bool{last.link: true}, -1
		for hour := 1; hour <= hours; hour++ {
			h.advance(time.Hour)
			e := h.seal(s, name, "session")
			if e.link == last.link {
				continue
			}
			if links[e.link] {
				t.Fatalf("%s: a keyLink came back", name)
			}
			links[e.link] = true
			if string(e.text) == string(last.text) {
				t.Fatalf("%s: two days have one key", name)
			}
			if since >= 0 && hour-since != 24 {
				t.Fatalf("%s: a key served %d hours", name, hour-since)
			}
			h.opens(last, e)
			turns[hour%24]++
			since, last = hour, e
		}
		if len(links) != hours/24+1 {
			t.Errorf("%s: %d windows in %d hours", name, len(links), hours)
		}
	}
	if len(turns) < 12 {
		t.Errorf("the windows of %d people turn over in only %d hours of the day", people, len(turns))
	}
}

func TestErasFollowEachOther(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	var events []event
	eras := map[uint32]bool{}
	for range 100 {
		e := h.seal(s, "jane", "session")
		if len(events) > 0 && e.at.Era < events[len(events)-1].at.Era {
			t.Fatal("eras do not ascend")
		}
		events = append(events, e)
		eras[e.at.Era] = true
		h.advance(24 * time.Hour)
	}
	if len(eras) < 4 || len(eras) > 5 {
		t.Errorf("100 days have %d eras, want 4 or 5", len(eras))
	}
	leaves := map[uint64]bool{}
	for _, e := range events {
		leaves[e.at.Leaf] = true
	}
	if len(leaves) != len(eras) {
		t.Errorf("a person has %d leaves in %d eras", len(leaves), len(eras))
	}
	h.reopen()
	h.opens(events...)
	h.forget(s, "jane")
	h.forgotten(events...)
}

func TestEraLengthMayChange(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	var events []event
	for i, days := range []int{30, 7, 1, 30, 90, 7} {
		cfg := h.config()
		cfg.Era = time.Duration(days) * 24 * time.Hour
		v, err := consent.Open(context.Background(), h.log.Cells(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		h.vault = v
		for range 5 {
			events = append(events, h.seal(s, "jane", "session"), h.seal(s, fmt.Sprint("of-", i), "session"))
			h.advance(24 * time.Hour)
		}
		h.opens(events...)
	}
	h.forget(s, "jane")
	for i := 0; i < len(events); i += 2 {
		h.forgotten(events[i])
		h.opens(events[i+1])
	}
}

func TestKeyAtRefuses(t *testing.T) {
	h := newHouse(t)
	s := newStream()
	e := h.seal(s, "jane", "session")
	ctx := context.Background()
	if _, err := h.vault.KeyAt(ctx, s, e.link, engine.Locator{}); !errors.Is(err, consent.ErrNoKey) {
		t.Errorf("an event without key: %v", err)
	}
	if _, err := h.vault.KeyAt(ctx, newStream(), e.link, e.at); !errors.Is(err, consent.ErrForgotten) {
		t.Errorf("a stream without keys: %v", err)
	}
	for _, era := range []uint32{1, e.at.Era - 1, e.at.Era + 1, 1 << 31} {
		if _, err := h.vault.KeyAt(ctx, s, e.link, engine.Locator{Era: era, Leaf: e.at.Leaf}); !errors.Is(err, consent.ErrForgotten) {
			t.Errorf("era %d: %v", era, err)
		}
	}
	wrong := e
	wrong.link[0] ^= 1
	if err := h.try(wrong); !errors.Is(err, consent.ErrValue) {
		t.Errorf("another keyLink: %v", err)
	}
	for _, now := range []time.Time{time.Unix(0, 0), {}, time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, _, _, err := h.vault.KeyFor(ctx, s, nil, []byte("k"), now); !errors.Is(err, consent.ErrTime) {
			t.Errorf("the year %d: %v", now.Year(), err)
		}
	}
}

func TestSecrets(t *testing.T) {
	h := newHouse(t)
	sealed, err := h.vault.SealSecret("webhook/7", []byte("whsec_1"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sealed), "whsec") {
		t.Error("the secret is in clear")
	}
	h.reopen()
	if got, err := h.vault.OpenSecret("webhook/7", sealed); err != nil || string(got) != "whsec_1" {
		t.Errorf("opened %q, %v", got, err)
	}
	if _, err := h.vault.OpenSecret("webhook/8", sealed); !errors.Is(err, consent.ErrValue) {
		t.Errorf("opened under another name: %v", err)
	}
}

func TestKeyFiles(t *testing.T) {
	h := newHouse(t)
	h.seal(newStream(), "jane", "session")
	keys := filepath.Join(h.dir, "keys")
	files, err := os.ReadDir(keys)
	if err != nil || len(files) != 2 {
		t.Fatalf("key files %v, %v", files, err)
	}
	for _, f := range files {
		name := filepath.Join(keys, f.Name())
		info, _ := f.Info()
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", f.Name(), info.Mode().Perm())
		}
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
			os.Chmod(name, mode)
			_, err := consent.Open(context.Background(), h.log.Cells(), h.config())
			if !errors.Is(err, consent.ErrPermissions) || !strings.Contains(err.Error(), f.Name()) {
				t.Errorf("%s with mode %o: %v", f.Name(), mode, err)
			}
		}
		os.Chmod(name, 0o600)

		os.Rename(name, name+".away")
		_, err := consent.Open(context.Background(), h.log.Cells(), h.config())
		want := consent.ErrEraseKey
		if f.Name() == "master.key" {
			want = consent.ErrNoMaster
		}
		if !errors.Is(err, want) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v, want %v", f.Name(), err, want)
		}
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("another %s was made where the lost one belongs: %v", f.Name(), err)
		}
		os.Rename(name+".away", name)
	}
	h.open()
}

func TestConfigIsChecked(t *testing.T) {
	ctx := context.Background()
	h := newHouse(t)
	for _, c := range []struct {
		name   string
		change func(*consent.Config)
		want   error
	}{
		{"hours", func(c *consent.Config) { c.Era = 36 * time.Hour }, consent.ErrEra},
		{"less than a day", func(c *consent.Config) { c.Era = time.Hour }, consent.ErrEra},
		{"negative", func(c *consent.Config) { c.Era = -24 * time.Hour }, consent.ErrEra},
		{"vault", func(c *consent.Config) { c.Master = "hcvault://vault/transit/keys/sluice" }, consent.ErrMasterURI},
		{"aws", func(c *consent.Config) { c.Master = "aws-kms://arn:aws:kms:eu-west-1:1:key/1" }, consent.ErrMasterURI},
		{"unknown", func(c *consent.Config) { c.Master = "ftp://x" }, consent.ErrMasterURI},
	} {
		cfg := h.config()
		c.change(&cfg)
		if err := cfg.Validate(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := consent.Open(ctx, h.log.Cells(), cfg); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := (consent.Config{Era: time.Hour, Master: "x://", TreeBytes: -1}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not all faults at once: %v", err)
	}
	cfg := h.config()
	cfg.Master = "file://" + filepath.Join(h.dir, "keys", "master.key")
	if _, err := consent.Open(ctx, h.log.Cells(), cfg); err != nil {
		t.Errorf("the master key's file as a URI: %v", err)
	}
	os.WriteFile(filepath.Join(h.dir, "not-a-key"), []byte("s3cret"), 0o600)
	cfg.Master = filepath.Join(h.dir, "not-a-key")
	if _, err := consent.Open(ctx, h.log.Cells(), cfg); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a file that is no key: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	h := newHouse(t)
	reg := prometheus.NewRegistry()
	cfg := h.config()
	cfg.Metrics = reg
	v, err := consent.Open(context.Background(), h.log.Cells(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.vault = v
	s := newStream()
	h.seal(s, "jane", "session")
	h.forget(s, "jane", "john", "jane")
	all, err := reg.Gather()
	if err != nil || len(all) != 1 || all[0].GetName() != "sluice_forgotten_total" || all[0].Metric[0].Counter.GetValue() != 2 {
		t.Errorf("metrics %v, %v", all, err)
	}
	if _, err := consent.Open(context.Background(), h.log.Cells(), cfg); err == nil {
		t.Error("two vaults in one registry")
	}
}
