package backup

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sluice/relay/engine"
)

// Summary is what a backup turned out to be.
type Summary struct {
	Manifest
	Files int
	Bytes int64
}

// Receive unpacks a backup that is being written into a folder, which it makes, for its owner alone. progress, if not nil, is told the
// bytes so far, now and then. When it returns nil the backup is whole and on the disk; after an error there is nothing of it.
//
// ErrNotEmpty: the folder holds something, and stays as it is. ErrIncomplete: from ended too early. ErrDamaged.
func Receive(from io.Reader, dir string, progress func(int64)) (sum Summary, err error) {
	made, err := emptyDir(dir)
	if err != nil {
		return sum, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, clearDir(dir, made))
		}
	}()
	in := &receiver{dir: dir, progress: progress, sums: map[string]file{}}
	archive := tar.NewReader(from)
	for {
		h, err := archive.Next()
		if err != nil {
			return sum, broke(err)
		}
		switch {
		case h.Typeflag != tar.TypeReg || !names.MatchString(h.Name) || h.Size > maxPart:
			return sum, fmt.Errorf("%w: it holds %q", ErrDamaged, h.Name)
		case h.Name != completeFile:
			if err := in.take(h.Name, archive); err != nil {
				return sum, broke(err)
			}
			continue
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			return sum, broke(err)
		}
		// Whoever sends must have come to the end as well.
		if _, err := archive.Next(); !errors.Is(err, io.EOF) {
			return sum, broke(err)
		}
		if err := in.check(text); err != nil {
			return sum, err
		}
		if err := engine.Sync(dir); err != nil {
			return sum, err
		}
		if err := writeFile(filepath.Join(dir, completeFile), text); err != nil {
			return sum, err
		}
		f, err := Open(dir)
		if err != nil {
			return sum, err
		}
		return Summary{Manifest: f.Manifest, Files: len(f.files), Bytes: in.bytes}, nil
	}
}

// broke tells a backup that ended too early from other errors.
func broke(err error) error {
	switch {
	case err == nil, errors.Is(err, tar.ErrHeader):
		return ErrDamaged
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrIncomplete
	}
	return err
}

// receiver is a backup that is being unpacked. One goroutine.
type receiver struct {
	dir      string
	progress func(int64)
	bytes    int64
	sums     map[string]file
}

func (in *receiver) take(name string, from io.Reader) (err error) {
	if _, twice := in.sums[name]; twice {
		return fmt.Errorf("%w: it holds %s twice", ErrDamaged, name)
	}
	path := filepath.Join(in.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), from)
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	in.sums[name] = file{Name: name, Bytes: n, SHA256: text(sum)}
	if in.bytes += n; in.progress != nil {
		in.progress(in.bytes)
	}
	return nil
}

func text(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)) }

// check holds what came to what was sent.
func (in *receiver) check(text []byte) error {
	var sent complete
	if err := json.Unmarshal(text, &sent); err != nil {
		return fmt.Errorf("%w: %s", ErrDamaged, completeFile)
	}
	for _, f := range sent.Files {
		if in.sums[f.Name] != f {
			return fmt.Errorf("%w: %s came otherwise than it was sent", ErrDamaged, f.Name)
		}
	}
	if len(sent.Files) != len(in.sums) {
		return fmt.Errorf("%w: there are %d files, and %d were sent", ErrDamaged, len(in.sums), len(sent.Files))
	}
	return nil
}

// emptyDir makes a folder for its owner alone, or finds an empty one.
func emptyDir(dir string) (made bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, os.MkdirAll(dir, 0o700)
	case err != nil:
		return false, err
	case len(entries) > 0:
		return false, fmt.Errorf("%w: %s", ErrNotEmpty, dir)
	}
	return false, os.Chmod(dir, 0o700)
}

// clearDir takes away what was written into a folder, and the folder where it was made.
func clearDir(dir string, made bool) error {
	if made {
		return os.RemoveAll(dir)
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// writeFile makes a file that is there whole, and on the disk, or not at all.
func writeFile(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	f, err := os.Open(path + ".new")
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
