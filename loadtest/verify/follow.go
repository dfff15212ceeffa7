package verify

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Follower reads a stream over HTTP, each event with its offset. Its fields are read only; any number
// of goroutines may use it.
type Follower struct {
	Base   string // http://host:port
	Stream string
	Token  string
	Gzip   bool // ask for gzip
}

// maxLine bounds one line of a stream.
const maxLine = 4 << 20

// Read makes one request and calls each for every event until the answer ends, each fails, or ctx
// ends. The body is valid during the call only. Query holds `from`, and where wanted `limit` and
// `timeout`. Next is where the following call goes on, also when nothing arrived; empty when the
// answer gave no offset. Errors: *StatusError, ErrCut, what each returned, or the connection's.
func (f *Follower) Read(ctx context.Context, query url.Values, each func(offset uint64, body []byte) error) (next string, err error) {
	q := url.Values{"envelope": {"offset"}}
	for k, v := range query {
		q[k] = v
	}
	target := f.Base + "/v1/streams/" + url.PathEscape(f.Stream) + "/events?" + q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+f.Token)
	// A transport of its own: the connection dies with the request, as that of curl does. Transparent
	// decompression is what asks for gzip.
	transport := &http.Transport{DisableCompression: !f.Gzip, ReadBufferSize: 64 << 10}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return "", &StatusError{Status: resp.StatusCode, Text: string(text)}
	}
	if f.Gzip && !resp.Uncompressed {
		return "", errors.New("asked for gzip and got plain text")
	}
	return readLines(resp.Body, each)
}

// line is either an event in its offset envelope or the last line of a bounded answer.
type line struct {
	Type   string          `json:"type"`
	Offset string          `json:"offset"`
	Event  json.RawMessage `json:"event"`
}

func readLines(body io.Reader, each func(offset uint64, body []byte) error) (next string, err error) {
	in := bufio.NewScanner(body)
	in.Buffer(make([]byte, 64<<10), maxLine)
	in.Split(wholeLines)
	for in.Scan() {
		if len(in.Bytes()) == 0 {
			continue // keepalive
		}
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return next, fmt.Errorf("a line of the stream: %w", err)
		}
		offset, err := strconv.ParseUint(l.Offset, 10, 53)
		if err != nil {
			return next, fmt.Errorf("an offset of the stream: %w", err)
		}
		next = l.Offset
		if l.Event == nil {
			if l.Type != "OFFSET_UPDATE" {
				return next, errors.New("a line of the stream has no event")
			}
			continue
		}
		if err := each(offset, l.Event); err != nil {
			return next, err
		}
	}
	return next, in.Err()
}

// wholeLines is a bufio.SplitFunc that gives only lines that end: what a dying server has begun is
// no event.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, ErrCut
	}
	return 0, nil, nil
}

// All reads from the beginning until nothing new came for the quiet time.
func (f *Follower) All(ctx context.Context, quiet time.Duration, each func(offset uint64, body []byte) error) error {
	from, n := "EARLIEST", 0
	for {
		n = 0
		query := url.Values{"from": {from}, "limit": {"100000"}, "timeout": {quiet.String()}}
		next, err := f.Read(ctx, query, func(offset uint64, body []byte) error {
			n++
			return each(offset, body)
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		from = next
	}
}

// Resume reads an endless stream from its beginning and, whenever the connection ends, goes on behind
// the last event it got, until ctx ends. It gives the number of times it went on, and an error only
// for what will not pass: a refusal of 4xx or a fault that each reported.
func (f *Follower) Resume(ctx context.Context, each func(offset uint64, body []byte) error) (resumed int, err error) {
	from := "EARLIEST"
	for {
		var failed error
		_, err := f.Read(ctx, url.Values{"from": {from}}, func(offset uint64, body []byte) error {
			from = strconv.FormatUint(offset, 10)
			failed = each(offset, body)
			return failed
		})
		if failed != nil {
			return resumed, failed
		}
		if ctx.Err() != nil {
			return resumed, nil
		}
		var refusal *StatusError
		if errors.As(err, &refusal) && refusal.Status >= 400 && refusal.Status < 500 {
			return resumed, err
		}
		resumed++
		select {
		case <-ctx.Done():
			return resumed, nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}
