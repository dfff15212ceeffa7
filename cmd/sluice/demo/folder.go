package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/cmd/sluice/client"
)

const (
	// exportInterval is the window of the demo's exporter: shorter than an exporter may have where settings says nothing, or there would be
	// nothing to see for half a minute.
	exportInterval = time.Second
	lookEvery      = 200 * time.Millisecond
)

// folder reads what an exporter writes: each file once, in the order of their windows.
type folder struct {
	dir  string
	last object // the last file read
	n    uint64 // events read: what stands in a file has its place and no offset
}

// object is a file's place among the others: the end of its window, and its number in it.
type object struct {
	window string
	number int
}

func (o object) compare(other object) int {
	if c := strings.Compare(o.window, other.window); c != 0 {
		return c
	}
	return o.number - other.number
}

// openFolder makes a sink of a directory and an exporter of a stream that writes there.
func openFolder(ctx context.Context, c *client.Client, stream, dir string) (*folder, error) {
	_, err := c.Call(ctx, http.MethodPost, "/v1/sinks", c.Scope(), map[string]any{"sinkType": "FOLDER", "sinkName": "demo-folder", "bucketName": dir})
	if err == nil {
		_, err = c.Call(ctx, http.MethodPost, "/v1/exporters/"+stream, c.Scope(), map[string]any{
			"name": "demo-files", "sinkName": "demo-folder", "intervalSecs": int(exportInterval / time.Second), "pathPrefix": stream,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("the exporter cannot be made: %w", err)
	}
	return &folder{dir: filepath.Join(dir, stream), last: object{number: -1}}, nil
}

// run books what new files hold, until ctx ends. A file appears whole, under its name.
func (f *folder) run(ctx context.Context, p *page, screen *screen) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
		if err := f.look(p, screen); err != nil {
			return fmt.Errorf("%s: %w", p.label, err)
		}
	}
}

func (f *folder) look(p *page, screen *screen) error {
	entries, err := os.ReadDir(f.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	found := map[object]string{}
	var fresh []object
	for _, e := range entries {
		if o, ok := objectOf(e.Name()); ok && o.compare(f.last) > 0 {
			fresh, found[o] = append(fresh, o), e.Name()
		}
	}
	slices.SortFunc(fresh, object.compare)
	for _, o := range fresh {
		if err := f.book(filepath.Join(f.dir, found[o]), p, screen); err != nil {
			return err
		}
		f.last = o
		p.counted()
	}
	return nil
}

var objectName = regexp.MustCompile(`^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)-stream-[0-9a-f-]{36}\{(\d+)\}\.jsonl$`)

func objectOf(name string) (object, bool) {
	m := objectName.FindStringSubmatch(name)
	if m == nil {
		return object{}, false
	}
	n, err := strconv.Atoi(m[2])
	return object{window: m[1], number: n}, err == nil
}

func (f *folder) book(path string, p *page, screen *screen) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 {
			f.n++
			p.received(f.n, line)
			screen.show(p.label, line)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}
