package contract

import "unicode/utf8"

// airshipMember is a member of the envelope that is taken out of the event, for the log has a place of its own for it
// or it is the gateway's to say.
type airshipMember uint16

const (
	airshipID airshipMember = 1 << iota
	airshipName
	airshipOccurred
	airshipOffset
	airshipProcessed
	airshipMeta
	airshipDevice
	airshipUser
	airshipBody
)

func memberOf(name []byte) airshipMember {
	switch string(name) {
	case "id":
		return airshipID
	case "type":
		return airshipName
	case "occurred":
		return airshipOccurred
	case "offset":
		return airshipOffset
	case "processed":
		return airshipProcessed
	case "strmMeta":
		return airshipMeta
	case "device":
		return airshipDevice
	case "user":
		return airshipUser
	case "body":
		return airshipBody
	}
	return 0
}

// Airship tells whether the contract is that of Airship's own events, which have no strmMeta and whose id, type and
// times are the envelope's.
func (c *Contract) Airship() bool { return c.airship != nil }

// compileAirship makes the contract of Airship's own events. It has no key field: nothing in such an event is personal
// to the gateway, which passes it on as Airship's own stream would.
func compileAirship(d Definition) (*Contract, error) {
	if d.Ref != AirshipRef {
		return nil, faulty("schemaType", "%s is that of %s alone, it must be %s", SchemaTypeAirship, AirshipRef, SchemaTypeAvro)
	}
	types, err := parseAirship(d.Schema)
	if err != nil {
		return nil, faulty("schema", "%w", err)
	}
	return &Contract{def: d, ref: []byte(d.Ref), airship: types, airshipMeta: meta()}, nil
}

// checkAirship is Check for Airship's own events: the envelope, and of known types what their parts must have. What is
// left in Members is device, user, body and whatever else the event has; id, type and occurred are in out, and offset
// and processed, which are the gateway's to say, are gone. A strmMeta may name the contract and the levels and is not
// kept.
func (c *Contract) checkAirship(out *Checked, body []byte) error {
	if !utf8.Valid(body) {
		return invalid(notUTF8, invalidUTF8(body))
	}
	i := skipSpace(body, 0)
	if i < len(body) && body[i] != '{' {
		return invalid("it is not an object", i)
	}
	got, i := out.airshipMembers(c, i)
	if i < 0 {
		return out.fault.violation(c)
	}
	if i = skipSpace(body, i); i < len(body) {
		return invalid("the object is followed by something else", i)
	}
	for _, must := range [...]struct {
		member airshipMember
		name   string
	}{{airshipID, "id"}, {airshipName, "type"}, {airshipOccurred, "occurred"}} {
		if got&must.member == 0 {
			out.fault.kind = faultMissing
			out.at(must.name)
			return out.fault.violation(c)
		}
	}
	if t := c.airship[string(out.Type)]; t != nil && !t.event(out, out.out[1:], out.Device, out.Body) {
		return out.fault.violation(c)
	}
	out.Members = out.out[1 : len(out.out)-1]
	return nil
}

// airshipMembers reads the event at i and returns which members of the envelope it has and the place after it, or -1
// with the fault set.
func (o *Checked) airshipMembers(c *Contract, i int) (got airshipMember, next int) {
	s := o.src
	o.out = append(o.out, '{')
	if i >= len(s) {
		return 0, o.syntax(unexpected(s, i))
	}
	i = skipSpace(s, i+1)
	if i < len(s) && s[i] == '}' {
		o.out = append(o.out, '}')
		return 0, i + 1
	}
	for {
		if i >= len(s) || s[i] != '"' {
			return got, o.syntax(unexpected(s, i))
		}
		start := i
		end, escaped := scanString(s, i+1)
		if end < 0 {
			return got, o.syntax(stringFault(s, i+1))
		}
		name := s[i+1 : end : end]
		if escaped {
			name = o.unescape(name)
		}
		if i = skipSpace(s, end+1); i >= len(s) || s[i] != ':' {
			return got, o.syntax(unexpected(s, i))
		}
		if i = skipSpace(s, i+1); i >= len(s) {
			return got, o.syntax(unexpected(s, i))
		}
		m := memberOf(name)
		if m != 0 && got&m != 0 {
			o.fault.kind = faultTwice
			return got, o.at(string(name))
		}
		before := len(o.out)
		if before > 1 {
			o.out = append(o.out, ',')
		}
		o.out = append(append(o.out, s[start:end+1]...), ':')
		kept := false
		if i, kept = o.airshipValue(c, m, i); i < 0 {
			if o.fault.kind != faultSyntax {
				o.at(shown(name))
			}
			return got, -1
		}
		if kept || m != 0 && m < airshipDevice {
			got |= m
		}
		if !kept {
			o.out = o.out[:before]
		}
		if i = skipSpace(s, i); i >= len(s) || s[i] != '}' && s[i] != ',' {
			return got, o.syntax(unexpected(s, i))
		}
		if s[i] == '}' {
			o.out = append(o.out, '}')
			return got, i + 1
		}
		i = skipSpace(s, i+1)
	}
}

// airshipValue reads the value of a member at i and writes what is kept of it.
func (o *Checked) airshipValue(c *Contract, m airshipMember, i int) (next int, kept bool) {
	s := o.src
	start := len(o.out)
	if m == airshipMeta {
		return o.record(c.airshipMeta, i), false
	}
	w := compactor{emit: true, dst: o.out}
	if next = w.value(s, i, 1); next < 0 {
		return o.syntax(w.reason, w.pos), false
	}
	o.out = w.dst
	switch m {
	case airshipID, airshipName, airshipOccurred:
		if s[i] != '"' {
			o.broken("must be string")
			return -1, false
		}
		text := s[i+1 : next-1 : next-1]
		if _, escaped := scanString(s, i+1); escaped {
			text = o.unescape(text)
		}
		if !o.airshipText(m, text) {
			return -1, false
		}
		return next, false
	case airshipOffset, airshipProcessed:
		return next, false
	case airshipDevice, airshipUser, airshipBody:
		if s[i] == 'n' {
			return next, false
		}
		if s[i] != '{' {
			o.broken("must be object")
			return -1, false
		}
		at := Span{Off: start - 1, Len: len(o.out) - start}
		switch m {
		case airshipDevice:
			o.Device = at
		case airshipUser:
			o.User = at
		default:
			o.Body = at
		}
	}
	return next, true
}

func (o *Checked) airshipText(m airshipMember, text []byte) bool {
	if m == airshipOccurred {
		ms, ok := occurred("", true, text)
		if !ok {
			return o.broken("must be a time as 2026-01-31T12:00:00.000Z")
		}
		o.Occurred = ms
		return true
	}
	if len(text) == 0 || len(text) > maxName {
		return o.broken("must have 1 to 255 bytes")
	}
	if m == airshipID {
		o.ID = text
		return true
	}
	if string(text) == "OFFSET_UPDATE" {
		return o.broken("must not be OFFSET_UPDATE, which each connection makes for itself")
	}
	o.Type = text
	return true
}
