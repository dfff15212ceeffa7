package consent

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tink-crypto/tink-go/v2/tink"

	"sluice/relay/engine"
)

// eraseKey is the key that the top cell is sealed under. Its id is a count and a random part: the
// count for the operator's eye, the random part so that an id never names two keys, whatever was
// restored or interrupted.
type eraseKey struct {
	id  string
	key node
}

// nextEraseKey is a new key to follow the one with that id; first, when id is empty.
func nextEraseKey(id string) eraseKey {
	var count uint32
	if id != "" {
		fmt.Sscanf(id, "%08d-", &count)
	}
	var r [4]byte
	rand.Read(r[:])
	return eraseKey{fmt.Sprintf("%08d-%08x", count+1, binary.BigEndian.Uint32(r[:])), newNode()}
}

// keeper keeps erase keys where they can be destroyed. Each is wrapped by the master key.
//
// A key that others may be about to use must not be destroyed: only those that were listed before a
// change of the top cell succeeded, and are not the one it is sealed under since.
type keeper interface {
	// get is ErrEraseKey when the key is not here, ErrMaster when it is but does not unwrap.
	get(ctx context.Context, id string) (node, error)
	// add has stored the key durably when it returns nil.
	add(ctx context.Context, k eraseKey) error
	list(ctx context.Context) ([]string, error)
	// destroy has made the keys unreadable, as far as the medium can, when it returns nil. Those that
	// are not here are no error.
	destroy(ctx context.Context, ids ...string) error
}

func wrapErase(a tink.AEAD, k eraseKey) ([]byte, error) {
	b, err := a.Encrypt(k.key[:], []byte("sluice erase key "+k.id))
	if err != nil {
		return nil, fmt.Errorf("wrapping the erase key: %w", err)
	}
	return b, nil
}

func unwrapErase(a tink.AEAD, id string, wrapped []byte) (node, error) {
	b, err := a.Decrypt(wrapped, []byte("sluice erase key "+id))
	if err != nil || len(b) != len(node{}) {
		return node{}, fmt.Errorf("erase key %s: %w", id, ErrMaster)
	}
	return node(b), nil
}

// fileKeeper keeps each key in a file of mode 0600 in the folder of the key files:
// erase-<id>.key, one line of base64.
type fileKeeper struct {
	dir  string
	wrap tink.AEAD
}

const (
	eraseFilePrefix = "erase-"
	eraseFileSuffix = ".key"
)

func (f fileKeeper) file(id string) string {
	return filepath.Join(f.dir, eraseFilePrefix+id+eraseFileSuffix)
}

func (f fileKeeper) get(_ context.Context, id string) (node, error) {
	b, err := readSecret(f.file(id))
	if errors.Is(err, fs.ErrNotExist) {
		return node{}, fmt.Errorf("%w: %s is missing", ErrEraseKey, f.file(id))
	}
	if err != nil {
		return node{}, err
	}
	wrapped, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil {
		return node{}, fmt.Errorf("%s: %w", f.file(id), ErrDamaged)
	}
	return unwrapErase(f.wrap, id, wrapped)
}

func (f fileKeeper) add(_ context.Context, k eraseKey) error {
	wrapped, err := wrapErase(f.wrap, k)
	if err != nil {
		return err
	}
	return writeSecret(f.file(k.id), []byte(base64.StdEncoding.EncodeToString(wrapped)+"\n"))
}

func (f fileKeeper) list(context.Context) ([]string, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, fmt.Errorf("looking for erase keys: %w", err)
	}
	var ids []string
	for _, e := range entries {
		id, isKey := strings.CutPrefix(e.Name(), eraseFilePrefix)
		id, isFile := strings.CutSuffix(id, eraseFileSuffix)
		if isKey && isFile {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// destroy overwrites a file before it unlinks it, so that on a medium that writes in place nothing
// stays behind. A crash between the two leaves a file of noise, which is listed and destroyed again.
func (f fileKeeper) destroy(_ context.Context, ids ...string) error {
	for _, id := range ids {
		if err := shred(f.file(id)); err != nil {
			return fmt.Errorf("destroying erase key %s: %w", id, err)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return syncDir(f.dir)
}

func shred(name string) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		noise := make([]byte, info.Size())
		rand.Read(noise)
		_, err = file.Write(noise)
	}
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Remove(name)
}

// readSecret reads a file that only its owner may be able to read. ErrPermissions, fs.ErrNotExist.
func readSecret(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s has mode %04o", ErrPermissions, name, info.Mode().Perm())
	}
	return os.ReadFile(name)
}

// writeSecret makes a file of mode 0600 that is durable and whole when it returns nil, and not there,
// or whole, after a crash. fs.ErrExist when there is one of that name.
func writeSecret(name string, content []byte) error {
	dir := filepath.Dir(name)
	tmp, err := os.CreateTemp(dir, ".new-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	// A rename would replace a file that another process has just made; a link does not.
	if err := os.Link(tmp.Name(), name); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// cellKeeper keeps each key in a cell, for nodes that share a log and no folder. A destroyed key is
// gone for every reader at once, and from the medium when the log has been compacted.
type cellKeeper struct {
	cells *engine.Cells
	wrap  tink.AEAD
}

func eraseName(id string) string { return erasePrefix + "." + id }

func (c cellKeeper) get(ctx context.Context, id string) (node, error) {
	cell, err := c.cells.Get(ctx, eraseName(id))
	if errors.Is(err, engine.ErrNotFound) {
		return node{}, fmt.Errorf("%w: the cell of %s is missing", ErrEraseKey, id)
	}
	if err != nil {
		return node{}, fmt.Errorf("reading the erase key: %w", err)
	}
	return unwrapErase(c.wrap, id, cell.Value)
}

func (c cellKeeper) add(ctx context.Context, k eraseKey) error {
	wrapped, err := wrapErase(c.wrap, k)
	if err != nil {
		return err
	}
	_, err = c.cells.Put(ctx, eraseName(k.id), wrapped, 0)
	return err
}

func (c cellKeeper) list(ctx context.Context) ([]string, error) {
	cells, err := c.cells.List(ctx, erasePrefix)
	if err != nil {
		return nil, fmt.Errorf("looking for erase keys: %w", err)
	}
	var ids []string
	for _, cell := range cells {
		ids = append(ids, strings.TrimPrefix(cell.Key, eraseName("")))
	}
	return ids, nil
}

func (c cellKeeper) destroy(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		cell, err := c.cells.Get(ctx, eraseName(id))
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		if err == nil {
			err = c.cells.Erase(ctx, cell.Key, cell.Revision)
		}
		if err != nil && !errors.Is(err, engine.ErrConflict) {
			return fmt.Errorf("destroying erase key %s: %w", id, err)
		}
	}
	return nil
}
