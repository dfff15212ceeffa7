package engine

// Kind says what a record's payload is.
type Kind uint8

// The kinds of payload.
const (
	KindJSON Kind = 1 // one compact JSON object, valid UTF-8
	KindXML  Kind = 2 // an XML document as it was received
)

// KeyLink names the key that an event's personal fields are encrypted with: a UUIDv8 that tells
// nothing about the person.
type KeyLink [16]byte

// Locator says where in the key tree the key of an event comes from. It lies in the log only and is
// shown to nobody, for it links the days of one person.
type Locator struct {
	Era        uint32
	Leaf       uint64 // 0 with Era 0: the event has no key
	Generation uint32 // how often the person was forgotten before this event
	// Turn is the minute of the day, UTC, from 1, at which the person's key is replaced; 0: not known.
	Turn uint16
}

// Span is a part of a record's payload. The zero span is no part.
type Span struct{ Off, Len uint32 }

// Field is one encrypted value in a record's payload.
type Field struct {
	Span        // the base64 text between the quotes
	Level uint8 // the consent level that opens it, 0 to 63
	Path  uint8 // index into the contract's list of personal fields
}

// Record is one event as it lies in the log. All slices are borrowed: from the caller when it is
// written, from the block when it is read.
type Record struct {
	ID        []byte // the event's own id where its contract names one, else empty
	Type      []byte // the event's own type where its contract names one, else empty
	Contract  []byte // ref of the data contract, empty for a payload without one
	RequestID [16]byte
	Kind      Kind
	Occurred  int64  // Unix milliseconds
	Processed int64  // Unix milliseconds: when it was accepted
	Consent   uint64 // bit n: the person consented to level n
	KeyLink   KeyLink
	Locator   Locator
	Fields    []Field // in the order of their places in Payload
	Device    Span
	User      Span
	Body      Span
	Payload   []byte
}
