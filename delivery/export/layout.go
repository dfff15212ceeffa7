package export

import (
	"context"
	"io"
	"slices"
	"time"
)

// layout says what objects a plan becomes: how they are called and what is in them. There are three: the windows of exporters, of
// events and of keys, and the landing files of payloads.
type layout interface {
	// parts are the objects that can come of a plan, the one that it is about first. Equal plans have equal parts.
	parts(p *plan) []part
	// memory is about how much of the objects may be in memory at one time.
	memory(p *plan) int64
	// write reads the planned events and writes them, part by part where to(n) leads. A part that is not written to has no object. What is
	// written of a plan's events is the same however often it is asked for.
	write(ctx context.Context, p *plan, to func(n int) io.Writer) error
}

// part is one object of a plan.
type part struct{ name, upload string }

// windows is the layout of exporters: one object of JSON Lines for each window.
type windows struct{ *exporter }

func (l windows) parts(p *plan) []part {
	return []part{{name: objectName(l.prefixOf(p), time.Unix(p.Window, 0), l.stream.UUID, p.Index), upload: p.Upload}}
}

// prefixOf is what the names of a plan's objects begin with.
func (e *exporter) prefixOf(p *plan) string {
	if p.Prefix != nil {
		return *p.Prefix
	}
	return e.prefix
}

func (l windows) memory(p *plan) int64 { return min(p.Bytes, PartBytes) }

func (l windows) write(ctx context.Context, p *plan, to func(int) io.Writer) error {
	return l.relay.Between(ctx, l.stream, p.From, p.To, func(lines []byte) error {
		_, err := to(0).Write(lines)
		return err
	})
}

// parcels are the objects of a plan while they are being written, by part. One goroutine.
type parcels struct {
	ctx   context.Context
	store Store
	parts []part
	have  []Found // a part that is Own already is read past
	size  int64

	objects []Object
}

func (ps *parcels) to(n int) io.Writer {
	if ps.have[n] == Own {
		return io.Discard
	}
	return &parcel{ps, n}
}

func (ps *parcels) begun() bool {
	return slices.ContainsFunc(ps.objects, func(o Object) bool { return o != nil })
}

// commit makes the objects appear, the first part last: who sees that one sees all. It tells whether there were any; after an error
// nothing is left open.
func (ps *parcels) commit(err error) (written bool, _ error) {
	for n := len(ps.objects) - 1; n >= 0; n-- {
		switch o := ps.objects[n]; {
		case o == nil:
		case err != nil:
			o.Abort()
		default:
			written = true
			err = o.Commit()
		}
	}
	return written && err == nil, err
}

// parcel begins its object with the first byte.
type parcel struct {
	of *parcels
	n  int
}

func (p *parcel) Write(b []byte) (int, error) {
	ps := p.of
	if ps.objects[p.n] == nil {
		o, err := ps.store.Create(ps.ctx, ps.parts[p.n].name, ps.parts[p.n].upload, ps.size)
		if err != nil {
			return 0, err
		}
		ps.objects[p.n] = o
	}
	return ps.objects[p.n].Write(b)
}
