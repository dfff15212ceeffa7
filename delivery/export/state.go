package export

import (
	"encoding/json"
	"fmt"

	"sluice/relay/engine"
)

// state is how far an exporter has come: what is kept in its subscription's cell. All of it changes by compare-and-set.
type state struct {
	Version  int           `json:"v"`
	Position engine.Offset `json:"position,string"` // everything up to here is in an object, or is not shown
	// Window is the end, in Unix seconds, of the last window that has an object; 0: none has. Next is the number of that window's next
	// object, 0 when the window is complete.
	Window int64 `json:"window,omitempty"`
	Next   int   `json:"next,omitempty"`
	// Plan is the object that is being made. It is here before the first byte of it is sent, so that whoever goes on makes the same.
	Plan *plan `json:"plan,omitempty"`
	// Sealed is the upload of the last object, whose traces may still be in the store.
	Sealed string `json:"sealed,omitempty"`
	// Index is Position's index in the stream, so that what leaves the log before it is in an object can be counted afterwards; nil: not known.
	Index *uint64 `json:"index,omitempty"`
	// End is the index of the last event that the log was seen to hold.
	End *uint64 `json:"end,omitempty"`
	// Expired is how many events have left the log before they were in an object, in all.
	Expired uint64 `json:"expired,omitempty"`
}

// plan is one object: which events under which name.
type plan struct {
	From   engine.Offset `json:"from,string"` // exclusive
	To     engine.Offset `json:"to,string"`   // inclusive
	Window int64         `json:"window"`      // its end, Unix seconds
	Index  int           `json:"index"`       // of the objects of the window
	More   bool          `json:"more,omitempty"`
	Bytes  int64         `json:"bytes"` // about how many it has
	Events int           `json:"events,omitempty"`
	First  int64         `json:"first,omitempty"` // when its first event was accepted, Unix milliseconds
	Upload string        `json:"upload"`
	// Prefix is the exporter's as of then: it may be changed while the object is being made. nil: planned before prefixes could be.
	Prefix *string `json:"prefix,omitempty"`
}

const stateVersion = 1

func decodeState(text []byte, start engine.Offset) (state, error) {
	if text == nil {
		return state{Version: stateVersion, Position: start}, nil
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("the state of an exporter: %w", err)
	}
	if s.Version != stateVersion {
		return s, fmt.Errorf("the state of an exporter is of version %d, this Sluice knows %d", s.Version, stateVersion)
	}
	return s, nil
}

func (s state) encode() []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // numbers and plain texts
	}
	return text
}

// behind is the state when the planned object is stored. index is that of the plan's end.
func (s state) behind(index *uint64) state {
	p := s.Plan
	next := state{Version: s.Version, Position: p.To, Index: index, Window: p.Window, Sealed: p.Upload, End: s.End, Expired: s.Expired}
	if index != nil && s.Index != nil && *index < *s.Index {
		next.End = index // the log, emptied and begun anew, counts from another beginning
	}
	if s.Position > p.To { // more than the plan's events have left the log meanwhile
		next.Position, next.Index = s.Position, s.Index
	}
	if p.More {
		next.Next = p.Index + 1
	}
	return next
}

// passed is the state when there was nothing to show up to an offset.
func (s state) passed(to engine.Offset, index *uint64) state {
	s.Position, s.Index, s.Plan = to, index, nil
	return s
}
