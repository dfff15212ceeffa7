package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"sluice/cmd/sluice/client"
)

const (
	// The public credentials and the place of the test server's events.
	testUser, testPassword  = "sample_connection", "sample_connection"
	testProject, testStream = "test-server", "events"

	testLabel = "test server"
	// auditEvery is how many events are remembered until they are held to the log.
	auditEvery = 1000
	// auditTime bounds one look into the log.
	auditTime = 30 * time.Second
)

// lives reads the test server's made-up lives as a streaming client does, and holds what it got to the log, which it reads a second time
// over another door: the same events, in the same order, each once.
type lives struct {
	client *client.Client
	lines  *client.Lines

	mu       sync.Mutex
	received int
	proved   int
	fault    error

	from    string // behind which the events remembered begin
	pending []life
}

// life is what is remembered of an event.
type life struct {
	ID     string
	Type   string
	Offset uint64 `json:",string"`
}

// openLives begins with the oldest event there is.
func openLives(ctx context.Context, c *client.Client) (*lives, error) {
	lines, err := c.Airship(ctx, testUser, testPassword, map[string]any{"start": "EARLIEST"})
	if err != nil {
		return nil, fmt.Errorf("the test server cannot be read: %w", err)
	}
	return &lives{client: c, lines: lines, from: "EARLIEST"}, nil
}

// run reads until ctx ends, and then holds the rest to the log.
func (l *lives) run(ctx context.Context, screen *screen) error {
	stop := context.AfterFunc(ctx, func() { _ = l.lines.Close() }) // Next is waiting on it
	defer func() {
		if stop() {
			_ = l.lines.Close()
		}
	}()
	for {
		line, err := l.lines.Next()
		if ctx.Err() != nil {
			return l.audit(context.WithoutCancel(ctx))
		}
		if err != nil {
			return fmt.Errorf("the answer of the %s broke off: %w", testLabel, err)
		}
		var e life
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("the %s shows a line that is no event: %w", testLabel, err)
		}
		if e.Type == "OFFSET_UPDATE" {
			continue
		}
		screen.show(testLabel, line)
		l.mu.Lock()
		l.received++
		l.mu.Unlock()
		if l.pending = append(l.pending, e); len(l.pending) == auditEvery {
			if err := l.audit(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// audit holds what is remembered to the log. Its error is of the reading; what differs is a fault, which the summary tells.
func (l *lives) audit(ctx context.Context) error {
	if len(l.pending) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	logged, err := l.client.Events(ctx, testStream, url.Values{
		"project": {testProject}, "envelope": {"airship"}, "from": {l.from}, "limit": {strconv.Itoa(len(l.pending))},
	})
	if err != nil {
		return fmt.Errorf("the log of the %s cannot be read: %w", testLabel, err)
	}
	defer logged.Close()
	for _, got := range l.pending {
		line, err := logged.Next()
		if err != nil {
			return fmt.Errorf("the log of the %s broke off: %w", testLabel, err)
		}
		var want life
		if err := json.Unmarshal(line, &want); err != nil {
			return err
		}
		l.mu.Lock()
		if got == want {
			l.proved++
		} else if l.fault == nil {
			l.fault = fmt.Errorf("event %s at offset %d came where the log has %s at offset %d", got.ID, got.Offset, want.ID, want.Offset)
		}
		l.mu.Unlock()
	}
	l.from = strconv.FormatUint(l.pending[len(l.pending)-1].Offset, 10)
	l.pending = l.pending[:0]
	return nil
}

// errUnproved says that events came that were not held to the log.
var errUnproved = errors.New("not all of them were compared with the log")

// verdict gives what was received, and what is wrong with it.
func (l *lives) verdict() (received int, fault error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil && l.proved != l.received {
		return l.received, errUnproved
	}
	return l.received, l.fault
}
