package relay

import "sluice/relay/engine"

// Line is the i-th of the chunk's Events lines, without its line feed, and the event's offset. The bytes are the chunk's.
func (c *Chunk) Line(i int) ([]byte, engine.Offset) {
	start := uint32(0)
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.lines[start : c.ends[i]-1], c.offsets[i]
}
