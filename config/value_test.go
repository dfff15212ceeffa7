package config_test

import (
	"testing"
	"time"

	"sluice/config"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "17B": 17, "1KB": 1000, "1kb": 1000, "1KiB": 1024, "1kib": 1024, "1MiB": 1 << 20, "100GB": 100e9, "1.5 GiB": 3 << 29,
		"2TB": 2e12, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := config.ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "MB", "-1", "1XB", "1e3", "0x10", "Inf", "NaN", "1..5MB", ".", "9223372036854775808", "9223372036854775807KB", "99999999999TB", "1.5.5"} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0s": 0, "10s": 10 * time.Second, "500ms": 500 * time.Millisecond, "7d": 7 * day, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute, "0d1s": time.Second,
	} {
		if got, err := config.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "7", "-1s", "1d-1h", "-1d", "1w", "1.5d", "200000d", "106751d23h59m59999s"} {
		if got, err := config.ParseDuration(text); err == nil {
			t.Errorf("%q is %v, want an error", text, got)
		}
	}
}

// What is formatted parses to the same, whatever the number.
func FuzzFormat(f *testing.F) {
	for _, n := range []int64{0, 1, 999, 1000, 1024, 100e9, 1 << 40, 36 * int64(time.Hour), 1<<63 - 1} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		if n < 0 {
			n = -(n + 1)
		}
		if got, err := config.ParseSize(config.FormatSize(n)); err != nil || got != n {
			t.Errorf("size %d is written %s and read %d, %v", n, config.FormatSize(n), got, err)
		}
		if got, err := config.ParseDuration(config.FormatDuration(time.Duration(n))); err != nil || got != time.Duration(n) {
			t.Errorf("duration %d is written %s and read %d, %v", n, config.FormatDuration(time.Duration(n)), got, err)
		}
	})
}

func TestNearest(t *testing.T) {
	words := []string{"listen", "log.level", "engine.shards", "engine.url"}
	for name, want := range map[string]string{"lisen": "listen", "engine.shard": "engine.shards", "log_level": "log.level", "engine.uri": "engine.url", "zzzzzzzz": "", "": ""} {
		if got := config.Nearest(name, words); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
}

func TestOrigins(t *testing.T) {
	for text, ok := range map[string]bool{
		"": true, "*": true, "https://app.example.com": true, "http://localhost:3000, https://app.example.com": true,
		"https://app.example.com/": false, "https://App.example.com": false, "app.example.com": false, "ftp://app.example.com": false,
		"https://user@app.example.com": false, "https://*.example.com": false, "null": false,
	} {
		_, err := config.Load(config.Sources{Env: []string{"SLUICE_CORS_ALLOWED_ORIGINS=" + text}})
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
