package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"sluice/auth"
	"sluice/relay"
	"sluice/relay/registry"
)

const (
	readMaxLimit   = 100_000
	readMaxTimeout = 10 * time.Minute
)

// readQuery is what a reader of raw events asks for.
type readQuery struct {
	from    relay.Position
	limit   int           // events; 0: any number
	timeout time.Duration // 0: none
	format  relay.Format
}

// poll tells whether the answer ends by itself.
func (q readQuery) poll() bool { return q.limit > 0 || q.timeout > 0 }

// until is when an answer to the request ends by itself; zero: never.
func (q readQuery) until(rq *request) time.Time {
	if q.timeout == 0 {
		return time.Time{}
	}
	return rq.body.begun.Add(q.timeout)
}

// getEvents shows a stream's events as lines, or as server-sent events: GET /v1/streams/{stream}/events.
func (g *Gateway) getEvents(rq *request, rs *response) {
	gr, no, err := g.admit(rq, auth.Read, streamOf(rq.path))
	switch {
	case err != nil:
		g.fail(rq, rs, shapeManage, err)
		return
	case no.status != 0:
		no.write(rs, shapeManage)
		return
	}
	g.openEvents(rq, rs, gr, shapeManage, wantsServerEvents(rq.header))
}

// parseReadQuery reads the parameters. The error is a text for the user.
func parseReadQuery(rq *request) (q readQuery, err error) {
	from, _ := rq.param("from")
	if q.from, err = relay.ParsePosition(from); err != nil {
		return q, fmt.Errorf("Parameter from: %w", err) //nolint:staticcheck // the reader of this text is a user
	}
	if v, ok := rq.param("limit"); ok {
		if q.limit, err = strconv.Atoi(v); err != nil || q.limit < 1 || q.limit > readMaxLimit {
			return q, fmt.Errorf("Parameter limit must be a number of events from 1 to %d", readMaxLimit) //nolint:staticcheck // likewise
		}
	}
	if v, ok := rq.param("timeout"); ok {
		if q.timeout, err = time.ParseDuration(v); err != nil || q.timeout <= 0 || q.timeout > readMaxTimeout {
			return q, errors.New("Parameter timeout must be a time like 30s, at most 10m") //nolint:staticcheck // likewise
		}
	}
	switch v, _ := rq.param("envelope"); v {
	case "", "none":
	case "offset":
		q.format = relay.Offsets
	case "airship":
		q.format = relay.Airship
	default:
		return q, errors.New("Parameter envelope must be none, offset or airship") //nolint:staticcheck // likewise
	}
	return q, nil
}

// alive makes the question that an endless answer asks before it sends anything: does its reader still have the right it
// was opened with, to the same view? It costs something only where the registry has changed since. A token that has run
// out in the meantime does not end what it opened; one that was revoked does, and so does a stream that was deleted,
// disabled or given other levels.
func (g *Gateway) alive(rq *request, gr grant, a auth.Action) func() bool {
	token := append([]byte(nil), rq.bearer()...)
	who, st := gr.who, gr.stream
	var seen *registry.Snapshot
	return func() bool {
		snap := g.registry.Snapshot()
		if snap == seen {
			return true
		}
		now, err := g.registry.Authenticate(token)
		if err != nil && !errors.Is(err, auth.ErrExpired) || err == nil && now != who {
			return false
		}
		same := snap.StreamByUUID(st.UUID)
		if same == nil || same.Rule != st.Rule || snap.Authorize(who, a, same) != registry.Allowed {
			return false
		}
		seen = snap
		return true
	}
}

// streamHead is the head of an answer that the stream writer goes on with. Its fields are borrowed, as a request's are.
type streamHead struct {
	contentType string
	bare        bool // for HTTP/1.0
	gzip        bool
	keepOpen    bool
	extra       []field
}

// streamFields are in the head of every such answer. A proxy that buffers or repacks it shows its reader nothing.
var streamFields = []field{{"Cache-Control", "no-cache, no-transform"}, {"X-Accel-Buffering", "no"}, {"Vary", "Accept-Encoding"}}

// append writes the head of HTTP/1. Its version is the server's, whatever the client's.
func (h streamHead) append(dst []byte) []byte {
	line := func(name, value string) {
		dst = append(dst, name...)
		dst = append(dst, ": "...)
		dst = append(dst, value...)
		dst = append(dst, '\r', '\n')
	}
	dst = append(dst, "HTTP/1.1 200 OK\r\n"...)
	line("Date", time.Now().UTC().Format(http.TimeFormat))
	if !h.bare {
		line("Transfer-Encoding", "chunked")
	}
	if !h.keepOpen {
		line("Connection", "close")
	}
	h.each(line)
	return append(dst, '\r', '\n')
}

// each gives the fields that are the same in every version of HTTP.
func (h streamHead) each(give func(name, value string)) {
	give("Content-Type", h.contentType)
	for _, f := range streamFields {
		give(f.name, f.value)
	}
	if h.gzip {
		give("Content-Encoding", "gzip")
	}
	for _, f := range h.extra {
		give(f.name, f.value)
	}
}
