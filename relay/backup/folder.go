package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// Folder is a backup on the disk.
type Folder struct {
	Manifest
	dir   string
	files []file
}

// Open opens a backup and looks no further than what it says of itself. ErrIncomplete, ErrFormat, ErrDamaged.
func Open(dir string) (*Folder, error) {
	f := &Folder{dir: dir}
	var c complete
	err := f.json(completeFile, &c)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %s has no %s", ErrIncomplete, dir, completeFile)
	}
	if err != nil {
		return nil, err
	}
	f.files = c.Files
	if err := f.json(manifestFile, &f.Manifest); err != nil {
		return nil, missing(manifestFile, err)
	}
	if f.Format != format {
		return nil, fmt.Errorf("%w: %d, written by version %s", ErrFormat, f.Format, f.Version)
	}
	if f.Shards < 1 || f.Shards > 64 {
		return nil, fmt.Errorf("%w: %s", ErrDamaged, manifestFile)
	}
	return f, nil
}

// missing is err, or that the backup is damaged where a file is not there.
func missing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is missing", ErrDamaged, name)
	}
	return err
}

func (f *Folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

func (f *Folder) json(name string, v any) error {
	text, err := os.ReadFile(f.path(name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %s", ErrDamaged, name)
	}
	return nil
}

// Bytes is how long all its files are together.
func (f *Folder) Bytes() (n int64) {
	for _, have := range f.files {
		n += have.Bytes
	}
	return n
}

// Verify reads everything and is ErrDamaged unless it is what was written. progress, if not nil, is told the bytes so far.
func (f *Folder) Verify(ctx context.Context, progress func(int64)) error {
	var done int64
	for _, want := range f.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !names.MatchString(want.Name) {
			return fmt.Errorf("%w: %s names %q", ErrDamaged, completeFile, want.Name)
		}
		from, err := os.Open(f.path(want.Name))
		if err != nil {
			return missing(want.Name, err)
		}
		sum := sha256.New()
		n, err := io.Copy(sum, from)
		if err := errors.Join(err, from.Close()); err != nil {
			return err
		}
		if n != want.Bytes || text(sum) != want.SHA256 {
			return fmt.Errorf("%w: %s was changed", ErrDamaged, want.Name)
		}
		if done += n; progress != nil {
			progress(done)
		}
	}
	for shard := range f.Shards {
		if !f.has(path.Join(shardDir(shard), "extent.json")) {
			return fmt.Errorf("%w: shard %d is missing", ErrDamaged, shard)
		}
	}
	if !f.has(eraseFile) || f.MasterKey && !f.has(masterFile) {
		return fmt.Errorf("%w: a key is missing", ErrDamaged)
	}
	return nil
}

func (f *Folder) has(name string) bool {
	return slices.ContainsFunc(f.files, func(have file) bool { return have.Name == name })
}

// parts are the names of several files, in order.
func (f *Folder) parts(dir, suffix string) (list []string) {
	for _, have := range f.files {
		if path.Dir(have.Name) == dir && strings.HasSuffix(have.Name, suffix) {
			list = append(list, have.Name)
		}
	}
	return list
}

// extents are the shards' extents.
func (f *Folder) extents() ([]engine.Extent, error) {
	list := make([]engine.Extent, f.Shards)
	for shard := range list {
		name := path.Join(shardDir(shard), "extent.json")
		if err := f.json(name, &list[shard]); err != nil {
			return nil, missing(name, err)
		}
	}
	return list, nil
}

// blocks gives a shard's blocks in order. Each is valid until the next one.
func (f *Folder) blocks(ctx context.Context, shard int) iter.Seq2[engine.Raw, error] {
	return func(yield func(engine.Raw, error) bool) {
		var buf []byte
		for _, name := range f.parts(shardDir(shard), blockSuffix) {
			from, err := os.Open(f.path(name))
			if err != nil {
				yield(engine.Raw{}, missing(name, err))
				return
			}
			lines := bufio.NewReaderSize(from, 256<<10)
			for {
				var b engine.Raw
				if b, buf, err = readBlock(lines, buf); errors.Is(err, io.EOF) {
					break
				}
				if err == nil {
					err = ctx.Err()
				} else {
					err = fmt.Errorf("%s: %w", name, err)
				}
				if !yield(b, err) || err != nil {
					from.Close()
					return
				}
			}
			from.Close()
		}
	}
}

// cells gives the lines of cells, then those of keys.
func (f *Folder) cells() iter.Seq2[cell, error] {
	return func(yield func(cell, error) bool) {
		for _, name := range append(f.parts(cellsDir, cellSuffix), f.parts(keysDir, cellSuffix)...) {
			from, err := os.Open(f.path(name))
			if err != nil {
				yield(cell{}, missing(name, err))
				return
			}
			lines := json.NewDecoder(bufio.NewReader(from))
			for {
				var c cell
				if err = lines.Decode(&c); errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					err = fmt.Errorf("%w: %s", ErrDamaged, name)
				}
				if !yield(c, err) || err != nil {
					from.Close()
					return
				}
			}
			from.Close()
		}
	}
}

// forgotten is the list that the backup holds, as one text. The caller closes it.
func (f *Folder) forgotten() (io.ReadCloser, error) {
	all := joined{}
	var readers []io.Reader
	for _, name := range f.parts(listDir, listSuffix) {
		from, err := os.Open(f.path(name))
		if err != nil {
			return nil, errors.Join(missing(name, err), all.Close())
		}
		all.files = append(all.files, from)
		readers = append(readers, from)
	}
	all.Reader = io.MultiReader(readers...)
	return all, nil
}

type joined struct {
	io.Reader
	files []*os.File
}

func (j joined) Close() (err error) {
	for _, f := range j.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// eraseKey is the erase key that the backup's keys are sealed under.
func (f *Folder) eraseKey() (k consent.WrappedKey, err error) {
	err = missing(eraseFile, f.json(eraseFile, &k))
	return k, err
}
