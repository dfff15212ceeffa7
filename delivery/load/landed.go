package load

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"sluice/relay/registry"
)

// Landed is one landed file of a payload stream.
type Landed struct {
	Name string // the object's, as the sink has it
	Size int64  // bytes
}

// receiptsSuffix is that of the file beside a landed one which tells for each payload where it came from.
const receiptsSuffix = ".receipts"

// maxRecord bounds one record of a landed file, more than the largest payload is.
const maxRecord = 32 << 20

// receipt is one line of a receipts file.
type receipt struct {
	RequestID string    `json:"_request_id"`
	Received  time.Time `json:"_received_at"`
	Records   int       `json:"records"` // how many of the landed file's came of this payload
}

// filesOf gives the landed files of a courier's day, in the order of their names, which is that of their time.
func (s *Service) filesOf(ctx context.Context, c *registry.Courier, day time.Time) ([]Landed, error) {
	all, err := s.cfg.List(ctx, c.Stream, day)
	if err != nil {
		return nil, fmt.Errorf("list the landed files of stream %s: %w", c.Stream.Name, err)
	}
	hour := c.FilePatternPrefix
	if hour == "24" {
		hour = "00" // two names of midnight, and the day begins with it
	}
	all = slices.DeleteFunc(slices.Clone(all), func(f Landed) bool {
		base := path.Base(f.Name)
		plain := strings.TrimSuffix(base, ".gz")
		return !strings.HasPrefix(base, hour) || path.Ext(plain) != ".ndjson" && path.Ext(plain) != ".cbor"
	})
	slices.SortFunc(all, func(a, b Landed) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// reader reads the records of one landed file, each with its receipt. One goroutine.
type reader struct {
	next     func() (string, error) // the next record's text; io.EOF behind the last
	receipts *json.Decoder          // nil: there are none
	now      receipt
	left     int
	closers  []io.Closer
}

// read opens a landed file. An *Unready says that it is not what the courier was told.
func (s *Service) read(ctx context.Context, c *registry.Courier, file Landed) (_ *reader, err error) {
	r := &reader{}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	body, err := r.open(ctx, s, c.Stream, file.Name)
	if err != nil {
		return nil, err
	}
	plain := strings.TrimSuffix(file.Name, ".gz")
	switch {
	case strings.HasSuffix(plain, ".cbor") != (c.FileFormat == registry.FormatXML):
		return nil, &Unready{fmt.Sprintf("File %s is not of the courier's format %s", file.Name, c.FileFormat)}
	case c.FileFormat == registry.FormatXML:
		r.next = cborRecords(body)
	case c.FileFormat == registry.FormatJSON:
		r.next = jsonRecords(body)
	default:
		r.next = lineRecords(body)
	}
	beside := strings.TrimSuffix(plain, path.Ext(plain)) + receiptsSuffix
	receipts, err := r.open(ctx, s, c.Stream, beside)
	switch {
	case err == nil:
		r.receipts = json.NewDecoder(receipts)
	case !errors.Is(err, ErrNoFile):
		return nil, err
	}
	return r, nil
}

func (r *reader) open(ctx context.Context, s *Service, st *registry.Stream, name string) (io.Reader, error) {
	body, err := s.cfg.Open(ctx, st, name)
	if err != nil {
		return nil, fmt.Errorf("landed file %s: %w", name, err)
	}
	r.closers = append(r.closers, body)
	if !strings.HasSuffix(name, ".gz") {
		return body, nil
	}
	unpacked, err := gzip.NewReader(body)
	if err != nil {
		return nil, fmt.Errorf("landed file %s: %w", name, err)
	}
	return unpacked, nil
}

func (r *reader) close() {
	for _, c := range r.closers {
		_ = c.Close() // it was only read
	}
}

// record gives the next record, false behind the last.
func (r *reader) record() (record, bool, error) {
	text, err := r.next()
	if errors.Is(err, io.EOF) {
		return record{}, false, r.ended()
	}
	if err != nil {
		return record{}, false, fmt.Errorf("reading a landed file: %w", err)
	}
	if r.receipts == nil {
		return record{text: text}, true, nil
	}
	for r.left == 0 {
		if err := r.receipts.Decode(&r.now); err != nil {
			return record{}, false, fmt.Errorf("%w: %w", errReceipts, err)
		}
		r.left = r.now.Records
	}
	r.left--
	return record{text: text, requestID: r.now.RequestID, received: r.now.Received}, true, nil
}

// ended holds a file that has ended to its receipts: where they tell of more records, some of the file is missing.
func (r *reader) ended() error {
	if r.receipts == nil {
		return nil
	}
	for left := r.left; ; left = r.now.Records {
		if left > 0 {
			return fmt.Errorf("%w: it has fewer records", errReceipts)
		}
		switch err := r.receipts.Decode(&r.now); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%w: %w", errReceipts, err)
		}
	}
}

func lineRecords(body io.Reader) func() (string, error) {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 64<<10), maxRecord)
	return func() (string, error) {
		for lines.Scan() {
			if len(bytes.TrimSpace(lines.Bytes())) > 0 {
				return lines.Text(), nil
			}
		}
		if err := lines.Err(); err != nil {
			return "", err
		}
		return "", io.EOF
	}
}

func jsonRecords(body io.Reader) func() (string, error) {
	values := json.NewDecoder(body)
	return func() (string, error) {
		var raw json.RawMessage
		err := values.Decode(&raw)
		return string(raw), err
	}
}

// Sample is the beginning of a landed file, to see what feeds can be made of it.
type Sample struct {
	Landed
	Records []json.RawMessage
}

const (
	sampleFiles   = 3
	sampleRecords = 10
	sampleBytes   = 256 << 10 // of all records together
)

// Samples gives the beginnings of a courier's newest files of a day, the newest first.
func (s *Service) Samples(ctx context.Context, c *registry.Courier, day time.Time) ([]Sample, error) {
	files, err := s.filesOf(ctx, c, day)
	if err != nil {
		return nil, err
	}
	slices.Reverse(files)
	all := []Sample{}
	room := sampleBytes
	for _, file := range files[:min(len(files), sampleFiles)] {
		sample, err := s.sample(ctx, c, file, &room)
		if err != nil {
			return nil, err
		}
		all = append(all, sample)
	}
	return all, nil
}

func (s *Service) sample(ctx context.Context, c *registry.Courier, file Landed, room *int) (Sample, error) {
	sample := Sample{Landed: file, Records: []json.RawMessage{}}
	r, err := s.read(ctx, c, file)
	if err != nil {
		return sample, err
	}
	defer r.close()
	for len(sample.Records) < sampleRecords {
		next, more, err := r.record()
		if err != nil {
			return sample, err
		}
		if *room -= len(next.text); !more || *room < 0 {
			break
		}
		if json.Valid([]byte(next.text)) {
			sample.Records = append(sample.Records, json.RawMessage(next.text))
		}
	}
	return sample, nil
}
