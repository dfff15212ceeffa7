package stream

import (
	"sluice/relay/engine"
)

// Live is a reader that is connected to this node: the kind of its connection, and the offset up to which everything it is to see has been
// written there.
type Live struct {
	Kind     string
	Position engine.Offset
}

// Readers are the readers of a stream that are connected now, in no order. The log tells apart streams of one name in several projects.
func (c *Conns) Readers(log engine.StreamID, stream string) []Live {
	l := c.counts.lags
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Live
	for s, label := range l.sessions {
		if label.Stream != stream {
			continue
		}
		if standing := s.Reader.Standing(); standing.Stream() == log {
			all = append(all, Live{Kind: label.Kind, Position: s.written(standing)})
		}
	}
	return all
}
