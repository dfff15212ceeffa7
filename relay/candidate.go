package relay

import (
	"time"

	"sluice/relay/engine"
	"sluice/relay/filter"
)

// candidate is a shown event as filters and subsets look at it, made at the first question of all the renderings of a
// view. The zero value is of no event. One goroutine at a time.
type candidate struct {
	made  bool
	event filter.Event
	id    [36]byte
}

// next says that the next question is about another event.
func (c *candidate) next() { c.made = false }

// of is the event for filters. It lives as long as what the view shows.
func (c *candidate) of(e *shown, stream engine.StreamID, now time.Time) *filter.Event {
	if c.made {
		return &c.event
	}
	c.made = true
	id := e.record.ID
	if len(id) == 0 {
		id = eventID(&c.id, stream, e.offset)
	}
	c.event.Next(filter.Event{
		Type: eventType(e.record), ID: id, Occurred: e.record.Occurred, Now: now.UnixMilli(),
		Processed: e.record.Processed, Offset: uint64(e.offset), JSON: e.json,
		Device: part(e.json, e.device), User: part(e.json, e.user), Body: bodyOf(e),
	})
	return &c.event
}
