package webhook

import (
	"encoding/json"
	"fmt"
	"time"

	"sluice/relay/engine"
)

// state is what a subscription's cell holds: see the package comment. Times are Unix milliseconds.
type state struct {
	Position engine.Offset `json:"position"`
	Open     []open        `json:"open,omitempty"`
	Replay   *replayState  `json:"replay,omitempty"`
	// Choices are what the open batches were begun with, where that is not everything.
	Choices []choice `json:"choices,omitempty"`
	// Mark is an offset with its index in the stream, so that what leaves the log undelivered can be counted afterwards.
	Mark  engine.Offset `json:"mark,omitempty"`
	Index uint64        `json:"index,omitempty"`
}

// open is a batch that was begun and is not ended.
type open struct {
	Lane     int           `json:"l,omitempty"`
	First    engine.Offset `json:"f"`
	Last     engine.Offset `json:"t"`
	Events   int           `json:"n"`
	Attempts int           `json:"a,omitempty"`
	Since    int64         `json:"s,omitempty"`
	Due      int64         `json:"d,omitempty"`
	Replay   string        `json:"r,omitempty"`
	Fresh    bool          `json:"x,omitempty"`
	Bare     bool          `json:"b,omitempty"`
	Choice   int           `json:"c,omitempty"` // in the state's Choices, from 1; 0: everything
}

// replayState is how far the replay that is under way has come: everything of its ranges before Range, and of that one up to Position, is
// ended or open.
type replayState struct {
	ID       string        `json:"id"`
	Range    int           `json:"range"`
	Position engine.Offset `json:"position"`
}

func decodeState(text []byte, from engine.Offset) (state, error) {
	s := state{Position: from}
	if len(text) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("the state of a webhook: %w", err)
	}
	return s, nil
}

func (s *state) encode() []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("a state that is no JSON: %v", err)) // numbers and texts only
	}
	return text
}

// reached is the offset up to which everything is ended.
func (s *state) reached() engine.Offset {
	at := s.Position
	for _, o := range s.Open {
		if o.Replay == "" {
			at = min(at, o.First-1)
		}
	}
	return at
}

func (b *batch) open() open {
	due := b.due
	if b.gone {
		due = time.Time{}
	}
	return open{
		Lane: b.lane, First: b.first, Last: b.last, Events: b.events, Attempts: b.attempts,
		Since: millis(b.since), Due: millis(due), Replay: b.replay, Fresh: b.fresh, Bare: b.bare,
	}
}

func (o open) batch(c *choice) *batch {
	return &batch{
		lane: o.Lane, choice: c, first: o.First, last: o.Last, events: o.Events, attempts: o.Attempts,
		since: moment(o.Since), due: moment(o.Due), replay: o.Replay, fresh: o.Fresh, bare: o.Bare, tried: true,
	}
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
