package relay

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"sluice/relay/contract"
	"sluice/relay/engine"
	"sluice/relay/filter"
	"sluice/relay/payload"
)

// Format is how an event is shown.
type Format uint8

// The formats. Each makes one line of text of an event.
const (
	Raw     Format = iota // the event's own JSON
	Offsets               // {"offset":"…","event":{…}}
	Airship               // the Airship envelope: id, type, offset, occurred, processed, device, user, body
)

// renderer writes what a view shows. One goroutine at a time.
type renderer struct {
	stream  engine.StreamID
	format  Format
	framing Framing
	filter  *filter.Filter
	subset  *filter.Subset
	id      [36]byte
	dropped [reasons]int // events that did not pass, not yet counted
}

// passes tells whether the consumer asked for the event.
func (r *renderer) passes(e *shown, c *candidate, now time.Time) bool {
	if r.filter == nil && r.subset == nil {
		return true
	}
	ev := c.of(e, r.stream, now)
	if r.subset != nil && !r.subset.Match(ev.ID) {
		r.dropped[droppedSubset]++
		return false
	}
	if !r.filter.Match(ev) {
		r.dropped[droppedFilter]++
		return false
	}
	return true
}

// text writes the event as one line, without the line's end.
func (r *renderer) text(dst []byte, e *shown) []byte {
	switch r.format {
	case Offsets:
		dst = append(dst, `{"offset":"`...)
		dst = appendOffset(dst, e.offset)
		dst = append(dst, `","event":`...)
		return append(r.own(dst, e), '}')
	case Airship:
		return r.appendEnvelope(dst, e)
	default:
		return r.own(dst, e)
	}
}

// own writes the event's own JSON, which of Airship's own events is the envelope.
func (r *renderer) own(dst []byte, e *shown) []byte {
	if isAirship(e.record) {
		return r.appendEnvelope(dst, e)
	}
	return append(dst, e.json...)
}

// isAirship tells Airship's own events: what the log has of them beside id, type and times is what the envelope has
// beside these.
func isAirship(rec *engine.Record) bool { return string(rec.Contract) == contract.AirshipRef }

func (r *renderer) appendEnvelope(dst []byte, e *shown) []byte {
	rec := e.record
	dst = append(dst, `{"id":"`...)
	if len(rec.ID) > 0 {
		dst = payload.AppendEscaped(dst, rec.ID)
	} else {
		dst = append(dst, eventID(&r.id, r.stream, e.offset)...)
	}
	dst = append(dst, `","type":"`...)
	dst = payload.AppendEscaped(dst, eventType(rec))
	dst = append(dst, `","offset":"`...)
	dst = appendOffset(dst, e.offset)
	dst = append(dst, `","occurred":"`...)
	dst = appendTime(dst, rec.Occurred)
	dst = append(dst, `","processed":"`...)
	dst = appendTime(dst, rec.Processed)
	dst = append(dst, '"')
	if isAirship(rec) {
		if len(e.json) == len("{}") {
			return append(dst, '}')
		}
		return append(append(dst, ','), e.json[1:]...)
	}
	dst = appendPart(dst, `,"device":`, part(e.json, e.device))
	dst = appendPart(dst, `,"user":`, part(e.json, e.user))
	dst = appendPart(dst, `,"body":`, bodyOf(e))
	return append(dst, '}')
}

func appendOffset(dst []byte, o engine.Offset) []byte {
	return strconv.AppendUint(dst, uint64(o), 10)
}

func appendPart(dst []byte, name string, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	return append(append(dst, name...), value...)
}

func part(json []byte, s engine.Span) []byte {
	if s.Len == 0 {
		return nil
	}
	return json[s.Off : s.Off+s.Len]
}

// bodyOf is the event's body: its own JSON whole, or of Airship's own events the part of that name.
func bodyOf(e *shown) []byte {
	if isAirship(e.record) {
		return part(e.json, e.record.Body)
	}
	return e.json
}

var custom = []byte("CUSTOM")

func eventType(rec *engine.Record) []byte {
	if len(rec.Type) == 0 {
		return custom
	}
	return rec.Type
}

// eventID makes the id of an event that has none of its own: a UUIDv8 of stream and offset, so that every reader,
// retry and replay sees the same one.
func eventID(buf *[36]byte, stream engine.StreamID, o engine.Offset) []byte {
	var in [24]byte
	copy(in[:], stream[:])
	binary.BigEndian.PutUint64(in[16:], uint64(o))
	sum := sha256.Sum256(in[:])
	id := [16]byte(sum[:16])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return appendUUID(buf[:0], id)
}

func appendUUID(dst []byte, id [16]byte) []byte {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return append(dst, b[:]...)
}

// appendTime writes Unix milliseconds as ISO 8601 in UTC, always with three digits of milliseconds.
func appendTime(dst []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}
