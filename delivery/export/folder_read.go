package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// List implements Store.
func (f *Folder) List(ctx context.Context, prefix string, fn func(Stored) error) error {
	var found []Stored
	dir, _ := path.Split(prefix)
	dir = path.Clean(dir)
	err := fs.WalkDir(f.root.FS(), dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return nil // it went in between, or was never there
		case err != nil:
			return err
		case d.IsDir() && name == uploads:
			return fs.SkipDir
		case d.IsDir() && name != dir && !strings.HasPrefix(name+"/", prefix) && !strings.HasPrefix(prefix, name+"/"):
			return fs.SkipDir
		case !d.Type().IsRegular() || !strings.HasPrefix(name, prefix):
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			found = append(found, Stored{Name: name, Size: info.Size()})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list the objects of the folder: %w", err)
	}
	// A directory's entries are in order, but a name may go on where another ends with '/'.
	slices.SortFunc(found, func(a, b Stored) int { return strings.Compare(a.Name, b.Name) })
	for _, o := range found {
		if err := fn(o); err != nil {
			return err
		}
	}
	return nil
}

// Open implements Store.
func (f *Folder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	if !fs.ValidPath(name) {
		return nil, ErrAbsent
	}
	file, err := f.root.FS().Open(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, fmt.Errorf("open an object of the folder: %w", err)
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(ErrAbsent, file.Close())
	}
	return file, nil
}
