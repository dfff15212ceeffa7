package export

import (
	"context"
	"io"
	"time"
)

// keyRow is about how many bytes of CSV come of a key, compared with an event: events of the same person share one.
const keyRow = 512

// keyWindows is the layout of exporters of keys: for each window a CSV of the keys that its events are sealed under, each
// once. A key serves a day, and so may be in the objects of many windows; in each it is the same.
type keyWindows struct{ *exporter }

func (l keyWindows) parts(p *plan) []part {
	return []part{{name: keysName(l.prefixOf(p), time.Unix(p.Window, 0), l.stream.UUID, p.Index), upload: p.Upload}}
}

func (l keyWindows) memory(p *plan) int64 { return min(max(p.Bytes, keyRow), PartBytes) }

func (l keyWindows) write(ctx context.Context, p *plan, to func(int) io.Writer) error {
	return l.relay.Keys(ctx, l.stream, p.From, p.To, func(lines []byte) error {
		_, err := to(0).Write(lines)
		return err
	})
}
