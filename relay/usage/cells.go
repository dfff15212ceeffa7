package usage

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"sluice/relay/engine"
)

const (
	nowPrefix = "usage.now"
	dayPrefix = "usage.day"
	atPrefix  = "usage.at"

	cellVersion = 1

	hourMinutes = 60
	dayMinutes  = 24 * hourMinutes
)

// errCell: a cell is not what this version writes.
var errCell = errors.New("a cell of usage is damaged or of a newer version")

func streamName(id engine.StreamID) string { return hex.EncodeToString(id[:]) }

func nowKey(id engine.StreamID, node string) string {
	return nowPrefix + "." + streamName(id) + "." + node
}

func dayKey(id engine.StreamID, day time.Time, node string) string {
	return dayPrefix + "." + streamName(id) + "." + day.Format("20060102") + "." + node
}

func atKey(node string) string { return atPrefix + "." + node }

// nowOf reads the stream and the node out of a key of nowPrefix.
func nowOf(key string) (id engine.StreamID, node string, ok bool) {
	rest, ok := strings.CutPrefix(key, nowPrefix+".")
	if !ok {
		return id, "", false
	}
	stream, node, ok := strings.Cut(rest, ".")
	if !ok {
		return id, "", false
	}
	raw, err := hex.DecodeString(stream)
	if err != nil || len(raw) != len(id) {
		return id, "", false
	}
	return engine.StreamID(raw), node, true
}

// dayOf reads the day and the node out of a key of dayPrefix.
func dayOf(key string) (day time.Time, node string, ok bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 5 {
		return day, "", false
	}
	day, err := time.Parse("20060102", parts[3])
	return day, parts[4], err == nil
}

// month is a calendar month in UTC: years times 12 and the month from 0.
type month int64

func monthAt(ms int64) month {
	t := time.UnixMilli(ms).UTC()
	return month(t.Year()*12 + int(t.Month()) - 1)
}

// end is when the month is over, in Unix milliseconds.
func (m month) end() int64 {
	return time.Date(int(m)/12, time.Month(int(m)%12)+2, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
}

// hour is the counts of one hour.
type hour struct {
	number  int64 // hours since 1970
	minutes [hourMinutes]uint64
}

func hourAt(ms int64) int64 { return ms / time.Hour.Milliseconds() }

// day is the day that an hour is in.
func dayAt(hour int64) time.Time { return time.Unix(hour/24*24*3600, 0).UTC() }

// now is a cell of nowPrefix.
type now struct {
	seq   uint64 // the last block counted
	month month
	total uint64 // of the month
	hour  hour
}

func (n *now) encode() []byte {
	b := []byte{cellVersion}
	b = binary.AppendUvarint(b, n.seq)
	b = binary.AppendUvarint(b, uint64(n.month))
	b = binary.AppendUvarint(b, n.total)
	b = binary.AppendUvarint(b, uint64(n.hour.number))
	b, _ = n.hour.append(b, -1, 0)
	return b
}

func decodeNow(b []byte) (n now, err error) {
	r := reader{b: b}
	if r.version() != cellVersion {
		return n, errCell
	}
	n.seq, n.month, n.total, n.hour.number = r.number(), month(r.number()), r.number(), int64(r.number())
	r.pairs(hourMinutes, func(minute int, count uint64) { n.hour.minutes[minute] = count })
	return n, r.err
}

// append appends pairs of a minute, as the distance from the one before, and its count. last is the minute written last,
// -1 for none; base is what the hour's first minute is called.
func (h *hour) append(b []byte, last, base int) ([]byte, int) {
	for i, count := range h.minutes {
		if count == 0 {
			continue
		}
		b = binary.AppendUvarint(b, uint64(base+i-last))
		b = binary.AppendUvarint(b, count)
		last = base + i
	}
	return b, last
}

// newDay is a day without any hours.
func newDay() []byte { return []byte{cellVersion} }

// eachMinute calls fn with the minutes of a cell of dayPrefix, ascending, and gives the last one, -1 for none.
func eachMinute(b []byte, fn func(minute int, count uint64)) (last int, err error) {
	r := reader{b: b}
	if r.version() != cellVersion {
		return -1, errCell
	}
	last = -1
	r.pairs(dayMinutes, func(minute int, count uint64) {
		last = minute
		fn(minute, count)
	})
	return last, r.err
}

// withHour is a day's cell with an hour appended; one that has the hour, or a later one, already is given back as it is.
// Hours without events are not written, so that this is decided by the minutes.
func withHour(b []byte, h *hour) ([]byte, error) {
	last, err := eachMinute(b, func(int, uint64) {})
	if err != nil {
		return nil, err
	}
	base := int(h.number%24) * hourMinutes
	if last >= base {
		return b, nil
	}
	b, _ = h.append(b[:len(b):len(b)], last, base)
	return b, nil
}

// reader takes a cell apart; after an error all it gives is zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) version() byte {
	if len(r.b) == 0 {
		r.err = errCell
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errCell
		return 0
	}
	r.b = r.b[n:]
	return v
}

// pairs reads to the end. A minute outside of the cell's time is an error.
func (r *reader) pairs(most int, fn func(minute int, count uint64)) {
	last := -1
	for len(r.b) > 0 {
		step, count := r.number(), r.number()
		if r.err != nil || step == 0 || step > uint64(most-1-last) {
			r.err = errCell
			return
		}
		last += int(step)
		fn(last, count)
	}
}

// encodeAt and decodeAt are the cell of atPrefix: a sequence for each shard.
func encodeAt(at []uint64) []byte {
	b := []byte{cellVersion}
	for _, seq := range at {
		b = strconv.AppendUint(append(b, ' '), seq, 10)
	}
	return b
}

func decodeAt(b []byte, shards int) ([]uint64, error) {
	at := make([]uint64, shards)
	if len(b) == 0 || b[0] != cellVersion {
		return nil, errCell
	}
	for i, text := range strings.Fields(string(b[1:])) {
		seq, err := strconv.ParseUint(text, 10, 64)
		if err != nil || i >= shards {
			return nil, errCell
		}
		at[i] = seq
	}
	return at, nil
}
