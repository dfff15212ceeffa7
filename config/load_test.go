package config_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"sluice/config"
	"sluice/relay"
	"sluice/relay/registry"
)

// write puts a configuration file into a folder of the test's own.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	config.Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return fs
}

// faultsOf loads what must not pass and gives the faults' texts.
func faultsOf(t *testing.T, src config.Sources) []string {
	t.Helper()
	_, err := config.Load(src)
	var faults config.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("Load gave %v, want Faults", err)
	}
	out := make([]string, len(faults))
	for i, f := range faults {
		out[i] = f.Error()
	}
	return out
}

func TestDefaults(t *testing.T) {
	l, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	if l.Edge.Listen != "127.0.0.1:8080" || l.Edge.Grace != 10*time.Second || l.Engine.Shards != 4 || l.Engine.Durability != "disk" ||
		l.Relay.Retention != 7*24*time.Hour || l.Relay.RetentionBytes != 100e9 || l.Edge.MaxEventBytes != 1<<20 || l.Edge.MaxPayloadBytes != 260_096 || l.LogLevel != slog.LevelInfo {
		t.Errorf("defaults are %+v", l.Config)
	}
	for path, from := range l.Origins {
		if from != "default" {
			t.Errorf("%s comes from %s", path, from)
		}
	}
}

// Each source beats those before it, and each value says where it came from.
func TestPrecedence(t *testing.T) {
	path := write(t, "grace: 1s\nlog:\n  level: debug\nretention:\n  age: 1d\n  bytes: 1GB\nengine.shards: 2\n")
	l, err := config.Load(config.Sources{
		File:  path,
		Env:   []string{"SLUICE_LOG_LEVEL=warn", "SLUICE_RETENTION_BYTES=2GB", "HOME=/"},
		Flags: flags(t, "--retention-bytes=3GB"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if l.Edge.Grace != time.Second || l.LogLevel != slog.LevelWarn || l.Relay.Retention != 24*time.Hour || l.Relay.RetentionBytes != 3e9 || l.Engine.Shards != 2 {
		t.Errorf("in force is %+v", l.Config)
	}
	for path, want := range map[string]string{
		"grace": path, "retention.age": path, "engine.shards": path,
		"log.level": "SLUICE_LOG_LEVEL", "retention.bytes": "--retention-bytes", "listen": "default",
	} {
		if got := l.Origins[path]; got != want {
			t.Errorf("%s comes from %q, want %q", path, got, want)
		}
	}
}

func TestFlagSpellings(t *testing.T) {
	for _, arg := range []string{"--retention-age=3d", "--retention.age=3d", "--retention_age=3d"} {
		l, err := config.Load(config.Sources{Flags: flags(t, arg)})
		if err != nil || l.Relay.Retention != 72*time.Hour {
			t.Errorf("%s: %v, %v", arg, l, err)
		}
	}
}

// Settings that disagree are told beside all else that is wrong, with the place of the one that was written, but not where a fault of
// their own section may be why.
func TestDisagreements(t *testing.T) {
	tls := write(t, "tls: {cert: a.pem}\ngrace: soon\n")
	misspelt := write(t, "tls: {cret: a.pem, key: b.pem}\n")
	for _, row := range []struct {
		src  config.Sources
		want []string
	}{
		{config.Sources{File: tls}, []string{"grace must be a duration such as 500ms, 10s, 1h30m or 7d (" + tls + ")", "tls.key must be set, for tls.cert is (" + tls + ")"}},
		{config.Sources{Flags: flags(t, "--tls-key=b.pem")}, []string{"tls.cert must be set, for tls.key is (--tls-key)"}},
		{config.Sources{File: misspelt}, []string{"tls.cret is not known; did you mean tls.cert? (" + misspelt + ")"}},
		{config.Sources{File: "none.yaml", Env: []string{"SLUICE_TLS_KEY=b.pem"}}, []string{"none.yaml cannot be read: open none.yaml: no such file or directory"}},
	} {
		if got := faultsOf(t, row.src); !slices.Equal(got, row.want) {
			t.Errorf("faults are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(row.want, "\n"))
		}
	}
}

// Everything wrong is told at once, each with its path and its place.
func TestAllFaultsAtOnce(t *testing.T) {
	path := write(t, `
listen: 8080
grace: soon
engine:
  shard: 4
  durability: never
  replicas: [1, 2]
retention: 7d
queue_bytes: 1GB
nonsense-entirely: 1
keys:
  era:
`)
	got := faultsOf(t, config.Sources{
		File:  path,
		Env:   []string{"SLUICE_INGEST_TIMEOUT=0s"},
		Flags: flags(t, "--log-level=loud", "--stream-ring-bytes=1XB"),
	})
	want := []string{
		"engine.durability must be disk or os (" + path + ")",
		"engine.replicas takes one value, not a list (" + path + ")",
		"engine.shard is not known; did you mean engine.shards? (" + path + ")",
		"grace must be a duration such as 500ms, 10s, 1h30m or 7d (" + path + ")",
		"keys.era has no value: write one, or take the line out (" + path + ")",
		"listen must be host:port, such as 127.0.0.1:8080 or :8080 (" + path + ")",
		"nonsense-entirely is not known; `sluice config example` lists all (" + path + ")",
		"queue_bytes is not known; did you mean ingest.queue_bytes? (" + path + ")",
		"retention is a section: its settings go below it (" + path + ")",
		"ingest.timeout must be from 100ms to 10m (SLUICE_INGEST_TIMEOUT)",
		"stream.ring_bytes must be a size such as 512KiB, 1MiB or 100GB (--stream-ring-bytes)",
		"log.level must be debug, info, warn or error (--log-level)",
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestSettingsAgainstEachOther(t *testing.T) {
	got := faultsOf(t, config.Sources{Env: []string{"SLUICE_INGEST_MAX_EVENT_BYTES=16MiB", "SLUICE_INGEST_QUEUE_BYTES=20MiB"}})
	want := []string{"ingest.queue_bytes must be at least twice ingest.max_event_bytes, which is 16MiB (SLUICE_INGEST_QUEUE_BYTES)"}
	if !slices.Equal(got, want) {
		t.Errorf("faults are %q, want %q", got, want)
	}
}

// What passes here passes the packages it is for: their own checks come after a start has begun.
func TestBoundsAreWithinThePackages(t *testing.T) {
	for _, env := range [][]string{
		nil,
		{"SLUICE_INGEST_MAX_EVENT_BYTES=16KiB", "SLUICE_ENGINE_SHARDS=1", "SLUICE_KEYS_ERA=1d", "SLUICE_GRACE=100ms", "SLUICE_INGEST_TIMEOUT=100ms", "SLUICE_LIMITS_PER_ADDRESS=0"},
		{"SLUICE_INGEST_MAX_EVENT_BYTES=16MiB", "SLUICE_ENGINE_SHARDS=64", "SLUICE_KEYS_ERA=365d", "SLUICE_ENGINE_REPLICAS=5", "SLUICE_ENGINE_URL=nats://one:4222,tls://two:4222",
			"SLUICE_ENGINE_DURABILITY=os", "SLUICE_AIRSHIP_MAX_CONNECTIONS=100000"},
	} {
		l, err := config.Load(config.Sources{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		l.Engine.Dir, l.Engine.MaxEvent, l.Keys.Dir = "d", l.Edge.MaxEventBytes, "d"
		l.Edge.Registry, l.Edge.Relay = &registry.Registry{}, &relay.Relay{}
		if err := errors.Join(l.Engine.Validate(), l.Keys.Validate(), l.Edge.Validate()); err != nil {
			t.Errorf("%v: %v", env, err)
		}
	}
	got := faultsOf(t, config.Sources{Env: []string{"SLUICE_KEYS_MASTER=hcvault://h/k", "SLUICE_KEYS_ERA=36h", "SLUICE_INGEST_MAX_EVENT_BYTES=1KiB"}})
	if len(got) != 3 || !strings.Contains(got[0], "16KiB to 16MiB") || !strings.HasPrefix(got[1], "keys.master ") || !strings.Contains(got[2], "multiple of 1d") {
		t.Errorf("faults are %q", got)
	}
}

func TestUnreadableFile(t *testing.T) {
	if got := faultsOf(t, config.Sources{File: filepath.Join(t.TempDir(), "none.yaml")}); len(got) != 1 || !strings.Contains(got[0], "none.yaml cannot be read") {
		t.Errorf("faults are %q", got)
	}
	if got := faultsOf(t, config.Sources{File: write(t, "grace: [")}); len(got) != 1 || !strings.Contains(got[0], "cannot be read: yaml") {
		t.Errorf("faults are %q", got)
	}
	if got := faultsOf(t, config.Sources{File: write(t, "# "+strings.Repeat("x", 1<<20))}); len(got) != 1 || !strings.Contains(got[0], "larger than 1 MiB") {
		t.Errorf("faults are %q", got)
	}
	if _, err := config.Load(config.Sources{File: write(t, "")}); err != nil {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := config.Load(config.Sources{File: write(t, "engine:\n  # shards: 4\nlog: {}\n")}); err != nil {
		t.Errorf("empty sections: %v", err)
	}
}

func TestUnknownVariableIsAWarning(t *testing.T) {
	l, err := config.Load(config.Sources{Env: []string{
		"SLUICE_LOGLEVEL=debug", "SLUICE_QQQQQQQQQ=1", "SLUICE_URL=http://x", "SLUICE_TOKEN=t", "SLUICE_PROJECT=p", "SLUICE_CA_FILE=f", "SLUICE_ADMIN_TOKEN=a", "PATH=/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"the environment variable SLUICE_LOGLEVEL is not known; did you mean SLUICE_LOG_LEVEL?",
		"the environment variable SLUICE_QQQQQQQQQ is not known",
	}
	if !slices.Equal(l.Warnings, want) {
		t.Errorf("warnings are %q, want %q", l.Warnings, want)
	}
}

// The error of a setting that may hold a password does not repeat it.
func TestFaultsKeepPasswords(t *testing.T) {
	got := faultsOf(t, config.Sources{Env: []string{"SLUICE_ENGINE_URL=http://user:hunter2@host"}})
	if len(got) != 1 || strings.Contains(got[0], "hunter2") {
		t.Errorf("faults are %q", got)
	}
}
