package consent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sluice/relay/engine"
)

// CellPrefix is the prefix of all the vault's cells.
const CellPrefix = "consent"

// WrappedKey is the erase key of one state of the store, wrapped by the master key: nothing that is sealed under it opens without
// both.
type WrappedKey struct {
	ID      string `json:"id"`
	Wrapped []byte `json:"wrapped"`
}

// InBackup tells whether a backup holds a cell. The erase key of a shared store lies in cells: a backup that held a former one, and a
// former revision of the other cells, would open what was erased in between.
func InBackup(key string) bool { return !strings.HasPrefix(key, erasePrefix+".") }

// copyTries is how often the store may change under who copies it.
const copyTries = 100

// CopyKeys has a copy of the key cells brought up to date by follow, and gives the erase key of just that state. follow takes in what
// was written under CellPrefix since the last time, and returns the revision it came to; between its last call and the return nobody
// was forgotten.
func (v *Vault) CopyKeys(ctx context.Context, follow func(context.Context) (uint64, error)) (WrappedKey, error) {
	if _, err := follow(ctx); err != nil { // as far as may be without holding anybody up
		return WrappedKey{}, err
	}
	v.upper.Lock()
	defer v.upper.Unlock()
	for range copyTries {
		came, err := follow(ctx)
		if err != nil {
			return WrappedKey{}, err
		}
		u, err := v.readTop(ctx)
		if err != nil {
			return WrappedKey{}, err
		}
		if u.topRev > came {
			continue // another node was faster
		}
		k := v.erase.Load()
		wrapped, err := wrapErase(v.master, *k)
		return WrappedKey{ID: k.id, Wrapped: wrapped}, err
	}
	return WrappedKey{}, fmt.Errorf("copying the keys: %w", engine.ErrConflict)
}

// MasterKey is the content of the master key's file.
func (v *Vault) MasterKey() ([]byte, error) {
	name, err := masterPath(v.cfg)
	if err != nil {
		return nil, err
	}
	b, err := readSecret(name)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return b, nil
}

// MasterFile is where the master key of a configuration lies.
func MasterFile(cfg Config) (string, error) { return masterPath(cfg) }

// ReadMaster reads the file of a master key. ErrPermissions, fs.ErrNotExist.
func ReadMaster(name string) ([]byte, error) { return readSecret(strings.TrimPrefix(name, "file://")) }

// PutMaster makes the master key's file of a configuration. fs.ErrExist when there is one.
func PutMaster(cfg Config, content []byte) error {
	name, err := masterPath(cfg)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	return writeSecret(name, content)
}

// Matches tells whether this key can be opened by a master key, the content of its file. ErrMaster when it cannot.
func (k WrappedKey) Matches(master []byte) error {
	a, err := parseMaster("the master key", master)
	if err != nil {
		return err
	}
	_, err = unwrapErase(a, k.ID, k.Wrapped)
	return err
}

// PutEraseKey puts the erase key of a store that is being restored where Open looks for it. It is repeatable. The master key must
// be there.
func PutEraseKey(ctx context.Context, cells *engine.Cells, cfg Config, k WrappedKey) error {
	master, err := openMaster(cfg)
	if err != nil {
		return err
	}
	key, err := unwrapErase(master, k.ID, k.Wrapped)
	if err != nil {
		return err
	}
	var to keeper = fileKeeper{dir: cfg.Dir, wrap: master}
	if cfg.Shared {
		to = cellKeeper{cells: cells, wrap: master}
	}
	err = to.add(ctx, eraseKey{k.ID, key})
	if errors.Is(err, fs.ErrExist) || errors.Is(err, engine.ErrConflict) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("storing the erase key: %w", err)
	}
	return nil
}
