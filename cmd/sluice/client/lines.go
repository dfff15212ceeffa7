package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// maxLine bounds one event as it comes in, in bytes: the largest that can be stored, opened and wrapped, stays far below.
const maxLine = 64 << 20

// Lines is an answer of events in progress, one a line. One goroutine, but for Close.
type Lines struct {
	body   io.ReadCloser
	reader *bufio.Reader
}

// Events opens a stream's events with the parameters of the query; from, limit, timeout and envelope are the API's own. When it returns,
// the place of from is fixed. The answer ends with ctx. Errors as Send.
func (c *Client) Events(ctx context.Context, stream string, query url.Values) (*Lines, error) {
	resp, err := c.Send(ctx, http.MethodGet, StreamPath(stream)+"/events?"+query.Encode(), nil, http.Header{})
	if err != nil {
		return nil, err
	}
	return &Lines{body: resp.Body, reader: bufio.NewReaderSize(resp.Body, 64<<10)}, nil
}

// Airship opens the endless answer that streaming clients of Airship read, with a user's name and password in place of the client's token.
// request is theirs: start, filters, subset. The answer ends with ctx. Errors as Send.
func (c *Client) Airship(ctx context.Context, user, password string, request any) (*Lines, error) {
	text, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	resp, err := c.As("").Send(ctx, http.MethodPost, "/api/events", bytes.NewReader(text), http.Header{
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))},
		"Content-Type":  {"application/json"}, "Accept": {"application/vnd.urbanairship+x-ndjson; version=3;"},
	})
	if err != nil {
		return nil, err
	}
	return &Lines{body: resp.Body, reader: bufio.NewReaderSize(resp.Body, 64<<10)}, nil
}

// Next waits for the next line and gives it without its end; signs of life are left out. It is valid until the next call. io.EOF says
// that the answer ended in order; a line that was cut short is not given.
func (l *Lines) Next() ([]byte, error) {
	for {
		line, err := l.line()
		if err != nil || len(line) > 0 {
			return line, err
		}
	}
}

// Waiting tells whether more has arrived already, so that Next would not wait for the network.
func (l *Lines) Waiting() bool { return l.reader.Buffered() > 0 }

// Close ends the answer.
func (l *Lines) Close() error { return l.body.Close() }

func (l *Lines) line() ([]byte, error) {
	line, err := l.reader.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) > maxLine {
				return nil, fmt.Errorf("the server sent a line of more than %d bytes", maxLine)
			}
			line, err = l.reader.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
