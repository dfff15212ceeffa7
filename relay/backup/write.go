package backup

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"sluice/relay/consent"
	"sluice/relay/engine"
)

// Source is what backups are taken of. It may be used by several goroutines; each backup reads the whole log.
type Source struct {
	Engine  *engine.Engine
	Vault   *consent.Vault
	Version string // of Sluice, for the manifest
	Cluster bool   // other nodes write to the same log
}

// Write writes a backup as tar, see the package comment; with master the master key is in it. It reads at the pace of w and holds
// some megabytes. After an error what w got is no backup, and what is missing is what tells.
func (s Source) Write(ctx context.Context, w io.Writer, master bool) error {
	o := &out{tar: tar.NewWriter(w), at: time.Now().UTC()}
	m := Manifest{Format: format, Version: s.Version, Created: o.at, Shards: s.Engine.Shards(), MasterKey: master}
	if !s.Cluster {
		m.Node = s.Engine.NodeName()
	}
	if err := o.json(manifestFile, m); err != nil {
		return err
	}
	if err := s.cells(ctx, o); err != nil {
		return err
	}
	for shard := range m.Shards {
		if err := s.shard(ctx, o, shard); err != nil {
			return fmt.Errorf("backup of shard %d: %w", shard, err)
		}
	}
	if err := s.keys(ctx, o, master); err != nil {
		return err
	}
	if err := s.list(o); err != nil {
		return err
	}
	if err := o.json(completeFile, complete{o.files}); err != nil {
		return err
	}
	return o.tar.Close()
}

// cells writes all cells but those of keys, whose time comes last.
func (s Source) cells(ctx context.Context, o *out) error {
	p := o.parts(cellsDir, cellSuffix)
	_, err := s.Engine.Cells().Journal(ctx, "", 0, func(c engine.Cell) error {
		if strings.HasPrefix(c.Key, consent.CellPrefix+".") {
			return nil
		}
		return p.line(cell{Key: c.Key, Value: c.Value, Gone: c.Gone})
	})
	if err != nil {
		return fmt.Errorf("backup of the cells: %w", err)
	}
	return p.end()
}

func (s Source) shard(ctx context.Context, o *out, shard int) error {
	extent, err := s.Engine.Extent(ctx, shard)
	if err != nil {
		return err
	}
	if err := o.json(path.Join(shardDir(shard), "extent.json"), extent); err != nil {
		return err
	}
	p := o.parts(shardDir(shard), blockSuffix)
	err = s.Engine.Copy(ctx, shard, extent, func(r engine.Raw) error {
		p.buf = appendBlock(p.buf, r)
		return p.full()
	})
	if err != nil {
		return err
	}
	return p.end()
}

// keys writes the key cells and the erase key of the same state.
func (s Source) keys(ctx context.Context, o *out, master bool) error {
	p := o.parts(keysDir, cellSuffix)
	var came uint64
	// Lines are kept until the vault lets go of the keys, which must not wait for w: the first call takes all that there is, while
	// nobody waits, and those that follow what was written meanwhile.
	held := false
	var later []cell
	key, err := s.Vault.CopyKeys(ctx, func(ctx context.Context) (_ uint64, err error) {
		came, err = s.Engine.Cells().Journal(ctx, consent.CellPrefix, came, func(c engine.Cell) error {
			switch {
			case !consent.InBackup(c.Key):
				return nil
			case held:
				later = append(later, cell{Key: c.Key, Value: c.Value, Gone: c.Gone})
				return nil
			}
			return p.line(cell{Key: c.Key, Value: c.Value, Gone: c.Gone})
		})
		held = true
		return came, err
	})
	if err != nil {
		return fmt.Errorf("backup of the keys: %w", err)
	}
	for _, c := range later {
		if err := p.line(c); err != nil {
			return err
		}
	}
	if err := p.end(); err != nil {
		return err
	}
	if err := o.json(eraseFile, key); err != nil {
		return err
	}
	if !master {
		return nil
	}
	content, err := s.Vault.MasterKey()
	if err != nil {
		return err
	}
	return o.file(masterFile, content)
}

// list writes the list of the forgotten.
func (s Source) list(o *out) error {
	from, err := s.Vault.Forgotten()
	if err != nil || from == nil {
		return err
	}
	defer from.Close()
	p := o.parts(listDir, listSuffix)
	chunk := make([]byte, 64<<10)
	for {
		n, err := from.Read(chunk)
		p.buf = append(p.buf, chunk[:n]...)
		if full := p.full(); full != nil {
			return full
		}
		switch {
		case errors.Is(err, io.EOF):
			return p.end()
		case err != nil:
			return fmt.Errorf("backup of the list of the forgotten: %w", err)
		}
	}
}

// out is a backup that is being written. One goroutine.
type out struct {
	tar   *tar.Writer
	at    time.Time
	files []file
}

func (o *out) file(name string, content []byte) error {
	sum := sha256.Sum256(content)
	o.files = append(o.files, file{Name: name, Bytes: int64(len(content)), SHA256: hex.EncodeToString(sum[:])})
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: o.at.Truncate(time.Second), Format: tar.FormatUSTAR}
	if err := o.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := o.tar.Write(content)
	return err
}

func (o *out) json(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return o.file(name, append(text, '\n'))
}

func (o *out) parts(dir, suffix string) *parts { return &parts{out: o, dir: dir, suffix: suffix} }

// parts gathers what goes to several files.
type parts struct {
	out         *out
	dir, suffix string
	count       int
	buf         []byte
}

func (p *parts) line(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	p.buf = append(append(p.buf, text...), '\n')
	return p.full()
}

// full writes a file when there is enough for one.
func (p *parts) full() error {
	if len(p.buf) < partBytes {
		return nil
	}
	return p.end()
}

// end writes what is left.
func (p *parts) end() error {
	if len(p.buf) == 0 {
		return nil
	}
	p.count++
	err := p.out.file(partName(p.dir, p.count, p.suffix), p.buf)
	p.buf = p.buf[:0]
	return err
}
