package contract

import "time"

// noted does what the contract says about a string or number: plain is its text, off where it was written.
func (o *Checked) noted(n *node, plain []byte, off int) bool {
	note := n.note
	for i := range note.rules {
		if r := &note.rules[i]; !r.pattern.match(plain) {
			o.fault.kind, o.fault.rule, o.fault.value, o.fault.hide = faultRegex, r, plain, note.hide
			return false
		}
	}
	if note.personal {
		o.Personal = append(o.Personal, Personal{Off: off - 1, Len: len(o.out) - 1 - off, Level: note.level, Path: note.path, Plain: plain})
	}
	if note.capture != 0 {
		return o.take(n, plain)
	}
	return true
}

// take puts a value where it is wanted. An empty id or type is none.
func (o *Checked) take(n *node, plain []byte) bool {
	c := n.note.capture
	if c&captureKey != 0 {
		o.Key = plain
	}
	if c&captureSubject != 0 {
		o.Subject = plain
	}
	if c&captureRef != 0 {
		o.ContractRef = plain
	}
	if c&captureSchemaID != 0 {
		o.SchemaID = plain
	}
	if c&(captureID|captureType|captureOccurred) == 0 {
		return true
	}
	if c&captureOccurred != 0 {
		ms, ok := occurred(n.logical, n.kind == kindString, plain)
		if !ok {
			return o.broken("must be a time as 2026-01-31T12:00:00.000Z")
		}
		o.Occurred = ms
	}
	if c&(captureID|captureType) != 0 && len(plain) > maxName {
		return o.broken("must have at most 255 bytes")
	}
	if c&captureID != 0 && len(plain) > 0 {
		o.ID = plain
	}
	if c&captureType != 0 && len(plain) > 0 {
		o.Type = plain
	}
	return true
}

// maxName bounds an event's own id and type.
const maxName = 255

func (o *Checked) broken(reason string) bool {
	o.fault.kind, o.fault.reason = faultRule, reason
	return false
}

// occurred reads when an event happened as Unix milliseconds, never 0.
func occurred(logical string, text bool, plain []byte) (int64, bool) {
	var ms int64
	if text {
		var t time.Time
		if t.UnmarshalText(plain) != nil {
			return 0, false
		}
		ms = t.UnixMilli()
	} else {
		var ok bool
		if ms, ok = integer(plain); !ok {
			return 0, false
		}
		switch logical {
		case "timestamp-micros", "local-timestamp-micros":
			ms /= 1e3
		case "timestamp-nanos", "local-timestamp-nanos":
			ms /= 1e6
		}
	}
	if ms == 0 {
		ms = 1
	}
	return ms, true
}

// span notes an object that was written from start on.
func (o *Checked) span(c capture, start int) {
	at := Span{Off: start - 1, Len: len(o.out) - start}
	if c&captureDevice != 0 {
		o.Device = at
	}
	if c&captureUser != 0 {
		o.User = at
	}
}
