package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// uploads is where files are written before they get their name; it is there only while something is being written.
const uploads = ".strm_uploads"

// Folder is a Store in a directory. A file is written and fsynced under uploads, then linked to its name, which fails where the name is
// taken: a reader sees whole files only. The link under uploads stays until Seal, and that both are one file is how an upload is
// recognised. Nothing below the folder leads out of it, not even a symbolic link. Where several nodes export, the directory has to be one that
// all of them share.
//
// What a crash can leave: a part of a file under uploads (Sweep), or a file with its second link (Look says Own, Seal takes the link away).
type Folder struct{ root *os.Root }

var _ Store = (*Folder)(nil)

// OpenFolder opens a directory, which is made when it is missing. A *Refused says why that is not possible.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, refusedBy(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, refusedBy(err)
	}
	return &Folder{root: root}, nil
}

// openBelow is OpenFolder for a relative directory that must not lead out of base.
func openBelow(base, dir string) (*Folder, error) {
	outer, err := OpenFolder(base)
	if err != nil {
		return nil, err
	}
	defer outer.Close()
	if err := outer.root.MkdirAll(dir, 0o750); err != nil {
		return nil, refusedBy(err)
	}
	root, err := outer.root.OpenRoot(dir)
	if err != nil {
		return nil, refusedBy(err)
	}
	return &Folder{root: root}, nil
}

// refusedBy shortens an error of the file system to its reason: the path was the caller's.
func refusedBy(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return &Refused{Reason: p.Op + ": " + p.Err.Error()}
	case errors.As(err, &l):
		return &Refused{Reason: l.Op + ": " + l.Err.Error()}
	}
	return &Refused{Reason: err.Error()}
}

// Look implements Store.
func (f *Folder) Look(_ context.Context, name, upload string) (Found, error) {
	there, err := f.root.Stat(filepath.FromSlash(name))
	if errors.Is(err, fs.ErrNotExist) {
		return Absent, nil
	}
	if err != nil {
		return Unknown, fmt.Errorf("look for an object in the folder: %w", err)
	}
	own, err := f.attempts(upload)
	if err != nil {
		return Unknown, err
	}
	for _, file := range own {
		if info, err := f.root.Stat(file); err == nil && os.SameFile(info, there) {
			return Own, nil
		}
	}
	return Foreign, nil
}

// attempts lists the files that attempts of an upload made under uploads.
func (f *Folder) attempts(upload string) ([]string, error) {
	dir, err := f.root.Open(uploads)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for uploads in the folder: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("look for uploads in the folder: %w", err)
	}
	var own []string
	for _, n := range names {
		if strings.HasPrefix(n, upload+"_") {
			own = append(own, filepath.Join(uploads, n))
		}
	}
	return own, nil
}

// Create implements Store.
func (f *Folder) Create(_ context.Context, name, upload string, _ int64) (Object, error) {
	// Each attempt has a file of its own: a late owner must not link what the next one is just writing.
	temp := filepath.Join(uploads, upload+"_"+uuid.NewString())
	for try := 0; ; try++ {
		if err := f.root.MkdirAll(uploads, 0o750); err != nil {
			return nil, fmt.Errorf("make the folder's place for uploads: %w", err)
		}
		file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
		if errors.Is(err, fs.ErrNotExist) && try < 10 {
			continue // somebody who was ready removed the empty directory in between
		}
		if err != nil {
			return nil, fmt.Errorf("begin an object in the folder: %w", err)
		}
		return &folderObject{folder: f, file: file, temp: temp, name: filepath.FromSlash(name)}, nil
	}
}

// Sweep implements Store.
func (f *Folder) Sweep(ctx context.Context, name, upload string) error {
	if found, err := f.Look(ctx, name, upload); err != nil || found == Own {
		return err
	}
	return f.Seal(ctx, upload)
}

// Seal implements Store.
func (f *Folder) Seal(_ context.Context, upload string) error {
	own, err := f.attempts(upload)
	for _, file := range own {
		err = errors.Join(err, f.root.Remove(file))
	}
	f.tidy()
	return err
}

// tidy removes the place for uploads if nothing is in it; who is using it makes it again.
func (f *Folder) tidy() { _ = f.root.Remove(uploads) }

// Probe implements Store. It goes the way of a real object, so a file system without hard links is found out here.
func (f *Folder) Probe(ctx context.Context, prefix string) error {
	name, upload := probeName(prefix), uuid.NewString()
	o, err := f.Create(ctx, name, upload, 0)
	if err != nil {
		return refusedBy(err)
	}
	err = o.Commit()
	if err == nil {
		err = f.root.Remove(filepath.FromSlash(name))
	}
	if err := errors.Join(err, f.Seal(ctx, upload)); err != nil {
		return refusedBy(err)
	}
	return nil
}

// Close implements Store.
func (f *Folder) Close() error { return f.root.Close() }

type folderObject struct {
	folder *Folder
	file   *os.File
	temp   string
	name   string
}

func (o *folderObject) Write(p []byte) (int, error) { return o.file.Write(p) }

func (o *folderObject) Commit() error {
	err := o.file.Sync()
	if err = errors.Join(err, o.file.Close()); err != nil {
		o.remove()
		return fmt.Errorf("write an object to the folder: %w", err)
	}
	made, err := o.folder.mkdir(path.Dir(filepath.ToSlash(o.name)))
	if err == nil {
		err = o.folder.root.Link(o.temp, o.name)
	}
	if errors.Is(err, fs.ErrExist) {
		o.remove()
		return ErrTaken
	}
	if err != nil {
		o.remove()
		return fmt.Errorf("name an object in the folder: %w", err)
	}
	for _, dir := range append(made, uploads) {
		if err := o.folder.sync(dir); err != nil {
			return fmt.Errorf("store an object's name in the folder: %w", err)
		}
	}
	return nil
}

func (o *folderObject) Abort() {
	_ = o.file.Close()
	o.remove()
}

func (o *folderObject) remove() {
	_ = o.folder.root.Remove(o.temp)
	o.folder.tidy()
}

// mkdir makes the directories of a name and lists those whose entries have changed or will: where something was made, and dir itself.
func (f *Folder) mkdir(dir string) ([]string, error) {
	changed := []string{dir}
	for at := dir; at != "."; at = path.Dir(at) {
		if _, err := f.root.Stat(filepath.FromSlash(at)); err == nil {
			break
		}
		changed = append(changed, path.Dir(at))
	}
	if dir == "." {
		return changed, nil
	}
	return changed, f.root.MkdirAll(filepath.FromSlash(dir), 0o750)
}

func (f *Folder) sync(dir string) error {
	d, err := f.root.Open(filepath.FromSlash(dir))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
