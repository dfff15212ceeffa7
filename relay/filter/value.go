package filter

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// value is a JSON value of an event; the zero value is absent, which equals null.
type value struct{ gjson.Result }

// str is the text of a string, and empty for everything else.
func (v value) str() string {
	if v.Type != gjson.String {
		return ""
	}
	return v.Str
}

// object is the text of an object, and empty for everything else.
func (v value) object() string {
	if !v.IsObject() {
		return ""
	}
	return v.Raw
}

// member is the member of an object of that name, absent if the text is no object.
func member(object, name string) (found value) {
	o := gjson.Parse(object)
	if !o.IsObject() {
		return value{}
	}
	o.ForEach(func(k, v gjson.Result) bool {
		if k.Str == name {
			found = value{v}
			return false
		}
		return true
	})
	return found
}

// subject is what a predicate is about: an event, or an element of an array.
type subject struct {
	event   *Event
	element value
}

// at walks along names; what is missing or no object on the way is absent.
func (s subject) at(path []string) value {
	if s.event != nil {
		return s.event.at(path)
	}
	v := s.element
	for _, name := range path {
		v = member(v.object(), name)
	}
	return v
}

// at walks along names through the event in its envelope.
func (e *Event) at(path []string) value {
	if len(path) == 0 {
		return value{}
	}
	in := int32(-1)
	switch path[0] {
	case "device":
		in = e.root(partDevice)
	case "user":
		in = e.root(partUser)
	case "body":
		in = e.root(partBody)
	default:
		if v, ok := e.own(path[0]); ok {
			if len(path) > 1 {
				return value{} // these are texts
			}
			return v
		}
		in = e.memo.member(e.root(partOwn), path[0])
	}
	for _, name := range path[1:] {
		in = e.memo.member(in, name)
	}
	return e.memo.value(in)
}

// own is what the envelope has beside the event's JSON; ok is false for other names.
func (e *Event) own(name string) (v value, ok bool) {
	switch name {
	case "id":
		return word(text(e.ID)), true
	case "type":
		return word(text(e.Type)), true
	case "occurred":
		return moment(e.Occurred), true
	case "processed":
		if e.Processed == 0 {
			return value{}, true
		}
		return moment(e.Processed), true
	case "offset":
		if e.Offset == 0 {
			return value{}, true
		}
		return word(strconv.FormatUint(e.Offset, 10)), true
	}
	return value{}, false
}

func word(s string) value { return value{gjson.Result{Type: gjson.String, Str: s}} }

// moment is a time as the envelope writes it.
func moment(ms int64) value {
	return word(time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z"))
}

// literal is a value of a request, to be compared with values of events.
type literal struct {
	kind    gjson.Type // Null, False, True, Number, String; JSON for array and object
	text    string
	number  number
	items   []literal
	members map[string]literal // nil for an array
}

// number compares whole numbers of 64 bits exactly and others as doubles.
type number struct {
	whole bool
	i     int64
	f     float64
}

func numberOf(s string) number {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return number{whole: true, i: i, f: float64(i)}
	}
	f, _ := strconv.ParseFloat(s, 64) // out of range is infinite, which compares well
	return number{f: f}
}

func (n number) compare(m number) int {
	if n.whole && m.whole {
		return compare(n.i, m.i)
	}
	return compare(n.f, m.f)
}

func compare[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func literalOf(v any) literal {
	switch v := v.(type) {
	case bool:
		if v {
			return literal{kind: gjson.True}
		}
		return literal{kind: gjson.False}
	case json.Number:
		return literal{kind: gjson.Number, number: numberOf(string(v))}
	case string:
		return literal{kind: gjson.String, text: v}
	case []any:
		l := literal{kind: gjson.JSON, items: make([]literal, len(v))}
		for i := range v {
			l.items[i] = literalOf(v[i])
		}
		return l
	case map[string]any:
		l := literal{kind: gjson.JSON, members: make(map[string]literal, len(v))}
		for k := range v {
			l.members[k] = literalOf(v[k])
		}
		return l
	}
	return literal{kind: gjson.Null}
}

// equals compares deeply; the order of an object's members does not matter.
func (l *literal) equals(v value, fold bool) bool {
	if l.kind != v.Type {
		return false
	}
	switch l.kind {
	case gjson.String:
		return l.text == v.Str || fold && strings.EqualFold(l.text, v.Str)
	case gjson.Number:
		return l.number.compare(numberOf(v.Raw)) == 0
	case gjson.JSON:
		if l.members == nil {
			return v.IsArray() && l.equalItems(v, fold)
		}
		return v.IsObject() && l.equalMembers(v, fold)
	}
	return true
}

func (l *literal) equalItems(v value, fold bool) bool {
	n, same := 0, true
	v.ForEach(func(_, item gjson.Result) bool {
		same = n < len(l.items) && l.items[n].equals(value{item}, fold)
		n++
		return same
	})
	return same && n == len(l.items)
}

func (l *literal) equalMembers(v value, fold bool) bool {
	n, same := 0, true
	v.ForEach(func(k, item gjson.Result) bool {
		want, ok := l.members[k.Str]
		same = ok && want.equals(value{item}, fold)
		n++
		return same
	})
	return same && n == len(l.members)
}

// key is the literal's canonical text.
func (l *literal) key() string {
	switch l.kind {
	case gjson.False:
		return "false"
	case gjson.True:
		return "true"
	case gjson.Number:
		if l.number.whole {
			return strconv.FormatInt(l.number.i, 10)
		}
		return strconv.FormatFloat(l.number.f, 'g', -1, 64)
	case gjson.String:
		return strconv.Quote(l.text)
	case gjson.JSON:
		var parts []string
		if l.members == nil {
			for i := range l.items {
				parts = append(parts, l.items[i].key())
			}
			return "[" + strings.Join(parts, ",") + "]"
		}
		for k, m := range l.members {
			parts = append(parts, strconv.Quote(k)+":"+m.key())
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ",") + "}"
	}
	return "null"
}
