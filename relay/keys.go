package relay

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"sluice/relay/consent"
	"sluice/relay/engine"
	"sluice/relay/registry"
)

const (
	// scanBlocks is how many blocks are read for one place among those who read the log.
	scanBlocks = 64
	// keyPiece is about how many bytes of keys are given out at a time.
	keyPiece = 64 << 10
)

// keysHeader is the first line of exported keys.
var keysHeader = []string{"keyLink", "encryptionKey", "policyId", "expiresAt"}

// KeyLink is a key that a person's events are sealed under.
type KeyLink struct {
	Link engine.KeyLink
	Ends time.Time // no event from then on has it
}

// String is the link as events show it.
func (k KeyLink) String() string { return string(appendUUID(nil, k.Link)) }

// KeyLinks finds the key links of a person in the retained events of a source stream behind an offset, each once, in the
// order of their first events: what there is since the person was last forgotten. It reads the log, for there is no list
// of people anywhere, and stops when it has most of them or when until has come; then next is where to go on, else 0.
func (r *Relay) KeyLinks(ctx context.Context, st *registry.Stream, subject string, from engine.Offset, most int, until time.Time) (links []KeyLink, next engine.Offset, err error) {
	places, err := r.vault.Places(ctx, st.Log.ID, subject)
	if err != nil {
		return nil, 0, fmt.Errorf("look where a person's events are: %w", err)
	}
	if len(places) == 0 {
		return nil, 0, nil
	}
	_, last, err := r.engine.Bounds(ctx, st.Log)
	if err != nil {
		return nil, 0, fmt.Errorf("look for the end of stream %s: %w", st.Name, err)
	}
	seen := map[engine.KeyLink]struct{}{}
	err = r.eachRecord(ctx, st, from, last, func(o engine.Offset, rec *engine.Record) bool {
		at := rec.Locator
		at.Turn = 0
		for _, p := range places {
			if at != p {
				continue
			}
			if _, known := seen[rec.KeyLink]; !known {
				seen[rec.KeyLink] = struct{}{}
				links = append(links, KeyLink{rec.KeyLink, time.UnixMilli(consent.Ends(rec.Processed, rec.Locator)).UTC()})
			}
		}
		if len(links) >= most || o.Index() == 0 && !time.Now().Before(until) {
			next = o
		}
		return next == 0
	})
	if next >= last {
		next = 0
	}
	return links, next, err
}

// Keys gives the keys of a source stream's events behind from, up to and with to, as CSV: a line for each key link, once,
// with its key as a Tink keyset in JSON, and when it ends in Unix milliseconds. fn gets whole lines, the header before
// the first key, which are valid until it returns; an error of fn ends it. Without a key there is no line at all. Keys of
// people who are forgotten are not in it. It holds 16 bytes and a map's own for each link.
func (r *Relay) Keys(ctx context.Context, st *registry.Stream, from, to engine.Offset, fn func(lines []byte) error) error {
	k := keyLines{relay: r, stream: st, fn: fn, seen: map[engine.KeyLink]struct{}{}}
	k.csv = csv.NewWriter(&k.piece)
	var failed error
	err := r.eachRecord(ctx, st, from, to, func(o engine.Offset, rec *engine.Record) bool {
		if failed = k.take(ctx, rec); failed != nil {
			failed = fmt.Errorf("key of offset %s: %w", o, failed)
		}
		return failed == nil
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	return k.give()
}

// keyLines is one Keys. One goroutine.
type keyLines struct {
	relay  *Relay
	stream *registry.Stream
	fn     func([]byte) error
	seen   map[engine.KeyLink]struct{}
	begun  bool // the header is written
	piece  bytes.Buffer
	csv    *csv.Writer
}

// take writes the line of an event's key, unless it was written before.
func (k *keyLines) take(ctx context.Context, rec *engine.Record) error {
	if _, known := k.seen[rec.KeyLink]; known || rec.KeyLink == (engine.KeyLink{}) {
		return nil
	}
	k.seen[rec.KeyLink] = struct{}{}
	key, err := k.relay.vault.KeyAt(ctx, k.stream.Log.ID, rec.KeyLink, rec.Locator)
	var keyset []byte
	if err == nil {
		keyset, err = key.Keyset()
	}
	switch {
	case closedForGood(err):
		return nil
	case err != nil:
		return err
	}
	if !k.begun {
		k.begun = true
		if err := k.csv.Write(keysHeader); err != nil {
			return err
		}
	}
	ends := strconv.FormatInt(consent.Ends(rec.Processed, rec.Locator), 10)
	if err := k.csv.Write([]string{string(appendUUID(nil, rec.KeyLink)), string(keyset), "", ends}); err != nil {
		return err
	}
	if k.csv.Flush(); k.piece.Len() < keyPiece {
		return nil
	}
	return k.give()
}

// give hands on what there is.
func (k *keyLines) give() error {
	if k.csv.Flush(); k.piece.Len() == 0 {
		return nil
	}
	err := k.fn(k.piece.Bytes())
	clear(k.piece.Bytes()) // keys in clear
	k.piece.Reset()
	return err
}

// eachRecord calls fn with the stored events of a stream behind from, up to and with to, until it says false. The record
// is valid until fn returns. A block that cannot be read is logged and left out.
func (r *Relay) eachRecord(ctx context.Context, st *registry.Stream, from, to engine.Offset, fn func(engine.Offset, *engine.Record) bool) error {
	cursor := r.engine.Read(st.Log, from)
	defer cursor.Close()
	done := from
	some := func() (more bool, err error) {
		if err := r.catchUps.Acquire(ctx, 1); err != nil {
			return false, err
		}
		defer r.catchUps.Release(1)
		for range scanBlocks {
			block, err := cursor.Next(ctx)
			if err == nil {
				more = true
				err = block.Each(func(o engine.Offset, rec *engine.Record) bool {
					if o > done {
						done, more = o, o <= to && fn(o, rec)
					}
					return more
				})
				block.Recycle()
			}
			switch {
			case errors.Is(err, io.EOF):
				return false, nil
			case errors.Is(err, engine.ErrCorrupt):
				r.log.Error("a block of a stream cannot be read and is left out", slog.String("stream", st.Log.ID.String()), slog.Any("error", err))
			case err != nil:
				return false, fmt.Errorf("read behind offset %s: %w", done, err)
			case !more || done >= to:
				return false, nil
			}
		}
		return true, nil
	}
	for more := true; more; {
		var err error
		if more, err = some(); err != nil {
			return err
		}
	}
	return nil
}
