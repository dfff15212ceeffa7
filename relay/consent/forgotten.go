package consent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"sluice/relay/engine"
)

// A backup holds the keys of people who were forgotten after it was taken. So each Forget is noted beside the keys, outside of the
// log, before it is carried out, and whoever restores the backup forgets again what was noted: see Replay. The list names nobody. A
// note is a stream, an era and a leaf, and who a leaf was nobody can tell without the person's name and the era's index key.
//
// The file forgotten in the folder of the key files is text, a note a line: stream in 32 hex digits, era, the day of 1970 on which the
// era ends, leaf in 16 hex digits. Lines that begin with # are remarks, so that lists may be joined with cat. A last line without an
// end is what a crash has left of a Forget that was not answered.
//
// A note leaves the list when ForgottenReach has passed since the end of its era.

// ForgottenFile is the name of the list in the folder of the key files.
const ForgottenFile = "forgotten"

// ForgottenReach is how old a backup may be for the list to name everybody who was forgotten since: 400 days.
const ForgottenReach = 400 * day

const forgottenHead = "# Who was forgotten, without names: stream, era, last day of the era, leaf. For sluice restore.\n"

// Forgotten is one note of the list.
type Forgotten struct {
	Stream engine.StreamID
	Era    uint32
	End    uint32 // the day of 1970 on which the era ends
	Leaf   uint64
}

func (f Forgotten) append(line []byte) []byte {
	line = hex.AppendEncode(line, f.Stream[:])
	line = strconv.AppendUint(append(line, ' '), uint64(f.Era), 10)
	line = strconv.AppendUint(append(line, ' '), uint64(f.End), 10)
	return fmt.Appendf(line, " %016x\n", f.Leaf)
}

// parseForgotten reads a line without its end. ErrDamaged.
func parseForgotten(line []byte) (f Forgotten, err error) {
	parts := bytes.Fields(line)
	if len(parts) != 4 || len(parts[0]) != hex.EncodedLen(len(f.Stream)) || len(parts[3]) != 16 {
		return f, ErrDamaged
	}
	_, err = hex.Decode(f.Stream[:], parts[0])
	era, eraErr := strconv.ParseUint(string(parts[1]), 10, 32)
	end, endErr := strconv.ParseUint(string(parts[2]), 10, 32)
	leaf, leafErr := strconv.ParseUint(string(parts[3]), 16, 64)
	if errors.Join(err, eraErr, endErr, leafErr) != nil {
		return f, ErrDamaged
	}
	f.Era, f.End, f.Leaf = uint32(era), uint32(end), leaf
	return f, nil
}

// over tells whether the note may leave the list.
func (f Forgotten) over(now time.Time) bool {
	e := eraEntry{end: f.End}
	return e.endOf().Add(ForgottenReach).Before(now)
}

// ReadForgotten reads a list to its end. ErrDamaged names the line. A last line without its end is left out.
func ReadForgotten(r io.Reader) iter.Seq2[Forgotten, error] {
	return func(yield func(Forgotten, error) bool) {
		lines := bufio.NewReader(r)
		for number := 1; ; number++ {
			line, err := lines.ReadSlice('\n')
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil && !errors.Is(err, bufio.ErrBufferFull):
				yield(Forgotten{}, fmt.Errorf("list of the forgotten: %w", err))
				return
			}
			if line = bytes.TrimSpace(line); err == nil && (len(line) == 0 || line[0] == '#') {
				continue
			}
			f, wrong := parseForgotten(line)
			if err != nil || wrong != nil {
				yield(Forgotten{}, fmt.Errorf("list of the forgotten, line %d: %w", number, ErrDamaged))
				return
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

func (v *Vault) forgottenFile() string { return filepath.Join(v.cfg.Dir, ForgottenFile) }

// note has noted the leaves of each era of a view when it returns nil.
func (v *Vault) note(id engine.StreamID, eras []*era, leaves [][]uint64) error {
	var lines []byte
	for i, e := range eras {
		for _, leaf := range leaves[i] {
			lines = Forgotten{Stream: id, Era: e.number, End: e.end, Leaf: leaf}.append(lines)
		}
	}
	return v.appendForgotten(lines)
}

func (v *Vault) appendForgotten(lines []byte) (err error) {
	if len(lines) == 0 {
		return nil
	}
	v.list.Lock()
	defer v.list.Unlock()
	file, err := os.OpenFile(v.forgottenFile(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("noting who is forgotten: %w", err)
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			err = fmt.Errorf("noting who is forgotten: %w", err)
		}
	}()
	end, err := whole(file)
	if err != nil {
		return err
	}
	if end == 0 {
		lines = append([]byte(forgottenHead), lines...)
	}
	if _, err := file.WriteAt(lines, end); err != nil {
		return err
	}
	if err := file.Truncate(end + int64(len(lines))); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return syncDir(v.cfg.Dir)
}

// whole is the length of a list without what a crash left of a last line.
func whole(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	tail := make([]byte, min(info.Size(), 256)) // more than a line
	if _, err := file.ReadAt(tail, info.Size()-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return info.Size() - int64(len(tail)-bytes.LastIndexByte(tail, '\n')-1), nil
}

// trimForgotten takes the notes out of the list that are past their reach. Called once, at the start: an era is long.
func (v *Vault) trimForgotten() error {
	v.list.Lock()
	defer v.list.Unlock()
	file, err := os.Open(v.forgottenFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	now, past, kept := v.cfg.Now(), false, []byte(forgottenHead)
	for f, err := range ReadForgotten(file) {
		if err != nil {
			return fmt.Errorf("%s: %w", v.forgottenFile(), err)
		}
		if f.over(now) {
			past = true
			continue
		}
		kept = f.append(kept)
	}
	if !past {
		return nil
	}
	return replaceSecret(v.forgottenFile(), kept)
}

// replaceSecret puts a file of mode 0600 in the place of one of that name: after a crash there is the one or the other, whole.
func replaceSecret(name string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*") // of mode 0600
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
	if err := os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// Forgotten is the list of this vault's folder, as it is now; nil when there is none. Another node has a list of its own. The caller
// closes it.
func (v *Vault) Forgotten() (io.ReadCloser, error) {
	v.list.Lock()
	defer v.list.Unlock()
	file, err := os.Open(v.forgottenFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list of the forgotten: %w", err)
	}
	end, err := whole(file)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("list of the forgotten: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(file, end), file}, nil
}

// Replay forgets what lists tell, in a store that was restored: after nil nothing opens the fields of those who are noted. What it
// does not find, such as a stream or an era that the store does not hold, it leaves out. The notes are in this vault's own list
// afterwards, for a backup that is older still. It is repeatable, and tells how many notes there were.
func (v *Vault) Replay(ctx context.Context, notes iter.Seq2[Forgotten, error]) (n int, err error) {
	known := map[engine.StreamID]map[Forgotten]struct{}{}
	for f, err := range notes {
		if err != nil {
			return 0, err
		}
		if f.over(v.cfg.Now()) {
			continue
		}
		if known[f.Stream] == nil {
			known[f.Stream] = map[Forgotten]struct{}{}
		}
		known[f.Stream][f] = struct{}{}
	}
	lines := []byte(forgottenHead)
	for id, set := range known {
		byEra := map[uint32][]uint64{}
		for f := range set {
			n++
			lines = f.append(lines)
			byEra[f.Era] = append(byEra[f.Era], f.Leaf)
		}
		if err := v.replay(ctx, id, byEra); err != nil {
			return 0, fmt.Errorf("forgetting again in stream %s: %w", id, err)
		}
	}
	if n == 0 {
		return 0, nil
	}
	v.list.Lock()
	defer v.list.Unlock()
	return n, replaceSecret(v.forgottenFile(), lines)
}

// replay erases leaves of a stream, so many in a change as Forget does.
func (v *Vault) replay(ctx context.Context, id engine.StreamID, byEra map[uint32][]uint64) error {
	s := v.stream(id)
	if err := s.acquire(ctx); err != nil {
		return err
	}
	defer s.release()
	for number, all := range byEra {
		slices.Sort(all)
		for leaves := range slices.Chunk(all, maxCuts) {
			err := s.retry(ctx, func() error {
				p, w, err := s.read(ctx)
				if err != nil {
					return err
				}
				i := slices.IndexFunc(w.eras, func(e *era) bool { return e.number == number })
				if i < 0 {
					return nil
				}
				some := make([][]uint64, len(w.eras))
				some[i] = leaves
				return s.erase(ctx, p, w, some, nil)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
