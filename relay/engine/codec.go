package engine

import (
	"encoding/binary"
	"math"
)

// The places of a record's fixed part; the package comment has the whole table.
const (
	recLen        = 0
	recKind       = 4
	recIDLen      = 6
	recTypeLen    = 8
	recContract   = 10
	recFieldCount = 12
	recTurn       = 14
	recRequestID  = 16
	recOccurred   = 32
	recProcessed  = 40
	recConsent    = 48
	recKeyLink    = 56
	recEra        = 72
	recGeneration = 76
	recLeaf       = 80
	recDevice     = 88
	recUser       = 96
	recBody       = 104
	recPayloadLen = 112
	recFixed      = 116
	recField      = 10 // bytes of one encrypted field
)

var le = binary.LittleEndian

// appendRecord appends r's encoding to dst. A record that could not be read back is refused here with ErrRecord or
// ErrTooLarge, for it would make the whole block it shares with other events unreadable.
func appendRecord(dst []byte, r *Record) ([]byte, error) {
	if len(r.ID) > math.MaxUint16 || len(r.Type) > math.MaxUint16 || len(r.Contract) > math.MaxUint16 ||
		len(r.Fields) > math.MaxUint16 {
		return dst, ErrTooLarge
	}
	size := recFixed + recField*len(r.Fields) + len(r.ID) + len(r.Type) + len(r.Contract) + len(r.Payload)
	if size > maxRecordBytes {
		return dst, ErrTooLarge
	}
	n := uint32(len(r.Payload))
	if !r.Device.within(n) || !r.User.within(n) || !r.Body.within(n) {
		return dst, ErrRecord
	}
	for i := range r.Fields {
		if !r.Fields[i].within(n) || r.Fields[i].Level > 63 {
			return dst, ErrRecord
		}
	}
	at := len(dst)
	dst = append(dst, make([]byte, recFixed)...)
	b := dst[at:]
	le.PutUint32(b[recLen:], uint32(size))
	b[recKind] = byte(r.Kind)
	le.PutUint16(b[recIDLen:], uint16(len(r.ID)))
	le.PutUint16(b[recTypeLen:], uint16(len(r.Type)))
	le.PutUint16(b[recContract:], uint16(len(r.Contract)))
	le.PutUint16(b[recFieldCount:], uint16(len(r.Fields)))
	copy(b[recRequestID:], r.RequestID[:])
	le.PutUint64(b[recOccurred:], uint64(r.Occurred))
	le.PutUint64(b[recProcessed:], uint64(r.Processed))
	le.PutUint64(b[recConsent:], r.Consent)
	copy(b[recKeyLink:], r.KeyLink[:])
	le.PutUint32(b[recEra:], r.Locator.Era)
	le.PutUint32(b[recGeneration:], r.Locator.Generation)
	le.PutUint16(b[recTurn:], r.Locator.Turn)
	le.PutUint64(b[recLeaf:], r.Locator.Leaf)
	putSpan(b[recDevice:], r.Device)
	putSpan(b[recUser:], r.User)
	putSpan(b[recBody:], r.Body)
	le.PutUint32(b[recPayloadLen:], n)
	for i := range r.Fields {
		f := &r.Fields[i]
		dst = le.AppendUint32(dst, f.Off)
		dst = le.AppendUint32(dst, f.Len)
		dst = append(dst, f.Level, f.Path)
	}
	dst = append(dst, r.ID...)
	dst = append(dst, r.Type...)
	dst = append(dst, r.Contract...)
	return append(dst, r.Payload...), nil
}

// checkRecord looks at the record that b begins with and returns its length and how many fields it has.
// After ok readRecord may be trusted with it.
func checkRecord(b []byte) (size, fields int, ok bool) {
	if len(b) < recFixed {
		return 0, 0, false
	}
	total := le.Uint32(b[recLen:])
	if total < recFixed || uint64(total) > uint64(len(b)) {
		return 0, 0, false
	}
	fields = int(le.Uint16(b[recFieldCount:]))
	payload := le.Uint32(b[recPayloadLen:])
	want := recFixed + uint64(recField*fields) + uint64(le.Uint16(b[recIDLen:])) + uint64(le.Uint16(b[recTypeLen:])) +
		uint64(le.Uint16(b[recContract:])) + uint64(payload)
	if want != uint64(total) || b[5] != 0 {
		return 0, 0, false
	}
	if !getSpan(b[recDevice:]).within(payload) || !getSpan(b[recUser:]).within(payload) || !getSpan(b[recBody:]).within(payload) {
		return 0, 0, false
	}
	for i := range fields {
		f := b[recFixed+i*recField:]
		if !getSpan(f).within(payload) || f[8] > 63 {
			return 0, 0, false
		}
	}
	return int(total), fields, true
}

// readFields appends the fields of a checked record to dst.
func readFields(dst []Field, b []byte, n int) []Field {
	for i := range n {
		f := b[recFixed+i*recField:]
		dst = append(dst, Field{Span: getSpan(f), Level: f[8], Path: f[9]})
	}
	return dst
}

// readRecord fills r from a checked record. r's slices point into b; fields are those of this record.
func readRecord(r *Record, b []byte, fields []Field) {
	at := recFixed + recField*len(fields)
	cut := func(n int) []byte {
		part := b[at : at+n : at+n]
		at += n
		return part
	}
	r.ID = cut(int(le.Uint16(b[recIDLen:])))
	r.Type = cut(int(le.Uint16(b[recTypeLen:])))
	r.Contract = cut(int(le.Uint16(b[recContract:])))
	r.Payload = cut(int(le.Uint32(b[recPayloadLen:])))
	copy(r.RequestID[:], b[recRequestID:])
	r.Kind = Kind(b[recKind])
	r.Occurred = int64(le.Uint64(b[recOccurred:]))
	r.Processed = int64(le.Uint64(b[recProcessed:]))
	r.Consent = le.Uint64(b[recConsent:])
	copy(r.KeyLink[:], b[recKeyLink:])
	r.Locator = Locator{
		Era: le.Uint32(b[recEra:]), Generation: le.Uint32(b[recGeneration:]), Leaf: le.Uint64(b[recLeaf:]), Turn: le.Uint16(b[recTurn:]),
	}
	r.Fields = fields
	r.Device = getSpan(b[recDevice:])
	r.User = getSpan(b[recUser:])
	r.Body = getSpan(b[recBody:])
}

func (s Span) within(n uint32) bool { return uint64(s.Off)+uint64(s.Len) <= uint64(n) }

func putSpan(b []byte, s Span) {
	le.PutUint32(b, s.Off)
	le.PutUint32(b[4:], s.Len)
}

func getSpan(b []byte) Span { return Span{Off: le.Uint32(b), Len: le.Uint32(b[4:])} }
