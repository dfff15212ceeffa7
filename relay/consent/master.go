package consent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"sluice/relay/engine"
)

const masterFile = "master.key"

// masterPath is the file of the master key. ErrMasterURI for a key service.
func masterPath(c Config) (string, error) {
	if c.Master == "" {
		return filepath.Join(c.Dir, masterFile), nil
	}
	if name, ok := strings.CutPrefix(c.Master, "file://"); ok {
		return name, nil
	}
	if scheme, _, ok := strings.Cut(c.Master, "://"); ok {
		return "", fmt.Errorf("keys.master: %w, not %s://", ErrMasterURI, scheme)
	}
	return c.Master, nil
}

// openMaster reads the master key, a Tink AEAD keyset in JSON in a file of mode 0600. fs.ErrNotExist.
func openMaster(c Config) (tink.AEAD, error) {
	name, err := masterPath(c)
	if err != nil {
		return nil, err
	}
	b, err := readSecret(name)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return parseMaster("master key: "+name, b)
}

// openOrMakeMaster is openMaster for a log that may not have been begun. One that was has sealed its
// keys under a key that is lost or elsewhere: a new one would open nothing, and lie where the operator
// is about to put the right one back. ErrNoMaster.
//
// Two processes that begin a log at once on one file end with the same key: who finds the log begun
// looks again, for the file is made first.
func openOrMakeMaster(ctx context.Context, cells *engine.Cells, c Config) (tink.AEAD, error) {
	master, err := openMaster(c)
	if !errors.Is(err, fs.ErrNotExist) {
		return master, err
	}
	name, err := masterPath(c)
	if err != nil {
		return nil, err
	}
	switch _, err := cells.Get(ctx, masterName); {
	case err == nil:
		if master, err = openMaster(c); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %s is missing; put it back, or say where it is (setting keys.master)", ErrNoMaster, name)
		}
		return master, err
	case !errors.Is(err, engine.ErrNotFound):
		return nil, fmt.Errorf("reading the check of the master key: %w", err)
	}
	b, err := newMaster()
	if err != nil {
		return nil, err
	}
	if err := writeSecret(name, b); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("master key: %w", err)
	}
	return openMaster(c)
}

// parseMaster reads the content of a master key's file.
func parseMaster(name string, b []byte) (tink.AEAD, error) {
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(b)))
	if err != nil {
		// Tink's error might quote the file.
		return nil, fmt.Errorf("%s is not a Tink keyset in JSON", name)
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("%s is not a keyset for AEAD", name)
	}
	return a, nil
}

func newMaster() ([]byte, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making a master key: %w", err)
	}
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&out)); err != nil {
		return nil, fmt.Errorf("making a master key: %w", err)
	}
	return out.Bytes(), nil
}

// checkMaster compares the master key with the one this log was begun with: better an error at the
// start than secrets under two keys. ErrMaster.
func (v *Vault) checkMaster(ctx context.Context) error {
	const text = "sluice"
	cell, err := v.cells.Get(ctx, masterName)
	if errors.Is(err, engine.ErrNotFound) {
		sealed, err := v.master.Encrypt([]byte(text), []byte(masterName))
		if err != nil {
			return fmt.Errorf("master key: %w", err)
		}
		_, err = v.cells.Put(ctx, masterName, sealed, 0)
		if errors.Is(err, engine.ErrConflict) {
			cell, err = v.cells.Get(ctx, masterName)
		} else if err == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("storing the check of the master key: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("reading the check of the master key: %w", err)
	}
	if _, err := v.master.Decrypt(cell.Value, []byte(masterName)); err != nil {
		name, _ := masterPath(v.cfg)
		return fmt.Errorf("%w: %s (setting keys.master) is not the file they were written with; put that one back", ErrMaster, name)
	}
	return nil
}

func secretName(name string) []byte { return []byte("sluice secret " + name) }

// SealSecret encrypts a secret that must be used again later under the master key. It opens only
// under the same name.
func (v *Vault) SealSecret(name string, plaintext []byte) ([]byte, error) {
	sealed, err := v.master.Encrypt(plaintext, secretName(name))
	if err != nil {
		return nil, fmt.Errorf("sealing a secret: %w", err)
	}
	return sealed, nil
}

// OpenSecret decrypts what SealSecret made under that name. ErrValue: it did not, or under another
// master key.
func (v *Vault) OpenSecret(name string, sealed []byte) ([]byte, error) {
	plaintext, err := v.master.Decrypt(sealed, secretName(name))
	if err != nil {
		return nil, fmt.Errorf("opening a secret: %w", ErrValue)
	}
	return plaintext, nil
}
