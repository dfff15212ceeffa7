package config_test

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"sluice/config"
)

// The example lints clean, holds every setting, says what the defaults say, and explains each.
func TestExampleIsTheDefaults(t *testing.T) {
	var b bytes.Buffer
	if err := config.Example(&b); err != nil {
		t.Fatal(err)
	}
	path := write(t, b.String())
	l, err := config.Load(config.Sources{File: path})
	if err != nil {
		t.Fatalf("the example does not lint clean: %v\n%s", err, b.String())
	}
	if !reflect.DeepEqual(l.Config, config.Default()) {
		t.Errorf("the example says %+v, the defaults are %+v", l.Config, config.Default())
	}
	for setting, from := range l.Origins {
		if from != path {
			t.Errorf("%s is not in the example", setting)
		}
	}
	lines := strings.Split(b.String(), "\n")
	for i, line := range lines {
		if len(line) > 120 {
			t.Errorf("a line of %d letters: %s", len(line), line)
		}
		if regexp.MustCompile(`^\s*[a-z_]+: `).MatchString(line) && !strings.HasPrefix(strings.TrimSpace(lines[i-1]), "# ") {
			t.Errorf("no reason above %q", line)
		}
	}
}

// What is printed reads back as the same configuration, but for passwords.
func TestPrintReadsBack(t *testing.T) {
	l, err := config.Load(config.Sources{Env: []string{"SLUICE_DATA=a folder: with # signs", "SLUICE_RETENTION_AGE=36h", "SLUICE_PUBLIC_URL=https://e.example:1"}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := l.Print(&b); err != nil {
		t.Fatal(err)
	}
	again, err := config.Load(config.Sources{File: write(t, b.String())})
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if !reflect.DeepEqual(again.Config, l.Config) {
		t.Errorf("read back %+v, want %+v", again.Config, l.Config)
	}
	for _, want := range []string{"# SLUICE_DATA\n", "# default\n", "age: 36h"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestPrintRedacts(t *testing.T) {
	l, err := config.Load(config.Sources{Env: []string{"SLUICE_ENGINE_URL=nats://bart:hunter2@one:4222,nats://s3cr3t@two:4222"}})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := l.Print(&b); err != nil {
		t.Fatal(err)
	}
	if out := b.String(); strings.Contains(out, "hunter2") || strings.Contains(out, "s3cr3t") || !strings.Contains(out, "nats://bart:****@one:4222,nats://****@two:4222") {
		t.Errorf("printed\n%s", out)
	}
}
