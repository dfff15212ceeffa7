package export_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"sluice/delivery/export"
	"sluice/delivery/export/storetest"
)

func TestFolder(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Place {
		dir := filepath.Join(t.TempDir(), "made", "by", "open")
		return storetest.Place{
			Open:    func(t *testing.T) export.Store { return openFolder(t, dir) },
			Objects: func(t *testing.T) map[string][]byte { return files(t, dir) },
			Foreign: func(t *testing.T, name string, content []byte) {
				file := filepath.Join(dir, name)
				must(t, os.MkdirAll(filepath.Dir(file), 0o700))
				must(t, os.WriteFile(file, content, 0o600))
			},
		}
	})
}

func openFolder(t *testing.T, dir string) *export.Folder {
	t.Helper()
	f, err := export.OpenFolder(dir)
	must(t, err)
	return f
}

// files are those below a directory, by their relative names, but for what is on its way.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.Name() == ".strm_uploads":
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		all[filepath.ToSlash(name)] = content
		return err
	})
	must(t, err)
	return all
}

// Nothing but objects is left when work is done.
func TestFolderLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f := openFolder(t, dir)
	defer f.Close()
	id := uuid.NewString()
	o, err := f.Create(t.Context(), "a", id, 1)
	must(t, err)
	must(t, o.Commit())
	must(t, f.Seal(t.Context(), id))
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "a" {
		t.Errorf("the folder has %v", entries)
	}
}

// A link that leads out of the folder is not followed, neither by a name nor by the folder of a sink.
func TestFolderStaysInside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.Symlink(outside, filepath.Join(dir, "out")))
	f := openFolder(t, dir)
	defer f.Close()
	for _, name := range []string{"out/x", "../x"} {
		o, err := f.Create(t.Context(), name, uuid.NewString(), 1)
		must(t, err)
		if err := o.Commit(); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	if left := files(t, outside); len(left) > 0 {
		t.Errorf("outside is %v", left)
	}
	if err := f.Probe(t.Context(), "out"); err == nil {
		t.Error("a prefix leads out")
	}
}

func TestFolderRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err := export.OpenFolder(filepath.Join(file, "below"))
	var refused *export.Refused
	if !errors.As(err, &refused) {
		t.Errorf("a folder below a file gives %v", err)
	}
}

func TestCheckFolder(t *testing.T) {
	for _, c := range []struct {
		dir         string
		admin, user bool
	}{
		{"/srv/out", true, false}, {"out", true, true}, {"a/../b", true, true}, {"", false, false}, {"..", false, false}, {"../x", false, false},
		{"a/../../x", false, false}, {"a\x00b", false, false},
	} {
		for administers, may := range map[bool]bool{true: c.admin, false: c.user} {
			if err := export.CheckFolder(c.dir, administers); (err == nil) != may || err != nil && !errors.Is(err, export.ErrFolder) {
				t.Errorf("%q for an admin (%v): %v", c.dir, administers, err)
			}
		}
	}
}
