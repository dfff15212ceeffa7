package backup

import (
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"regexp"
	"time"

	"sluice/relay/engine"
)

// format is the version of what doc.go describes.
const format = 1

// Names in a backup.
const (
	manifestFile = "manifest.json"
	completeFile = "complete.json"
	cellsDir     = "cells"
	keysDir      = "keys"
	eraseFile    = "keys/erase.json"
	masterFile   = "keys/master.key"
	listDir      = "forgotten"
)

func shardDir(shard int) string { return fmt.Sprintf("log/%d", shard) }

// names are all that a file of a backup can be called: an archive that says anything else was not made by Sluice, and is not
// unpacked to where it points.
var names = regexp.MustCompile(`^(manifest\.json|complete\.json|keys/(erase\.json|master\.key)|(cells|keys)/[0-9]{6,9}\.jsonl|` +
	`log/[0-9]{1,2}/(extent\.json|[0-9]{6,9}\.blocks)|forgotten/[0-9]{6,9}\.txt)$`)

// partName is the name of the nth of several files.
func partName(dir string, n int, suffix string) string {
	return path.Join(dir, fmt.Sprintf("%06d", n)+suffix)
}

const (
	cellSuffix  = ".jsonl"
	blockSuffix = ".blocks"
	listSuffix  = ".txt"
)

const (
	// partBytes is how large a file grows before the next one is begun. It bounds the memory of who writes a backup.
	partBytes = 4 << 20
	// maxPart bounds what a reader takes: a part, and one block or cell that did not fit any more.
	maxPart = 128 << 20
)

// Manifest says what a backup is.
type Manifest struct {
	Format    int       `json:"format"`
	Version   string    `json:"version"` // of Sluice
	Created   time.Time `json:"created"`
	Shards    int       `json:"shards"`
	Node      string    `json:"node,omitempty"` // the name its log's only node writes under; empty for a cluster
	MasterKey bool      `json:"masterKey"`      // it holds the master key, so that who has it can open everything
}

// file is one line of complete.json.
type file struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

type complete struct {
	Files []file `json:"files"`
}

// cell is one line of cells and keys.
type cell struct {
	Key   string `json:"key"`
	Value []byte `json:"value,omitempty"`
	Gone  bool   `json:"gone,omitempty"`
}

const (
	blockHead = 24
	// maxBlock is more than the log takes as one message.
	maxBlock   = 64 << 20
	maxSubject = 255
)

// appendBlock writes a block as doc.go has it.
func appendBlock(dst []byte, r engine.Raw) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.Subject)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.Data)))
	dst = binary.LittleEndian.AppendUint64(dst, r.Seq)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.At.UnixNano()))
	return append(append(dst, r.Subject...), r.Data...)
}

// readBlock reads one block into buf, which it returns, grown, for the next one; the block's data lies in it. io.EOF after the last
// one, ErrDamaged.
func readBlock(from io.Reader, buf []byte) (engine.Raw, []byte, error) {
	var head [blockHead]byte
	if n, err := io.ReadFull(from, head[:]); err != nil {
		if n == 0 && err == io.EOF { //nolint:errorlint // ReadFull gives it bare
			return engine.Raw{}, buf, io.EOF
		}
		return engine.Raw{}, buf, ErrDamaged
	}
	subject, data := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[4:])
	if subject > maxSubject || data > maxBlock {
		return engine.Raw{}, buf, ErrDamaged
	}
	if need := int(subject + data); cap(buf) < need {
		buf = make([]byte, need)
	}
	buf = buf[:subject+data]
	if _, err := io.ReadFull(from, buf); err != nil {
		return engine.Raw{}, buf, ErrDamaged
	}
	return engine.Raw{
		Subject: string(buf[:subject]),
		Seq:     binary.LittleEndian.Uint64(head[8:]),
		At:      time.Unix(0, int64(binary.LittleEndian.Uint64(head[16:]))),
		Data:    buf[subject:],
	}, buf, nil
}
