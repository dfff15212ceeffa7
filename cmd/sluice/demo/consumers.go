package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"sluice/cmd/sluice/client"
	"sluice/loadtest/verify"
)

// consumer is one way out of the gateway, and what has to come out there.
type consumer struct {
	label string // as it is shown, such as "demo-2 websocket"
	says  string // what it is, for people
	rule  verify.Rule
	read  func(ctx context.Context, p *page, screen *screen) error
	// Counted in units of its own beside events, such as batches; "" for none.
	unit string
}

// doors opens a consumer at every door there is. When it returns, the place of each is fixed: what is posted from now on comes out of all.
// The consumers it returns are to be read, each by one goroutine, also those returned beside an error: their reading ends with its context
// and lets go of what was opened.
func doors(ctx context.Context, c *client.Client, streams []streamInfo, dir string) (all []consumer, l *lives, err error) {
	for _, s := range streams {
		lines, err := s.open(ctx, c)
		if err != nil {
			return all, nil, fmt.Errorf("stream %s cannot be read: %w", s.name, err)
		}
		all = append(all, consumer{label: s.name + " lines", says: s.says, rule: s.rule, read: enveloped(lines)})
	}
	source, two, both := streams[0], streams[1], streams[2]
	token, _, err := c.AccessToken(ctx, both.creds)
	if err != nil {
		return all, nil, err
	}
	socket, err := c.As(token).Socket(ctx, both.name, url.Values{"envelope": {"offset"}})
	if err != nil {
		return all, nil, fmt.Errorf("the websocket of %s cannot be opened: %w", both.name, err)
	}
	all = append(all, consumer{label: both.name + " websocket", says: "the same over a websocket, a message each", rule: both.rule, read: enveloped(socket)})

	hook, err := openReceiver(ctx, c, two.name)
	if err != nil {
		return all, nil, err
	}
	all = append(all, consumer{
		label: two.name + " webhook", says: "posted to " + hook.url + " in signed batches; the receiver checks each signature",
		rule: two.rule, read: hook.run, unit: "batches",
	})

	folder := filepath.Join(dir, "export")
	exported, err := openFolder(ctx, c, source.name, folder)
	if err != nil {
		return all, nil, err
	}
	all = append(all, consumer{
		label: source.name + " folder", says: "a file for every " + exportInterval.String() + " below " + folder, rule: source.rule, read: exported.run, unit: "files",
	})
	l, err = openLives(ctx, c)
	return all, l, err
}

// arriving is an answer of events in progress, over whatever it comes.
type arriving interface {
	Next() ([]byte, error)
	Close() error
}

// enveloped reads an answer whose events have their offsets with them, until ctx ends; one that ends before is an error.
func enveloped(answer arriving) func(context.Context, *page, *screen) error {
	return func(ctx context.Context, p *page, screen *screen) error {
		stop := context.AfterFunc(ctx, func() { _ = answer.Close() }) // Next is waiting on it
		defer func() {
			if stop() {
				_ = answer.Close()
			}
		}()
		for {
			line, err := answer.Next()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return fmt.Errorf("the answer of %s broke off: %w", p.label, err)
			}
			var l struct {
				Offset uint64 `json:",string"`
				Event  json.RawMessage
			}
			if err := json.Unmarshal(line, &l); err != nil || l.Event == nil {
				return errors.Join(fmt.Errorf("%s shows a line that is no event", p.label), err)
			}
			p.received(l.Offset, l.Event)
			screen.show(p.label, l.Event)
		}
	}
}
