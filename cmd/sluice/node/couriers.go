package node

import (
	"context"
	"errors"
	"io"
	"time"

	"sluice/delivery/export"
	"sluice/delivery/load"
	"sluice/relay/registry"
)

// landed lets couriers read what exports have landed; neither of the two knows the other.
type landed struct{ exports *export.Exports }

func (l landed) list(ctx context.Context, st *registry.Stream, day time.Time) ([]load.Landed, error) {
	files, err := l.exports.Landed(ctx, st, day, "")
	all := make([]load.Landed, len(files))
	for i, f := range files {
		all[i] = load.Landed{Name: f.Name, Size: f.Size}
	}
	return all, err
}

func (l landed) open(ctx context.Context, st *registry.Stream, name string) (io.ReadCloser, error) {
	body, err := l.exports.OpenLanded(ctx, st, name)
	if errors.Is(err, export.ErrAbsent) {
		err = load.ErrNoFile
	}
	return body, err
}
