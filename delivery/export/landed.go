package export

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"sluice/relay/registry"
)

// Landed lists the landed files of a stream's day (UTC), in the order of their names, which begin with the time of acceptance; hour, such as
// 08, names those of an hour only, and is empty for the whole day. None where the stream takes no payloads. Errors: a *Refused, or the
// store's.
func (x *Exports) Landed(ctx context.Context, st *registry.Stream, day time.Time, hour string) ([]Stored, error) {
	var all []Stored
	err := x.eachOf(ctx, landedRoot, st, day, hour, func(_ Store, o Stored) error {
		all = append(all, o)
		return nil
	})
	return all, err
}

// OpenLanded opens a landed file of a stream by its name, as it lies in the store; with the extension ".receipts" instead of its own the
// lines that say where its records came from, a Receipt each. The caller closes it. ErrAbsent: the stream has no such file.
func (x *Exports) OpenLanded(ctx context.Context, st *registry.Stream, name string) (io.ReadCloser, error) {
	rest, ok := strings.CutPrefix(name, path.Join(landedRoot, st.Project.Name, st.PublicID)+"/")
	if !ok || x.landing == "" || st.Payload == "" {
		return nil, ErrAbsent
	}
	if stem, ok := strings.CutSuffix(rest, receiptSuffix); ok {
		name = path.Join(receiptRoot, st.Project.Name, st.PublicID, stem+".ndjson")
	}
	store, err := x.landingStore(st)
	if err != nil {
		return nil, err
	}
	body, err := store.Open(ctx, name)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &opened{body, store}, nil
}

// opened is an object with the store that it is read from.
type opened struct {
	io.ReadCloser
	store Store
}

func (o *opened) Close() error { return errors.Join(o.ReadCloser.Close(), o.store.Close()) }

// errEnough ends a listing that has what it looked for.
var errEnough = errors.New("enough")

// asideRoom is how many bytes of files Unparsable gives at one time, but for one larger payload.
const asideRoom = 4 << 20

// Unparsable gives the payloads of a stream's day (UTC) that were set aside, in the order of their files: at most most and about 4 MiB, those
// behind an offset. They are to be seen once their window has landed.
func (x *Exports) Unparsable(ctx context.Context, st *registry.Stream, day time.Time, behind uint64, most int) ([]Aside, error) {
	all, size := []Aside{}, 0
	err := x.eachOf(ctx, asideRoot, st, day, "", func(store Store, o Stored) error {
		body, err := store.Open(ctx, o.Name)
		if errors.Is(err, ErrAbsent) {
			return nil
		}
		if err != nil {
			return err
		}
		defer body.Close() //nolint:errcheck // it was only read
		lines := bufio.NewScanner(body)
		lines.Buffer(make([]byte, 64<<10), asideBytes)
		for lines.Scan() {
			var a Aside
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				return fmt.Errorf("the payloads set aside in %s: %w", o.Name, err)
			}
			if uint64(a.Offset) <= behind {
				continue
			}
			size += len(lines.Bytes())
			if size > asideRoom && len(all) > 0 {
				return errEnough
			}
			if all = append(all, a); len(all) == most {
				return errEnough
			}
		}
		return lines.Err()
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return all, err
}

// eachOf calls fn with the files of a stream's day below a root.
func (x *Exports) eachOf(ctx context.Context, root string, st *registry.Stream, day time.Time, hour string, fn func(Store, Stored) error) error {
	if x.landing == "" || st.Payload == "" {
		return nil
	}
	store, err := x.landingStore(st)
	if err != nil {
		return err
	}
	err = store.List(ctx, dayOf(root, st, day)+"/"+hour, func(o Stored) error { return fn(store, o) })
	return errors.Join(err, store.Close())
}
