package contract

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

type shapeKind uint8

const (
	shapeAny shapeKind = iota
	shapeText
	shapeFlag
	shapeOneOf
	shapeObject
	shapeList
)

// shape says what a part of an Airship event must have. Whatever else it has is taken as it is.
type shape struct {
	kind    shapeKind
	names   []string      // shapeOneOf
	members []shapeMember // shapeObject; of shapeList those of each element, which are objects where there are any
}

type shapeMember struct {
	name string
	must bool
	shape
}

// airshipType is a known type of event.
type airshipType struct {
	devices []*shape          // the kinds of device it may come from; none: whatever is given is taken
	body    shape             // always an object
	by      string            // the member of body that tells variants apart, "" for no variants
	more    map[string]*shape // what body must have beside: by the value of that member, and after a ':' the device type
}

// airshipTypes is a compiled schema of Airship events. Immutable.
type airshipTypes map[string]*airshipType

// shapeParser reads one line of the schema. One goroutine.
type shapeParser struct {
	shared map[string][]shapeMember
	rest   string
}

// parseAirship compiles the schema's text.
func parseAirship(text string) (airshipTypes, error) {
	types, devices := airshipTypes{}, map[string]*shape{}
	p := shapeParser{shared: map[string][]shapeMember{}}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		head, members, _ := strings.Cut(line, " ")
		kinds := ""
		if line[0] != '@' && line[0] != '%' {
			kinds, members, _ = strings.Cut(members, "=")
		}
		p.rest = members
		all, err := p.members(0)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		switch line[0] {
		case '@':
			p.shared[head[1:]] = all
		case '%':
			devices[head[1:]] = &shape{kind: shapeObject, members: all}
		default:
			if err := types.add(head, strings.Fields(kinds), devices, shape{kind: shapeObject, members: all}); err != nil {
				return nil, fmt.Errorf("line %d: %w", n+1, err)
			}
		}
	}
	return types, nil
}

func (types airshipTypes) add(head string, kinds []string, devices map[string]*shape, body shape) error {
	if name, value, ok := strings.Cut(head, "/"); ok {
		t := types[name]
		if t == nil || t.by == "" {
			return fmt.Errorf("type %s has no variants", name)
		}
		t.more[value] = &body
		return nil
	}
	name, by, _ := strings.Cut(head, "?")
	t := &airshipType{body: body, by: by, more: map[string]*shape{}}
	for _, kind := range kinds {
		d := devices[kind]
		if d == nil {
			return fmt.Errorf("there is no device %s", kind)
		}
		t.devices = append(t.devices, d)
	}
	types[name] = t
	return nil
}

// members reads up to end, 0 being the end of the line.
func (p *shapeParser) members(end byte) (all []shapeMember, err error) {
	for {
		p.rest = strings.TrimLeft(p.rest, " ")
		switch {
		case p.rest == "" && end == 0:
			return all, nil
		case p.rest == "":
			return nil, fmt.Errorf("%c is missing", end)
		case p.rest[0] == end:
			p.rest = p.rest[1:]
			return all, nil
		}
		name := p.take(" *:{[(}])")
		if shared, ok := strings.CutPrefix(name, "@"); ok {
			if p.shared[shared] == nil {
				return nil, fmt.Errorf("there is no %s", name)
			}
			all = append(all, p.shared[shared]...)
			continue
		}
		m := shapeMember{name: name}
		if m.must = strings.HasPrefix(p.rest, "*"); m.must {
			p.rest = p.rest[1:]
		}
		if name == "" {
			return nil, fmt.Errorf("a name is missing before %q", p.rest)
		}
		if err := p.shape(&m.shape); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
}

// shape reads what follows a name.
func (p *shapeParser) shape(s *shape) (err error) {
	if p.rest == "" {
		return nil
	}
	switch p.rest[0] {
	case '{':
		p.rest = p.rest[1:]
		s.kind = shapeObject
		s.members, err = p.members('}')
	case '[':
		p.rest = p.rest[1:]
		s.kind = shapeList
		s.members, err = p.members(']')
	case '(':
		p.rest = p.rest[1:]
		s.kind, s.names = shapeOneOf, strings.Split(p.take(")"), "|")
		p.rest = strings.TrimPrefix(p.rest, ")")
	case ':':
		p.rest = p.rest[1:]
		switch kind := p.take(" }])"); kind {
		case "text":
			s.kind = shapeText
		case "flag":
			s.kind = shapeFlag
		default:
			return fmt.Errorf("%q is no kind of value", kind)
		}
	}
	return err
}

func (p *shapeParser) take(until string) string {
	i := strings.IndexAny(p.rest, until)
	if i < 0 {
		i = len(p.rest)
	}
	word := p.rest[:i]
	p.rest = p.rest[i:]
	return word
}

// event checks the parts of an event of a type; a part that is not there is not asked for. It sets the fault.
func (t *airshipType) event(o *Checked, s []byte, device, body Span) bool {
	var kind []byte
	if device.Len > 0 {
		if !t.device(o, s, device.Off) {
			o.at("device")
			return false
		}
		kind = textOf(s, device.Off, "device_type")
	}
	if body.Len == 0 {
		return true
	}
	if !o.fits(&t.body, s, body.Off) || !t.variant(o, s, body.Off, kind) {
		o.at("body")
		return false
	}
	return true
}

func (t *airshipType) variant(o *Checked, s []byte, at int, device []byte) bool {
	if t.by == "" {
		return true
	}
	var buf [64]byte // longer ones are no variant that is known
	name := textOf(s, at, t.by)
	key := append(append(append(buf[:0], name...), ':'), device...)
	for _, more := range [...]*shape{t.more[string(name)], t.more[string(key)]} {
		if more != nil && !o.fits(more, s, at) {
			return false
		}
	}
	return true
}

// device finds the kind of device by its type. One without a type is of the old form, which names its channel by the
// platform, or of a kind that needs none.
func (t *airshipType) device(o *Checked, s []byte, at int) bool {
	if len(t.devices) == 0 {
		return true
	}
	given, old := false, false
	eachMember(s, at, func(name []byte, i int) bool {
		switch string(name) {
		case "device_type":
			given = s[i] != 'n'
		case "ios_channel", "android_channel", "amazon_channel":
			old = s[i] == '"'
		}
		return true
	})
	if !given {
		if old {
			return true
		}
		for _, d := range t.devices {
			if m := d.member("device_type"); (m == nil || !m.must) && o.fits(d, s, at) {
				o.fault = fault{}
				return true
			}
		}
		o.fault = fault{kind: faultMissing}
		o.at("device_type")
		return false
	}
	kind := textOf(s, at, "device_type")
	for _, d := range t.devices {
		if m := d.member("device_type"); m != nil && slices.Contains(m.names, string(kind)) {
			return o.fits(d, s, at)
		}
	}
	var known []string
	for _, d := range t.devices {
		if m := d.member("device_type"); m != nil {
			known = append(known, m.names...)
		}
	}
	if known == nil {
		return o.fits(t.devices[0], s, at)
	}
	o.broken("must be one of " + strings.Join(known, ", "))
	o.at("device_type")
	return false
}

func (sh *shape) member(name string) *shapeMember {
	for i := range sh.members {
		if sh.members[i].name == name {
			return &sh.members[i]
		}
	}
	return nil
}

// fits holds the value at a place of compact valid JSON to a shape. It sets the fault.
func (o *Checked) fits(sh *shape, s []byte, at int) bool {
	switch sh.kind {
	case shapeText:
		return s[at] == '"' || o.broken("must be string")
	case shapeFlag:
		return isWord(s, at, "true") || isWord(s, at, "false") || isWord(s, at, `"true"`) || isWord(s, at, `"false"`) || o.broken("must be boolean")
	case shapeOneOf:
		for _, name := range sh.names {
			if s[at] == '"' && bytes.HasPrefix(s[at+1:], []byte(name)) && s[at+1+len(name)] == '"' {
				return true
			}
		}
		return o.broken("must be one of " + strings.Join(sh.names, ", "))
	case shapeObject:
		return s[at] == '{' && o.has(sh.members, s, at) || o.fault.kind == 0 && o.broken("must be object")
	case shapeList:
		if s[at] != '[' {
			return o.broken("must be array")
		}
		return len(sh.members) == 0 || o.each(sh.members, s, at)
	}
	return true
}

// each holds the elements of the list at a place to what an object of it must have.
func (o *Checked) each(members []shapeMember, s []byte, at int) bool {
	for i := at + 1; s[i] != ']'; {
		if s[i] != '{' {
			return o.broken("must be array of object")
		}
		if !o.has(members, s, i) {
			return false
		}
		var c compactor
		if i = c.value(s, i, 0); s[i] == ',' {
			i++
		}
	}
	return true
}

// has tells whether the object at a place has what it must.
func (o *Checked) has(members []shapeMember, s []byte, at int) bool {
	var seen uint64 // of members, which are few
	fits := true
	eachMember(s, at, func(name []byte, i int) bool {
		for k := range members {
			m := &members[k]
			if m.name != string(name) || s[i] == 'n' { // null is as good as nothing
				continue
			}
			seen |= 1 << k
			if fits = o.fits(&m.shape, s, i); !fits {
				o.at(m.name)
				return false
			}
		}
		return true
	})
	if !fits {
		return false
	}
	for k := range members {
		if members[k].must && seen>>k&1 == 0 {
			o.fault.kind = faultMissing
			o.at(members[k].name)
			return false
		}
	}
	return true
}

// textOf is the string member of an object, as it is written; nil without one.
func textOf(s []byte, at int, name string) (text []byte) {
	eachMember(s, at, func(got []byte, i int) bool {
		if string(got) != name {
			return true
		}
		if s[i] == '"' {
			end, _ := scanString(s, i+1)
			text = s[i+1 : end]
		}
		return false
	})
	return text
}
