package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"sluice/relay/backup"
	"sluice/relay/consent"
	"sluice/relay/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// store is the log and the keys of a node, in a folder.
type store struct {
	engine *engine.Engine
	vault  *consent.Vault
}

func logIn(data string) engine.Config {
	return engine.Config{Dir: filepath.Join(data, "engine"), MinFree: 1 << 20, Log: quiet}
}

func keysIn(data string) consent.Config {
	return consent.Config{Dir: filepath.Join(data, "keys"), Log: quiet}
}

func open(t *testing.T, data string) *store {
	t.Helper()
	s := &store{}
	var err error
	if s.engine, err = engine.Open(t.Context(), logIn(data)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.engine.Close() })
	if s.vault, err = consent.Open(t.Context(), s.engine.Cells(), keysIn(data)); err != nil {
		t.Fatal(err)
	}
	return s
}

// tape is a backup as it comes from a store.
func (s *store) tape(t *testing.T, master bool) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (backup.Source{Engine: s.engine, Vault: s.vault, Version: "1.2.3"}).Write(t.Context(), &b, master); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// filled is a store with some cells and blocks, more than one part of a backup takes.
func filled(t *testing.T) (*store, engine.Stream) {
	t.Helper()
	s := open(t, t.TempDir())
	st, err := s.engine.NewStream(t.Context(), engine.StreamID(uuid.New()), "web")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		b := &engine.Batch{}
		b.Add(&engine.Record{ID: fmt.Append(nil, i), Kind: engine.KindJSON, Payload: noise(600_000, i)})
		if _, err := s.engine.Append(t.Context(), st, b); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 700 {
		if _, err := s.engine.Cells().Put(t.Context(), fmt.Sprintf("some.%d", i), noise(i, i), 0); err != nil {
			t.Fatal(err)
		}
	}
	return s, st
}

// noise is a text that hardly compresses, the same for the same seed.
func noise(size, seed int) []byte {
	text := []byte{'"'}
	for x := uint64(seed) + 1; len(text) < size; {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		text = fmt.Appendf(text, "%x", x)
	}
	return append(text, '"')
}

func cellsOf(t *testing.T, e *engine.Engine) map[string]string {
	t.Helper()
	list, err := e.Cells().List(t.Context(), "some")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, c := range list {
		all[c.Key] = string(c.Value)
	}
	return all
}

func eventsOf(t *testing.T, e *engine.Engine, st engine.Stream) (all []string) {
	t.Helper()
	c := e.Read(st, 0)
	defer c.Close()
	for {
		b, err := c.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Each(func(o engine.Offset, r *engine.Record) bool {
			all = append(all, fmt.Sprint(o, string(r.Payload)))
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func restore(ctx context.Context, dir, data string) error {
	f, err := backup.Open(dir)
	if err == nil {
		_, err = f.Restore(ctx, backup.Into{Data: data, Engine: logIn(data), Keys: keysIn(data), Log: quiet})
	}
	return err
}

func TestRestore(t *testing.T) {
	s, st := filled(t)
	tape := s.tape(t, true)
	dir, data := filepath.Join(t.TempDir(), "backup"), t.TempDir()
	told := int64(0)
	sum, err := backup.Receive(bytes.NewReader(tape), dir, func(n int64) { told = n })
	if err != nil || told == 0 || told != sum.Bytes || sum.Version != "1.2.3" || !sum.MasterKey {
		t.Fatalf("%+v, told of %d, %v", sum, told, err)
	}
	if err := restore(t.Context(), dir, data); err != nil {
		t.Fatal(err)
	}
	if err := backup.Pending(data); err != nil {
		t.Error(err)
	}
	r := open(t, data)
	if want, got := eventsOf(t, s.engine, st), eventsOf(t, r.engine, st); !slices.Equal(got, want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
	if want, got := cellsOf(t, s.engine), cellsOf(t, r.engine); !maps.Equal(got, want) {
		t.Errorf("%d cells, want %d", len(got), len(want))
	}
	if err := restore(t.Context(), dir, data); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("over a store: %v", err)
	}
}

// What a restore left that was stopped anywhere is no store, and the next restore makes a whole one.
func TestRestoreAgain(t *testing.T) {
	s, st := filled(t)
	dir, data := filepath.Join(t.TempDir(), "backup"), t.TempDir()
	if _, err := backup.Receive(bytes.NewReader(s.tape(t, true)), dir, nil); err != nil {
		t.Fatal(err)
	}
	f, err := backup.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []int64{3, 1} {
		ctx, stop := context.WithCancel(t.Context())
		_, err = f.Restore(ctx, backup.Into{Data: data, Engine: logIn(data), Keys: keysIn(data), Log: quiet, Progress: func(what string, done, of int64) {
			if what == "restoring" && done > of/part/2 {
				stop()
			}
		}})
		stop()
		if err == nil {
			t.Fatal("a restore that was stopped has come to its end")
		}
		if err := backup.Pending(data); !errors.Is(err, backup.ErrUnfinished) {
			t.Errorf("a node may start on it: %v", err)
		}
	}
	if err := restore(t.Context(), dir, data); err != nil {
		t.Fatal(err)
	}
	r := open(t, data)
	if want, got := eventsOf(t, s.engine, st), eventsOf(t, r.engine, st); !slices.Equal(got, want) {
		t.Errorf("%d events, want %d", len(got), len(want))
	}
}

// A backup that breaks off, at whatever byte, leaves nothing, and one that was changed on its way is not taken.
func TestReceiveBroken(t *testing.T) {
	s, _ := filled(t)
	tape := s.tape(t, false)
	for _, at := range []int{0, 1, 511, 512, 1024, len(tape) / 2, len(tape) - 5000, len(tape) - 1024 - 513} {
		dir := filepath.Join(t.TempDir(), "backup")
		_, err := backup.Receive(bytes.NewReader(tape[:at]), dir, nil)
		if !errors.Is(err, backup.ErrIncomplete) {
			t.Errorf("cut at %d of %d: %v", at, len(tape), err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("cut at %d: the folder is there: %v", at, err)
		}
	}
	changed := bytes.Clone(tape)
	changed[len(tape)/2] ^= 1
	full := t.TempDir()
	if _, err := backup.Receive(bytes.NewReader(changed), full, nil); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("changed: %v", err)
	}
	if left, err := os.ReadDir(full); err != nil || len(left) > 0 {
		t.Errorf("changed: %v are left, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Receive(bytes.NewReader(tape), full, nil); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("into a folder of somebody's: %v", err)
	}
	if left, err := os.ReadDir(full); err != nil || len(left) != 1 {
		t.Errorf("of somebody's folder %v is left, %v", left, err)
	}
	lost := errors.New("the connection was lost")
	if _, err := backup.Receive(io.MultiReader(bytes.NewReader(tape[:4000]), broken{lost}), filepath.Join(t.TempDir(), "b"), nil); !errors.Is(err, lost) {
		t.Errorf("lost: %v", err)
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// An archive is unpacked into its folder and nowhere else.
func TestReceiveHostile(t *testing.T) {
	for _, h := range []tar.Header{
		{Name: "../escaped", Typeflag: tar.TypeReg},
		{Name: "/tmp/escaped", Typeflag: tar.TypeReg},
		{Name: "cells/../../escaped", Typeflag: tar.TypeReg},
		{Name: "manifest.json", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		{Name: "cells", Typeflag: tar.TypeDir},
		{Name: "something", Typeflag: tar.TypeReg},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := errors.Join(w.WriteHeader(&h), w.Close()); err != nil {
			t.Fatal(err)
		}
		parent := t.TempDir()
		if _, err := backup.Receive(&b, filepath.Join(parent, "backup"), nil); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s: %v", h.Name, err)
		}
		if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
			t.Errorf("%s: %v are left, %v", h.Name, left, err)
		}
	}
}

// A backup that was changed on the disk is refused before anything is touched.
func TestRestoreDamaged(t *testing.T) {
	s, _ := filled(t)
	tape := s.tape(t, true)
	rewrite := func(name string, change func(string) string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), []byte(change(string(text))), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			for _, name := range names {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	flip := func(s string) string { return s[:len(s)/2] + string(s[len(s)/2]^1) + s[len(s)/2+1:] }
	for name, c := range map[string]struct {
		do   func(*testing.T, string)
		want error
	}{
		"a cell":            {rewrite("cells/000001.jsonl", flip), backup.ErrDamaged},
		"an extent":         {rewrite("log/0/extent.json", func(string) string { return `{"first":1,"last":9999}` }), backup.ErrDamaged},
		"a lost file":       {remove("keys/000001.jsonl"), backup.ErrDamaged},
		"no end":            {remove("complete.json"), backup.ErrIncomplete},
		"no beginning":      {remove("manifest.json"), backup.ErrDamaged},
		"an end of nothing": {rewrite("complete.json", func(string) string { return `{"files":[]}` }), backup.ErrDamaged},
		"no JSON":           {rewrite("complete.json", func(string) string { return `{` }), backup.ErrDamaged},
		"another place":     {rewrite("complete.json", func(s string) string { return strings.Replace(s, "manifest.json", "../outside.js", 1) }), backup.ErrDamaged},
		"a later format":    {rewrite("manifest.json", func(s string) string { return strings.Replace(s, `"format":1`, `"format":2`, 1) }), backup.ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			dir, data := filepath.Join(t.TempDir(), "backup"), t.TempDir()
			if _, err := backup.Receive(bytes.NewReader(tape), dir, nil); err != nil {
				t.Fatal(err)
			}
			c.do(t, dir)
			if err := restore(t.Context(), dir, data); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
				t.Errorf("%v are there, %v", left, err)
			}
		})
	}
}

func TestMasterKey(t *testing.T) {
	s, stranger := open(t, t.TempDir()), open(t, t.TempDir())
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := backup.Receive(bytes.NewReader(s.tape(t, false)), dir, nil); err != nil {
		t.Fatal(err)
	}
	f, err := backup.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := func(s *store) string {
		key, err := s.vault.MasterKey()
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, key, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, c := range map[string]struct {
		masters []string
		want    error
	}{
		"none":       {nil, backup.ErrNoMaster},
		"a stranger": {[]string{file(stranger)}, consent.ErrMaster},
		"not there":  {[]string{filepath.Join(dir, "nothing")}, fs.ErrNotExist},
		"its own":    {[]string{file(s)}, nil},
	} {
		data := t.TempDir()
		_, err := f.Restore(t.Context(), backup.Into{Data: data, Engine: logIn(data), Keys: keysIn(data), Masters: c.masters, Log: quiet})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestManifest(t *testing.T) {
	s := open(t, t.TempDir())
	var m backup.Manifest
	archive := tar.NewReader(bytes.NewReader(s.tape(t, false)))
	if _, err := archive.Next(); err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(archive).Decode(&m); err != nil || m.Shards != s.engine.Shards() || m.Node != s.engine.NodeName() || m.MasterKey || m.Created.IsZero() {
		t.Errorf("%+v, %v", m, err)
	}
}
